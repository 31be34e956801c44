"""`up`: a node in the background, and what became of it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, command
from supervisors.cli.failures import CommandError
from supervisors.cli.texts import duration, plural, size
from supervisors.errors import Fault
from supervisors.node.durations import parse_duration

app = typer.Typer()

READY_SECONDS: Final = 60.0
"""Longest wait for a node to be ready, unless `--timeout` says otherwise."""

LEAST_FREE_BYTES: Final = 1 << 20
"""Room on the disk without which no running node is ended to start another one: that could not start."""

_ENDS: Final = {1: "failed", 6: "timeout", 7: "conflict", 8: "invalid", 9: "partial"}
"""What a node's own exit code means for the command that started it."""

Tree = Annotated[str | None, typer.Argument(metavar="[MODULE:NAME]", help="A tree written in Python, run beside /sys.")]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="Else actors.toml here, else the built-in system."),
]
Patience = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        parser=parse_duration,
        show_default="60s",
        help="Longest wait until it is ready.",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return when its process is there.")]


@command(
    app,
    "up",
    panel=Panel.PROJECT,
    is_local=True,
    own_timeout=True,
    examples=("up", "up -c deploy/actors.toml", "up --home /var/lib/actors --timeout 2m", "up my_package.app:tree"),
)
def up(
    call: Call,
    tree: Tree = None,
    config: ConfigFile = None,
    timeout: Patience = READY_SECONDS,
    no_wait: NoWait = False,
) -> None:
    """Start a node in the background, and wait until its tree is ready.

    What keeps it from starting is said, with the last lines it wrote; the exit code is the node's own. 6 when it is not
    ready in time: it goes on starting. 7 when one runs already. actorctl down ends it.
    """
    start(call, tree=tree, config=config, timeout=0.0 if no_wait else timeout)


def start(call: Call, *, tree: str | None, config: str | None, timeout: float, directory: str | None = None) -> None:
    """Start a node in the background, say what became of it.

    Raises:
        CommandError: It is not ready, and why.
    """
    from supervisors.errors import HomeError
    from supervisors.node.background import start_in_background
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import home_flag, load_config

    home = Path(call.settings.home).expanduser() if call.settings.home else None
    file = Path(config).expanduser() if config else None
    try:
        loaded = load_config(
            file, flags=home_flag(home), is_app=tree is not None, directory=Path(directory) if directory else None
        )
    except ConfigurationError as error:
        raise _invalid(call, error.faults, "started", config) from None
    words = [
        *((tree,) if tree else ()),
        *(("--config", config) if config else ()),
        *(("--home", str(home.absolute())) if home is not None else ()),
    ]
    named = f" --home {shlex.quote(str(loaded.home))}"
    try:
        began = start_in_background(words, loaded.home, timeout=timeout, directory=directory)
    except HomeError as error:
        raise CommandError("failed", str(error), "name another with --home, or mend its owner and mode") from None
    except OSError as error:
        raise CommandError("failed", f"no process could be started: {error}", "actorctl doctor") from None
    if began.record is not None:
        call.note(
            f"{began.record.name} (process {began.pid}) is ready after {duration(began.seconds)}: "
            f"{began.record.ready} of {began.record.total} workers"
        )
        call.hint(f"actorctl tree{named}; end it: actorctl down{named}")
    elif began.code is None and timeout:
        raise CommandError(
            "timeout",
            f"process {began.pid} is not ready after {duration(began.seconds)}; it goes on",
            f"actorctl tree{named}; actorctl logs -f{named}",
        )
    elif began.code is None:
        call.note(f"process {began.pid} starts")
        call.hint(f"actorctl wait{named}")
    else:
        if began.code == 1 and not began.said and (full := full_disk(loaded.home)):  # it had no room to say so
            raise CommandError("failed", f"no node was started: {full}", f"actorctl doctor disk{named}")
        _failed(call, began.code, began.said, named)


def check_startable(call: Call, *, tree: str | None, config: str | None, home: Path, directory: str | None) -> None:
    """See that a node with this configuration could be started, before the one that runs is ended.

    Raises:
        CommandError: `invalid`: it has faults; `failed`: its disk is full; nothing was stopped.
    """
    from supervisors.node.apps import load_app
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import home_flag, load_config

    try:
        found = load_config(
            Path(config) if config else None,
            flags=home_flag(home),
            is_app=tree is not None,
            directory=Path(directory) if directory else None,
            imports=True,
            spare_processes=True,
        )
        if tree is not None:
            load_app(tree, directory=found.directory)
    except ConfigurationError as error:
        raise _invalid(call, error.faults, "stopped", config) from None
    if full := full_disk(home):
        raise CommandError("failed", f"{full}; nothing was stopped", "actorctl doctor disk")


def full_disk(home: Path) -> str:
    """Return what to say where no node can start in `home` for want of room or as it is read-only, "" where one can."""
    from tempfile import TemporaryFile

    try:
        TemporaryFile(dir=home).close()  # a disk that became read-only by an error lets whoever asks believe otherwise
    except OSError as error:
        return f"{home} cannot be written: {error.strerror}"
    free = shutil.disk_usage(home).free
    if free >= LEAST_FREE_BYTES:
        return ""
    return f"no space left on the disk of {home}: {size(free)} free, a node needs {size(LEAST_FREE_BYTES)} to start"


def _invalid(call: Call, faults: Sequence[Fault], undone: str, config: str | None) -> CommandError:
    """Say every fault, and return the error that says what was not done because of them."""
    for fault in faults:
        call.note(str(fault))
    checking = f"actorctl check{f' {shlex.quote(config)}' if config else ''}"
    return CommandError("invalid", f"{plural(len(faults), 'fault')}; nothing was {undone}", checking)


def _failed(call: Call, code: int, said: tuple[str, ...], named: str) -> None:
    """Say what a node that ended said last."""
    hint = f"actorctl doctor{named}"
    for line in said:
        if line.startswith("hint: "):
            hint = line.removeprefix("hint: ")
        else:
            call.note(line)
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    raise CommandError(_ENDS.get(code, "failed"), f"no node was started: its process ended with {how}", hint)
