"""Work that may not let itself be ended: done on a thread that neither a command nor its process waits for.

A thread in the midst of a computation of a library can neither be interrupted nor killed, and Python waits for such a
library as it ends. So a process with something left behind leaves at once (`main`), its output written.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_threads: set[threading.Thread] = set()


def until_given_up(work: Callable[[Callable[[], None]], T], name: str) -> T:
    """Return what `work` returns or raise what it raises, on another thread; whoever waits may leave it behind.

    Args:
        work: Is given a function, which it calls on any thread when nobody should wait for it any longer.
        name: Name of the thread.

    Raises:
        TimeoutError: It has given up; it still runs.
    """
    done: Future[T] = Future()

    def give_up() -> None:
        with suppress(InvalidStateError):  # it has ended in this very moment
            done.set_exception(TimeoutError(f"{name} does not let itself be ended"))

    def run() -> None:
        try:
            result = work(give_up)
        except BaseException as error:
            _threads.discard(threading.current_thread())
            with suppress(InvalidStateError):  # it was given up
                done.set_exception(error)
        else:
            _threads.discard(threading.current_thread())
            with suppress(InvalidStateError):
                done.set_result(result)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _threads.add(thread)
    thread.start()
    return done.result()


def leave_if_unfinished(code: int) -> None:
    """End the process with `code`, now, where something was left behind; return where nothing was."""
    if any(thread.is_alive() for thread in _threads):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
