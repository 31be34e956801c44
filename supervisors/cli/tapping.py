"""`tap` and `taps`: what happens now, and who looks.

A tap never makes the node wait: a reader that is too slow loses events, is told which and how many, and with
`--lossless` gets them from the history.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.events_table import event_columns
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.flow import First, Flow, instant_of, wanted_events
from supervisors.cli.observing import Paths, Severities, Types
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.streaming import Stream
from supervisors.cli.texts import duration, instant, plural
from supervisors.node.durations import parse_duration
from supervisors.requests import Arguments
from supervisors.views import TapReaderView, TapsView, TopicView

app = typer.Typer()


class Form(Enum):
    """What `tap schema` prints."""

    ASYNCAPI = "asyncapi"
    JSONSCHEMA = "jsonschema"


@command(
    app,
    "tap",
    panel=Panel.EVENTS,
    document="Tap",
    shape=Shape.STREAM,
    own_timeout=True,
    examples=(
        "tap",
        "tap --since 1h --lossless -o jsonl > events.jsonl",
        "tap actor.state --snapshot --path /io",
        "tap actor.exit 'supervisor.*' --path /io",
        "tap --count 1 --type ActorExited --timeout 30s",
        "tap -o jsonl | jq -r .path",
        "tap schema --as jsonschema",
    ),
)
def tap(
    call: Call,
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...|schema", help="Topic classes; * takes the rest. schema: what is on a tap."),
    ] = None,
    paths: Paths = None,
    types: Types = None,
    severities: Severities = None,
    begin: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="First what the history has from then on: 30m, 14:00, ISO."),
    ] = "",
    snapshot: Annotated[bool, typer.Option("--snapshot", help="First the newest event of each topic.")] = False,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Fill gaps from the history; say what it does not have.")
    ] = False,
    name: Annotated[str, typer.Option("--name", metavar="WORD", help="What actorctl taps calls this reader.")] = "",
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="End after N events.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 5 when events were missed.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="DURATION", parser=parse_duration, help="End then; with 6 if --count is not reached."
        ),
    ] = None,
    form: Annotated[
        Form, typer.Option("--as", metavar="FORM", help="tap schema: asyncapi or jsonschema.")
    ] = Form.ASYNCAPI,
) -> None:
    """Show events while they happen.

    They are read from the node's ZeroMQ publisher, which never waits for a reader; what was missed is reported, or with
    --lossless fetched. tap schema prints what is on a tap, for programs: an AsyncAPI 3 document, or JSON Schemas.
    """
    if topics and topics[0] == "schema":
        _print_schema(call, form)
        return
    if begin and snapshot:
        raise usage("--since and --snapshot both say what comes first", "give one of them")
    wanted = wanted_events(paths, types, severities)
    first = First(instant_of(begin, "tap"), snapshot, lossless, name)
    stream = Stream(call.output, event_columns(UTC if call.settings.utc else None), call.choice, _name)
    seen = 0
    with connect(call) as node:
        reader = Flow(call, node, wanted, topics, first)
        try:
            for event in reader.events(timeout):
                is_event = event.seq > 0
                if call.format.is_json or is_event:
                    stream.write(event)
                if event.missed and strict:
                    missed = f"{plural(event.missed, 'event')} of {event.topic} {event.path} missed"
                    raise CommandError("condition", missed, "actorctl tap --lossless fetches what a reader missed")
                seen += is_event
                if count is not None and seen >= count:
                    return
        finally:
            if lost := reader.statistics().lost:
                call.note(f"the history itself lost {plural(lost, 'row')} in that time: actorctl sql lost")
            reader.close()
    if count is not None:
        raise CommandError(
            "timeout", f"{seen} of {plural(count, 'event')} within {duration(timeout)}", "actorctl events"
        )


@command(
    app,
    "taps",
    panel=Panel.EVENTS,
    document="TapReaderList",
    shape=Shape.LIST,
    examples=("taps", "taps -o json | jq '.items[] | select(.missed > 0)'"),
)
def taps(call: Call) -> Listing:
    """Show who reads the taps, and how far behind they are.

    By their own reports, every 5 s: a publisher cannot know what becomes of what it sends. Who never reports is only a
    subscription.
    """
    with connect(call) as node:
        view = node.request("taps", Arguments(), TapsView)
    summary = (
        f"{plural(view.subscriptions, 'subscription')}, {view.published} of {plural(view.seen, 'event')} published, "
        f"{view.dropped} dropped by the publisher"
    )
    zone = UTC if call.settings.utc else None
    columns = (
        Column("reader", lambda r: r.reader),
        Column("mode", lambda r: r.mode),
        Column("path", lambda r: r.path),
        Column("classes", lambda r: ",".join(r.classes) or "*", is_wide=True),
        Column("read", lambda r: r.read, is_right=True),
        Column("replayed", lambda r: r.replayed, is_right=True),
        Column("missed", lambda r: r.missed, is_right=True),
        Column("unfilled", lambda r: r.unfilled, is_right=True),
        Column("behind", lambda r: r.behind, is_right=True),
        Column("lag", lambda r: r.lag, lambda r: duration(r.lag), is_right=True),
        Column("reported", lambda r: r.reported_at, lambda r: instant(r.reported_at, datetime.now(UTC), zone)),
        Column("caller", lambda r: r.caller, is_wide=True),
    )
    call.note(summary)
    return Listing("TapReaderList", view.items, columns, _reader, nothing="no reader reports")


def _print_schema(call: Call, form: Form) -> None:
    from transport.taps.schema import asyncapi, json_schemas

    made = asyncapi() if form is Form.ASYNCAPI else json_schemas()
    call.output.lines(json.dumps(made, indent=2, ensure_ascii=False).splitlines())


def _name(event: TopicView) -> str:
    return str(event.seq)


def _reader(view: TapReaderView) -> str:
    return view.reader
