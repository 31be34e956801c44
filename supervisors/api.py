"""A tree written in Python: `child`, `supervisor` and `restart` make specs out of the words `actors.toml` uses.

    app = supervisor("/", limit=restart(10, within="60s"), children=[
        supervisor("io", children=[child(Mail, runs_in="process")]),
        child(Reader, id="reader", args={"folder": "inbox"}, needs=["/io"]),
    ])

A tree is a value: nothing starts by making one. `actorctl run package.module:app` runs it, with `/sys` beside it.
Durations are seconds, or text as in the configuration (`"1h30m"`), and sizes are bytes or text (`"2GiB"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from actors.core.mailbox import MailboxSpec
from actors.policies.backoff import Backoff
from supervisors.core.kinds import listed
from supervisors.node.apps import load_app
from supervisors.node.credentials import SecretSource, secret_source
from supervisors.node.durations import bytes_of, seconds_of
from supervisors.node.naming import dashed, import_path
from supervisors.node.secretive import secretive_start
from supervisors.programs import Liveness, Probe, ProgramStart, Readiness
from supervisors.specs import (
    AutoShutdown,
    Bounds,
    Budget,
    ChildSpec,
    Heartbeat,
    ImportStart,
    LocalStart,
    OnLimit,
    Placement,
    Restart,
    Strategy,
    SupervisorSpec,
)

__all__ = [
    "Duration",
    "Limit",
    "alive_when",
    "backoff",
    "bounds",
    "child",
    "heartbeat",
    "load_app",
    "program",
    "ready_when",
    "restart",
    "secret",
    "supervisor",
]

Duration = float | str
"""Seconds, or text such as `"500ms"`."""

RestartWord = Literal["permanent", "transient", "temporary"]
StrategyWord = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]


class Limit(Struct, frozen=True):
    """A restart intensity: more than `restarts` within `within` seconds is too many."""

    restarts: int
    within: float


def restart(restarts: int, *, within: Duration) -> Limit:
    """Return the limit of `restarts` within a sliding window."""
    return Limit(restarts, seconds_of(within))


def backoff(
    first: Duration,
    *,
    factor: float = 2.0,
    max: Duration = 300.0,
    jitter: float = 0.2,
    reset_after: Duration = 600.0,
) -> Backoff:
    """Return a back-off rule: the first delay, its growth, its longest value, its jitter, the quiet that resets it."""
    return Backoff(seconds_of(first), factor, seconds_of(max), jitter, seconds_of(reset_after))


def heartbeat(every: Duration, *, miss: int = 2) -> Heartbeat:
    """Return a heartbeat for a process child: hung when more than `miss` beats are missing."""
    return Heartbeat(seconds_of(every), miss)


def bounds(
    *,
    memory_warn: int | str | None = None,
    cpu_warn: float | None = None,
    cpu_max: float | None = None,
    max_age: Duration | None = None,
    max_messages: int | None = None,
) -> Bounds:
    """Return what else a process may use (memory and processors: told, or ended), and when it is replaced in order."""
    age = seconds_of(max_age) if max_age is not None else None
    return Bounds(bytes_of(memory_warn), cpu_warn, cpu_max, age, max_messages)


def secret(*, env: str = "", file: str | Path = "") -> SecretSource:
    """Return the place of a secret: an environment variable, or a file.

    Raises:
        ValueError: Not exactly one of the two is given.
    """
    if bool(env) == bool(file):
        raise ValueError("a secret has one place: env, or file")
    return secret_source(env or None, str(file) if file else None, Path())


def child(
    actor: type | str,
    *,
    id: str | None = None,
    args: Mapping[str, Any] | None = None,
    secrets: Mapping[str, SecretSource] | None = None,
    runs_in: Placement | None = None,
    restart: RestartWord | Restart = Restart.PERMANENT,
    shutdown: Duration | Literal["infinity", "brutal_kill"] = 10.0,
    significant: bool = False,
    start_timeout: Duration = 30.0,
    backoff: Backoff | None = None,
    budget: Limit | None = None,
    heartbeat: Heartbeat | None = None,
    memory_max: int | str | None = None,
    spares: int = 0,
    bounds: Bounds | None = None,
    mailbox: MailboxSpec | None = None,
    when_down: Literal["refuse", "hold"] = "refuse",
    held_max: int = 1_000,
    needs: Sequence[str] = (),
) -> ChildSpec:
    """Return the spec of one actor.

    Args:
        actor: Its class, or `"package.module:Class"`.
        id: Its name below its supervisor; the class's name in lower case with dashes when left out.
        args: Keyword arguments of the class.
        secrets: For each argument that is a secret, its place: `secret(env="MAIL_TOKEN")`.
        runs_in: `pool`, `thread` or `process`; the class's `dispatcher` when left out, `thread` for a text.
        restart: `permanent`, `transient` or `temporary`.
        shutdown: Time to stop when asked, `infinity` or `brutal_kill`.
        significant: Whether its end can end its supervisor.
        start_timeout: Time to become ready.
        backoff: Delays between restarts; none when left out.
        budget: Its own restart limit.
        heartbeat: Liveness of a process.
        memory_max: Resident memory at which a process is restarted.
        spares: Processes of the class that wait, imported, to replace one that ended.
        bounds: What else a process may use, and how long it may run: `bounds(max_age="1d")`.
        mailbox: Its mailbox, where it differs from the class's own.
        when_down: What becomes of messages while it is being restarted: refused, or held for the next instance.
        held_max: Most messages held.
        needs: Siblings, or paths, that start before it.

    Raises:
        ValueError: A duration or size does not read, or a class for a process cannot be imported by its name.
        TypeError: `actor`, `budget` or `needs` is of another kind.
    """
    if isinstance(actor, str):
        name = actor.rpartition(":")[2].rpartition(".")[2]
        placement: Placement = runs_in or "thread"
    elif not isinstance(actor, type):
        raise TypeError(f'actor is a class, or "package.module:Class", got {actor!r:.100}')
    else:
        name = actor.__name__
        own: Placement = getattr(actor, "dispatcher", "thread")
        placement = runs_in or own
    kwargs = dict(args or {})
    if isinstance(actor, type) and placement != "process" and not secrets:
        start: LocalStart | ImportStart = LocalStart(actor, (), kwargs)
    else:
        use = actor if isinstance(actor, str) else import_path(actor)
        start = secretive_start(use, kwargs, secrets) if secrets else ImportStart(use, kwargs)
    return ChildSpec(
        id=id or dashed(name),
        start=start,
        restart=Restart(restart),
        shutdown=shutdown if shutdown in ("infinity", "brutal_kill") else seconds_of(shutdown),
        significant=significant,
        runs_in=placement,
        start_timeout=seconds_of(start_timeout),
        backoff=backoff or Backoff(),
        budget=_budget(budget) if budget is not None else None,
        heartbeat=heartbeat,
        memory_max_bytes=bytes_of(memory_max),
        bounds=bounds or Bounds(),
        spares=spares,
        mailbox=mailbox,
        when_down=when_down,
        held_max=held_max,
        needs=listed("needs", needs, "ids or paths"),
    )


def program(
    *command: str,
    id: str | None = None,
    directory: str | Path = "",
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, SecretSource] | None = None,
    user: str = "",
    group: str = "",
    umask: int | None = None,
    nice: int = 0,
    rlimits: Mapping[str, int | None] | None = None,
    ready: Readiness = Readiness(),  # noqa: B008 (frozen)
    alive: Liveness | None = None,
    watchdog: Duration | None = None,
    stop_signal: str = "SIGTERM",
    success_exit: Sequence[int] = (0,),
    forks: bool = False,
    pid_file: str = "",
    speaks: str = "",
    arguments: Mapping[str, Any] | None = None,
    heartbeat: Heartbeat | None = None,
    restart: RestartWord | Restart = Restart.PERMANENT,
    shutdown: Duration | Literal["infinity", "brutal_kill"] = 10.0,
    significant: bool = False,
    start_timeout: Duration = 30.0,
    backoff: Backoff | None = None,
    budget: Limit | None = None,
    memory_max: int | str | None = None,
    bounds: Bounds | None = None,
    needs: Sequence[str] = (),
) -> ChildSpec:
    """Return the spec of a program: any command line, as a child.

    Args:
        command: The program, found along `PATH` unless it has a slash, and its arguments.
        id: Its name below its supervisor; the program's own name when left out.
        directory: Its working directory; the node's when left out.
        environment: Variables laid over the node's.
        secrets: For each variable that is a secret, its place: `secret(env="REDIS_PASSWORD")`.
        user, group: Whom it runs as.
        umask, nice: Its umask; what is added to its niceness.
        rlimits: Resource limits by name; None is no limit.
        ready: When it counts as started: `ready_when(port=6379)`.
        alive: How it shows that it lives: `alive_when(port=6379, every="5s")`.
        watchdog: Longest time between two `WATCHDOG=1`.
        stop_signal: What asks it to end.
        success_exit: Exit codes that are no failure.
        forks: Whether the command ends and leaves the real program behind.
        pid_file: Where such a program writes its pid.
        speaks: `actors` for a worker in another language, which takes messages.
        arguments: What such a worker is handed at its start.
        heartbeat: Heartbeats of such a worker.
        memory_max: Resident memory of all its processes at which it is restarted.
        restart, shutdown, significant, start_timeout, backoff, budget, bounds, needs: As those of `child`.

    Raises:
        ValueError, TypeError: A duration or size does not read; `budget` or `needs` is of another kind.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", command[0].rpartition("/")[2]) if command else ""
    start = ProgramStart(
        command=command,
        directory=str(directory),
        environment=dict(environment or {}),
        secrets=dict(secrets or {}),
        user=user,
        group=group,
        umask=umask,
        nice=nice,
        rlimits=dict(rlimits or {}),
        ready=ready,
        alive=alive,
        watchdog=seconds_of(watchdog) if watchdog is not None else None,
        stop_signal=stop_signal,
        success_exit=tuple(success_exit),
        forks=forks,
        pid_file=pid_file,
        speaks=speaks,
        arguments=dict(arguments or {}),
    )
    return ChildSpec(
        id=id or name,
        start=start,
        restart=Restart(restart),
        shutdown=shutdown if shutdown in ("infinity", "brutal_kill") else seconds_of(shutdown),
        significant=significant,
        runs_in="process",
        start_timeout=seconds_of(start_timeout),
        backoff=backoff or Backoff(),
        budget=_budget(budget) if budget is not None else None,
        heartbeat=heartbeat,
        memory_max_bytes=bytes_of(memory_max),
        bounds=bounds or Bounds(),
        needs=listed("needs", needs, "ids or paths"),
    )


