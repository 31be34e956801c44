"""`service`: have the operating system's service manager keep the node.

What `--dry-run` shows are the very steps that are carried out without it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from supervisors.cli.calling import Call, Panel, command
from supervisors.cli.connection import connect
from supervisors.cli.discovery import home_of
from supervisors.cli.ending import end_node
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.starting import ConfigFile, Tree
from supervisors.node.install.choosing import (
    FILE_NAME,
    KINDS,
    Installed,
    is_usually_system,
    manager_of,
    read_installed,
    usual_kind,
)
from supervisors.node.install.spec import RemoveFile, Run, ServiceError, ServiceSpec, Step, WriteFile, perform
from supervisors.requests import Arguments
from supervisors.views import PauseView

app = typer.Typer()
service_app = typer.Typer(help="Have systemd, launchd or Windows keep the node.", no_args_is_help=False)
app.add_typer(service_app, name="service", rich_help_panel=Panel.DAEMON.value)

Scope = Annotated[
    bool | None, typer.Option("--system/--user", help="For the whole machine, or for you. Default: --system for root.")
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Of the service. Default: runtime.name.")]
Backend = Annotated[
    str, typer.Option("--backend", metavar="KIND", help=f"Of {', '.join(KINDS)}. Default: this system's.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show files and commands; change nothing.")]


@command(
    service_app,
    "install",
    panel=Panel.DAEMON,
    is_local=True,
    examples=(
        "service install --dry-run",
        "service install --user -c actors.toml",
        "service install --after postgresql",
    ),
)
def install(
    call: Call,
    tree: Tree = None,
    config: ConfigFile = None,
    system: Scope = None,
    name: Name = "",
    backend: Backend = "",
    after: Annotated[
        list[str] | None, typer.Option("--after", metavar="SERVICE", help="Is started before it; may be repeated.")
    ] = None,
    writable: Annotated[
        list[str] | None,
        typer.Option("--writable", metavar="DIR", help="It may write there beside its home; may be repeated."),
    ] = None,
    user: Annotated[str, typer.Option("--run-as", metavar="USER", help="With --system: who it runs as.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Install the node as a service that starts with the machine, or with your session.

    The configuration is checked first. It is restarted after 5, 10 and 60 s as far as the manager can, and not after an
    end that another start would only repeat. actorctl service start starts it.
    """
    from supervisors.node.background import own_command
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import home_flag, load_config

    if backend and backend not in KINDS:
        raise usage(f"--backend: there is no {backend!r}", f"there are {', '.join(KINDS)}")
    given_home = Path(call.settings.home).expanduser() if call.settings.home else None
    try:
        loaded = load_config(
            Path(config).expanduser() if config else None, flags=home_flag(given_home), is_app=tree is not None
        )
    except ConfigurationError as error:
        for fault in error.faults:
            call.note(str(fault))
        raise CommandError("invalid", "the configuration has faults; nothing was installed", "actorctl check") from None
    home = loaded.home
    installed = Installed(
        backend or usual_kind(), name or loaded.config.runtime.name, is_usually_system() if system is None else system
    )
    words = [*own_command(), "run", "--service", f"{installed.kind}:{installed.name}"]
    words += [tree] if tree else []
    words += ["--config", str(loaded.file)] if loaded.file is not None else []
    words += ["--home", str(home)]
    spec = ServiceSpec(
        name=installed.name,
        about=f"actorctl node {loaded.config.runtime.name}",
        command=tuple(words),
        directory=str(loaded.directory),
        home=str(home),
        drain=float(loaded.config.runtime.drain),
        is_system=installed.is_system,
        user=user,
        after=tuple(after or ()),
        writable=tuple(writable or ()),
    )
    record = WriteFile(str(home / FILE_NAME), msgspec.json.encode(installed).decode() + "\n", 0o600)
    try:
        manager = manager_of(installed, home)
        steps = (record, *manager.install(spec))
        show_or_perform(call, steps, dry_run=dry_run)
    except ServiceError as error:
        raise CommandError("failed", str(error), error.hint) from None
    for note in manager.notes(spec):
        call.note(f"note: {note}")
    if not dry_run:
        call.note(f"installed {installed.name} ({installed.kind})")
        call.hint(f"actorctl service start --home {shlex.quote(str(home))}")


