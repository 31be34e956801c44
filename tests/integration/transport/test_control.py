"""Control RPC over real sockets: every call is answered once, whatever the bytes, the handler or the network do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import msgpack
import pytest
import zmq
from msgspec import Struct
from msgspec.structs import replace
from support.wire import PATIENCE, Inbox, PatientClient, open_descriptors, reactor, run_directory, wait_until

from transport.control.client import open_client
from transport.control.protocol import Request, encode_message
from transport.control.server import ControlServer
from transport.endpoints import Endpoints, ipc_endpoint, write_endpoints
from transport.errors import AuthenticationError, ControlError, EndpointError, ErrorCode, UnreachableError
from transport.handshakes import ADMISSION
from transport.identity import ProcessIdentity
from transport.keystore import KeyStore
from transport.limits import Limits
from transport.security import ClientKeys, Gatekeeper, KeyPair, Role, ServerKeys


@pytest.fixture
def run():
    with run_directory() as path:
        yield path


@pytest.fixture(autouse=True)
def one_try(monkeypatch):
    """A call is not tried again, nor given up before the node has said that it timed out, because an answer is slow."""
    monkeypatch.setattr("transport.control.client.FIRST_RETRY", 10 * PATIENCE)
    monkeypatch.setattr("transport.control.client.GRACE", PATIENCE)


@pytest.fixture
def loop():
    with reactor("node") as made:
        yield made


class Node:
    """A handler whose commands each show one way to answer."""

    def __init__(self) -> None:
        self.done = Inbox()
        self.held = Inbox()
        self.calls: list[Request] = []
        self.workers: list[threading.Thread] = []

    def __call__(self, request, responder) -> None:
        self.calls.append(request)
        match request.command:
            case "echo":
                responder.reply(request.args)
            case "fail":
                responder.fail(ErrorCode.NOT_FOUND, "there is no actor at /io/gmial", "did you mean /io/gmail?")
            case "raise":
                raise ZeroDivisionError("oh")
            case "elsewhere":
                self._start(lambda: responder.reply(threading.current_thread().name))
            case "hold":
                self.held(responder)
            case "large":
                responder.reply("x" * request.args["size"])
            case "count":
                self._start(lambda: self._count(responder, request.args["to"]))

    def audit(self, request, peer, code, seconds) -> None:
        self.done((request.command, request.caller, request.reason, code))

    def _start(self, work) -> None:
        self.workers.append(threading.Thread(target=work, name="worker"))
        self.workers[-1].start()

    @staticmethod
    def _count(responder, to) -> None:
        for n in range(to):
            if not responder.wait_ready(PATIENCE):
                return
            responder.part(n)
        responder.reply("end")


@pytest.fixture
def node():
    made = Node()
    yield made
    for worker in made.workers:
        worker.join(PATIENCE)


@pytest.fixture
def server(loop, run, node):
    return ControlServer(loop, ipc_endpoint(run, "control"), node, on_done=node.audit)


@pytest.fixture
def client(server):
    with PatientClient(server.endpoint, caller="test") as made:
        yield made


def raw(server: ControlServer, *parts: bytes, kind: int = zmq.DEALER) -> dict:
    """Send parts as they are and return the answer."""
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.connect(server.endpoint)
        socket.send_multipart(parts)
        assert socket.poll(int(PATIENCE * 1000)), "no answer"
        return msgpack.unpackb(socket.recv())


def test_a_call_is_answered(client):
    assert client.call("echo", {"path": "/io", "n": [1, 2.5, None, True]}) == {"path": "/io", "n": [1, 2.5, None, True]}


def test_many_calls_go_over_one_connection(client):
    client.call("echo")
    used = open_descriptors()

    assert [client.call("echo", {"n": n})["n"] for n in range(200)] == list(range(200))
    wait_until(lambda: open_descriptors() <= used, "no connection but the first")


def test_another_thread_may_answer_later(client):
    assert client.call("elsewhere", timeout=PATIENCE) == "worker"


def test_a_failure_comes_with_code_message_and_hint(client):
    with pytest.raises(ControlError) as error:
        client.call("fail")

    assert error.value.code is ErrorCode.NOT_FOUND
    assert str(error.value) == "there is no actor at /io/gmial"
    assert error.value.hint == "did you mean /io/gmail?"


def test_a_handler_that_raises_is_an_internal_error_and_the_server_goes_on(client):
    with pytest.raises(ControlError, match="ZeroDivisionError: oh") as error:
        client.call("raise")

    assert error.value.code is ErrorCode.INTERNAL
    assert client.call("echo", {"still": "here"}) == {"still": "here"}


def test_a_call_that_nobody_answers_times_out_at_its_deadline_with_the_node_s_own_words(client, server):
    with pytest.raises(ControlError, match=r"hold was not done within .* s; it may still be carried out") as error:
        client.call("hold", timeout=0.05)

    assert error.value.code is ErrorCode.TIMEOUT
    wait_until(lambda: server.statistics().timed_out == 1)
    assert server.statistics().pending == 0


def test_a_late_answer_is_counted_and_not_sent(client, server, node):
    with pytest.raises(ControlError):
        client.call("hold", timeout=0.05)
    late = node.held.get()

    assert late.reply("late") is False
    assert client.call("echo", {"next": 1}) == {"next": 1}
    wait_until(lambda: server.statistics().late == 1)


def test_every_command_is_told_to_the_audit_with_who_asked_and_why(client, node):
    client.call("echo", reason="to see")
    with pytest.raises(ControlError):
        client.call("fail")

    caller = f"uid {os.getuid()} pid {os.getpid()} (test)" if sys.platform.startswith("linux") else "test"
    assert node.done.get() == ("echo", caller, "to see", "ok")
    assert node.done.get() == ("fail", caller, "", "not_found")


def test_a_key_carries_a_command_out_once_however_often_it_is_sent(server, node):
    results = []
    for _ in range(3):
        with PatientClient(server.endpoint) as client:
            results.append(client.call("echo", {"n": 1}, key="k"))

    assert results == [{"n": 1}] * 3
    assert len(node.calls) == 1
    assert server.statistics().joined == 2


def test_tries_of_a_command_that_is_under_way_wait_for_the_same_outcome(server, node):
    results = Inbox()

    def call() -> None:
        with PatientClient(server.endpoint) as client:
            results(client.call("hold", {}, key="k", timeout=PATIENCE))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    responder = node.held.get()
    wait_until(lambda: server.statistics().joined == 2)
    responder.reply("once")

    assert results.take(3) == ["once"] * 3
    assert len(node.calls) == 1
    for caller in callers:
        caller.join(PATIENCE)


def test_a_failure_too_is_the_outcome_of_its_key(server, node):
    for _ in range(2):
        with PatientClient(server.endpoint) as client, pytest.raises(ControlError, match="gmial"):
            client.call("fail", key="k")

    assert len(node.calls) == 1


def test_a_command_that_timed_out_can_be_asked_for_again_by_its_key(client, node):
    with pytest.raises(ControlError):
        client.call("hold", key="k", timeout=0.05)
    node.held.get().reply("done after all")

    assert client.call("hold", key="k", timeout=PATIENCE) == "done after all"
    assert len(node.calls) == 1


@pytest.mark.parametrize(("command", "args"), [("fail", {}), ("echo", {"n": 2})])
def test_a_key_that_was_used_for_something_else_is_a_conflict(client, command, args):
    client.call("echo", {"n": 1}, key="k")

    with pytest.raises(ControlError, match="was used for another command") as error:
        client.call(command, args, key="k")
    assert error.value.code is ErrorCode.CONFLICT


def test_a_lost_answer_is_asked_for_again_on_a_new_socket_at_once(loop, run):
    """The node's socket goes away while a command runs, and another one comes in its place."""
    node, endpoint = Node(), ipc_endpoint(run, "control")
    first = ControlServer(loop, endpoint, node)
    results = Inbox()

    def call() -> None:
        with PatientClient(endpoint, connect=PATIENCE) as client:
            try:
                results(client.call("hold", key="k", timeout=PATIENCE))
            except ControlError as error:
                results(error.code)

    caller = threading.Thread(target=call)
    caller.start()
    node.held.get()
    first._socket.close()  # as when it dies: no last word, which `close` would send
    ControlServer(loop, endpoint, lambda request, responder: responder.reply(f"again: {request.key}"))

    assert results.get() == "again: k"
    caller.join(PATIENCE)


