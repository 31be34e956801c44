"""`events` and `tap`: what happened, and what happens now.

`events` asks the node for its recent events; with `--follow` it goes on with the tap, from the very next number, so
that nothing is shown twice and nothing between the two is left out. `tap` reads the tap alone. A tap never makes the
node wait: a reader that is too slow loses events, and is told which and how many.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Final

import typer
from msgspec import Struct

from actors.addresses import is_within, matches
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import Node, check_running, connect
from supervisors.cli.events_table import event_columns
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Listing
from supervisors.cli.selecting import checked
from supervisors.cli.streaming import Stream
from supervisors.cli.texts import WhenError, duration, parse_when, plural
from supervisors.node.durations import parse_duration
from supervisors.requests import EventsArguments
from supervisors.selectors import GLOB_CHARACTERS
from supervisors.views import EventRow, EventsView, TopicView

app = typer.Typer()

RECENT: Final = 50
"""Events shown unless `--limit` says otherwise."""

SILENCE: Final = 5.0
"""Seconds without a beat after which it is looked whether the node is still there."""

SEVERITIES: Final = ("info", "warning", "error")

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


class Wanted(Struct, frozen=True):
    """Which events are shown. Empty: all of them.

    Attributes:
        paths: Paths and globs; a path takes what is below it too.
        types: Topics and types; a trailing `*` takes the rest.
        severities: Severities.
    """

    paths: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    def takes(self, event: TopicView) -> bool:
        """Whether `event` is one of them."""
        return (
            (not self.paths or any(_is_about(event.path, path) for path in self.paths))
            and (not self.types or any(_is_type(event, kind) for kind in self.types))
            and (not self.severities or event.severity in self.severities)
        )

    @property
    def root(self) -> str:
        """The one path to subscribe to, which holds all that is wanted."""
        if len(self.paths) == 1 and GLOB_CHARACTERS.isdisjoint(self.paths[0]):
            return self.paths[0]
        return "/"


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
    wanted = _wanted([*(about or ()), *(paths or ())], types, severities)
    arguments = EventsArguments(
        paths=wanted.paths,
        types=wanted.types,
        severities=wanted.severities,
        since_at=_since(since),
        limit=call.choice.limit if call.choice.limit is not None else RECENT,
    )
    columns = event_columns(UTC if call.settings.utc else None)
    with connect(call) as node:
        if not follow:
            view = node.request("events", arguments, EventsView)
            nothing = "no events match; older ones are in the history: actorctl sql timeline"
            return Listing("EventList", view.items, columns, _name, nothing=nothing, is_truncated=view.truncated)
        stream = Stream(call.output, columns, call.choice, _name)
        tap = _Tap(call, node, wanted, None)
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


@command(
    app,
    "tap",
    panel=Panel.EVENTS,
    document="Tap",
    shape=Shape.STREAM,
    own_timeout=True,
    examples=(
        "tap",
        "tap actor.exit 'supervisor.*' --path /io",
        "tap --count 1 --type ActorExited --timeout 30s",
        "tap -o jsonl | jq -r .path",
    ),
)
def tap(
    call: Call,
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Topic classes; * takes the rest.")
    ] = None,
    paths: Paths = None,
    types: Types = None,
    severities: Severities = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="End after N events.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 5 when events were missed.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="DURATION", parser=parse_duration, help="End then; with 6 if --count is not reached."
        ),
    ] = None,
) -> None:
    """Show events while they happen.

    They are read from the node's ZeroMQ publisher, which never waits for a reader; what was missed is reported.
    """
    wanted = _wanted(paths, types, severities)
    stream = Stream(call.output, event_columns(UTC if call.settings.utc else None), call.choice, _name)
    seen = 0
    with connect(call) as node:
        reader = _Tap(call, node, wanted, topics)
        try:
            for event in reader.events(timeout):
                is_event = event.seq > 0
                if call.format.is_json or is_event:
                    stream.write(event)
                if event.missed and strict:
                    hint = "what is complete is the history: actorctl events, actorctl sql timeline"
                    raise CommandError(
                        "condition", f"{plural(event.missed, 'event')} of {event.topic} {event.path} missed", hint
                    )
                seen += is_event
                if count is not None and seen >= count:
                    return
        finally:
            reader.close()
    if count is not None:
        raise CommandError(
            "timeout", f"{seen} of {plural(count, 'event')} within {duration(timeout)}", "actorctl events"
        )


class _Tap:
    """A tap reader that filters, reports gaps to people, and notices that the node has ended."""

    def __init__(self, call: Call, node: Node, wanted: Wanted, topics: Sequence[str] | None) -> None:
        from transport.control.client import client_keys
        from transport.errors import ControlError
        from transport.taps import TapReader

        self._call = call
        self._wanted = wanted
        self._place = node.place
        run = node.place.endpoints.parent
        try:
            self._reader = TapReader(
                node.endpoints.taps,
                classes=_classes(topics),
                path=wanted.root,
                keys=client_keys(run, node.endpoints),
            )
        except ControlError as error:
            raise CommandError(str(error.code), error.message, error.hint) from None

    def close(self) -> None:
        self._reader.close()

    def events(self, timeout: float | None) -> Iterator[TopicView]:
        """Yield what is wanted, and a view of type `Gap` or `Restarted` where that happened; ends at the time-out."""
        from transport.taps import Gap, Restarted

        until = None if timeout is None else time.monotonic() + timeout
        checked_at = 0.0
        while True:
            left = SILENCE if until is None else min(SILENCE, until - time.monotonic())
            if left <= 0:
                return
            item = self._reader.read(left)
            if item is None:
                if self._reader.silence > SILENCE and time.monotonic() - checked_at > SILENCE:
                    checked_at = time.monotonic()
                    check_running(self._place)
                continue
            if isinstance(item, Gap):
                self._tell_gap(item.event_class, item.path, item.missing, item.is_exact)
                yield self._gap(item.event_class, item.path, item.before, item.missing)
            elif isinstance(item, Restarted):
                self._call.note("the node was started anew; numbers start again")
                yield TopicView(
                    seq=0, topic_seq=0, epoch=item.now, at=datetime.now(UTC), topic="daemon", path="/", type="Restarted"
                )
            else:
                header = item.header
                event = TopicView(
                    seq=header.seq,
                    topic_seq=header.tseq,
                    epoch=header.epoch,
                    at=datetime.fromisoformat(header.time),
                    topic=item.event_class,
                    path=item.path,
                    type=_camel(header.type),
                    severity=header.severity,
                    data={key: value for key, value in item.body.items() if key not in {"at", "path"}},
                )
                if self._wanted.takes(event):
                    yield event

    def _tell_gap(self, topic: str, path: str, missing: int, is_exact: bool) -> None:
        sign = self._call.output.err_terminal.glyph("⚠", "!")
        count = f"{'' if is_exact else 'at least '}{plural(missing, 'event')}"
        self._call.note(f"{sign} {count} missed on {topic} {path} (slow reader); actorctl events {path} has them")

    def _gap(self, topic: str, path: str, before: int, missing: int) -> TopicView:
        return TopicView(
            seq=0,
            topic_seq=before,
            epoch=self._reader.epoch,
            at=datetime.now(UTC),
            topic=topic,
            path=path,
            type="Gap",
            severity="warning",
            missed=missing,
        )


def _wanted(paths: Sequence[str] | None, types: Sequence[str] | None, severities: Sequence[str] | None) -> Wanted:
    for severity in severities or ():
        if severity not in SEVERITIES:
            raise usage(f"--severity: {severity!r} is no severity", f"there are {', '.join(SEVERITIES)}")
    chosen = tuple(checked(path) for path in paths or ())
    if any(path.startswith("@") for path in chosen):
        raise usage("events are about paths, not about states", "actorctl events '/io/*'")
    return Wanted(chosen, tuple(types or ()), tuple(severities or ()))


def _classes(topics: Sequence[str] | None) -> list[str] | None:
    """Return the topic classes that were named, globs expanded; None for all.

    Raises:
        CommandError: `not_found`: one names none.
    """
    from transport.taps import CLASSES

    found: list[str] = []
    for topic in topics or ():
        named = [name for name in CLASSES if fnmatchcase(name, topic)]
        if not named:
            near = get_close_matches(topic, CLASSES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CLASSES)}"
            raise CommandError("not_found", f"there is no topic class {topic!r}", hint)
        found.extend(named)
    return found or None


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_when(text, datetime.now(UTC))
    except WhenError as error:
        raise usage(f"--since: {error}", "actorctl events --since 30m") from None


def _is_about(path: str, wanted: str) -> bool:
    return matches(path, wanted) if GLOB_CHARACTERS & set(wanted) else is_within(path, wanted)


def _is_type(event: TopicView, kind: str) -> bool:
    return fnmatchcase(event.topic, kind) or fnmatchcase(event.type, kind)


def _camel(word: str) -> str:
    """Return `ActorExited` for `actors.actor_exited`."""
    return "".join(part.capitalize() for part in word.rpartition(".")[2].split("_"))


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
