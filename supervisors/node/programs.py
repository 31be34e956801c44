"""The tables that describe programs as children: `[programs."/path"]`, with what surrounds one and how it is asked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Annotated

from supervisors.node.credentials import SecretSource
from supervisors.node.fields import (
    Choice,
    Duration,
    Paths,
    PositiveDuration,
    SecretNames,
    Size,
    StopTime,
    Table,
    Text,
    Truth,
    Whole,
)
from supervisors.node.sections import (
    BackoffConfig,
    BoundsConfig,
    BudgetConfig,
    HeartbeatConfig,
    Order,
    RestartWord,
    Section,
    key,
)
from supervisors.node.surroundings import Command, Environment, ExitCodes, Pattern, Rlimits, Signal, Umask
from supervisors.programs import SPEAKS_ACTORS, Liveness, Probe, ProgramStart, Readiness

Port = Annotated[int, Whole(1, 65_535)]
Niceness = Annotated[int, Whole(-20, 19)]


class ReadyConfig(Section):
    """`ready`: when a program counts as started; one way of these. Without the table: when it was executed."""

    delay: Duration | None = key("After this time, if it still runs.", None)
    log: Pattern | None = key("When a line of its output matches.", None)
    notify: Truth = key("When it says `READY=1` to the socket in `NOTIFY_SOCKET` (sd_notify).", False)
    port: Port | None = key("When this TCP port takes a connection.", None)
    host: Text = key("Host of `port`.", "127.0.0.1")
    http: Text | None = key("When this `http://` address answers with a status below 400.", None)
    command: Command | None = key("When this command ends with 0.", None)
    every: PositiveDuration = key("Time between two tries of port, http or command.", "100ms")
    timeout: PositiveDuration = key("Longest time of one try.", "2s")


class AliveConfig(Section):
    """`alive`: a program that fails to answer is taken for hung, ended and restarted; one way of asking."""

    port: Port | None = key("It takes a connection on this TCP port.", None)
    host: Text = key("Host of `port`.", "127.0.0.1")
    http: Text | None = key("This `http://` address answers with a status below 400.", None)
    command: Command | None = key("This command ends with 0.", None)
    every: PositiveDuration = key("Time between an answer and the next question.", "10s")
    timeout: PositiveDuration = key("Longest time of one try.", "2s")
    failures: Annotated[int, Whole(1, 1000)] = key("Failures in a row that are one too many.", 3)


class ProgramConfig(Section):
    """`[programs."/path"]`: one program, any command line."""

    command: Command = key("The program, found along `PATH` unless it has a slash, and its arguments.")
    directory: Text | None = key("Its working directory; relative to the file's folder, which it is when unset.", None)
    environment: Environment = key("Variables laid over the node's.", {})
    secrets: SecretNames = key("Secrets handed to it, as variables of their names or of the names given.", {})
    user: Text | None = key("User it runs as; the node's when unset.", None)
    group: Text | None = key("Group it runs as; the user's when unset.", None)
    umask: Umask | None = key("Its umask; the node's when unset.", None)
    nice: Niceness = key("Added to its niceness.", 0)
    rlimits: Rlimits = key('Resource limits: `{ nofile = 4096, core = "infinity" }`.', {})
    ready: ReadyConfig | None = key("When it counts as started; when it was executed, without this table.", None)
    alive: AliveConfig | None = key("How it shows that it lives; by running, without this table.", None)
    watchdog: PositiveDuration | None = key("Longest time between two `WATCHDOG=1` (sd_notify).", None)
    stop_signal: Signal = key("What asks it to end; TERM and KILL follow.", "SIGTERM")
    reload_signal: Signal | None = key("What has it read its configuration again; `actorctl reread` sends it.", None)
    reload_command: Command | None = key("What does that in place of a signal; `MAINPID` is its process.", None)
    success_exit: ExitCodes = key("Exit codes that are no failure; 128 and a signal's number for its end by one.", [0])
    forks: Truth = key("Whether the command ends and leaves the real program behind.", False)
    pid_file: Text | None = key("Where such a program writes its pid; relative to `directory`.", None)
    speaks: Annotated[str, Choice(SPEAKS_ACTORS)] | None = key(
        "`actors`: a worker in another language, which takes messages; see the how-to.", None
    )
    arguments: Table = key("What such a worker is handed at its start.", {})
    heartbeat: HeartbeatConfig | None = key("Heartbeats of such a worker.", None)
    memory_max: Size | None = key("Resident memory of all its processes at which it is restarted.", None)
    bounds: BoundsConfig | None = key("What else its processes may use, and how long it may run.", None)
    restart: RestartWord | None = key("Restart always, only after an abnormal end, or never.", None)
    shutdown: StopTime | None = key("Time to stop when asked; then it is killed.", None)
    start_timeout: PositiveDuration | None = key("Time to become ready.", None)
    backoff: BackoffConfig | None = key("Delay before restarts; unset parts come from the defaults.", None)
    budget: BudgetConfig | None = key("Its own restart limit, beyond which it is quarantined.", None)
    significant: Truth = key("Counts for its supervisor's `auto_shutdown`.", False)
    needs: Paths = key("Paths that must be ready before it starts, siblings or elsewhere in the tree.", [])
    start_order: Order = key("Lower starts earlier among siblings; equal ones as written.", 0)
    enabled: Truth = key("Whether it is part of the tree at all.", True)


def start_of(program: ProgramConfig, directory: Path, secrets: Mapping[str, SecretSource]) -> ProgramStart:
    """Return how a program is started.

    Args:
        program: Its table.
        directory: Folder that relative paths start from.
        secrets: For each variable that is a secret, its place.
    """
    ready, alive = program.ready, program.alive
    return ProgramStart(
        command=program.command,
        directory=str(directory.absolute() / Path(program.directory or "").expanduser()),
        environment=program.environment,
        secrets=secrets,
        user=program.user or "",
        group=program.group or "",
        umask=program.umask,
        nice=program.nice,
        rlimits=program.rlimits,
        ready=_readiness(ready) if ready is not None else Readiness(),
        alive=Liveness(_probe(alive), alive.every, alive.failures) if alive is not None else None,
        watchdog=program.watchdog,
        stop_signal=program.stop_signal,
        reload_signal=program.reload_signal or "",
        reload_command=program.reload_command or (),
        success_exit=program.success_exit,
        forks=program.forks,
        pid_file=program.pid_file or "",
        speaks=program.speaks or "",
        arguments=program.arguments,
    )


def missing(start: ProgramStart) -> Iterator[tuple[str, str, str]]:
    """Yield what a program needs of this machine and does not find: key, what is wrong, what would be right."""
    if not os.path.isdir(start.directory):
        what = "is no folder" if os.path.exists(start.directory) else "does not exist"
        yield "directory", f"{start.directory} {what}", "name a folder that exists"
        return
    program = start.command[0]
    if "/" in program:
        place = os.path.join(start.directory, program)
        if not os.path.exists(place):
            yield "command", f"there is no program {place}", "its path, or its name alone to find it along PATH"
        elif os.path.isdir(place) or not os.access(place, os.X_OK):
            yield "command", f"{place} is not executable", f"chmod +x {shlex.quote(place)}"
    elif which(program, path=start.environment.get("PATH")) is None:
        yield "command", f"there is no program {program!r} along PATH", "install it, or write its whole path"
    if hasattr(os, "getuid"):
        import grp
        import pwd

        names = (("user", start.user, pwd.getpwnam, pwd.getpwuid), ("group", start.group, grp.getgrnam, grp.getgrgid))
        for kind, name, by_name, by_number in names:
            if name and not _is_known(name, by_name, by_number):
                yield kind, f"there is no {kind} {name!r} on this machine", f"a {kind}'s name or number"


def _is_known(name: str, by_name: object, by_number: object) -> bool:
    for find, value in ((by_name, name), (by_number, int(name) if name.isdecimal() else -1)):
        try:
            find(value)  # type: ignore[operator]  # a function of pwd or grp
            return True
        except (KeyError, OverflowError):
            continue
    return False


def _readiness(ready: ReadyConfig) -> Readiness:
    asks = ready.port is not None or ready.http is not None or ready.command is not None
    return Readiness(_probe(ready) if asks else None, ready.log or "", ready.notify, ready.delay, ready.every)


def _probe(table: ReadyConfig | AliveConfig) -> Probe:
    return Probe(table.port, table.host, table.http or "", table.command or (), table.timeout)
