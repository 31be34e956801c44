"""Sockets on a reactor's thread: any thread sends, bounds hold, what is lost is counted, nothing leaks."""

from __future__ import annotations

import os
import threading

import pytest
import zmq
from support.wire import PATIENCE, Inbox, open_descriptors, reactor, run_directory, wait_until

from transport.codec import join_frame, pack_envelope, unpack_frame
from transport.endpoints import ipc_endpoint
from transport.envelope import Kind, envelope
from transport.errors import EndpointError, OutboxFullError, SocketClosedError
from transport.reactor import Reactor
from transport.sockets import Full, SocketSpec


@pytest.fixture
def run():
    with run_directory() as path:
        yield path


@pytest.fixture
def loop():
    with reactor() as made:
        yield made


def echo(socket, frames):
    socket.send(frames)


def test_what_is_sent_arrives_and_the_answer_comes_back(loop, run):
    inbox = Inbox()
    server = loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), echo)
    client = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)

    client.send([b"one", b"two"])

    assert inbox.get() == [b"one", b"two"]


def test_a_free_port_is_chosen_and_told(loop):
    first, second = (loop.open(SocketSpec(zmq.ROUTER, bind="tcp://127.0.0.1:*"), echo) for _ in range(2))

    assert first.endpoint.startswith("tcp://127.0.0.1:")
    assert first.endpoint != second.endpoint


def test_many_threads_send_and_each_one_s_order_is_kept(loop, run):
    inbox = Inbox()
    server = loop.open(SocketSpec(zmq.PULL, bind=ipc_endpoint(run, "s"), receive_high_water=0), inbox)
    client = loop.open(SocketSpec(zmq.PUSH, connect=server.endpoint, full=Full.BLOCK, outbox=50), echo)

    def send(name: int) -> None:
        for n in range(500):
            client.send([bytes((name,)), str(n).encode()], PATIENCE)

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    arrived = inbox.take(2_000)
    for thread in threads:
        thread.join()

    for name in range(4):
        assert [int(n) for who, n in arrived if who == bytes((name,))] == list(range(500))
    assert client.statistics().sent == 2_000


def test_envelopes_that_queue_up_share_frames_and_come_back_in_order(loop, run):
    inbox = Inbox()
    server = loop.open(SocketSpec(zmq.PAIR, bind=ipc_endpoint(run, "s")), inbox)
    client = loop.open(SocketSpec(zmq.PAIR, connect=server.endpoint, join=join_frame), echo)
    sent = [envelope(Kind.TELL, "/a", "m:C", b"x", id=n) for n in range(1, 1_001)]

    def queue_up() -> None:  # on the reactor's thread: nothing is flushed meanwhile
        for one in sent:
            client.send(pack_envelope(one))

    loop.run(queue_up)

    frames = inbox.take(4)
    assert [one for frame in frames for one in unpack_frame(frame[0])] == sent
    assert client.statistics().frames_sent == 4
    assert client.statistics().sent == 1_000


def overfill(socket, timeout=None):
    for _ in range(10):  # the reactor may take one more out of the outbox meanwhile
        socket.send([b"x"], timeout)


def full_pair(loop, run, full: Full):
    """A socket whose peer is not there, with its outbox full."""
    spec = SocketSpec(zmq.PUSH, bind=ipc_endpoint(run, "s"), full=full, outbox=5, name="pushing", linger=0.0)
    socket = loop.open(spec, echo)
    sent = 0
    while socket.statistics().waiting < 5:
        socket.send([str(sent).encode()])
        sent += 1
    return socket, sent


def test_a_full_outbox_rejects(loop, run):
    socket, _ = full_pair(loop, run, Full.REJECT)

    with pytest.raises(OutboxFullError, match=r"outbox of pushing is full \(5 messages\)"):
        overfill(socket)
    assert socket.statistics().rejected >= 1


def test_a_full_outbox_drops_and_counts(loop, run):
    socket, _ = full_pair(loop, run, Full.DROP)

    results = [socket.send([b"x"]) for _ in range(10)]

    assert results[-1] is False
    assert socket.statistics().dropped == results.count(False)


def test_a_full_outbox_blocks_until_there_is_room_and_loses_nothing(loop, run):
    socket, sent = full_pair(loop, run, Full.BLOCK)
    blocked = threading.Event()

    def send() -> None:
        blocked.set()
        for n in range(sent, sent + 20):
            socket.send([str(n).encode()], PATIENCE)

    sender = threading.Thread(target=send)
    sender.start()
    blocked.wait(PATIENCE)
    inbox = Inbox()
    loop.open(SocketSpec(zmq.PULL, connect=socket.endpoint), inbox)

    assert [int(frames[0]) for frames in inbox.take(sent + 20)] == list(range(sent + 20))
    sender.join(PATIENCE)
    assert not sender.is_alive()


