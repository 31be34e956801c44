"""The child's side of a process child: `python -m supervisors.processes.bootstrap PATH`, started by the launcher alone.

First the process makes sure that it ends with its launcher, then it can be asked for its stacks, and only then it loads
the rest (`supervisors.processes.childside`) and, when told to, the actor's module. Little is imported: the time until a
restarted child is ready is mostly imports. A copy of the nursery (`supervisors.processes.nursery`) goes the same way.

The launcher's first word is the `Handover`; or it is `Prepare`, and the process is a spare: it imports a class, says
so, and waits for its handover, for as long as it takes.

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
from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec

from supervisors.processes import parentwatch
from supervisors.processes.protocol import FirstWord, Handover, Prepare, Prepared, pack_word

DUMP_SIGNAL: Final[int | None] = getattr(signal, "SIGRTMAX", getattr(signal, "SIGUSR2", None))
"""Has the process write the stacks of its threads to standard error, also while C code holds the interpreter."""


def main(show: Callable[[str], None] | None = None) -> NoReturn:
    """Run one process child to its end; `show` has process listings call it by another name."""
    pipe = take_standard_input()
    word = _take_word(pipe)
    parentwatch.arm(word.parent_pid)
    if DUMP_SIGNAL is not None:
        faulthandler.register(DUMP_SIGNAL, file=2, all_threads=True, chain=False)
    faulthandler.enable(file=2, all_threads=True)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are pipes: text files
    ground: Any = None
    if isinstance(word, Prepare):
        from supervisors.processes.preparing import prepare

        restore(word.sys_path, word.environment)
        prepared, ground = prepare(word)
        _write_word(pipe, prepared)
        word = _take_word(pipe)
    if not isinstance(word, Handover):
        sys.exit("the launcher handed nothing over")
    parentwatch.watch_pipe(pipe, parentwatch.end_group)
    restore(word.sys_path, word.environment)
    if word.directory:
        os.chdir(word.directory)
    if show is not None:
        show(word.path)
    from supervisors.processes.childside import Child

    child = Child(word, ground)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: child.post_signal(number))
    _leave(*child.run())


def take_standard_input() -> int:
    """Put the null device in the place of standard input; return what was there."""
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return pipe


def restore(sys_path: tuple[str, ...], environment: dict[str, str | None]) -> None:
    """Search modules in `sys_path`, and set the variables of `environment`; None: not set."""
    sys.path[:] = sys_path
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _take_word(pipe: int) -> FirstWord:
    """Read a word of the launcher, which may be long in coming."""
    size = int.from_bytes(_read_exactly(pipe, 4), "big")
    word: FirstWord = msgspec.msgpack.decode(_read_exactly(pipe, size), type=FirstWord)
    return word


def _write_word(pipe: int, word: Prepared) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the launcher is gone: the next read says so
        data = pack_word(word)
        while data:
            data = data[os.write(pipe, data) :]


def _read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = os.read(fd, size - len(data))
        except ConnectionResetError:
            more = b""
        if not more:
            sys.exit("the launcher was gone before it handed anything over")
        data += more
    return data


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
