"""Handlers of jobs for tests; a module of its own, so that a worker's process can import it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

from msgspec import Struct

from actors.jobs.handlers import DoNotRetry, Run, job

LIMIT = 60.0
GATE = threading.Event()
"""What `gated` waits for."""


class Mail(Struct):
    to: str


@job("test.send")
def send(mail: Mail) -> str:
    return f"sent to {mail.to}"


@job("test.fail")
def fail(word: str) -> None:
    raise (DoNotRetry(word) if word.startswith("never") else OSError(word))


@job("test.gated")
def gated(word: str) -> str:
    assert GATE.wait(LIMIT)
    return word


@job("test.long")
def long(word: str, run: Run) -> str:
    """Goes on until it is asked to end."""
    run.report(0.5, word)
    run.wait(LIMIT)
    run.check()
    return word


@job("test.patient")
async def patient(word: str, run: Run) -> str:
    import asyncio

    await asyncio.sleep(LIMIT if word == "long" else 0)
    return word


@job("test.chatty")
def chatty(count: int, run: Run) -> None:
    """Says so many lines, by a logger and by itself, and fails."""
    for number in range(count):
        logging.getLogger("shop").warning("line %d", number)
    run.log("by itself", "debug")
    raise OSError("no such mailbox")


@job("test.murmur")
async def murmur(word: str) -> None:
    import asyncio

    await asyncio.sleep(0)
    logging.getLogger("shop").warning("heard %s", word)


@job("test.deaf")
def deaf(seconds: float) -> None:
    """Hears of nothing; sleeping holds up the queue's clock alone, never the test."""
    threading.Event().wait(seconds)


@job("test.parent")
def parent(children: list[str], run: Run) -> int:
    for child in children:
        run.add("test.send" if child != "none" else "test.nobody", {"to": child})
    return len(children)


@job("test.note")
def note(path: str, run: Run) -> None:
    """Leave one line a try: the process, the job, the try, the repeats."""
    with Path(path).open("a") as file:
        file.write(f"{run.job} {run.attempt} {run.repeats}\n")


@job("test.die")
def die(path: str) -> None:
    """End the worker's process, the first time."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