def test_an_answer_that_is_too_large_is_an_error_that_says_so(loop, run, node):
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, max_response_bytes=1_000)
    with PatientClient(server.endpoint) as client:
        with pytest.raises(ControlError, match="1,000 are allowed"):
            client.call("large", {"size": 1_001})

        assert client.call("large", {"size": 900}) == "x" * 900


def test_a_large_answer_comes_whole(client):
    assert len(client.call("large", {"size": 5_000_000}, timeout=PATIENCE)) == 5_000_000


def test_a_stream_gives_its_parts_in_order_and_its_last_answer(client):
    with client.stream("count", {"to": 1_000}, credit=10) as stream:
        assert list(stream) == list(range(1_000))
        assert stream.result == "end"


def test_a_stream_never_has_more_under_way_than_its_credit(client, server):
    with client.stream("count", {"to": 1_000}, credit=4) as stream:
        assert stream.read(PATIENCE) == (True, 0)
        client.call("echo")

        sent = server._socket.statistics().sent
        assert sent <= 4 + 2 + 1  # the credit, its first renewal, the echo


def test_a_stream_that_is_closed_early_ends_at_the_node(client, server, node):
    with client.stream("count", {"to": 10**9}, credit=4) as stream:
        assert [part for part, _ in zip(stream, range(10), strict=False)] == list(range(10))

    wait_until(lambda: server.statistics().cancelled == 1)
    assert server.statistics().pending == 0


