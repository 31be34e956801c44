"""`level`: keep more or less of the log of some actors, for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.ending import Reason
from supervisors.cli.failures import usage
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.selecting import targets
from supervisors.cli.texts import instant, printable
from supervisors.node.durations import parse_duration
from supervisors.requests import Arguments, LevelArguments
from supervisors.views import LevelsView, LevelView

app = typer.Typer()

LEVELS: Final = ("debug", "info", "warning", "error")
CONFIGURED: Final = "default"
"""The word for the level that the configuration says."""
A_WHILE: Final = 600.0


@command(
    app,
    "level",
    panel=Panel.EVENTS,
    document="LevelList",
    shape=Shape.LIST,
    examples=(
        "level",
        "level /io/gmail debug",
        "level '/agents/**' debug --for 1h --reason 'slow since noon'",
        "level /io/gmail default",
    ),
)
def level(
    call: Call,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SELECTOR... LEVEL]",
            help="Paths with what is below, globs or @STATE; then debug, info, warning, error or default.",
            autocompletion=complete_paths,
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--for", metavar="DURATION", parser=parse_duration, show_default="10m", help="How long; a day at most."
        ),
    ] = A_WHILE,
    reason: Reason = "",
) -> Listing:
    """Keep more or less of the log of some actors for a while; alone, show for which.

    It goes back by itself. It counts in other processes too, and for actors that are restarted meanwhile.
    """
    if not words:
        with connect(call) as node:
            return _listing(call, node.request("levels", Arguments(), LevelsView))
    *selectors, wanted = words
    if wanted not in (*LEVELS, CONFIGURED):
        raise usage(
            f"level: {wanted!r} is no level", f"there are {', '.join(LEVELS)} and {CONFIGURED}, after the selectors"
        )
    chosen = targets("level", selectors or None, f"actorctl level '/**' {wanted}")
    arguments = LevelArguments(selectors=chosen, level="" if wanted == CONFIGURED else wanted, seconds=seconds)
    with connect(call) as node:
        return _listing(call, node.request("level", arguments, LevelsView, reason=reason))


def _listing(call: Call, view: LevelsView) -> Listing:
    zone = UTC if call.settings.utc else None
    columns = (
        Column("selector", lambda item: item.selector),
        Column("level", lambda item: item.level),
        Column(
            "ends_at",
            lambda item: item.ends_at.isoformat() if item.ends_at else None,
            lambda item: instant(item.ends_at, datetime.now(UTC), zone),
        ),
        Column("author", lambda item: item.author, is_wide=True),
        Column("why", lambda item: item.why, lambda item: printable(item.why)),
    )
    if view.items:
        call.note(f"everything else: {view.level}")
    return Listing("LevelList", view.items, columns, _name, nothing=f"everything is at {view.level}, as configured")


def _name(item: Any) -> str:
    assert isinstance(item, LevelView)
    return item.selector
