"""The reactor: posted work, timers and watched descriptors on one thread that survives what they do wrong."""

from __future__ import annotations

import os
import socket
import threading

import pytest
import zmq
from support.wire import PATIENCE, Inbox, reactor, run_directory, wait_until

from transport.endpoints import ipc_endpoint
from transport.errors import SocketClosedError
from transport.reactor import Reactor
from transport.sockets import SocketSpec
from transport.wakeup import Wakeup


@pytest.fixture
def run():
    with run_directory() as path:
        yield path


@pytest.fixture
def loop():
    with reactor() as made:
        yield made


def test_posted_work_runs_in_order_on_the_reactor_s_thread(loop):
    inbox = Inbox()
    for n in range(100):
        loop.post(lambda n=n: inbox((n, loop.is_current())))

    assert inbox.take(100) == [(n, True) for n in range(100)]
    assert loop.is_current() is False


def test_work_posted_by_many_threads_is_all_done(loop):
    inbox = Inbox()

    def post() -> None:
        for _ in range(500):
            loop.post(lambda: inbox(1))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(inbox.take(2_000)) == 2_000


def test_run_gives_the_result_or_the_error(loop):
    assert loop.run(lambda: 5) == 5
    assert loop.run(lambda: loop.run(lambda: 6)) == 6
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: 1 / 0)


def test_run_gives_up_when_the_reactor_is_held(loop):
    release = threading.Event()
    loop.post(lambda: release.wait(PATIENCE) and None)

    with pytest.raises(TimeoutError, match="did not come to the call"):
        loop.run(lambda: 5, timeout=0.01)
    release.set()


def test_an_error_in_posted_work_is_counted_and_the_next_is_done(loop, caplog):
    inbox = Inbox()
    loop.post(lambda: 1 / 0)
    loop.post(lambda: inbox("next"))

    assert inbox.get() == "next"
    assert loop.errors == 1
    assert "ZeroDivisionError" in caplog.text


def test_timers_fire_in_the_order_of_their_delays(loop):
    inbox = Inbox()

    def arrange() -> None:
        for delay in (0.03, 0.0, 0.02, 0.01):
            loop.call_later(delay, lambda delay=delay: inbox(delay))

    loop.run(arrange)

    assert inbox.take(4) == [0.0, 0.01, 0.02, 0.03]


def test_a_timer_set_on_another_thread_fires(loop):
    inbox = Inbox()
    timer = loop.call_later(0.001, lambda: inbox(loop.is_current()))

    assert inbox.get() is True
    assert timer.is_active is False


def test_a_cancelled_timer_does_not_fire(loop):
    inbox = Inbox()

    def arrange() -> None:
        loop.call_later(0.0, lambda: inbox("cancelled")).cancel()
        loop.call_later(0.001, lambda: inbox("kept"))

    loop.run(arrange)

    assert inbox.get() == "kept"
    assert inbox.is_empty()


def test_an_interval_fires_until_it_is_cancelled_even_if_it_fails(loop):
    inbox = Inbox()

    def tick() -> None:
        inbox("tick")
        raise RuntimeError("bad tick")

    timer = loop.every(0.001, tick)
    inbox.take(3)
    timer.cancel()
    loop.run(lambda: None)
    while not inbox.is_empty():
        inbox.get()
    loop.call_later(0.02, lambda: inbox("later"))

    assert inbox.get() == "later"
    assert loop.errors >= 3


@pytest.mark.parametrize("interval", [0, -1.0])
def test_an_interval_is_positive(loop, interval):
    with pytest.raises(ValueError, match="positive seconds"):
        loop.every(interval, lambda: None)


def test_a_watched_descriptor_is_told_of_until_it_is_unwatched(loop):
    inbox = Inbox()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.watch(ours.fileno(), lambda: inbox(ours.recv(10)))
        theirs.send(b"one")
        assert inbox.get() == b"one"

        loop.unwatch(ours.fileno())
        theirs.send(b"two")
        loop.run(lambda: None)
        loop.run(lambda: None)

        assert inbox.is_empty()


def test_the_end_of_a_watched_peer_is_told(loop):
    inbox = Inbox()
    ours, theirs = socket.socketpair()
    with ours:
        loop.watch(ours.fileno(), lambda: (inbox(ours.recv(10)), loop.unwatch(ours.fileno())))
        theirs.close()

        assert inbox.get() == b""


@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX")
def test_a_watched_descriptor_that_was_closed_without_a_word_is_forgotten(loop, caplog):
    inbox = Inbox()
    readable, writable = os.pipe()
    loop.watch(readable, lambda: inbox("told"))
    loop.run(lambda: None)
    loop.run(lambda: os.close(readable))  # on its thread: it is not polling meanwhile
    os.close(writable)

    wait_until(lambda: loop.errors == 1, "the closed descriptor is noticed")
    assert "closed without unwatch" in caplog.text
    assert inbox.is_empty()


def test_closing_ends_the_thread_once_and_for_all():
    loop = Reactor()

    assert loop.close(PATIENCE) is True
    assert loop.close(PATIENCE) is True
    assert loop.is_closed
    loop.post(lambda: None)
    with pytest.raises(SocketClosedError):
        loop.run(lambda: 5)


def test_what_was_posted_while_it_closed_may_still_send(run):
    inbox = Inbox()
    with reactor() as peer:
        server = peer.open(SocketSpec(zmq.PULL, bind=ipc_endpoint(run, "s")), inbox)
        loop = Reactor()
        client = loop.open(SocketSpec(zmq.PUSH, connect=server.endpoint, linger=PATIENCE), inbox)

        def close() -> None:
            loop.close()
            loop.post(lambda: client.send([b"last word"]))

        loop.post(close)

        assert inbox.get() == [b"last word"]
        assert loop.close(PATIENCE)


def test_closing_from_a_callback_does_not_wait_for_itself():
    loop = Reactor()

    assert loop.run(lambda: loop.close(PATIENCE)) is False
    assert loop.close(PATIENCE) is True


def test_of_calls_that_race_with_the_end_each_is_answered():
    for _ in range(50):
        loop = Reactor()
        results = []

        def call() -> None:
            try:
                results.append(loop.run(lambda: "done", timeout=PATIENCE))  # noqa: B023
            except SocketClosedError:
                results.append("closed")  # noqa: B023

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        loop.close(PATIENCE)
        for caller in callers:
            caller.join(PATIENCE)

        assert len(results) == 4


@pytest.mark.parametrize("has_eventfd", [True, False])
def test_a_wake_up_is_seen_once_however_often_it_was_set(monkeypatch, has_eventfd):
    if not has_eventfd:
        monkeypatch.delattr(os, "eventfd", raising=False)
    wakeup = Wakeup()
    for _ in range(100_000 if has_eventfd else 5_000):  # more than a socket's buffer takes
        wakeup.set()
    wakeup.clear()
    wakeup.clear()
    wakeup.set()
    wakeup.close()
    wakeup.set()


def test_a_reactor_without_eventfd_is_woken_all_the_same(monkeypatch):
    monkeypatch.delattr(os, "eventfd", raising=False)
    with reactor() as loop:
        assert loop.run(lambda: 5) == 5
