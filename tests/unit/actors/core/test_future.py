"""Futures: one value, set once, for threads and coroutines."""

from __future__ import annotations

import asyncio
import queue
import threading

import pykka
import pytest

from actors import Future
from actors.core.future import Ask


def test_a_value_that_is_there_is_returned_again_and_again():
    future = Future()
    future.set(5)

    assert [future.get(), future.get(timeout=0)] == [5, 5]


def test_only_the_first_of_many_settlers_wins():
    for _ in range(200):
        future = Future()
        together = threading.Barrier(3)
        won = []

        def settle(value, future=future, together=together, won=won):
            together.wait()
            if future.settle(value, None):
                won.append(value)

        threads = [threading.Thread(target=settle, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert won == [future.get(timeout=0)]


def test_every_waiter_gets_the_value():
    future = Future()
    got = queue.Queue()
    threads = [threading.Thread(target=lambda: got.put(future.get(timeout=10))) for _ in range(8)]
    for thread in threads:
        thread.start()

    future.set("here")

    assert [got.get(timeout=10) for _ in threads] == ["here"] * 8
    for thread in threads:
        thread.join()


def test_a_wait_that_is_too_short_says_so_and_the_value_still_comes():
    future = Future()

    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.001)
    assert not future.wait(0.001)
    future.set(1)

    assert future.get() == 1


def test_an_error_is_raised_each_time_with_the_traceback_it_had():
    future = Future()
    try:
        raise KeyError("x")
    except KeyError as error:
        future.fail(error)

    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            future.get()
        names = [entry.name for entry in caught.traceback]
        assert (
            names.count("test_an_error_is_raised_each_time_with_the_traceback_it_had") == 2
        )  # here, and where it arose


def test_a_callback_is_called_once_whether_it_comes_before_or_after_the_value():
    future = Future()
    calls = []
    future.add_done_callback(lambda: calls.append("before"))
    future.set(1)
    future.add_done_callback(lambda: calls.append("after"))

    assert calls == ["before", "after"]


def test_callbacks_added_while_the_value_comes_are_each_called_once():
    for _ in range(200):
        future = Future()
        calls = []
        together = threading.Barrier(2)

        def setter(future=future, together=together):
            together.wait()
            future.set(1)

        thread = threading.Thread(target=setter)
        thread.start()
        together.wait()
        for n in range(5):
            future.add_done_callback(lambda n=n, calls=calls: calls.append(n))
        thread.join()

        assert sorted(calls) == [0, 1, 2, 3, 4]


def test_awaiting_lets_the_loop_go_on():
    async def main():
        future = Future()
        asyncio.get_running_loop().call_later(0, future.set, 7)
        return await future

    assert asyncio.run(main()) == 7


def test_an_await_can_be_cancelled_and_the_future_lives_on():
    async def main(future):
        task = asyncio.ensure_future(_value(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    future = Future()
    asyncio.run(main(future))
    future.set(1)

    assert future.get() == 1


def test_a_value_that_comes_after_the_loop_is_closed_harms_nobody():
    async def main(future):
        task = asyncio.ensure_future(_value(future))
        await asyncio.sleep(0)
        task.cancel()

    future = Future()
    asyncio.run(main(future))

    future.set(1)

    assert future.done


def test_a_mapped_future_is_awaited_without_blocking_the_loop():
    async def main():
        future = Future()
        mapped = future.map(lambda value: value + 1)
        asyncio.get_running_loop().call_soon(future.set, 1)
        return await mapped

    assert asyncio.run(main()) == 2


def test_what_map_and_join_make_of_an_ask_is_a_future_of_the_same_kind():
    ask = Ask("message")
    ask.set(2)

    assert ask.map(lambda value: value * 2).join(ask).get() == [4, 2]


async def _value(future):
    return await future
