"""A flight record as lines of text. Pure: a view and a terminal in, lines out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from actors.flightrecord import FlightRecord, LastMessage
from supervisors.cli.terminal import Style, Terminal, wrap
from supervisors.cli.texts import duration, instant, plural, printable
from supervisors.views import FlightView

FIELDS_SHOWN: Final = 160
"""Characters of a message's fields in the short form."""


def flight_lines(flight: FlightView, terminal: Terminal, zone: tzinfo | None, *, whole: bool) -> Iterator[str]:
    """Yield the lines of a record: its messages and figures, and with `whole` all of it."""
    record = flight.record
    now = datetime.now(UTC)
    yield ""
    title = f"last messages of {flight.path}, instance {flight.generation}, {instant(flight.at, now, zone)}"
    yield terminal.paint(title, Style.STRONG)
    width = terminal.width or 10_000
    if not record.messages:
        yield "  none: it was in no message, or none are kept"
    for message in record.messages:
        yield from wrap(message_line(message, zone, whole=whole), width, "  ")
    yield from wrap(figures_line(record), width, "  ")
    if record.state is not None:
        yield from wrap(state_line(record, whole=whole), width, "  ")
    if whole:
        yield from _rest(record, terminal, width)
    elif parts := kept_parts(record):
        yield f"  kept as well: {', '.join(parts)} (--record)"


def kept_parts(record: FlightRecord) -> list[str]:
    """Return what `record` has besides messages and figures: `24 stacks`, `20 log lines`."""
    parts = [
        plural(len(record.stacks), "stack") if record.stacks else "",
        plural(len(record.frames), "frame") + " with variables" if record.frames else "",
        plural(len(record.log), "log line") if record.log else "",
    ]
    return [part for part in parts if part]


def state_line(record: FlightRecord, *, whole: bool) -> str:
    """Return the state view as one line."""
    return f"state {_fields(record.state or {}, whole)}"


def message_line(message: LastMessage, zone: tzinfo | None, *, whole: bool) -> str:
    """Return a message as one line, which says when it is the one in hand."""
    at = f"{datetime.fromtimestamp(message.at, zone or UTC).astimezone(zone):%H:%M:%S.%f}"[:-3] if message.at else ""
    fields = _fields(message.fields, whole) if message.fields else ""
    mark = "  <- in hand" if message.in_hand else ""
    return "  ".join(part for part in (at, printable(message.type), fields) if part) + mark


def figures_line(record: FlightRecord) -> str:
    """Return the handler and what was counted, as one line."""
    if record.source == "shared-memory":
        return f"{plural(record.handled, 'message')} taken up in all; its process was ended, so their fields are lost"
    parts = [f"{record.handled} handled", f"{record.waiting} waiting"]
    if record.handler:
        parts.insert(0, f"in {printable(record.handler)} for {duration(record.seconds)}")
    if record.suppressed:
        parts.append(f"{plural(record.suppressed, 'crash', 'crashes')} before it without a record: there were too many")
    if record.cut:
        parts.append("shortened")
    return ", ".join(parts)


def _fields(fields: Mapping[str, Any], whole: bool) -> str:
    text = printable(json.dumps(fields, ensure_ascii=False, default=str))
    return text if whole or len(text) <= FIELDS_SHOWN else f"{text[:FIELDS_SHOWN]}…"


def _rest(record: FlightRecord, terminal: Terminal, width: int) -> Iterator[str]:
    if record.frames:
        yield ""
        yield terminal.paint("variables, innermost last", Style.STRONG)
        for frame in record.frames:
            yield from wrap(f"{printable(frame.function)}  {printable(frame.place)}", width, "  ")
            for name, value in frame.variables.items():
                yield from wrap(f"{printable(name)} = {_fields_of(value)}", width, "    ")
    if record.stacks:
        yield ""
        yield terminal.paint("threads", Style.STRONG)
        for stack in record.stacks:
            yield f"  {printable(stack.thread)}"
            yield from (f"    {printable(frame)}" for frame in stack.frames)
    if record.log:
        yield ""
        yield terminal.paint("log", Style.STRONG)
        for line in record.log:
            yield from wrap(printable(line), width, "  ")


def _fields_of(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False, default=str))