def test_a_stream_whose_reader_is_gone_ends_at_the_node(loop, run, node):
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, keepalive=0.05)
    code = (
        "import sys; from transport.control.client import ControlClient\n"
        "stream = ControlClient(sys.argv[1], connect=60).stream('count', {'to': 10**9})\n"
        "print(stream.read(60), flush=True)\n"
        "for _ in stream: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, server.endpoint], stdout=subprocess.PIPE) as child:
        assert b"True" in child.stdout.readline()
        child.send_signal(signal.SIGKILL)

    wait_until(lambda: server.statistics().pending == 0, "the stream is cancelled")


def test_a_stream_that_has_nothing_to_say_times_out_for_its_reader_alone(client, node):
    with client.stream("hold", credit=4) as stream:
        responder = node.held.get()
        with pytest.raises(TimeoutError):
            stream.read(0.02)
        responder.part("still there")

        assert stream.read(PATIENCE) == (True, "still there")


def test_a_stream_that_has_nothing_to_say_is_kept_alive_without_a_part(loop, run, node):
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, keepalive=0.01)
    server._silence = PATIENCE  # a reader that is held up is not gone
    with PatientClient(server.endpoint) as client, client.stream("hold", credit=1) as stream:
        responder = node.held.get()
        sent = server._socket.statistics().sent
        wait_until(lambda: server._socket.statistics().sent > sent + 3)
        responder.part("only")

        assert stream.read(PATIENCE) == (True, "only")


def test_a_node_that_stood_still_takes_no_reader_for_gone(loop, run, node, monkeypatch):
    ahead = 0.0
    monkeypatch.setattr("transport.control.server.monotonic", lambda: time.monotonic() + ahead)
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, keepalive=0.01)
    with PatientClient(server.endpoint) as client, client.stream("hold", credit=1) as stream:
        responder = node.held.get()
        ahead = 10 * server._silence
        sent = server._socket.statistics().sent
        wait_until(lambda: server._socket.statistics().sent > sent + 3)
        responder.part("only")

        assert stream.read(PATIENCE) == (True, "only")


def test_a_stream_fails_as_a_call_does(client):
    with client.stream("fail") as stream, pytest.raises(ControlError, match="gmial"):
        stream.read(PATIENCE)


