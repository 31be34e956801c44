"""From a program's spec to its keeper: the order it gets, the process, and what its reports mean."""

from __future__ import annotations

import contextlib
import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from supervisors.errors import SupervisorError
from supervisors.processes.marks import KEEPER
from supervisors.processes.programs import keeper
from supervisors.processes.trees import environment_with
from supervisors.programs import ProgramStart


class ProgramStartError(SupervisorError, OSError):
    """A program could not be executed; the text names the program and what stands in the way."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.errno = number or None

    def __str__(self) -> str:
        return str(self.args[0])


class Identity(Struct, frozen=True):
    """Whom a program runs as; None is as the node."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None


def identity_of(start: ProgramStart) -> Identity:
    """Return whom the program runs as.

    Raises:
        ProgramStartError: There is no such user or group.
    """
    if not (start.user or start.group):
        return Identity()
    import grp
    import pwd  # not where the node itself cannot run programs

    uid = gid = groups = None
    if start.user:
        user = _look_up("user", start.user, pwd.getpwnam, pwd.getpwuid)
        uid, gid = user.pw_uid, user.pw_gid
        groups = tuple(os.getgrouplist(user.pw_name, gid))
    if start.group:
        gid = _look_up("group", start.group, grp.getgrnam, grp.getgrgid).gr_gid
        groups = (*(groups or ()), gid)
    if os.geteuid() != 0 and (uid, gid) == (uid and os.geteuid(), gid and os.getegid()):
        return Identity()  # it is so already, and only root may say which further groups there are
    return Identity(uid, gid, groups)


def _look_up(kind: str, name: str, by_name: Any, by_number: Any) -> Any:
    with contextlib.suppress(KeyError):
        return by_name(name)
    if name.isdecimal():
        with contextlib.suppress(KeyError):
            return by_number(int(name))
    raise ProgramStartError(f"there is no {kind} {name!r} on this machine")


def environment_of(start: ProgramStart, more: Mapping[str, str]) -> dict[str, str]:
    """Return the program's environment: the node's, the spec's, the secrets', and `more` over it.

    Raises:
        Exception: A secret is not where the spec says; the error names the place.
    """
    secrets = {name: place.reveal() for name, place in start.secrets.items()}
    return {**os.environ, **start.environment, **secrets, **more}


def order_of(start: ProgramStart, environment: dict[str, str]) -> dict[str, Any]:
    """Return what a keeper is told.

    Raises:
        ProgramStartError: There is no such user, group or limit on this machine.
    """
    identity = identity_of(start)
    return {
        "command": list(start.command),
        "environment": environment,
        "directory": start.directory,
        "umask": start.umask,
        "nice": start.nice,
        "rlimits": {name: _rlimit(name, limit) for name, limit in start.rlimits.items()},
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": list(identity.groups) if identity.groups is not None else None,
        "watchdog": start.watchdog is not None,
        "forks": start.forks,
        "pid_file": os.path.join(start.directory, start.pid_file) if start.pid_file else "",
    }


def _rlimit(name: str, limit: int | None) -> tuple[int, int]:
    import resource

    if not hasattr(resource, f"RLIMIT_{name.upper()}"):
        raise ProgramStartError(f"there is no resource limit {name!r} on this machine")
    value = resource.RLIM_INFINITY if limit is None else limit
    return value, value


class Keeping(Struct, frozen=True):
    """A keeper as the launcher holds it.

    Attributes:
        process: The keeper; its standard output and error are the program's.
        reports: Where its reports arrive; owned by who asked for the keeper.
    """

    process: subprocess.Popen[bytes]
    reports: int


def spawn_keeper(path: str, mark: str, order: Mapping[str, Any]) -> Keeping:
    """Start a keeper and hand it its order.

    Blocks for the milliseconds that the operating system takes. Call it on a `Worker`.

    Raises:
        OSError: There can be no process.
    """
    reports, write = os.pipe()
    flags = ["-I", "-S"] if sys.platform.startswith("linux") else ["-I"]
    try:
        process = subprocess.Popen(
            [sys.executable, *flags, keeper.__file__, str(write), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**environment_with(mark, dict(os.environ)), KEEPER: "1"},
            pass_fds=(write,),
            start_new_session=True,
        )
    except BaseException:
        os.close(reports)
        raise
    finally:
        os.close(write)
    os.set_blocking(reports, False)
    assert process.stdin is not None  # it is a pipe
    order["environment"].pop(KEEPER, None)  # a node may be kept itself
    data = marshal.dumps({**order, "environment": environment_with(mark, order["environment"])})
    with contextlib.suppress(BrokenPipeError):  # it died at once; its status says why
        process.stdin.write(len(data).to_bytes(4, "big") + data)
        os.set_blocking(process.stdin.fileno(), False)  # a word to a keeper that is stopped waits for nobody
    return Keeping(process, reports)


def start_error(start: ProgramStart, report: str) -> ProgramStartError:
    """Return the error that a keeper's `failed STEP ERRNO` stands for."""
    step, _, number = report.partition(" ")
    errno = int(number) if number.isdecimal() else 0
    what = os.strerror(errno) if errno else "it was refused"
    program = start.command[0]
    if step == "command":
        return ProgramStartError(_why_not_executed(start, program, what), errno)
    if step == "directory":
        return ProgramStartError(f"cannot run {program} in the directory {start.directory!r}: {what}", errno)
    if step == "user":
        whom = " ".join(f"{kind} {name!r}" for kind, name in (("user", start.user), ("group", start.group)) if name)
        return ProgramStartError(f"cannot run {program} as {whom}: {what}", errno)
    return ProgramStartError(f"cannot run {program}: {step}: {what}", errno)


def _why_not_executed(start: ProgramStart, program: str, what: str) -> str:
    if "/" not in program:
        search = start.environment.get("PATH", os.environ.get("PATH", os.defpath))
        found = shutil.which(program, path=search)
        if found is None:
            return f"there is no program {program!r} along PATH ({search})"
        program = found
    place = os.path.join(start.directory, program)
    if os.path.isdir(place):
        return f"cannot execute {program!r}: it is a directory"
    if os.path.exists(place) and not os.access(place, os.X_OK):
        return f"cannot execute {program!r}: it is not executable"
    if os.path.exists(place) and what == os.strerror(2):
        return f"cannot execute {program!r}: its interpreter is missing"
    return f"cannot execute {program!r}: {what}"
