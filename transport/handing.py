"""A call handed to another thread, whose result the calling thread waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from transport.errors import SocketClosedError

T = TypeVar("T")


class Call(Generic[T]):
    """A callback whose result a thread waits for."""

    def __init__(self, callback: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._callback = callback
        self._value: list[T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._value.append(self._callback())
        except Exception as error:
            self._error = error
        self.done.set()

    def abort(self, name: str) -> None:
        """Let the waiting thread go, unless the call was made."""
        if not self.done.is_set():
            self._error = SocketClosedError(name)
            self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]