def test_a_full_outbox_that_stays_full_rejects_after_the_time_out(loop, run):
    socket, _ = full_pair(loop, run, Full.BLOCK)

    with pytest.raises(OutboxFullError):
        overfill(socket, 0.01)


def test_a_full_outbox_never_blocks_the_reactor_itself(loop, run):
    socket, _ = full_pair(loop, run, Full.BLOCK)

    with pytest.raises(OutboxFullError):
        loop.run(lambda: overfill(socket))


def test_a_thread_that_waits_for_room_is_let_go_when_the_socket_closes(loop, run):
    socket, _ = full_pair(loop, run, Full.BLOCK)
    errors = Inbox()

    def send() -> None:
        try:
            while True:
                socket.send([b"x"])
        except SocketClosedError as error:
            errors(error)

    sender = threading.Thread(target=send)
    sender.start()
    socket.close()

    assert isinstance(errors.get(), SocketClosedError)
    sender.join(PATIENCE)


def test_a_peer_that_is_gone_costs_its_message_and_is_told(loop, run):
    lost, inbox = Inbox(), Inbox()
    spec = SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s"))
    server = loop.open(spec, echo, lambda parts, why: lost((parts, why)))
    client = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)

    server.send([b"nobody", b"x"])
    client.send([b"hello"])

    assert lost.get() == ([b"nobody", b"x"], "the peer is gone")
    assert inbox.get() == [b"hello"]
    assert server.statistics().undelivered == 1


def test_a_peer_that_does_not_read_costs_its_messages_and_holds_up_no_other(loop, run):
    identity, lost, inbox = Inbox(), Inbox(), Inbox()
    spec = SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s"), send_high_water=5, outbox=100_000)
    server = loop.open(spec, lambda socket, frames: identity(frames[0]), lambda parts, why: lost(why))
    with zmq.Context() as context, context.socket(zmq.DEALER) as lazy:
        lazy.set(zmq.RCVHWM, 5)
        lazy.set(zmq.RCVBUF, 4_096)
        lazy.connect(server.endpoint)
        lazy.send(b"here")
        slow = identity.get()
        quick_socket = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)
        quick_socket.send([b"here"])
        quick = identity.get()

        for _ in range(2_000):
            server.send([slow, b"x" * 10_000])
        server.send([quick, b"through"])

        assert inbox.get() == [b"through"]
        assert lost.get() == "its queue is full"
        wait_until(lambda: server.statistics().waiting == 0)
        assert server.statistics().undelivered > 1_000
        lazy.close(0)


def test_a_part_that_is_too_large_ends_its_sender_s_connection_only(loop, run):
    inbox, other = Inbox(), Inbox()
    server = loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s"), max_part_bytes=1_000), echo)
    loud = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)
    quiet = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), other)

    loud.send([b"x" * 1_001])
    loud.send([b"after"])
    quiet.send([b"x" * 1_000])

    assert other.get() == [b"x" * 1_000]


def test_an_endpoint_that_cannot_be_is_an_error_that_names_it(loop, run):
    loop.open(SocketSpec(zmq.ROUTER, bind="inproc://taken"), echo)

    for endpoint in ("inproc://taken", "tcp://127.0.0.1:99999", "nonsense", f"ipc://{run}/missing/x.sock"):
        with pytest.raises(EndpointError, match=r"cannot bind|no tcp port"):
            loop.open(SocketSpec(zmq.ROUTER, bind=endpoint), echo)


@pytest.mark.parametrize("ends", [{}, {"bind": "inproc://a", "connect": "inproc://b"}])
def test_a_socket_either_binds_or_connects(loop, ends):
    with pytest.raises(ValueError, match="either binds or connects"):
        loop.open(SocketSpec(zmq.ROUTER, **ends), echo)


def test_a_socket_that_always_has_more_to_send_holds_up_no_other(loop, run):
    inbox, is_through = Inbox(), threading.Event()

    def again(parts, why):  # while it is being flushed: its outbox is never empty
        if not is_through.is_set():
            busy.send(parts)

    busy = loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "busy")), echo, again)
    server = loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), echo)
    client = loop.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)
    busy.send([b"nobody", b"x"])
    wait_until(lambda: busy.statistics().undelivered > 10)
    client.send([b"through"])

    try:
        assert inbox.get() == [b"through"]
    finally:
        is_through.set()


def test_closing_hands_over_what_is_queued(loop, run):
    inbox = Inbox()
    server = loop.open(SocketSpec(zmq.PULL, bind=ipc_endpoint(run, "s"), receive_high_water=0), inbox)
    client = loop.open(SocketSpec(zmq.PUSH, connect=server.endpoint, linger=PATIENCE), echo)
    for n in range(3_000):
        client.send([str(n).encode()])
    client.close()

    assert len(inbox.take(3_000)) == 3_000
    with pytest.raises(SocketClosedError):
        client.send([b"x"])


