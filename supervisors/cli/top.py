"""`top`: what the workers are doing, those that need a look first.

    one look, a window of time, another look  ->  rates  ->  a table, or a screen that goes on until q

The node does nothing for it: the rates are made here, of two answers to `tree`.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Annotated, Final

import typer
from msgspec import Struct, structs

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import Node, connect
from supervisors.cli.keyboard import Keys, key_reader
from supervisors.cli.rendering import Choice, Column, Format, Listing, ordered, table
from supervisors.cli.selecting import chosen_nodes
from supervisors.cli.states import LOOKS
from supervisors.cli.terminal import Style, Terminal, cell_width
from supervisors.cli.texts import duration, plural, size
from supervisors.node.durations import parse_duration
from supervisors.selectors import check_selector
from supervisors.views import ActivityView, HeaderView, NodeView, activity

app = typer.Typer()

REFRESH: Final = 2.0
"""Most seconds between two screens."""
SORTS: Final = ("", "-mailbox", "-rate", "-cpu", "-memory", "-restarts", "-now")
"""What `s` goes through; "" is those that need a look first."""
HELP: Final = "s sort  / filter  p pause  q quit"
_DROPPED_FIRST: Final = ("pid", "runs_in", "restarts", "memory", "cpu")
"""What a narrow screen does without, in this order."""


def _now(row: ActivityView) -> str:
    return f"{row.handling} {duration(row.handling_for)}".strip() if row.handling else ""


COLUMNS: Final = (
    Column("path", lambda row: row.path),
    Column("state", lambda row: row.state.value, lambda row: LOOKS[row.state].word, lambda row: LOOKS[row.state].style),
    Column("runs_in", lambda row: row.placement),
    Column("pid", lambda row: row.pid, is_right=True),
    Column(
        "mailbox", lambda row: row.mailbox, None, lambda row: Style.WARNING if row.growth > 0 else None, is_right=True
    ),
    Column("growth", lambda row: row.growth, lambda row: f"{row.growth:+.1f}/s", is_right=True),
    Column("rate", lambda row: row.rate, lambda row: f"{row.rate:.1f}/s", is_right=True),
    Column(
        "cpu",
        lambda row: row.cpu_ratio,
        lambda row: "" if row.cpu_ratio is None else f"{row.cpu_ratio:.0%}",
        is_right=True,
    ),
    Column(
        "memory",
        lambda row: row.memory_bytes,
        lambda row: size(row.memory_bytes) if row.memory_bytes else "",
        is_right=True,
    ),
    Column("restarts", lambda row: row.restarts, is_right=True),
    Column("now", lambda row: row.handling_for, _now),
)


class Look(Struct, frozen=True):
    """The tree at one moment, `at` on this process's monotonic clock."""

    at: float
    header: HeaderView
    nodes: tuple[NodeView, ...]


class Screen(Struct):
    """What a person has chosen for the screen so far."""

    sort: str
    wanted: str = ""
    is_typing: bool = False
    is_paused: bool = False
    is_done: bool = False

    def press(self, key: str) -> None:
        """Act on one key."""
        if key in {"\x03", "\x04"}:
            self.is_done = True
        elif self.is_typing:
            self._type(key)
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)] if self.sort in SORTS else SORTS[0]
        elif key == "/":
            self.is_typing, self.wanted = True, ""
        elif key == "p":
            self.is_paused = not self.is_paused
        elif key == "q":
            self.is_done = True

    def _type(self, key: str) -> None:
        if key in {"\r", "\n", "\x1b"}:
            self.is_typing = False
        elif key in {"\x7f", "\b"}:
            self.wanted = self.wanted[:-1]
        elif key.isprintable():
            self.wanted += key

    @property
    def foot(self) -> str:
        """The last line."""
        if self.is_typing:
            return f"/{self.wanted}_"
        said = [f"sorted by {self.sort.lstrip('-') or 'need'}", f"only {self.wanted}" if self.wanted else ""]
        return "  ".join([word for word in [*said, "paused" if self.is_paused else "", HELP] if word])


