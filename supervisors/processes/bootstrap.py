"""The child's side of a process child: `python -m supervisors.processes.bootstrap PATH`, started by the launcher alone.

First the process makes sure that it ends with its launcher, then it can be asked for its stacks, and only then it loads
the rest (`supervisors.processes.childside`) and, when told to, the actor's module. Little is imported: the time until a
restarted child is ready is mostly imports.

The process ends when its actor has ended: exit hooks run, and `os._exit` leaves threads behind that would not end by
themselves. TERM and INT stop the actor as its supervisor would, and the process then ends by that signal.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import sys
from typing import Final, NoReturn

import msgspec

from supervisors.processes import parentwatch
from supervisors.processes.protocol import Handover

DUMP_SIGNAL: Final[int | None] = getattr(signal, "SIGRTMAX", getattr(signal, "SIGUSR2", None))
"""Has the process write the stacks of its threads to standard error, also while C code holds the interpreter."""


def main() -> NoReturn:
    """Run one process child to its end."""
    handover, pipe = _take_handover()
    parentwatch.arm(handover.parent_pid)
    parentwatch.watch_pipe(pipe, parentwatch.end_group)
    if DUMP_SIGNAL is not None:
        faulthandler.register(DUMP_SIGNAL, file=2, all_threads=True, chain=False)
    faulthandler.enable(file=2, all_threads=True)
    _restore(handover)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are pipes: text files
    from supervisors.processes.childside import Child

    child = Child(handover)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: child.post_signal(number))
    _leave(*child.run())


def _take_handover() -> tuple[Handover, int]:
    """Read the handover from standard input, put the null device there, and return it with the pipe."""
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    size = int.from_bytes(_read_exactly(pipe, 4), "big")
    return msgspec.msgpack.decode(_read_exactly(pipe, size), type=Handover), pipe


def _read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            sys.exit("the launcher was gone before it handed anything over")
        data += more
    return data


def _restore(handover: Handover) -> None:
    sys.path[:] = handover.sys_path
    for name, value in handover.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _leave(code: int, number: int | None) -> NoReturn:
    """Exit with `code`, or by signal `number`, after the exit hooks; threads that still run are left behind."""
    atexit._run_exitfuncs()  # read in CPython 3.11: what its own exit does after it waited for threads
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if number is not None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(code)


if __name__ == "__main__":
    main()
