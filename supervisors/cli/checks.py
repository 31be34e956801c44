"""The checks of `doctor`: each looks at one thing and changes nothing.

A check is a function of a `Patient` that returns an outcome, one line, and the one command that mends it, where a
command does. Fixes are separate, named, and remove stale files only; nothing that a living node uses is touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from supervisors.cli.patient import Patient
from supervisors.cli.texts import plural, size
from supervisors.cli.upkeep import (
    check_inotify,
    check_last_end,
    check_ports,
    check_secrets,
    check_service,
    check_state,
    check_supervised,
)
from supervisors.views import CheckOutcome, CheckView
from transport.endpoints import Presence, remove_socket, verify
from transport.identity import ProcessIdentity

LEAST_PYTHON: Final = (3, 11)
LEAST_FREE_BYTES: Final = 256 * 1024**2
LOW_FREE_BYTES: Final = 2 * 1024**3
LEAST_FILES: Final = 256
WANTED_FILES: Final = 1024
CLOCK_SLACK: Final = 5.0

OK, WARNING, FAILED, SKIPPED = CheckOutcome.OK, CheckOutcome.WARNING, CheckOutcome.FAILED, CheckOutcome.SKIPPED


def check_python(_patient: Patient) -> CheckView:
    """Python is new enough."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < LEAST_PYTHON:
        return _found("python", FAILED, f"{found}; {'.'.join(map(str, LEAST_PYTHON))} or newer is needed")
    return _found("python", OK, f"{found} at {sys.executable}")


def check_dependencies(_patient: Patient) -> CheckView:
    """Every distribution that actorctl requires is installed."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    names = [
        re.split(r"[<>=!~ \[;]", line, maxsplit=1)[0] for line in requires("actorctl") or () if "extra ==" not in line
    ]
    missing = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return CheckView(
            name="dependencies",
            outcome=FAILED,
            detail=f"not installed: {', '.join(missing)}",
            fix="pip install actorctl",
        )
    return _found("dependencies", OK, f"{plural(len(names), 'package')} installed")


def check_config(patient: Patient) -> CheckView:
    """The configuration is sound."""
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import load_config

    try:
        loaded = load_config(patient.config)
    except ConfigurationError as error:
        first = error.faults[0]
        detail = f"{plural(len(error.faults), 'fault')}; the first: {first}"
        return _found("config", FAILED, detail, "actorctl check")
    return _found("config", OK, ", ".join(loaded.sources))


def check_home(patient: Patient) -> CheckView:
    """The home can be written, and by its owner alone."""
    home = patient.home
    if not home.exists():
        above = next(folder for folder in home.absolute().parents if folder.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return _found("home", FAILED, f"{home} is not there and cannot be made: {above} is not writable")
        return _found("home", OK, f"{home} is not there yet; actorctl run makes it")
    if not home.is_dir():
        return _found("home", FAILED, f"{home} is no folder")
    foreign = _foreign(home)
    if foreign is not None and not patient.is_running:
        return foreign
    if not os.access(home, os.W_OK | os.X_OK):
        return _found("home", FAILED, f"{home} is not writable for this user")
    if os.name == "posix" and home.stat().st_mode & 0o022:
        return _found("home", WARNING, f"{home} can be written by others", f"chmod go-w {shlex.quote(str(home))}")
    return _found("home", OK, f"{home} is writable")


def _foreign(home: Path) -> CheckView | None:
    """Return what to say where the home, or its folder for sockets, belongs to another user."""
    if os.name != "posix":
        return None
    me = os.geteuid()
    for path in (home, home / "run"):
        if path.exists() and (owner := path.stat().st_uid) != me:
            detail = f"{path} belongs to user {owner}, not to user {me} who runs this"
            fix = f"sudo chown -R {me} {shlex.quote(str(home))}" if me else f"sudo -u '#{owner}' actorctl run"
            return _found("home", FAILED, detail, fix)
    return None


def check_instance(patient: Patient) -> CheckView:
    """endpoints.json, where there is one, names a living node."""
    verdict = patient.verdict
    match verdict.presence:
        case Presence.RUNNING:
            return _found("instance", OK, verdict.detail)
        case Presence.ABSENT:
            process = _running(patient.home)
            if process is not None:
                fix = f"it is written again within some seconds; if not: kill -TERM {process.pid}"
                detail = f"process {process.pid} runs the node, but {verdict.looked_at} is gone"
                return _found("instance", WARNING, detail, fix)
            return _found("instance", OK, "no node runs here")
        case Presence.STALE:
            return _found("instance", WARNING, verdict.detail, "actorctl doctor --fix stale-endpoints")
        case Presence.UNREADABLE:
            return _found("instance", FAILED, verdict.detail, "actorctl doctor --fix stale-endpoints")
        case _:
            return _found("instance", WARNING, verdict.detail)


def check_pid_file(patient: Patient) -> CheckView:
    """The PID file, where there is one, names a living node."""
    from supervisors.node.instance import read_pid_file

    file = patient.home / "run" / "node.pid"
    if not file.exists():
        return _found("pid-file", OK, "there is none")
    process = read_pid_file(patient.home)
    if process is None:
        return _found("pid-file", FAILED, f"{file} cannot be read", "actorctl doctor --fix stale-pid")
    if process.is_alive:
        return _found("pid-file", OK, f"{file} names process {process.pid}, which runs")
    return CheckView(
        name="pid-file",
        outcome=WARNING,
        detail=f"{file} names process {process.pid}, which is gone",
        fix="actorctl doctor --fix stale-pid",
    )


def check_answer(patient: Patient) -> CheckView:
    """A running node answers."""
    if patient.verdict.presence is not Presence.RUNNING:
        return _found("answer", SKIPPED, "no node to ask")
    began = time.monotonic()
    try:
        name = patient.ping()
    except Exception as error:  # whatever it is, it is what the user has to know
        found = patient.verdict.endpoints
        socket = Path(found.control.removeprefix("ipc://")) if found and found.control.startswith("ipc://") else None
        if found is not None and socket is not None and not socket.exists():
            fix = f"restart it: kill -TERM {found.process.pid}, then actorctl up"
            return _found("answer", FAILED, f"the node cannot be asked: its socket {socket} was removed", fix)
        return _found("answer", FAILED, f"the node does not answer: {error}")
    return _found("answer", OK, f"{name} answered in {(time.monotonic() - began) * 1000:.0f} ms")


def check_history(patient: Patient) -> CheckView:
    """The history file opens; a running node's is its own to open."""
    file = patient.home / "history.duckdb"
    if not file.exists():
        return _found("history", OK, "none yet")
    if patient.is_running:
        return _found("history", OK, f"{file}, {size(file.stat().st_size)}, held by the node")
    from actors.history.errors import HistoryError
    from actors.history.protocol import Query
    from actors.history.sql import query_file

    try:
        query_file(file, Query("select 1"))
    except HistoryError as error:
        return _found("history", FAILED, str(error))
    return _found("history", OK, f"{file} opens, {size(file.stat().st_size)}")