def test_what_closing_could_not_hand_over_is_counted_and_told(loop, run):
    lost = Inbox()
    spec = SocketSpec(zmq.PUSH, bind=ipc_endpoint(run, "s"), linger=0.0)
    socket = loop.open(spec, echo, lambda parts, why: lost((parts, why)))
    socket.send([b"to nobody"])
    socket.close()

    assert lost.get() == ([b"to nobody"], "the socket closed")
    assert socket.statistics().undelivered == 1


def test_an_error_that_leaves_a_callback_is_counted_and_the_next_message_taken(loop, run, caplog):
    inbox = Inbox()

    def fails_once(socket, frames):
        if frames[-1] == b"bad":
            raise RuntimeError("bad message")
        inbox(frames)

    server = loop.open(SocketSpec(zmq.PULL, bind=ipc_endpoint(run, "s"), name="fragile"), fails_once)
    client = loop.open(SocketSpec(zmq.PUSH, connect=server.endpoint), echo)
    client.send([b"bad"])
    client.send([b"good"])

    assert inbox.get() == [b"good"]
    assert server.statistics().callback_errors == 1
    assert "fragile" in caplog.text


def test_a_socket_that_closes_itself_while_it_reads_is_closed(loop, run):
    inbox = Inbox()

    def close(socket, frames):
        socket.close()
        inbox(frames)

    server = loop.open(SocketSpec(zmq.PULL, bind=ipc_endpoint(run, "s")), close)
    client = loop.open(SocketSpec(zmq.PUSH, connect=server.endpoint, linger=0.0), echo)
    for _ in range(10):
        client.send([b"x"])
    inbox.get()

    wait_until(lambda: server.is_closed)


def test_no_descriptor_thread_or_socket_is_left_behind(run):
    def cycle() -> None:
        with reactor("one") as one, reactor("two") as two:
            inbox = Inbox()
            server = one.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), echo)
            client = two.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)
            client.send([b"x"])
            inbox.get()

    cycle()
    before, threads = open_descriptors(), threading.active_count()
    for _ in range(10):
        cycle()

    wait_until(lambda: open_descriptors() <= before, "all descriptors are closed")
    wait_until(lambda: threading.active_count() <= threads, "all threads have ended")


def test_a_failed_opening_leaves_no_descriptor_behind():
    with reactor() as loop:

        def fail(times: int) -> None:
            for _ in range(times):
                with pytest.raises(EndpointError):
                    loop.open(SocketSpec(zmq.ROUTER, bind="nonsense"), echo)

        fail(1)
        before = open_descriptors()
        fail(50)

        wait_until(lambda: open_descriptors() <= before, "ZeroMQ reaps its sockets")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_closed_reactor_opens_nothing(run):
    loop = Reactor()
    assert loop.close(PATIENCE)

    with pytest.raises(SocketClosedError):
        loop.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), echo)


def test_what_a_thread_sends_by_itself_goes_behind_what_is_queued_and_is_not_lost(run):
    inbox = Inbox()
    with reactor() as near, reactor() as far:
        server = near.open(SocketSpec(zmq.ROUTER, bind=ipc_endpoint(run, "s")), lambda _socket, frames: known(frames))
        peers: list[bytes] = []
        greeted = threading.Event()

        def known(frames) -> None:
            peers.append(frames[0])
            greeted.set()

        client = far.open(SocketSpec(zmq.DEALER, connect=server.endpoint), inbox)
        client.send([b"hello"])
        assert greeted.wait(PATIENCE)
        held, go_on = threading.Event(), threading.Event()
        near.post(lambda: (held.set(), go_on.wait(PATIENCE)))
        assert held.wait(PATIENCE)

        server.send([peers[0], b"queued"])
        server.send_here([peers[0], b"behind it"])
        go_on.set()

        assert [inbox.get(), inbox.get()] == [[b"queued"], [b"behind it"]]
        server.send_here([peers[0], b"at once"])
        assert inbox.get() == [b"at once"]
        server.send_here([b"nobody", b"lost"])
        assert server.statistics().undelivered == 1


def test_who_borrows_the_reading_gets_what_arrives_and_hands_on_what_is_not_for_it(loop, run):
    inbox, far = Inbox(), Inbox()
    server = loop.open(SocketSpec(zmq.PAIR, bind=ipc_endpoint(run, "s")), far)
    with reactor() as near:
        client = near.open(SocketSpec(zmq.PAIR, connect=server.endpoint), inbox)
        client.send([b"hello"])
        assert far.get() == [b"hello"]
        wait_until(client.borrow)
        assert not client.borrow()

        for n in range(3):
            server.send([str(n).encode()])
        taken = []
        while not taken:
            message = client.receive_here(PATIENCE)
            taken += [message] if message is not None else []
        client.forward([b"first"])
        client.give_back()

        assert taken == [[b"0"]]
        assert inbox.take(3) == [[b"first"], [b"1"], [b"2"]]
        wait_until(client.borrow)
        client.wake_borrower()
        assert client.receive_here(PATIENCE) is None
        client.give_back()
