"""CURVE for real: the right key gets in as who it is, every other connection learns at once that it does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from time import monotonic

import pytest
import zmq
from support.wire import PATIENCE, Inbox, reactor, run_directory, wait_until

from transport.connecting import Connection, Link
from transport.endpoints import ipc_endpoint
from transport.errors import AuthenticationError
from transport.keystore import KeyStore
from transport.security import ClientKeys, Gatekeeper, KeyPair, Role, ServerKeys, peer_of
from transport.sockets import SocketSpec


@pytest.fixture
def run():
    with run_directory() as path:
        yield path


@pytest.fixture(params=["tcp", "ipc"])
def guarded(request, run):
    """A CURVE server that answers with who its peer is, its keys, and its gatekeeper."""
    store = KeyStore(run)
    keys = ServerKeys(store.ensure(), domain="control")
    gatekeeper = Gatekeeper(store.grants())

    def tell(socket, frames):
        socket.send([frames[0].bytes, repr(peer_of(frames[1], is_trusted=False)).encode()])

    with reactor() as loop:
        loop.authenticate(gatekeeper.answer)
        bind = "tcp://127.0.0.1:*" if request.param == "tcp" else ipc_endpoint(run, "s")
        server = loop.open(SocketSpec(zmq.ROUTER, bind=bind, keys=keys, metadata=True), tell)
        yield server, keys, store, gatekeeper


def connect(endpoint: str, keys: ClientKeys | None) -> Connection:
    return Connection(SocketSpec(zmq.DEALER, connect=endpoint, keys=keys))


def test_an_allowed_key_gets_in_as_who_it_is(guarded):
    server, keys, store, gatekeeper = guarded
    connection = connect(server.endpoint, ClientKeys(store.client(), keys.pair.public))

    assert connection.wait_admitted(PATIENCE) is True
    connection.socket.send(b"who am I?")

    assert connection.wait(PATIENCE) is True
    assert b"caller='key local', role=<Role.ADMIN: 3>" in connection.socket.recv()
    assert (gatekeeper.admitted, gatekeeper.refused) == (1, 0)
    connection.close()


def test_a_key_that_is_not_on_the_list_is_an_authentication_error_and_no_silence(guarded):
    server, keys, _, gatekeeper = guarded
    connection = connect(server.endpoint, ClientKeys(KeyPair.make(), keys.pair.public))
    connection.socket.send(b"let me in")

    with pytest.raises(AuthenticationError, match="does not authorise this key"):
        connection.wait_admitted(PATIENCE)
    connection.close()
    assert gatekeeper.refused >= 1  # one that is held up before it leaves tries again
    assert server.statistics().received == 0


def test_a_key_that_was_revoked_is_refused_from_then_on(guarded):
    server, keys, store, gatekeeper = guarded
    pair = store.new_key("ann", Role.VIEWER)
    gatekeeper.replace(store.grants())
    first = connect(server.endpoint, ClientKeys(pair, keys.pair.public))
    assert first.wait_admitted(PATIENCE) is True
    first.close()
    store.revoke("ann")
    gatekeeper.replace(store.grants())
    second = connect(server.endpoint, ClientKeys(pair, keys.pair.public))

    with pytest.raises(AuthenticationError):
        second.wait_admitted(PATIENCE)
    second.close()


@pytest.mark.parametrize("kind", ["wrong server key", "no key"])
def test_a_server_that_cannot_be_recognised_is_an_authentication_error(guarded, kind):
    server, _, store, _ = guarded
    keys = ClientKeys(store.client(), KeyPair.make().public) if kind == "wrong server key" else None
    connection = connect(server.endpoint, keys)

    with pytest.raises(AuthenticationError, match="could not be recognised"):
        connection.wait_admitted(PATIENCE)
    connection.close()


def test_keys_for_a_server_that_has_none_are_an_authentication_error(run):
    with reactor() as loop:
        server = loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), Inbox())
        connection = connect(server.endpoint, ClientKeys(KeyPair.make(), KeyPair.make().public))

        with pytest.raises(AuthenticationError, match="could not be recognised"):
            connection.wait_admitted(PATIENCE)
        connection.close()


def test_a_refused_peer_hinders_no_other(guarded):
    server, keys, store, _ = guarded
    for _ in range(20):
        refused = connect(server.endpoint, ClientKeys(KeyPair.make(), keys.pair.public))
        with pytest.raises(AuthenticationError):
            refused.wait_admitted(PATIENCE)
        refused.close()
    allowed = connect(server.endpoint, ClientKeys(store.client(), keys.pair.public))

    assert allowed.wait_admitted(PATIENCE) is True
    allowed.close()


def test_two_sockets_of_one_context_ask_the_same_gatekeeper(run):
    store = KeyStore(run)
    pair = store.ensure()
    with reactor("first") as first, reactor("second", beside=first) as second:
        first.authenticate(Gatekeeper(store.grants()).answer)
        for loop, domain in ((first, "control"), (second, "taps")):
            spec = SocketSpec(zmq.ROUTER, bind="tcp://127.0.0.1:*", keys=ServerKeys(pair, domain))
            server = loop.open(spec, Inbox())
            allowed = connect(server.endpoint, ClientKeys(store.client(), pair.public))
            refused = connect(server.endpoint, ClientKeys(KeyPair.make(), pair.public))

            assert allowed.wait_admitted(PATIENCE) is True
            with pytest.raises(AuthenticationError):
                refused.wait_admitted(PATIENCE)
            allowed.close()
            refused.close()


def test_a_guarded_socket_cannot_be_opened_before_somebody_guards_it():
    with reactor() as loop:
        spec = SocketSpec(zmq.ROUTER, bind="tcp://127.0.0.1:*", keys=ServerKeys(KeyPair.make()))

        with pytest.raises(RuntimeError, match="authenticate first"):
            loop.open(spec, Inbox())


def test_nobody_there_is_neither_admitted_nor_refused(run):
    connection = connect(f"ipc://{run}/nobody.sock", None)

    assert connection.wait_admitted(0.05) is False
    assert connection.link is Link.CONNECTING
    connection.close()
    connection.close()


def test_who_comes_late_to_look_learns_that_it_was_admitted(run):
    with reactor() as loop:
        endpoint = ipc_endpoint(run, "s")
        loop.open(SocketSpec(zmq.ROUTER, bind=endpoint), Inbox())
        connection = connect(endpoint, None)

        wait_until(lambda: connection.wait_admitted(0.0), "it is admitted, though there is no time left to wait")
        connection.close()


def test_a_peer_that_accepts_and_comes_to_nothing_is_waited_for_until_it_is_gone(run):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(f"{run}/busy.sock")
        peer.listen()
        connection = connect(f"ipc://{run}/busy.sock", None)
        accepted = threading.Event()

        def die() -> None:
            visitor, _ = peer.accept()
            (run / "busy.sock").unlink()
            accepted.set()
            visitor.close()

        dying = threading.Thread(target=die)
        dying.start()
        assert connection.wait_admitted(0.0, PATIENCE) is False
        assert accepted.is_set()
        assert connection.link is Link.CONNECTING
        dying.join(PATIENCE)
    connection.close()


def test_a_connection_that_ends_is_lost_and_comes_back(run):
    endpoint = ipc_endpoint(run, "s")
    with reactor() as loop:
        loop.open(SocketSpec(zmq.ROUTER, bind=endpoint), Inbox())
        connection = connect(endpoint, None)
        assert connection.wait_admitted(PATIENCE)
    until = monotonic() + PATIENCE
    while connection.link is not Link.LOST:
        connection.wait(max(0.0, until - monotonic()))
    assert connection.losses == 1

    with reactor() as loop:
        loop.open(SocketSpec(zmq.ROUTER, bind=endpoint), Inbox())
        assert connection.wait_admitted(PATIENCE)
    connection.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peer's process")
def test_a_local_peer_is_known_by_user_and_process(run):
    inbox = Inbox()
    with reactor() as loop:
        spec = SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s"), metadata=True)
        server = loop.open(spec, lambda s, frames: inbox(peer_of(frames[-1], is_trusted=True)))
        code = "import sys, zmq; s = zmq.Context().socket(zmq.DEALER); s.connect(sys.argv[1]); s.send(b'x'); input()"
        with subprocess.Popen([sys.executable, "-c", code, server.endpoint], stdin=subprocess.PIPE) as child:
            peer = inbox.get()
            child.communicate(b"\n")

        import os

        assert peer.caller == f"uid {os.getuid()} pid {child.pid}"
        assert peer.role is Role.ADMIN


def test_a_peer_without_a_key_in_the_open_is_nobody():
    inbox = Inbox()
    with reactor() as loop:
        spec = SocketSpec(zmq.ROUTER, bind="tcp://127.0.0.1:*", metadata=True)
        server = loop.open(spec, lambda s, frames: inbox(peer_of(frames[-1], is_trusted=False)))
        client = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), Inbox())
        client.send([b"x"])

        assert inbox.get().role is Role.NOBODY


def test_the_handshakes_of_a_closed_connection_leave_nothing_behind(guarded):
    from support.wire import open_descriptors

    server, keys, store, _ = guarded

    def cycle() -> None:
        connection = connect(server.endpoint, ClientKeys(store.client(), keys.pair.public))
        connection.wait_admitted(PATIENCE)
        connection.close()

    cycle()
    wait_until(lambda: open_descriptors() > 0)
    before = open_descriptors()
    for _ in range(10):
        cycle()
    wait_until(lambda: open_descriptors() <= before, "connections are closed")
