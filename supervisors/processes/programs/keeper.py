"""The keeper of one program: the small process between a launcher and a command, started by the launcher alone.

    launcher --order, commands (stdin)--> keeper --fork, exec--> program --> whatever it starts
             <--reports (a pipe)---------        <--ends---------'

It does what has to happen between fork and exec (session, limits, user, directory), which a process with threads must
not do; it is the parent that learns how the program ended; and on Linux it is the *subreaper*: every process below it
whose parent ends becomes its child. So nothing that the program starts can leave, by whatever sessions, double forks
or cleaned environments, and "everything is gone" is the kernel's word: there are no children left to wait for.

The end of its standard input is the end of the launcher: it kills all it keeps. When it is killed itself, the kernel
kills the program (`PR_SET_PDEATHSIG`); what that had started is then found by its group and its mark.

Reports, a line each: `started PID`; `failed STEP ERRNO`; `main PID` (another process is the program now); and last
`ended STATUS LEFT`, with the wait status of the program and how many processes it had left behind, once all are gone.
Commands, a line each: `stop N`, signal N to the program, `terminate` (TERM to everything), `kill`, `main PID`,
`pause` and `resume` (STOP and CONT to everything).

Standard library alone, without site-packages: it starts in some 15 ms and stays below 10 MB. It writes nothing to the
program's standard output and error and lets go of both.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import sys
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
HAS_PROC = sys.platform.startswith("linux")
_LOOK_EVERY = 0.02
"""Seconds between two looks at a pid file, and between two rounds of killing."""
UNKNOWN = -1
"""Reported as the status of a program that is waited for by another process."""
_UNIX_SIGNALS_RESET = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ", "SIGCHLD")


class Keeper:
    """One program and everything it started."""

    def __init__(self, order: dict[str, Any], commands: int, reports: int) -> None:
        self._order = order
        self._commands = commands
        self._reports = reports
        self._unread = b""
        self._main: int | None = None
        self._status: int | None = None
        self._follows = bool(order["forks"])
        self._is_killing = False
        self._left = 0
        self._seen: tuple[int | None, ...] = ()
        self._poll = select.poll()
        self._far: int | None = None
        """Descriptor of a program that is no child of this process: it tells the end and not the status."""
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the launcher's to answer
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    def run(self) -> None:
        """Start the program, keep it, and return when nothing of it is left."""
        if not self._start():
            return
        poll = self._poll
        poll.register(self._commands, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while self._reap():
            if self._status is not None and not self._is_killing:
                self._look_for_main()
            is_looking = self._is_killing or self._status is not None
            for fd, _ in poll.poll(_LOOK_EVERY * 1000 if is_looking else None):
                if fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                elif fd == self._far:
                    self._lose_sight()
                elif not self._obey():
                    poll.unregister(self._commands)
            if self._is_killing:
                self._kill()
        self._say(f"ended {self._status if self._status is not None else 0} {self._left}")

    # -- the program's end --------------------------------------------------------------------------

    def _reap(self) -> bool:
        """Wait for what has ended; return whether there is anything left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._status = status
                if not self._is_killing and not (self._follows and status == 0):
                    self._end_all()

    def _look_for_main(self) -> None:
        """The command has ended and left something behind: find out which process the program is.

        Without a pid file it is the oldest that is still there at the third look: what lies between two forks of a
        daemon lives no longer. Should it end with 0 and leave others behind all the same, the next one is followed.
        """
        if self._order["pid_file"]:
            found = self._named()
        else:
            self._seen = (*self._seen[-2:], self._oldest())
            found = self._seen[0] if len(self._seen) == 3 and len(set(self._seen)) == 1 else None
        if found is not None and found in below(os.getpid()):  # whatever else is named is nobody's to end here
            self._follow(found)

    def _follow(self, pid: int) -> None:
        self._seen = ()
        if self._order["pid_file"]:
            self._follows = False
        self._main = pid
        self._status = None
        if pid not in children(os.getpid()) and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._far = os.pidfd_open(pid)
                self._poll.register(self._far, select.POLLIN)
        self._say(f"main {pid}")

    def _lose_sight(self) -> None:
        """The program, which was another process's child, has ended."""
        assert self._far is not None
        self._poll.unregister(self._far)
        os.close(self._far)
        self._far = None
        self._reap()
        if self._status is None:
            self._status = UNKNOWN
            self._end_all()

    def _named(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            with open(self._order["pid_file"], "rb") as file:
                return int(file.read(32).split()[0])
        return None

    def _oldest(self) -> int | None:
        """Return the child that was started first: those here now were left behind by the command."""
        own = children(os.getpid())
        return min(own, key=_started_at) if own else None

    def _end_all(self) -> None:
        """End what the program left behind."""
        self._is_killing = True
        alive = [pid for pid in below(os.getpid()) if _state(pid) not in "ZX"]
        self._left = len(alive)
        self._kill()

    def _kill(self) -> None:
        self._is_killing = True
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        """Send a signal to everything the program started; where there is no /proc, to its group."""
        if not HAS_PROC and self._main is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._main, number)
        for pid in below(os.getpid()):
            _signal(pid, number)

    # -- the launcher's words -----------------------------------------------------------------------

    def _obey(self) -> bool:
        """Carry out what has arrived; False when the launcher is gone."""
        data = os.read(self._commands, 4096)
        if not data:
            self._kill()
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, _, number = line.decode().partition(" ")
            if word == "stop" and self._main is not None and self._status is None:
                self._follows = False
                _signal(self._main, int(number))
                self._signal_all(signal.SIGCONT)  # one that is stopped could not obey
            elif word == "stop":  # between a command and what it leaves behind
                self._kill()
            elif word == "signal" and self._main is not None and self._status is None:
                _signal(self._main, int(number))
            elif word == "terminate":
                self._signal_all(signal.SIGTERM)
                self._signal_all(signal.SIGCONT)
            elif word in {"pause", "resume"}:
                self._signal_all(signal.SIGSTOP if word == "pause" else signal.SIGCONT)
            elif word == "kill":
                self._kill()
            elif word == "main" and int(number) in below(os.getpid()):
                self._follow(int(number))
        return True

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the launcher is gone
            os.write(self._reports, line.encode() + b"\n")

    # -- the program's start ------------------------------------------------------------------------

    def _start(self) -> bool:
        errors, write = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(f"failed fork {error.errno}")
            return False
        if pid == 0:
            os.close(errors)
            become(self._order, write)
        os.close(write)
        self._main = pid
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)
        said = b""
        while piece := os.read(errors, 4096):
            said += piece
        os.close(errors)
        if said:
            os.waitpid(pid, 0)
            self._say(f"failed {said.decode()}")
            return False
        self._say(f"started {pid}")
        return True


