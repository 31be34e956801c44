"""`why` where it takes more than one screen: the chain of causes, where the leaf failed, last messages, newest events.

Pure: a view and a terminal in, lines out. What does not fit is cut at the right edge, or left out where it says least:
the middle of a long chain, the outer frames of a traceback, the older messages and events. A pipe, `-o wide` and
`--record` have all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from supervisors.cli.events_table import SEVERITY_STYLES, event_text
from supervisors.cli.flights import figures_line, kept_parts, message_line, state_line
from supervisors.cli.states import limit, mark, phrase
from supervisors.cli.terminal import Style, Terminal, cell_width, cut, wrap
from supervisors.cli.texts import instant, plural, printable
from supervisors.views import CauseView, EventRow, FlightView, WhyView

SMALLEST_HEIGHT: Final = 20
"""Lines that are written however low the terminal is."""

_SUMMARY_LINES: Final = 3
_CAUSES: Final = 6
_MESSAGES: Final = 3
_FEWEST: Final = 3
"""Lines of the traceback and of the events that older messages and the state give way to."""

_ROOMY: Final = 10
"""Lines for traceback and events together, from which on parts are set apart by empty lines."""

_PAINT: Final = re.compile(r"\x1b\[\d+m")
_MARKERS: Final = re.compile(r"[\s~^]+")
_PLACE: Final = re.compile(r"(?P<before>\s*File \")(?P<folder>.*/)(?P<after>[^/]+\", line .*)")
_CURRENT: Final = re.compile(r"^Current thread .*$", re.MULTILINE)


def one_screen(
    view: WhyView, terminal: Terminal, zone: tzinfo | None, *, height: int, hints: Sequence[str] = ()
) -> list[str]:
    """Return the lines of `view`, which fit a terminal of `height` lines together with the hints and the next prompt.

    Args:
        view: The answer.
        terminal: It has a width.
        zone: Times are in it; None is the machine's own.
        height: Lines of the terminal.
        hints: What is written after it, each after `hint: `.
    """
    width = terminal.width or 80
    rows = max(height, SMALLEST_HEIGHT) - _below(hints, width)
    head = _head(view, terminal, width)
    chain = _chain(view.causes, terminal, zone, width)
    trace = _trace(view.causes[-1]) if view.causes else []
    budget = view.node.budget or view.node.limit
    restarts = [f"restarts {limit(budget)}, {budget.left} left"] if budget is not None else []
    titles = sum(map(bool, (chain, view.flight, restarts or view.events)))
    room = rows - len(head) - len(chain) - len(restarts) - bool(view.events)
    whole = view.causes[-1].traceback.count("\n") + 1 if trace else 0
    flight = _flight(view.flight, terminal, zone, width, whole, room - 2 * _FEWEST) if view.flight else []
    room -= len(flight)
    gap = [""] if room - titles >= _ROOMY else []
    room -= len(gap) * titles
    events = min(len(view.events), max(room // 2, room - len(trace), 0))
    shown = max(0, min(len(trace), room - events))
    lines = [*head, *(gap if chain else []), *chain]
    lines += [f"     {terminal.paint(_frame(line, width - 5), Style.DIM)}" for line in _nearest(trace, shown)]
    lines += [*(gap if flight else []), *flight, *(gap if restarts or view.events else []), *restarts]
    if view.events:
        lines += [terminal.paint("what happened", Style.STRONG)]
        lines += [
            _event(event, view.node.path, terminal, zone, width) for event in view.events[len(view.events) - events :]
        ]
    return lines


def fits(lines: Sequence[str], terminal: Terminal, *, height: int, hints: Sequence[str] = ()) -> bool:
    """Whether `lines` fit a terminal of `height` lines together with the hints and the next prompt."""
    width = terminal.width or 80
    plain = (_PAINT.sub("", line) for line in lines)
    return sum(max(1, -(-cell_width(line) // width)) for line in plain) + _below(hints, width) <= height


def _below(hints: Sequence[str], width: int) -> int:
    return 1 + sum(-(-(cell_width(hint) + len("hint: ")) // width) for hint in hints)


def _head(view: WhyView, terminal: Terminal, width: int) -> list[str]:
    node = view.node
    said = f"{node.path}  {mark(node, terminal)} {phrase(node)}"
    lines = [said.replace(node.path, terminal.paint(node.path, Style.STRONG), 1) if len(said) <= width else node.path]
    summary = wrap(printable(view.summary), width, "  ")
    lines += [cut(line, width) for line in summary[:_SUMMARY_LINES]]
    if len(summary) > _SUMMARY_LINES:
        lines[-1] = cut(lines[-1] + " …", width)
    if view.is_sticky:
        why = f": {printable(node.stopped_why)}" if node.stopped_why else ""
        lines.append(cut(f"  held by {node.stopped_by or 'a person'}{why}; only a command changes that", width))
    if view.blocked_by:
        lines.append(cut(f"  waits for {', '.join(view.blocked_by)}", width))
    return lines


def _chain(causes: Sequence[CauseView], terminal: Terminal, zone: tzinfo | None, width: int) -> list[str]:
    if not causes:
        return []
    lines = [terminal.paint("because", Style.STRONG)]
    numbered = list(enumerate(causes, 1))
    first = _CAUSES // 2
    left_out = len(numbered) - _CAUSES
    for number, cause in numbered if left_out <= 0 else [*numbered[:first], *numbered[first - _CAUSES :]]:
        at = f"  at {instant(cause.at, datetime.now(UTC), zone)}" if cause.at is not None else ""
        text = cut(f"{number}. {cause.path}  {printable(cause.reason)}", width - 2 - len(at))
        lines.append(f"  {terminal.paint(text + at, Style.BAD)}")
        if left_out > 0 and number == first:
            lines.append(f"     … {left_out} in between (--record)")
    return lines


def _trace(cause: CauseView) -> list[str]:
    """Return the lines of the leaf's traceback, the nearest to the error last; without what its reason says already."""
    text = printable(cause.traceback, lines=True)
    current = _CURRENT.search(text)
    if current is not None:  # of faulthandler: the newest frame first
        frames = text[current.end() :].lstrip("\n").partition("\n\n")[0]
        return [line.strip() for line in reversed(frames.splitlines())]
    lines = [line for line in text.splitlines() if line.strip() and _MARKERS.fullmatch(line) is None]
    if lines and lines[-1] in cause.reason:
        lines.pop()
    return lines


