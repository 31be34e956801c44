"""`cron os`: have the operating system's own scheduler see to it that the node runs."""

from __future__ import annotations

import os
import shlex
from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, command
from supervisors.cli.cronapp import cron_app
from supervisors.cli.cronoptions import seconds
from supervisors.cli.failures import CommandError, usage

KINDS = ("systemd", "schtasks")


@command(
    cron_app,
    "os",
    panel=Panel.CONTROL,
    is_local=True,
    examples=(
        "cron os --dry-run",
        "cron os --daily 02:00 --wake --dry-run",
        "cron os --kind schtasks --logon --every 10m --dry-run",
        "cron os --remove",
    ),
)
def ensure(
    call: Call,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="systemd or schtasks; else this system's.")] = "",
    boot: Annotated[bool, typer.Option("--boot/--no-boot", help="When the machine starts.")] = True,
    logon: Annotated[bool, typer.Option("--logon", help="When the user logs on.")] = False,
    daily: Annotated[list[str] | None, typer.Option("--daily", metavar="HH:MM", help="Again for more.")] = None,
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="Also each so often; 0s for never.")] = "5m",
    wake: Annotated[bool, typer.Option("--wake", help="Wake the machine for --daily; look once it woke.")] = False,
    system: Annotated[bool, typer.Option("--system/--user", help="For the machine, or for you.")] = False,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Default: runtime.name.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and commands; change nothing.")] = False,
) -> None:
    """Ensure that the node runs: at boot, at log-on, daily, each so often, by the system's own scheduler.

    It calls actorctl up, which does nothing where the node runs. A service (actorctl service install) is better
    where you may have one; this is for where you may not.
    """
    from supervisors.cli.services import show_or_perform
    from supervisors.node.background import own_command
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.install.ensuring import Ensuring, steps_of
    from supervisors.node.install.spec import ServiceError
    from supervisors.node.loading import home_flag, load_config

    kind = kind or ("schtasks" if os.name == "nt" else "systemd")
    if kind not in KINDS:
        raise usage(f"--kind: there is no kind {kind!r}", f"there are {', '.join(KINDS)}")
    given = Path(call.settings.home).expanduser() if call.settings.home else None
    try:
        loaded = load_config(None, flags=home_flag(given))
    except ConfigurationError:
        raise CommandError("invalid", "the configuration has faults; nothing was changed", "actorctl check") from None
    words = [*own_command(), "up"]
    words += ["--config", str(loaded.file.absolute())] if loaded.file is not None else ["--home", str(loaded.home)]
    try:
        wanted = Ensuring(
            name=name or loaded.config.runtime.name,
            command=tuple(words),
            directory=str(loaded.file.absolute().parent if loaded.file is not None else Path.cwd()),
            at_boot=boot,
            at_logon=logon,
            daily=tuple(daily or ()),
            every=seconds(every),
            wake=wake,
            is_system=system,
            user="" if system else getuser(),
        )
    except ValueError as error:
        raise usage(str(error), "actorctl cron os --help") from None
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    steps = steps_of(wanted, kind, loaded.home if kind == "schtasks" else config, remove=remove)
    try:
        show_or_perform(call, steps, dry_run=dry_run)
    except ServiceError as error:
        raise CommandError("failed", str(error), f"actorctl cron os --dry-run   # {shlex.join(words)}") from None