@command(
    app,
    "top",
    panel=Panel.INSPECT,
    document="ActivityList",
    shape=Shape.LIST,
    examples=("top", "top '/agents/*' --sort -rate", "top --once --window 10s", "top -o json | jq '.items[0].growth'"),
)
def top(
    call: Call,
    selectors: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SELECTOR]...", help="Paths, globs or @STATE.", autocompletion=complete_paths),
    ] = None,
    window: Annotated[
        float,
        typer.Option(
            "--window", metavar="DURATION", parser=parse_duration, show_default="2s", help="What rates are taken over."
        ),
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One window, then end; so it is in a pipe.")] = False,
) -> Listing | None:
    """Show what the workers do: mailboxes, messages a second, processor, memory; those that need a look first.

    On a terminal it goes on until q. Keys: s sorts by the next column, / filters by path, p pauses.
    """
    chosen = [check_selector(selector) for selector in selectors or ()]
    with connect(call) as node:
        first = _look(node, chosen)
        if not once and call.output.terminal.is_tty and call.format in {Format.TABLE, Format.WIDE}:
            with key_reader() as keys:
                _show(call, node, chosen, first, window, keys)
            return None
        sleep(window)
        return _listing(first, _look(node, chosen))


def _show(call: Call, node: Node, chosen: Sequence[str], first: Look, window: float, keys: Keys) -> None:
    looks = deque([first])
    screen = Screen(call.choice.sort)
    call.output.out.write("\x1b[?25l")
    try:
        while not screen.is_done:
            call.output.out.write("\x1b[H\x1b[2J")
            for line in _lines(call, looks[0], looks[-1], screen):
                call.output.out.write(line + "\n")
            call.output.out.write(screen.foot)
            call.output.out.flush()
            for key in keys.wait(min(window, REFRESH)):
                screen.press(key)
            if not screen.is_paused and not screen.is_typing:
                looks.append(_look(node, chosen))
                while len(looks) > 2 and looks[1].at <= looks[-1].at - window:
                    looks.popleft()
    finally:
        call.output.out.write("\x1b[?25h\n")
        call.output.out.flush()


def _lines(call: Call, first: Look, last: Look, screen: Screen) -> Sequence[str]:
    terminal = call.output.terminal
    found = _listing(first, last)
    items = [row for row in found.items if screen.wanted in row.path]
    room = max(1, os.get_terminal_size(sys.stdout.fileno()).lines - 3) if terminal.is_tty else len(items)
    limit = min(room, call.choice.limit) if call.choice.limit is not None else room
    shown = ordered(structs.replace(found, items=items), screen.sort)
    header = last.header
    head = (
        f"{header.name}  {header.state}  ready {header.ready}/{header.total}  up {duration(header.uptime)}  "
        f"restarts {header.restarts}  {plural(len(items), 'worker')}, {min(limit, len(items))} shown, "
        f"over {duration(last.at - first.at)}"
    )
    return [head, *_fitting(shown[:limit], call.choice, terminal)]


def _fitting(items: Sequence[ActivityView], choice: Choice, terminal: Terminal) -> list[str]:
    """Return the table with as many columns as the terminal has room for."""
    columns = [column for column in COLUMNS if not choice.columns or column.key in choice.columns]
    plain = structs.replace(terminal, width=None, colored=False)
    for key in ("", *_DROPPED_FIRST):
        columns = [column for column in columns if column.key != key]
        lines = table(items, columns, plain)
        if terminal.width is None or all(cell_width(line) <= terminal.width for line in lines):
            break
    return table(items, columns, structs.replace(terminal, width=None))


def _look(node: Node, chosen: Sequence[str]) -> Look:
    view, found = chosen_nodes(node, chosen)
    return Look(monotonic(), view.header, tuple(found))


def _listing(first: Look, last: Look) -> Listing:
    rows = activity(first.nodes, last.nodes, last.at - first.at)
    return Listing("ActivityList", rows, COLUMNS, lambda row: str(row.path), last.header, "no workers match")