def _nearest(trace: list[str], count: int) -> list[str]:
    """Return the last `count` lines, without the indent they share."""
    lines = trace[len(trace) - count :]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return [line[indent:] for line in lines]


def _frame(line: str, width: int) -> str:
    """Return a line of a traceback in `width` columns; of a frame the end says most: the file's name, the function."""
    found = _PLACE.fullmatch(line)
    over = cell_width(line) - width
    if found is None or over <= 0 or len(found["folder"]) <= over:
        return cut(line, width)
    return f"{found['before']}…{found['folder'][over + 1 :]}{found['after']}"


def _flight(
    flight: FlightView, terminal: Terminal, zone: tzinfo | None, width: int, trace: int, most: int
) -> list[str]:
    """Return at most `most` lines, though always the title, the newest message and what was counted."""
    record = flight.record
    title = (
        f"last messages of {flight.path}, instance {flight.generation}, {instant(flight.at, datetime.now(UTC), zone)}"
    )
    messages = [message_line(message, zone, whole=False) for message in record.messages[-_MESSAGES:]]
    lines = [figures_line(record)]
    if record.state is not None and most > _FEWEST:
        lines.append(state_line(record, whole=False))
    kept = [*([plural(trace, "line") + " of traceback"] if trace else []), *kept_parts(record)]
    if kept:
        lines.append(f"--record has {', '.join(kept)}")
    messages = messages[-max(1, most - 1 - len(lines)) :] if messages else ["none: it was in none, or none are kept"]
    shown = [terminal.paint(cut(title, width), Style.STRONG)]
    for line in (*messages, *lines):
        in_hand = "  <- in hand"
        if line.endswith(in_hand):
            shown.append(f"  {cut(line.removesuffix(in_hand), width - 2 - len(in_hand))}{in_hand}")
        else:
            shown.append(f"  {cut(line, width - 2)}")
    return shown


def _event(event: EventRow, path: str, terminal: Terminal, zone: tzinfo | None, width: int) -> str:
    about = "" if event.path == path else f"{event.path}  "
    at = instant(event.at, datetime.now(UTC), zone, fine=True)
    return terminal.paint(cut(f"  {at}  {about}{event_text(event)}", width), SEVERITY_STYLES.get(event.severity))