def test_a_stream_keeps_to_its_deadline(client, node):
    with client.stream("hold", timeout=0.05) as stream:
        told = Inbox()
        node.held.get().on_cancel(told)

        with pytest.raises(ControlError) as error:
            stream.read(PATIENCE)
        assert error.value.code is ErrorCode.TIMEOUT
        assert told.get() == "timed out"


def test_a_stream_whose_node_is_gone_is_unreachable(run):
    with reactor() as loop:
        node = Node()
        server = ControlServer(loop, ipc_endpoint(run, "control"), node)
        with PatientClient(server.endpoint) as client:
            stream = client.stream("hold")
            node.held.get()
            server._socket.close()

            with pytest.raises(UnreachableError, match="the connection was lost"):
                stream.read(PATIENCE)
            stream.close()


def test_a_stream_takes_no_key_and_needs_credit(client, server):
    answer = raw(server, encode_message(Request("1", "echo", key="k", credit=1)))

    assert answer["error"]["code"] == "usage"
    with pytest.raises(ValueError, match="at least 1"):
        client.stream("count", credit=0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"not msgpack at all",
        b"\x91" * 1_000,
        b"\xdf\xff\xff\xff\xff",
        msgpack.packb({"kind": "call", "v": 1, "id": "7"}),
        msgpack.packb({"kind": "call", "v": 1, "id": "7", "command": "echo", "args": 5}),
        msgpack.packb({"kind": "call", "v": 2, "id": "7", "command": "echo"}),
        msgpack.packb({"kind": "call", "v": 1, "id": "7", "command": "echo", "args": {"x": b"x" * 2**20}}),
    ],
    ids=["empty", "unused code", "empty map", "text", "deep", "huge map", "fields", "types", "version", "oversized"],
)
def test_a_malformed_request_is_counted_and_answered_and_the_next_one_works(server, client, data):
    answer = raw(server, data)

    assert answer["ok"] is False
    assert answer["error"]["code"] == "usage"
    assert answer["id"] in {"", "7"}
    assert server.statistics().malformed == 1
    assert client.call("echo", {"x": 1}) == {"x": 1}


def test_several_parts_are_no_request(server, client):
    assert raw(server, b"one", b"two")["error"]["message"] == "a request is one message part"
    assert client.call("echo", {"x": 1}) == {"x": 1}


def test_a_req_socket_can_call_too(server):
    assert raw(server, encode_message(Request("1", "echo", {"x": 1})), kind=zmq.REQ)["result"] == {"x": 1}


def test_credit_for_a_stream_that_is_none_is_answered(server):
    answer = raw(server, msgpack.packb({"kind": "credit", "v": 1, "id": "7", "credit": 5}))

    assert (answer["id"], answer["error"]["code"]) == ("7", "not_found")


def test_calls_beyond_the_bound_are_refused_at_once_and_the_open_ones_kept(loop, run, node):
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, max_pending=2)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(server.endpoint)
        for n in range(3):
            socket.send(encode_message(Request(str(n), "hold")))
        assert socket.poll(int(PATIENCE * 1000))
        refused = msgpack.unpackb(socket.recv())
        assert (refused["id"], refused["error"]["code"]) == ("2", "conflict")

        node.held.get().reply("kept")
        assert socket.poll(int(PATIENCE * 1000))
        assert msgpack.unpackb(socket.recv())["result"] == "kept"


def test_the_same_id_twice_on_one_connection_is_refused(server, node):
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(server.endpoint)
        for _ in range(2):
            socket.send(encode_message(Request("1", "hold")))
        assert socket.poll(int(PATIENCE * 1000))

        assert "is open already" in msgpack.unpackb(socket.recv())["error"]["message"]


def test_a_node_that_stops_says_so_to_those_who_wait(client, server, node):
    results = Inbox()

    def call() -> None:
        with pytest.raises(ControlError) as error:
            client.call("hold", timeout=PATIENCE)
        results((error.value.code, str(error.value)))

    caller = threading.Thread(target=call)
    caller.start()
    node.held.get()
    server.close()

    assert results.get() == (ErrorCode.UNREACHABLE, "the node is stopping")
    caller.join(PATIENCE)


