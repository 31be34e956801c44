"""Handlers of jobs and schedules that say and return what is no good text; all of it happens with odd file names."""

from __future__ import annotations

import asyncio
import logging
import sys

from actors.jobs.handlers import Run, job

NAME = b"caf\xe9".decode(errors="surrogateescape")
"""A file name as Python has it where its bytes are no UTF-8."""


class SilentError(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Silent:
    """A result without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@job("odd.note")
def note(_: object, run: Run) -> str:
    run.report(0.5, NAME)
    return "done"


@job("odd.long")
def long_note(_: object, run: Run) -> str:
    run.report(1.0, "x" * 100_000)
    return "done"


@job("odd.none")
def no_note(_: object, run: Run) -> str:
    run.report(0.5, None)  # type: ignore[arg-type]  # nobody checks it for them
    return "done"


@job("odd.line")
def line(_: object, run: Run) -> str:
    run.log(f"read {NAME}")
    return "done"


@job("odd.logger")
def logger(_: object) -> str:
    logging.getLogger(__name__).warning("read %s", NAME)
    return "done"


@job("odd.error")
def error(_: object) -> str:
    raise FileNotFoundError(2, "no such file", NAME)


@job("odd.silent")
def silent(_: object) -> str:
    raise SilentError


@job("odd.result")
def result(_: object) -> str:
    return NAME


@job("odd.child")
def child(_: object, run: Run) -> str:
    run.add("odd.note", NAME)
    return "done"


@job("odd.exit")
def exits(_: object) -> str:
    sys.exit(3)


@job("odd.async_exit")
async def exits_in_a_task(_: object) -> str:
    sys.exit(3)


@job("odd.interrupt")
def interrupted(_: object) -> str:
    raise KeyboardInterrupt


@job("odd.cancelled")
async def awaits_what_is_cancelled(_: object) -> str:
    task = asyncio.ensure_future(asyncio.sleep(3_600))
    task.cancel()
    await task
    return "done"


def exits_from_a_schedule() -> None:
    sys.exit(3)


def returns_name() -> str:
    return NAME


def raises_name() -> None:
    raise FileNotFoundError(2, "no such file", NAME)


def returns_silence() -> Silent:
    return Silent()


def raises_silence() -> None:
    raise SilentError
