"""A timer that ends the process with 70 when nobody winds it up any more, even while C code holds the interpreter.

No Python thread runs while C code (a regular expression that never ends) keeps the interpreter's lock. So the timer is
the operating system's: POSIX `timer_create` with `SIGEV_THREAD` makes a thread of the C library call `_exit(70)`. It
counts the processor time of the process, so one that was stopped (Ctrl-Z, a sleeping machine) is not taken for one that
is stuck; C code that waits and keeps the lock is left to the service manager's watchdog. The stacks of all threads are
written to standard error shortly before, by `faulthandler`, which needs no lock either. Where there is no such timer
(macOS, Windows), `faulthandler` ends the process, with 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import faulthandler
import sys
from typing import Any, Final

WEDGED_EXIT: Final = 70
DUMP_BEFORE: Final = 1.0
"""Seconds between the stacks and the end."""

_CLOCK_PROCESS_CPUTIME: Final = 2
_SIGEV_THREAD: Final = 2


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class _SigEvent(ctypes.Structure):
    """`struct sigevent` of glibc and musl on 64-bit Linux: 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_int64),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_char * 32),
    )


class Deadman:
    """Ends this process after `limit` seconds of its own work without a `wind`; not armed before the first."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._libc: Any = None
        self._timer = ctypes.c_void_p()
        if sys.platform.startswith("linux") and ctypes.sizeof(ctypes.c_void_p) == 8:
            with contextlib.suppress(OSError, AttributeError):
                self._make()

    def _make(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        event = _SigEvent(value=WEDGED_EXIT, notify=_SIGEV_THREAD)
        event.function = ctypes.cast(libc._exit, ctypes.c_void_p).value
        if libc.timer_create(_CLOCK_PROCESS_CPUTIME, ctypes.byref(event), ctypes.byref(self._timer)) == 0:
            self._libc = libc

    def wind(self) -> None:
        """Give the process `limit` seconds more."""
        self._set(self._limit)
        with contextlib.suppress(RuntimeError, ValueError, OSError, AttributeError):  # no standard error to write to
            if self._libc is not None:
                faulthandler.dump_traceback_later(max(0.1, self._limit - DUMP_BEFORE), exit=False)
            else:
                faulthandler.dump_traceback_later(self._limit, exit=True)

    def stop(self) -> None:
        """Let the process live for as long as it likes."""
        self._set(0.0)
        faulthandler.cancel_dump_traceback_later()

    def _set(self, seconds: float) -> None:
        if self._libc is not None:
            whole = int(seconds)
            spec = _TimerSpec(value=_TimeSpec(whole, int((seconds - whole) * 1e9)))
            self._libc.timer_settime(self._timer, 0, ctypes.byref(spec), None)
