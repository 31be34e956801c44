"""`events`: what happened.

It asks the node for its recent events; with `--follow` it goes on with the tap, from the very next number, so that
nothing is shown twice and nothing between the two is left out.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.events_table import event_columns
from supervisors.cli.flow import Flow, instant_of, wanted_events
from supervisors.cli.rendering import Listing
from supervisors.cli.streaming import Stream
from supervisors.cli.texts import plural
from supervisors.requests import EventsArguments
from supervisors.views import EventRow, EventsView, TopicView

app = typer.Typer()

RECENT: Final = 50
"""Events shown unless `--limit` says otherwise."""

Paths = Annotated[
    list[str] | None,
    typer.Option(
        "--for", "--path", metavar="PATH", help="Only about it and what is below.", autocompletion=complete_paths
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="A topic or type: actor.exit, ActorExited, supervisor.*"),
]
Severities = Annotated[list[str] | None, typer.Option("--severity", metavar="WORD", help="info, warning or error.")]


@command(
    app,
    "events",
    panel=Panel.EVENTS,
    document="EventList",
    shape=Shape.LIST,
    examples=(
        "events /io/browser --since 1h",
        "events --severity error --limit 5",
        "events -f --type supervisor.*",
        "events -o json | jq '.items[] | {at, path, text}'",
    ),
)
def events(
    call: Call,
    about: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="As --for.", autocompletion=complete_paths),
    ] = None,
    paths: Paths = None,
    types: Types = None,
    severities: Severities = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="30m, 2d, 14:00, 'yesterday 14:00', ISO.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")] = False,
) -> Listing | None:
    """Show recent events, oldest first.

    Older ones are in the history: actorctl sql timeline.
    """
    wanted = wanted_events([*(about or ()), *(paths or ())], types, severities)
    arguments = EventsArguments(
        paths=wanted.paths,
        types=wanted.types,
        severities=wanted.severities,
        since_at=instant_of(since, "events"),
        limit=call.choice.limit if call.choice.limit is not None else RECENT,
    )
    columns = event_columns(UTC if call.settings.utc else None)
    with connect(call) as node:
        if not follow:
            view = node.request("events", arguments, EventsView)
            nothing = "no events match; older ones are in the history: actorctl sql timeline"
            return Listing("EventList", view.items, columns, _name, nothing=nothing, is_truncated=view.truncated)
        stream = Stream(call.output, columns, call.choice, _name)
        tap = Flow(call, node, wanted, None)
        try:
            view = node.request("events", arguments, EventsView)
            for row in view.items:
                stream.write(row)
            for event in tap.events(None):
                if event.seq > view.head or not event.seq:
                    stream.write(_row(event))
        finally:
            tap.close()
    return None


def _row(event: TopicView) -> EventRow:
    return EventRow(
        seq=event.seq,
        at=event.at,
        topic=event.topic,
        path=event.path,
        type=event.type,
        severity=event.severity,
        text=f"{plural(event.missed, 'event')} missed" if event.missed else "",
        data=event.data,
    )


def _name(event: EventRow | TopicView) -> str:
    return str(event.seq)