@command(
    service_app,
    "uninstall",
    panel=Panel.DAEMON,
    is_local=True,
    examples=("service uninstall --dry-run", "service uninstall"),
)
def uninstall(
    call: Call, system: Scope = None, name: Name = "", backend: Backend = "", dry_run: DryRun = False
) -> None:
    """End the service and forget it. What the node kept in its home stays."""
    home = home_of(call.settings)
    installed = _installed(home, system, name, backend)
    try:
        steps = (*manager_of(installed, home).uninstall(installed.name), RemoveFile(str(home / FILE_NAME)))
        show_or_perform(call, steps, dry_run=dry_run)
    except ServiceError as error:
        raise CommandError("failed", str(error), error.hint) from None


def _verb(verb: str, about: str) -> None:
    def run(call: Call, system: Scope = None, name: Name = "", backend: Backend = "", dry_run: DryRun = False) -> None:
        carry_out(call, verb, _installed(home_of(call.settings), system, name, backend), dry_run=dry_run)

    run.__doc__ = about
    command(
        service_app,
        verb,
        panel=Panel.DAEMON,
        is_local=True,
        examples=(f"service {verb}", f"service {verb} --dry-run"),
    )(run)


_verb("start", "Start the service.")
_verb("stop", "Drain and end the service; it is not started again until somebody says so.")
_verb("restart", "Drain and end the service, and start it again.")
_verb("pause", "Pause the node, by its manager where that knows how.")
_verb("continue", "Let a paused node go on.")
_verb("status", "Show what the service manager says; the exit code is its own.")
_verb("logs", "Show what the service manager kept; the node's own logs are actorctl logs.")


def carry_out(call: Call, verb: str, installed: Installed, *, dry_run: bool = False) -> None:
    """Have the manager do `verb`, or the node itself where the manager does not know it.

    Raises:
        CommandError: It could not be done.
    """
    try:
        steps = manager_of(installed, home_of(call.settings)).control(verb, installed.name)
        if steps:
            show_or_perform(call, steps, dry_run=dry_run)
            return
    except ServiceError as error:
        raise CommandError("failed", str(error), error.hint) from None
    match verb:
        case _ if dry_run:
            call.note(f"{installed.kind} does not know {verb}: the node would be asked itself")
        case "pause" | "continue":
            with connect(call) as node:
                asked = "pause" if verb == "pause" else "unpause"
                view: PauseView = node.request(asked, Arguments(), PauseView, timeout=15.0, reason=f"service {verb}")
                call.note(f"{node.endpoints.name} is {view.state}")
        case "stop":
            call.write(end_node(call, drain=None, reason="service stop"))
        case _:
            raise CommandError(
                "failed", f"{installed.kind} does not know {verb}", "actorctl logs; actorctl daemon restart"
            )


def _installed(home: Path, system: bool | None, name: str, backend: str) -> Installed:
    """Return which service is meant: the home's own, but for what was said otherwise.

    Raises:
        CommandError: Nothing was installed for the home, and no name was given.
    """
    found = read_installed(home)
    if found is None and not name:
        raise CommandError(
            "not_found", f"no service was installed for {home}", "actorctl service install; or name it: --name NAME"
        )
    found = found or Installed(usual_kind(), name, is_usually_system())
    return Installed(backend or found.kind, name or found.name, found.is_system if system is None else system)


def show_or_perform(call: Call, steps: Sequence[Step], *, dry_run: bool) -> None:
    """Carry out `steps`, or show what they would write and run."""
    if dry_run:
        for step in steps:
            match step:
                case WriteFile(path=path, text=text):
                    call.output.out.write(f"# write {path}\n{text}\n")
                case RemoveFile(path=path):
                    call.output.out.write(f"# remove {path}\n")
                case Run(words=words):
                    call.output.out.write(f"# run {shlex.join(words)}\n")
        return
    shown, code = perform(steps)
    for text in shown:
        call.output.out.write(f"{text}\n")
    if code:
        call.end(code)