def become(order: dict[str, Any], errors: int) -> NoReturn:
    """Turn this process, just forked, into the program; what stands in the way is written to `errors` as STEP ERRNO."""
    keeper = os.getppid()
    step = "start"
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for name in _UNIX_SIGNALS_RESET:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name, (soft, hard) in order["rlimits"].items():
            import resource

            step = f"rlimits.{name}"
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        step = "nice"
        if order["nice"]:
            os.nice(order["nice"])
        if order["umask"] is not None:
            os.umask(order["umask"])
        step = "user"
        if order["groups"] is not None:
            os.setgroups(order["groups"])
        if order["gid"] is not None:
            os.setgid(order["gid"])
        if order["uid"] is not None:
            os.setuid(order["uid"])
        step = "start"
        if HAS_PROC:  # after the change of user, which clears it
            _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != keeper:
                os._exit(1)
        step = "directory"
        if order["directory"]:
            os.chdir(order["directory"])
        step = "command"
        environment = order["environment"]
        if order["watchdog"]:
            environment["WATCHDOG_PID"] = str(os.getpid())
        os.execvpe(order["command"][0], order["command"], environment)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        with contextlib.suppress(OSError):
            os.write(errors, f"{step} {number}".encode())
    os._exit(127)


def children(pid: int) -> list[int]:
    """Return the children of the process `pid`, ended ones that nobody waited for included."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(map(int, file.read().split()))
    return found


def below(pid: int) -> list[int]:
    """Return every process below `pid`, parents before their children; empty where there is no /proc."""
    found: list[int] = []
    waiting = children(pid)
    while waiting:
        child = waiting.pop()
        found.append(child)
        waiting.extend(children(child))
    return found


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()
    return []


def _state(pid: int) -> str:
    stat = _stat(pid)
    return stat[0] if stat else "X"


def _started_at(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[19]) if len(stat) > 19 else sys.maxsize


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):  # gone, or another user's
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl was refused")


def _read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            os._exit(1)  # the launcher is gone before there was anything to keep
        data += piece
    return data


def main() -> None:
    """Keep one program: `keeper.py REPORTS PATH`; the path is for `ps` alone."""
    reports = int(sys.argv[1])
    os.set_inheritable(reports, False)
    commands = os.dup(0)
    if HAS_PROC:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    order: dict[str, Any] = marshal.loads(_read_exactly(commands, int.from_bytes(_read_exactly(commands, 4), "big")))
    Keeper(order, commands, reports).run()


if __name__ == "__main__":
    main()
