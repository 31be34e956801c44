"""Asks from threads of their own: the asker sends and reads by itself, beside other askers, tells and the reactor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.process_actors import Add, Get, TellOther, WaitFor
from support.processes import TIMEOUT
from support.waiting import until

from actors import ActorExitedError, AskTimeoutError
from transport.interrupts import can_be_torn

THREADS, ASKS = 6, 150


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Do `work(number)` on so many threads at once; return what each returned."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count), timeout=4 * TIMEOUT))


def test_only_the_main_thread_with_pythons_own_ctrl_c_can_be_torn():
    assert can_be_torn()
    assert in_threads(1, lambda _: can_be_torn()) == [False]


def test_one_asker_after_another_gets_every_answer(any_host):
    ref = any_host.start("Counter").started()

    def ask(_number: int) -> int:
        return [ref.ask(Add(1), timeout=TIMEOUT) for _ in range(ASKS)][-1]

    assert in_threads(1, ask) == [ASKS]


def test_many_askers_at_once_get_each_their_own_answers_while_tells_and_events_cross(any_host):
    one = any_host.start("Counter").started()
    two = any_host.start("Counter", "/work/two").started()

    def ask(number: int) -> None:
        ref = (one, two)[number % 2]
        for n in range(ASKS):
            assert isinstance(ref.ask(Add(0), timeout=TIMEOUT), int)
            ref.tell(Add(number))
            if n % 50 == 0:
                ref.ask(TellOther("/nobody", n), timeout=TIMEOUT)  # a dead letter of the node crosses too

    in_threads(THREADS, ask)

    for ref, numbers in ((one, (0, 2, 4)), (two, (1, 3, 5))):
        told = ref.ask(Get(), timeout=TIMEOUT)
        assert [told.count(number) for number in numbers if number] == [ASKS for number in numbers if number]


def test_an_asker_that_reads_learns_at_once_that_the_process_is_gone(any_host, tmp_path):
    child = any_host.start("Counter")
    ref = child.started()
    child.handle.suspend()
    asked = threading.Barrier(3)

    def ask(_number: int) -> str:
        asked.wait(TIMEOUT)
        with pytest.raises(ActorExitedError) as caught:
            ref.ask(Add(1))
        return caught.value.why

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(ask, number) for number in range(2)]
        asked.wait(TIMEOUT)
        until(lambda: child.handle.gateway.statistics().asking == 2, what="both ask")
        child.handle.kill()
        assert all("ended" in future.result(TIMEOUT) for future in found)


def test_an_asker_whose_time_is_over_gives_the_reading_back(any_host):
    child = any_host.start("Counter")
    ref = child.started()
    child.handle.suspend()

    def ask(_number: int) -> None:
        with pytest.raises(AskTimeoutError):
            ref.ask(Add(1), timeout=0.2)

    in_threads(2, ask)
    child.handle.resume()

    assert 1 not in ref.ask(Get(), timeout=TIMEOUT)


def test_an_asker_that_waits_long_keeps_nobody_from_the_others(any_host, tmp_path):
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    slow = any_host.start("Counter").started()
    quick = any_host.start("Counter", "/work/two").started()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: slow.ask(WaitFor(str(fifo)), timeout=TIMEOUT))

        assert in_threads(3, lambda n: quick.ask(Add(0), timeout=TIMEOUT)) == [0, 0, 0]
        with open(fifo, "wb") as gate:
            gate.write(b"x")
        assert waiting.result(TIMEOUT) is None