def ready_when(
    *,
    port: int | None = None,
    host: str = "127.0.0.1",
    http: str = "",
    command: Sequence[str] = (),
    log: str = "",
    notify: bool = False,
    delay: Duration | None = None,
    every: Duration = 0.1,
    timeout: Duration = 2.0,
) -> Readiness:
    """Return when a program is ready: a port, an address, a command, a line of its output, `sd_notify`, or a delay."""
    asks = port is not None or http or command
    probe = Probe(port, host, http, tuple(command), seconds_of(timeout)) if asks else None
    return Readiness(probe, log, notify, seconds_of(delay) if delay is not None else None, seconds_of(every))


def alive_when(
    *,
    port: int | None = None,
    host: str = "127.0.0.1",
    http: str = "",
    command: Sequence[str] = (),
    every: Duration = 10.0,
    timeout: Duration = 2.0,
    failures: int = 3,
) -> Liveness:
    """Return how a program shows that it lives: a port, an address or a command, asked again and again."""
    return Liveness(Probe(port, host, http, tuple(command), seconds_of(timeout)), seconds_of(every), failures)


def supervisor(
    id: str,
    *,
    children: Iterable[ChildSpec] = (),
    strategy: StrategyWord | Strategy = Strategy.ONE_FOR_ONE,
    limit: Limit = Limit(10, 60.0),  # noqa: B008 (frozen)
    on_limit: Literal["escalate", "park"] | OnLimit = OnLimit.ESCALATE,
    auto_shutdown: Literal["never", "any_significant", "all_significant"] | AutoShutdown = AutoShutdown.NEVER,
    restart: RestartWord | Restart = Restart.PERMANENT,
    significant: bool = False,
    max_children: int | None = None,
    needs: Sequence[str] = (),
    runs_in: Literal["pool", "process"] = "pool",
    when_down: Literal["refuse", "hold"] = "refuse",
    held_max: int = 1_000,
    heartbeat: Heartbeat | None = None,
    memory_max: int | str | None = None,
    spares: int = 0,
) -> ChildSpec:
    """Return the spec of a supervisor and its children, which start in the order given.

    Args:
        id: Its name below its own supervisor; `/` for the root.
        children: What it supervises; for `simple_one_for_one` the one template.
        strategy: Which siblings are restarted with the child that ended.
        limit: Restart intensity.
        on_limit: Beyond it: `escalate` or `park`.
        auto_shutdown: Whether ends of significant children end it.
        restart: Its own restart by its supervisor.
        significant: Whether its end can end its supervisor.
        max_children: Most children of a `simple_one_for_one`.
        needs: Siblings, or paths, that start before it.
        runs_in: `process` puts it and its children into a process of its own, by import paths and plain arguments.
        when_down: What becomes of messages for all below that process while it is restarted: refused, or held.
        held_max: Most messages held.
        heartbeat: Liveness of that process; none is asked for when left out.
        memory_max: Resident memory at which that process is restarted.
        spares: Processes that wait, its actors' classes imported, to replace that process when it ended.

    Raises:
        ValueError, TypeError: A size does not read; `limit`, `children` or `needs` is of another kind.
    """
    spec = SupervisorSpec(
        strategy=Strategy(strategy),
        intensity=_budget(limit).intensity,
        period=limit.within,
        auto_shutdown=AutoShutdown(auto_shutdown),
        on_limit=OnLimit(on_limit),
        max_children=max_children,
        children=listed("children", children, "child specs"),
    )
    return ChildSpec(
        id=id,
        start=spec,
        restart=Restart(restart),
        significant=significant,
        runs_in=runs_in,
        heartbeat=heartbeat,
        memory_max_bytes=bytes_of(memory_max),
        spares=spares, when_down=when_down, held_max=held_max, needs=listed("needs", needs, "ids or paths"),
    )  # fmt: skip


def _budget(limit: Limit) -> Budget:
    if not isinstance(limit, Limit):
        raise TypeError(f'a limit is what restart(10, within="1m") returns, got {limit!r:.100}')
    return Budget(limit.restarts, limit.within)