def write(run, server, **changes) -> None:
    fields = {
        "process": ProcessIdentity.own(),
        "name": "n",
        "version": "0",
        "control": server.endpoint if server is not None else f"ipc://{run}/control.sock",
        "taps": "",
        "started_at": time.time(),
        "epoch": "1",
    }
    write_endpoints(run, Endpoints(**{**fields, **changes}))


def test_a_client_finds_its_node_by_the_endpoints_file(run, server):
    write(run, server)

    with open_client(run) as by_directory, open_client(run / "endpoints.json") as by_file:
        assert by_directory.call("echo", {"x": 1}) == by_file.call("echo", {"x": 1}) == {"x": 1}


def test_a_node_that_is_not_running_is_said_to_be_so_and_where_it_was_looked_for(run):
    with pytest.raises(UnreachableError) as error:
        open_client(run)

    assert (error.value.why, error.value.code) == ("not running", ErrorCode.UNREACHABLE)
    assert error.value.looked_at == str(run / "endpoints.json")
    assert str(run) in str(error.value)
    assert "actorctl run" in error.value.hint


def test_a_node_that_died_is_said_to_be_stale(run):
    own = ProcessIdentity.own()
    write(run, None, process=replace(own, start=own.start + 10_000))

    with pytest.raises(UnreachableError, match="is gone") as error:
        open_client(run)
    assert error.value.why == "stale"


def test_a_file_that_cannot_be_read_is_said_to_be_so(run):
    (run / "endpoints.json").write_text("{")

    with pytest.raises(UnreachableError) as error:
        open_client(run)
    assert error.value.why == "unreadable"


def test_a_node_that_runs_and_does_not_listen_is_unreachable(run):
    with PatientClient(f"ipc://{run}/control.sock", connect=0.05) as client:
        with pytest.raises(UnreachableError, match="nothing accepts connections there") as error:
            client.call("echo")
        assert error.value.why == "no answer"


def test_a_node_that_hangs_is_a_time_out_that_says_the_outcome_is_unknown(run, monkeypatch):
    monkeypatch.setattr("transport.control.client.GRACE", 0.05)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as deaf:
        deaf.linger = 0
        deaf.bind(f"ipc://{run}/control.sock")
        with PatientClient(f"ipc://{run}/control.sock") as client:
            with pytest.raises(ControlError, match="it may still be carried out") as error:
                client.call("stop", timeout=0.05)
            assert error.value.code is ErrorCode.TIMEOUT


@pytest.fixture
def guarded(run):
    """A node on tcp with keys, its key store, and what its callers were."""
    store, node = KeyStore(run), Node()
    keys = ServerKeys(store.ensure())
    with reactor() as loop:
        loop.authenticate(Gatekeeper(store.grants()).answer)
        permissions = {"echo": Role.VIEWER, "count": Role.VIEWER, "fail": Role.OPERATOR}
        server = ControlServer(loop, "tcp://127.0.0.1:*", node, keys=keys, permissions=permissions, on_done=node.audit)
        write(run, server, server_key=keys.pair.public)
        yield server, store, loop, node


def test_the_local_key_is_found_and_works(run, guarded):
    _, _, _, node = guarded
    with open_client(run, caller="actorctl") as client:
        assert client.call("echo", {"x": 1}) == {"x": 1}

    assert node.done.get()[1] == "key local (actorctl)"


def test_a_wrong_key_is_an_authentication_error_and_no_silence(guarded):
    server, store, _, node = guarded
    keys = ClientKeys(KeyPair.make(), store.ensure().public)
    with PatientClient(server.endpoint, keys=keys) as client:
        with pytest.raises(AuthenticationError, match="does not authorise this key") as error:
            client.call("echo", timeout=PATIENCE)
        with pytest.raises(AuthenticationError):
            client.stream("count", {"to": 1})

    assert error.value.code is ErrorCode.DENIED
    assert node.calls == []
    assert ADMISSION < 2.0  # the seconds it takes at most


def test_a_node_of_another_key_is_an_authentication_error(guarded):
    server, store, _, _ = guarded
    with PatientClient(server.endpoint, keys=ClientKeys(store.client(), KeyPair.make().public)) as client:
        with pytest.raises(AuthenticationError, match="could not be recognised"):
            client.call("echo")


