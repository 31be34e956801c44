"""Blocking calls off the loop: bounded, cancelled honestly, and paused."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actors.jobs.offload import Cancel, CancelledWorkError, Offload


def test_a_call_runs_on_another_thread_and_gives_its_answer():
    async def main() -> tuple[int, int]:
        offload = Offload("test")
        return await offload.run(threading.get_ident), threading.get_ident()

    there, here = asyncio.run(main())

    assert there != here


def test_a_call_that_raises_raises_at_the_await():
    async def main() -> None:
        await Offload("test").run(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(main())


def test_no_more_calls_run_at_once_than_the_limit():
    gate, done = threading.Event(), []

    def call() -> None:
        assert gate.wait(60)
        done.append(1)

    async def main() -> list[int]:
        offload = Offload("test", limit=2)
        calls = [asyncio.create_task(offload.run(call)) for _ in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)  # every call that may begin has begun
        begun = [offload.running]
        gate.set()
        await asyncio.gather(*calls)
        return [*begun, offload.running]

    assert asyncio.run(main()) == [2, 0]
    assert len(done) == 5


def test_cancelling_ends_the_function_at_its_next_check_and_frees_its_place():
    entered, ended = threading.Event(), threading.Event()
    cancel = Cancel()

    def call() -> None:
        entered.set()
        try:
            while True:
                cancel.check()
        except CancelledWorkError:
            ended.set()
            raise

    async def main() -> str:
        offload = Offload("test", limit=1)
        task = asyncio.create_task(offload.run(call, cancel=cancel))
        await asyncio.to_thread(entered.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await offload.run(lambda: "next")

    assert asyncio.run(main()) == "next"
    assert ended.is_set()


def test_a_paused_function_waits_at_its_check_until_resumed_or_cancelled():
    cancel, passed = Cancel(), threading.Event()
    cancel.pause()

    def call() -> None:
        cancel.check()
        passed.set()

    thread = threading.Thread(target=call)
    thread.start()
    assert not passed.wait(0.05)

    cancel.resume()
    assert passed.wait(60)
    thread.join()
    cancel.pause()
    cancel.set()
    with pytest.raises(CancelledWorkError):
        cancel.check()


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        Offload("test", limit=0)
