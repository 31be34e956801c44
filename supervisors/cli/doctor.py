"""`doctor`: what could keep a node from running well, and the one command that mends each finding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.checks import CHECKS, FIXES
from supervisors.cli.connection import connect
from supervisors.cli.discovery import places
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.patient import Patient
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.terminal import Style
from supervisors.cli.texts import plural, printable
from supervisors.requests import Arguments, TreeArguments
from supervisors.views import CheckOutcome, CheckView, PingView, StatusView, TreeView
from supervisors.views.base import plain
from transport.endpoints import verify

app = typer.Typer()

_STYLES: Final = {
    CheckOutcome.OK: Style.GOOD,
    CheckOutcome.WARNING: Style.WARNING,
    CheckOutcome.FAILED: Style.BAD,
    CheckOutcome.SKIPPED: Style.DIM,
}

CHECK_COLUMNS: Final = (
    Column("outcome", lambda c: c.outcome.value, style=lambda c: _STYLES[c.outcome]),
    Column("name", lambda c: c.name),
    Column("detail", lambda c: c.detail, lambda c: printable(c.detail)),
    Column("fix", lambda c: c.fix),
)


@command(
    app,
    "doctor",
    panel=Panel.ABOUT,
    document="CheckList",
    shape=Shape.LIST,
    is_local=True,
    examples=("doctor", "doctor instance history", "doctor --fix stale-endpoints", "doctor --bundle bug.zip"),
)
def doctor(
    call: Call,
    names: Annotated[list[str] | None, typer.Argument(metavar="[CHECK]...", help=f"Of {', '.join(CHECKS)}.")] = None,
    fix: Annotated[str, typer.Option("--fix", metavar="NAME", help=f"Remove stale files: {', '.join(FIXES)}.")] = "",
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration to check.")
    ] = None,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="FILE.zip", help="Write what others need to see, without secrets.")
    ] = "",
) -> Listing:
    """Check what could keep a node from running well.

    Nothing is changed, unless --fix names what may be removed; a living node is never touched.
    """
    for name in names or ():
        if name not in CHECKS:
            raise usage(f"there is no check {name!r}", f"there are {', '.join(CHECKS)}")
    if bundle and not bundle.lower().endswith(".zip"):
        raise usage(f"a bundle is a zip file, and {bundle!r} is not named like one", "actorctl doctor --bundle bug.zip")
    place = places(call.settings)[0]
    if fix:
        _fix(call, fix, place.home)
    patient = Patient(place.home, Path(config) if config else None, verify(place.endpoints.parent), lambda: _ping(call))
    found = [_checked(name, patient) for name in names or CHECKS]
    if bundle:
        _bundle(call, Path(bundle).expanduser(), patient, found)
    failed = [check for check in found if check.outcome is CheckOutcome.FAILED]
    failure = None
    if failed:
        words = ", ".join(check.name for check in failed)
        hint = next((check.fix for check in failed if check.fix), "")
        failure = CommandError("condition", f"{plural(len(failed), 'check')} failed: {words}", hint)
    hints = tuple(dict.fromkeys(check.fix for check in found if check.fix and check.outcome is CheckOutcome.WARNING))
    return Listing("CheckList", found, CHECK_COLUMNS, lambda check: str(check.name), failure=failure, hints=hints)


def _checked(name: str, patient: Patient) -> CheckView:
    try:
        return CHECKS[name](patient)
    except OSError as error:
        return CheckView(name=name, outcome=CheckOutcome.FAILED, detail=f"could not be checked: {error}")


def _fix(call: Call, name: str, home: Path) -> None:
    if name not in FIXES:
        raise usage(f"there is no fix {name!r}", f"there are {', '.join(FIXES)}")
    removed = FIXES[name](home)
    for path in removed:
        call.note(f"removed {path}")
    if not removed:
        call.note(f"{name}: nothing is stale in {home}; nothing was changed")


def _bundle(call: Call, file: Path, patient: Patient, found: list[CheckView]) -> None:
    from supervisors.cli.bundling import write_bundle

    def ask(what: str) -> Any:
        with connect(call) as node:
            if what == "status":
                return plain(node.request("status", Arguments(), StatusView))
            return plain(node.request("tree", TreeArguments(), TreeView))

    try:
        names = write_bundle(file, patient.home, patient.config, found, ask)
    except FileExistsError:
        raise CommandError("conflict", f"{file} is there already; nothing was written", "name another") from None
    except OSError as error:
        raise CommandError("failed", f"{file} cannot be written: {error.strerror or error}") from None
    call.note(f"wrote {file}: {', '.join(names)}; look through it before you pass it on")


def _ping(call: Call) -> str:
    with connect(call) as node:
        view: PingView = node.request("ping", Arguments(), PingView)
    return view.name