def test_a_key_that_cannot_be_read_is_denied_with_the_reason(run, guarded):
    guarded[1].directory.joinpath("local.json").unlink()

    with pytest.raises(ControlError, match="cannot read the key file") as error:
        open_client(run)
    assert error.value.code is ErrorCode.DENIED


@pytest.mark.parametrize(
    ("role", "allowed"),
    [(Role.VIEWER, {"echo"}), (Role.OPERATOR, {"echo", "fail"}), (Role.ADMIN, {"echo", "fail", "raise"})],
)
def test_a_role_allows_its_commands_and_an_unlisted_one_is_for_admins(run, guarded, role, allowed):
    _, store, _, node = guarded
    pair = store.new_key("ann", role)
    with reactor() as other:
        other.authenticate(Gatekeeper(store.grants()).answer)
        permissions = {"echo": Role.VIEWER, "fail": Role.OPERATOR}
        second = ControlServer(
            other, "tcp://127.0.0.1:*", node, keys=ServerKeys(store.ensure()), permissions=permissions
        )
        codes = {}
        with PatientClient(second.endpoint, keys=ClientKeys(pair, store.ensure().public)) as client:
            for command in ("echo", "fail", "raise"):
                try:
                    client.call(command)
                    codes[command] = "ok"
                except ControlError as error:
                    codes[command] = str(error.code)

    assert {command for command, code in codes.items() if code != "denied"} == allowed


def test_a_node_does_not_listen_in_the_open_without_keys(loop, node):
    with pytest.raises(EndpointError, match="needs CURVE keys"):
        ControlServer(loop, "tcp://127.0.0.1:*", node)


def test_a_request_larger_than_a_node_takes_is_refused_before_it_is_sent(server, node):
    with PatientClient(server.endpoint) as client:
        with pytest.raises(ControlError, match=r"a request of 2,000,\d+ bytes, and 1,048,576 are taken") as caught:
            client.call("echo", {"text": "x" * 2_000_000}, timeout=PATIENCE)
        with pytest.raises(ControlError, match="a request of 100,000,"):
            client.stream("count", {"text": "x" * 100_000_000})

        assert caught.value.code is ErrorCode.USAGE
        assert client.call("echo", {"x": 1}, timeout=PATIENCE) == {"x": 1}
    assert [request.command for request in node.calls] == ["echo"]


def test_a_flood_of_garbage_from_many_connections_does_not_stop_the_server(loop, run, node):
    limits = Limits(max_frame_bytes=10_000)
    server = ControlServer(loop, ipc_endpoint(run, "control"), node, limits=limits)
    with zmq.Context() as context:
        sockets = []
        for n in range(20):
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            socket.connect(server.endpoint)
            sockets.append(socket)
            for k in range(100):
                socket.send_multipart([os.urandom(1 + (n * k) % 200) for _ in range(1 + k % 3)])
            socket.send(b"x" * 50_000)
        with PatientClient(server.endpoint) as client:
            assert client.call("echo", {"x": 1}, timeout=PATIENCE) == {"x": 1}
        wait_until(lambda: server.statistics().malformed >= 2_000)
        for socket in sockets:
            socket.close()


def test_importing_the_client_loads_nothing_heavy():
    code = "import sys, transport.control.client; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in output.split()}

    assert "transport.control.server" not in output.split()
    assert not loaded & {"asyncio", "psutil", "duckdb", "typer", "rich", "croniter", "pydantic", "supervisors"}


class Echo(Struct, frozen=True):
    """What `echo` answers, typed."""

    n: int


def test_an_answer_is_read_as_the_type_that_is_asked_for(client):
    assert client.call("echo", {"n": 5}, answer=Echo) == Echo(5)


def test_an_answer_of_another_type_is_an_error_that_names_it(client):
    with pytest.raises(ControlError, match=r"the node's answer cannot be read: no Echo") as error:
        client.call("echo", {"n": "five"}, answer=Echo)

    assert error.value.code is ErrorCode.FAILED
    assert client.call("echo", {"n": 6}, answer=Echo) == Echo(6)
