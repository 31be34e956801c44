"""Functions and messages that schedules of tests run."""

from __future__ import annotations

import asyncio
import threading

from actors import Actor, Message, on
from actors.scheduling.running import Attempt, Work

calls: list[tuple[str, float, int, bool]] = []
attempts: list[Attempt] = []
gate = threading.Event()
entered = threading.Event()


def reset() -> None:
    calls.clear()
    attempts.clear()
    gate.clear()
    entered.clear()


def note(work: Work) -> str:
    calls.append((work.schedule, work.slot_at, work.attempt, work.is_repeat))
    return f"noted {work.payload}"


def plain() -> None:
    calls.append(("plain", 0.0, 1, False))


def fails(work: Work) -> None:
    calls.append((work.schedule, work.slot_at, work.attempt, work.is_repeat))
    raise ConnectionError("the peer is gone")


def waits(work: Work) -> str:
    """Waits until the gate opens or nobody wants it any more."""
    entered.set()
    while not gate.wait(0.01):
        work.cancel.check()
    return "through the gate"


async def sleeps() -> None:
    entered.set()
    await asyncio.sleep(600)


def long_delay(attempt: int) -> float:
    return 100.0 * attempt


def keep(attempt: Attempt) -> None:
    attempts.append(attempt)


class Greet(Message[str], frozen=True):
    name: str


class Greeter(Actor):
    @on(Greet)
    def greet(self, message: Greet) -> str:
        if message.name == "nobody":
            raise ValueError("whom?")
        return f"hello {message.name}"
