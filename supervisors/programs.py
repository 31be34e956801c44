"""Programs as children: any command line, what surrounds it, and how one knows that it is ready and alive.

A child spec whose `start` is a `ProgramStart` runs a program that knows nothing of actors. It is supervised as every
child is; what an actor would say of itself (ready, alive, ended) is found out from outside, or by `sd_notify`.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

RLIMITS = (
    "as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
    "sigpending", "stack",
)  # fmt: skip
"""Names of resource limits, as in `getrlimit(2)` without `RLIMIT_`."""


SPEAKS_ACTORS = "actors"
"""What a worker in another language speaks: the protocol of process children, `docs/reference/wire.md`."""


class SecretPlace(Protocol):
    """Where the value of an environment variable is found as the program is started; its `repr` shows no value."""

    def reveal(self) -> str:
        """Return the value; raises an error that names the place where it is not there."""
        ...


class Probe(Struct, frozen=True):
    """A question to a program from outside; exactly one of `port`, `http` and `command`.

    Attributes:
        port: A TCP port that takes a connection.
        host: The host of `port`.
        http: An `http://` address that answers with a status below 400.
        command: A command that ends with 0, in the surroundings of the program itself.
        timeout: Seconds after which no answer is a failure; positive.
    """

    port: int | None = None
    host: str = "127.0.0.1"
    http: str = ""
    command: tuple[str, ...] = ()
    timeout: float = 2.0


class Readiness(Struct, frozen=True):
    """When a program is ready; at most one of `probe`, `log`, `notify` and `delay`. None of them: when it was executed.

    Attributes:
        probe: Once this probe succeeds.
        log: Once a line of its output matches this regular expression.
        notify: Once it says `READY=1` to the socket that `NOTIFY_SOCKET` names (`sd_notify`).
        delay: After so many seconds, if it still runs then.
        every: Seconds from one try of the probe to the next; positive.
    """

    probe: Probe | None = None
    log: str = ""
    notify: bool = False
    delay: float | None = None
    every: float = 0.1


class Liveness(Struct, frozen=True):
    """How a program shows that it lives.

    Attributes:
        probe: Asked again and again once it is ready.
        every: Seconds from one answer to the next question; positive.
        failures: Failed probes in a row after which it is ended, as hung; 1 or more.
    """

    probe: Probe
    every: float = 10.0
    failures: int = 3


class ProgramStart(Struct, frozen=True):
    """Start a child by executing a program.

    Attributes:
        command: The program, looked for along `PATH` unless it has a slash, and its arguments.
        directory: Its working directory; "" is the node's.
        environment: Variables laid over the node's.
        secrets: Variables whose values are looked up as it is started.
        user: Its user, by name or number; "" is the node's. Needs the right to change users.
        group: Its group; "" is the user's first.
        umask: Its umask; None is the node's.
        nice: What is added to its niceness, -20 to 19.
        rlimits: Its resource limits by name (`nofile`), soft and hard; None is no limit.
        ready: When it is ready.
        alive: How it shows that it lives; None: by running.
        watchdog: Seconds within which it must say `WATCHDOG=1` to `NOTIFY_SOCKET`, again and again; None: need not.
        stop_signal: What asks it to end.
        reload_signal: What has it read its configuration again, sent to its main process; "": no signal does.
        reload_command: What does that in its place; run beside it, with its variables and its pid in `MAINPID`.
        success_exit: Exit codes that are no failure. The end by a signal counts as 128 and its number, as in shells.
        forks: Whether the command ends once it has left the real program behind (a daemon); that one is followed.
        pid_file: Where such a program writes its process id; "": the process left behind is looked for.
        speaks: `SPEAKS_ACTORS`: it speaks the protocol of process children, so it takes messages, says itself when it
            is ready, and beats; "": it knows nothing of actors.
        arguments: What such a program is handed at its start; plain data that msgpack can carry.
    """

    command: tuple[str, ...]
    directory: str = ""
    environment: Mapping[str, str] = {}
    secrets: Mapping[str, SecretPlace] = {}
    user: str = ""
    group: str = ""
    umask: int | None = None
    nice: int = 0
    rlimits: Mapping[str, int | None] = {}
    ready: Readiness = Readiness()
    alive: Liveness | None = None
    watchdog: float | None = None
    stop_signal: str = "SIGTERM"
    reload_signal: str = ""
    reload_command: tuple[str, ...] = ()
    success_exit: tuple[int, ...] = (0,)
    forks: bool = False
    pid_file: str = ""
    speaks: str = ""
    arguments: Mapping[str, Any] = {}

    @property
    def rereads(self) -> bool:
        """Whether it can be told to read its configuration again."""
        return bool(self.reload_signal or self.reload_command)

    @property
    def notifies(self) -> bool:
        """Whether it gets a socket for `sd_notify` that something is expected from."""
        return self.ready.notify or self.watchdog is not None


def signal_number(name: str) -> int | None:
    """Return the number of the signal `SIGTERM` or `TERM`; None where there is no such signal here."""
    upper = name.upper()
    found = getattr(signal, upper if upper.startswith("SIG") else f"SIG{upper}", None)
    return int(found) if isinstance(found, signal.Signals) else None


def program_faults(start: ProgramStart) -> Iterator[tuple[str, str, str]]:
    """Yield everything that is wrong with how a program is started: the key, what is wrong, what would be right."""
    if not start.command or any("\0" in word for word in start.command):
        yield "command", "a command is a program and its arguments, as texts", '("redis-server", "--port", "6379")'
    elif not start.command[0]:
        yield "command", "the program has no name", "its name, or its path"
    for names, key in ((start.environment, "environment"), (start.secrets, "secrets")):
        for name in names:
            if not name or "=" in name or "\0" in name:
                yield key, f"{name!r} is no name of an environment variable", "letters, digits and _"
    for name in start.environment:
        if name in start.secrets:
            yield "secrets", f"{name} stands in environment too", "keep the secret"
    if signal_number(start.stop_signal) is None:
        yield "stop_signal", f"{start.stop_signal!r} is no signal", "SIGTERM, SIGINT, SIGQUIT, …"
    if start.reload_signal and signal_number(start.reload_signal) is None:
        yield "reload_signal", f"{start.reload_signal!r} is no signal", "SIGHUP, SIGUSR1, …"
    if start.reload_signal and start.reload_command:
        yield "reload_command", "it reloads in more than one way", "reload_signal, or reload_command"
    if any("\0" in word for word in start.reload_command) or (start.reload_command and not start.reload_command[0]):
        yield "reload_command", "a command is a program and its arguments, as texts", '("nginx", "-s", "reload")'
    for code in start.success_exit:
        if not _is_whole(code, 0, 255):
            yield "success_exit", f"{code!r} is no exit code", "0 to 255; 143 is the end by SIGTERM"
    for name, limit in start.rlimits.items():
        if name not in RLIMITS:
            yield "rlimits", f"there is no resource limit {name!r}", f"one of {', '.join(RLIMITS)}"
        if limit is not None and not _is_whole(limit, 0, 2**63 - 1):
            yield "rlimits", f"{limit!r} is no value of {name}", "0 or more; None is no limit"
    if start.umask is not None and not _is_whole(start.umask, 0, 0o777):
        yield "umask", f"{start.umask!r} is no umask", "0 to 0o777"
    if not _is_whole(start.nice, -20, 19):
        yield "nice", f"{start.nice!r} is no niceness", "-20 to 19"
    if start.watchdog is not None and not _is_positive(start.watchdog):
        yield "watchdog", f"positive seconds, got {start.watchdog!r}", ""
    if start.pid_file and not start.forks:
        yield "pid_file", "only a program that forks is looked for by its pid file", "forks = true, or leave it out"
    yield from _worker_faults(start)
    yield from _ready_faults(start.ready)
    if start.alive is not None:
        yield from _probe_faults("alive", start.alive.probe)
        if not _is_positive(start.alive.every):
            yield "alive.every", f"positive seconds, got {start.alive.every!r}", ""
        if not _is_whole(start.alive.failures, 1, 1_000_000):
            yield "alive.failures", f"a whole number, 1 or more, got {start.alive.failures!r}", ""


def _worker_faults(start: ProgramStart) -> Iterator[tuple[str, str, str]]:
    if start.speaks not in {"", SPEAKS_ACTORS}:
        yield "speaks", f"nobody here speaks {start.speaks!r}", f'"{SPEAKS_ACTORS}", or leave it out'
    elif not start.speaks and start.arguments:
        yield "arguments", "a program takes its arguments in its command", f'speaks = "{SPEAKS_ACTORS}", or command'
    elif start.speaks:
        plain = ProgramStart(start.command)
        for key in _OF_THE_KEEPER:
            if getattr(start, key) != getattr(plain, key):
                yield key, "a worker that speaks for itself is run without it", "leave it out"


_OF_THE_KEEPER = (
    "user", "group", "umask", "nice", "rlimits", "ready", "alive", "watchdog", "stop_signal", "reload_signal",
    "reload_command", "success_exit", "forks", "pid_file",
)  # fmt: skip


def _ready_faults(ready: Readiness) -> Iterator[tuple[str, str, str]]:
    ways = [ready.probe is not None, bool(ready.log), ready.notify, ready.delay is not None]
    if sum(ways) > 1:
        yield "ready", "it is ready in more than one way", "one of port, http, command, log, notify and delay"
    if ready.probe is not None:
        yield from _probe_faults("ready", ready.probe)
    if ready.log:
        try:
            re.compile(ready.log)
        except re.error as error:
            yield "ready.log", f"{ready.log!r} is no regular expression: {error}", ""
    if ready.delay is not None and not (_is_number(ready.delay) and ready.delay >= 0):
        yield "ready.delay", f"0 or more seconds, got {ready.delay!r}", ""
    if not _is_positive(ready.every):
        yield "ready.every", f"positive seconds, got {ready.every!r}", ""


def _probe_faults(key: str, probe: Probe) -> Iterator[tuple[str, str, str]]:
    if sum([probe.port is not None, bool(probe.http), bool(probe.command)]) != 1:
        yield key, "a probe has one way to ask", "port, http or command"
    if probe.port is not None and not _is_whole(probe.port, 1, 65_535):
        yield f"{key}.port", f"{probe.port!r} is no port", "1 to 65535"
    if probe.http:
        try:
            parts = urlsplit(probe.http)
            is_sound = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_sound = False
        if not is_sound:
            yield f"{key}.http", f"{probe.http!r} is no http address", '"http://127.0.0.1:8080/health"'
    if not _is_positive(probe.timeout):
        yield f"{key}.timeout", f"positive seconds, got {probe.timeout!r}", ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