def check_files(_patient: Patient) -> CheckView:
    """Enough files may be open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _found("open-files", SKIPPED, "no limit on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < WANTED_FILES:
        outcome = FAILED if soft < LEAST_FILES else WARNING
        most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
        return CheckView(
            name="open-files",
            outcome=outcome,
            detail=f"{soft} may be open; {WANTED_FILES} are wanted",
            fix=f"ulimit -n {most}",
        )
    return _found("open-files", OK, f"{soft} may be open")


def check_clock(patient: Patient) -> CheckView:
    """The clock has not gone back behind what is already written, and time zones are known."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return _found("clock", FAILED, "no time zone data", "pip install tzdata")
    newest = max((path.stat().st_mtime for path in _files_of(patient.home)), default=0.0)
    ahead = newest - time.time()
    if ahead > CLOCK_SLACK:
        return CheckView(
            name="clock",
            outcome=WARNING,
            detail=f"files in {patient.home} are {ahead:.0f} s in the future: the clock went back; set it",
        )
    return _found("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def check_disk(patient: Patient) -> CheckView:
    """There is room for the history and the queues."""
    folder = next(path for path in (patient.home.absolute(), *patient.home.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    outcome = FAILED if free < LEAST_FREE_BYTES else WARNING if free < LOW_FREE_BYTES else OK
    return _found("disk", outcome, f"{size(free)} free at {folder}")


CHECKS: Final[dict[str, Callable[[Patient], CheckView]]] = {
    "python": check_python,
    "dependencies": check_dependencies,
    "config": check_config,
    "home": check_home,
    "instance": check_instance,
    "pid-file": check_pid_file,
    "answer": check_answer,
    "history": check_history,
    "state": check_state,
    "open-files": check_files,
    "clock": check_clock,
    "disk": check_disk,
    "secrets": check_secrets,
    "ports": check_ports,
    "supervised": check_supervised,
    "inotify": check_inotify,
    "service": check_service,
    "last-end": check_last_end,
}
"""Every check, in order."""


def fix_stale_endpoints(home: Path) -> list[str]:
    """Remove an endpoints.json that names no living node, and the sockets it names; return what was removed."""
    verdict = verify(home / "run")
    if verdict.presence not in {Presence.STALE, Presence.UNREADABLE}:
        return []
    removed = [verdict.looked_at]
    for endpoint in (verdict.endpoints.control, verdict.endpoints.taps) if verdict.endpoints is not None else ():
        if endpoint.startswith("ipc://") and Path(endpoint.removeprefix("ipc://")).exists():
            remove_socket(endpoint)
            removed.append(endpoint.removeprefix("ipc://"))
    Path(verdict.looked_at).unlink(missing_ok=True)
    return removed


def fix_stale_pid(home: Path) -> list[str]:
    """Remove a PID file that names no living process; return what was removed."""
    from supervisors.node.instance import read_pid_file

    file = home / "run" / "node.pid"
    process = read_pid_file(home)
    if not file.exists() or (process is not None and process.is_alive):
        return []
    file.unlink()
    return [str(file)]


FIXES: Final[dict[str, Callable[[Path], list[str]]]] = {
    "stale-endpoints": fix_stale_endpoints,
    "stale-pid": fix_stale_pid,
}
"""What `--fix` takes."""


def _running(home: Path) -> ProcessIdentity | None:
    """Return the living process that the PID file or the state file of `home` names."""
    from supervisors.node.instance import read_pid_file
    from supervisors.node.statefile import read_state

    state = read_state(home)
    named = (read_pid_file(home), state.process if state is not None and not state.is_over else None)
    return next((process for process in named if process is not None and process.is_alive), None)


def _found(name: str, outcome: CheckOutcome, detail: str, fix: str = "") -> CheckView:
    return CheckView(name=name, outcome=outcome, detail=detail, fix=fix)


def _files_of(home: Path) -> list[Path]:
    return [path for path in (*home.glob("*"), *home.glob("run/*")) if path.is_file()] if home.is_dir() else []
