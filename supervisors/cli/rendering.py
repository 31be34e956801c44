"""The one output layer: every reading command hands its answer here, and every format is made here.

    table   for people: aligned columns, the last one wrapped; on a narrow terminal one block a row; nothing is ever cut
    wide    the same with every column
    json    one document, `supervisors.views.documents`; written plainly, never through a layout library
    jsonl   one item a line; what streams print
    csv     the columns as raw values, ISO instants, a header line
    name    what identifies each item, one a line

Data goes to stdout, talk (notes, hints, progress, errors) to stderr.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, TextIO

from msgspec import Struct

from supervisors.cli.failures import CommandError, usage
from supervisors.cli.terminal import Style, Terminal, cell_width, pad, wrap
from supervisors.cli.texts import printable
from supervisors.views import ColumnView, HeaderView
from supervisors.views.base import plain

GAP = "  "
LAST_LEAST: Final = 30
"""Columns that the last cell of a row needs to be wrapped below itself; with fewer a row becomes a block of lines."""


class Format(Enum):
    """How an answer is written; see the module."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    NAME = "name"

    @property
    def is_json(self) -> bool:
        """Whether a program reads it as JSON."""
        return self in {Format.JSON, Format.JSONL}


class Column(Struct, frozen=True):
    """One column of a table.

    Attributes:
        key: What `--columns` and `--sort` call it.
        raw: The value for csv and sorting.
        show: The text for people; None shows `raw`.
        style: The colour of a cell.
        is_right: Numbers stand to the right.
        is_wide: Shown by `-o wide` and `--columns` only.
    """

    key: str
    raw: Callable[[Any], Any]
    show: Callable[[Any], str] | None = None
    style: Callable[[Any], Style | None] | None = None
    is_right: bool = False
    is_wide: bool = False

    def text(self, item: Any) -> str:
        """Return the cell for people; an empty one is "-"."""
        if self.show is not None:
            return self.show(item) or "-"
        value = self.raw(item)
        return "-" if value is None or value == "" else printable(str(value))


class Listing(Struct, frozen=True):
    """Many items of one kind.

    Attributes:
        kind: The document's kind.
        items: In their own order.
        columns: What can be shown of one.
        name: What identifies one, for `-o name`.
        header: The node that answered.
        nothing: What to say to people when there are no items.
        is_truncated: More matched than were asked for.
        sql_columns: For SQL answers.
        failure: Printed after the items; its exit code is the command's.
        hints: Next commands, for people.
    """

    kind: str
    items: Sequence[Any]
    columns: Sequence[Column]
    name: Callable[[Any], str]
    header: HeaderView | None = None
    nothing: str = ""
    is_truncated: bool = False
    sql_columns: tuple[ColumnView, ...] | None = None
    failure: CommandError | None = None
    hints: tuple[str, ...] = ()


class Page(Struct, frozen=True):
    """An answer whose table form is a page of its own: a tree, a description.

    Attributes:
        kind: The document's kind.
        items: What JSON shows.
        lines: The page for people, made for a terminal.
        name: What identifies an item.
        flat: The rows of csv and name where they are not `items` (a tree's nodes).
        columns: The columns of csv; none gives `field,value` rows.
        header: The node that answered.
        failure: Printed after the page; its exit code is the command's.
        hints: Next commands, for people.
    """

    kind: str
    items: Sequence[Any]
    lines: Callable[[Terminal], Iterable[str]]
    name: Callable[[Any], str]
    flat: Sequence[Any] | None = None
    columns: Sequence[Column] = ()
    header: HeaderView | None = None
    failure: CommandError | None = None
    hints: tuple[str, ...] = ()


class Choice(Struct, frozen=True):
    """How the user wants an answer written."""

    format: Format = Format.TABLE
    columns: tuple[str, ...] = ()
    sort: str = ""
    limit: int | None = None
    is_quiet: bool = False


class Output:
    """Writes answers to one stdout and talk to one stderr."""

    def __init__(self, out: TextIO, err: TextIO, terminal: Terminal, err_terminal: Terminal) -> None:
        self.out = out
        self.err = err
        self.terminal = terminal
        self.err_terminal = err_terminal

    def listing(self, listing: Listing, choice: Choice) -> None:
        """Write a listing.

        Raises:
            CommandError: `usage`: a column is unknown, or does not go with the format.
        """
        items = ordered(listing, choice.sort)
        is_truncated = listing.is_truncated
        if choice.limit is not None and len(items) > choice.limit:
            items, is_truncated = items[: choice.limit], True
        columns = chosen(listing.columns, choice)
        match choice.format:
            case Format.JSON:
                extra = {"node": listing.header, "columns": listing.sql_columns}
                self.json(_document(listing.kind, tuple(items), is_truncated=is_truncated, **extra))
            case Format.JSONL:
                for item in items:
                    self.json(plain(item), is_line=True)
            case Format.CSV:
                self.csv(*_rows(columns, items))
            case Format.NAME:
                self.lines(listing.name(item) for item in items)
            case Format.TABLE | Format.WIDE:
                self.lines(table(items, columns, self.terminal))
                if not items and listing.nothing and not is_truncated:
                    self.note(listing.nothing, choice)
        if is_truncated:
            self.note(f"only {len(items)} shown; --limit N shows more", choice)
        self._end(listing.hints, choice)

    def page(self, page: Page, choice: Choice) -> None:
        """Write a page.

        Raises:
            CommandError: `usage`: `--columns` does not go with the format.
        """
        flat = page.items if page.flat is None else page.flat
        match choice.format:
            case Format.JSON:
                self.json(_document(page.kind, tuple(page.items), node=page.header))
            case Format.JSONL:
                for item in page.items:
                    self.json(plain(item), is_line=True)
            case Format.CSV if page.columns:
                columns = chosen(page.columns, choice)
                self.csv(*_rows(columns, flat))
            case Format.CSV:
                self.csv(("field", "value"), *(row for item in page.items for row in _flatten(plain(item))))
            case Format.NAME:
                self.lines(page.name(item) for item in flat)
            case Format.TABLE | Format.WIDE:
                self.lines(page.lines(self.terminal))
        self._end(page.hints, choice)

    def json(self, value: Any, *, is_line: bool = False) -> None:
        """Write `value` as JSON: indented for a person's terminal, else on one line."""
        indent = 2 if self.terminal.is_tty and not is_line else None
        text = json.dumps(value, ensure_ascii=not self.terminal.unicode, indent=indent, allow_nan=False)
        self.out.write(text + "\n")

    def csv(self, *rows: Sequence[Any]) -> None:
        """Write rows as comma-separated values (RFC 4180, line feed)."""
        import csv

        writer = csv.writer(self.out, lineterminator="\n")
        writer.writerows([_csv_value(value) for value in row] for row in rows)

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines as they are."""
        for line in lines:
            self.out.write(line.rstrip() + "\n")

    def note(self, text: str, choice: Choice | None = None) -> None:
        """Say something to people on stderr; `--quiet` silences it."""
        self._say("", text, choice)

    def hint(self, text: str, choice: Choice | None = None) -> None:
        """Name the next command, to people, on stderr."""
        self._say(self.err_terminal.paint("hint:", Style.DIM) + " ", text, choice)

    def _say(self, head: str, text: str, choice: Choice | None) -> None:
        if choice is None or not choice.is_quiet:
            self.out.flush()
            self.err.write(f"{head}{printable(text, lines=True)}\n")

    def error(self, error: CommandError, format: Format) -> None:
        """Say what failed; under `-o json` and `-o jsonl` as a JSON document on one line of stderr."""
        self.out.flush()
        if format.is_json:
            text = json.dumps(_document("Error", (error.view(),)), ensure_ascii=not self.err_terminal.unicode)
            self.err.write(text + "\n")
            return
        self.err.write(f"{self.err_terminal.paint('error:', Style.BAD)} {printable(error.message, lines=True)}\n")
        if error.hint:
            self.err.write(f"{self.err_terminal.paint('hint:', Style.DIM)} {printable(error.hint, lines=True)}\n")

    def _end(self, hints: tuple[str, ...], choice: Choice) -> None:
        self.out.flush()
        if choice.format in {Format.TABLE, Format.WIDE}:
            for hint in hints:
                self.hint(hint, choice)


def table(items: Sequence[Any], columns: Sequence[Column], terminal: Terminal) -> list[str]:
    """Return the lines of a table; where it is wider than the terminal, one block of lines a row."""
    if not items:
        return []
    cells = [[column.text(item) for column in columns] for item in items]
    heads = [column.key.upper().replace("_", " ") for column in columns]
    widths = [max(cell_width(head), *(cell_width(row[i]) for row in cells)) for i, head in enumerate(heads)]
    hanging = " " * (sum(widths[:-1]) + len(GAP) * (len(widths) - 1))
    if terminal.width is not None and len(hanging) + widths[-1] > terminal.width:
        if terminal.width - len(hanging) < LAST_LEAST or columns[-1].is_right:
            return _blocks(items, columns, cells, terminal)
        widths[-1] = 0
    lines = [terminal.paint(_row(heads, widths, columns), Style.STRONG)]
    for item, row in zip(items, cells, strict=True):
        row[-1], *more = [row[-1]] if widths[-1] else hung(row[-1], terminal.width or 0, hanging)
        padded = [pad(cell, width, right=c.is_right) for cell, width, c in zip(row, widths, columns, strict=True)]
        painted = [terminal.paint(p, c.style(item)) if c.style else p for p, c in zip(padded, columns, strict=True)]
        lines.append(GAP.join(painted).rstrip())
        lines.extend(more)
    return lines


def hung(text: str, width: int, hanging: str) -> list[str]:
    """Return the lines of a last cell that starts `hanging` deep: the first without that indent, the others with it."""
    first, *more = wrap(text, width, hanging)
    return [first[len(hanging) :], *more]


def facts(pairs: Iterable[tuple[str, str]], terminal: Terminal, indent: str = "") -> list[str]:
    """Return aligned `key  value` lines; empty values are left out, long ones wrapped under themselves."""
    kept = [(key, value) for key, value in pairs if value]
    width = max((len(key) for key, _ in kept), default=0)
    lines: list[str] = []
    for key, value in kept:
        hanging = indent + " " * (width + len(GAP))
        parts = wrap(value, terminal.width, hanging) if terminal.width is not None else [hanging + value]
        lines.append(indent + pad(key, width) + GAP + parts[0][len(hanging) :])
        lines.extend(parts[1:])
    return lines


def _row(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    row = (pad(cell, width, right=c.is_right) for cell, width, c in zip(cells, widths, columns, strict=True))
    return GAP.join(row).rstrip()


def _blocks(
    items: Sequence[Any], columns: Sequence[Column], cells: Sequence[Sequence[str]], terminal: Terminal
) -> list[str]:
    assert terminal.width is not None
    lines: list[str] = []
    for item, row in zip(items, cells, strict=True):
        lines.append(terminal.paint(row[0], Style.STRONG))
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell == "-":
                continue
            first, *rest = wrap(f"{column.key.replace('_', ' ')} {cell}", terminal.width, "  ")
            style = column.style(item) if column.style else None
            lines.extend(terminal.paint(line, style) for line in (first, *rest))
    return lines


def chosen(columns: Sequence[Column], choice: Choice) -> list[Column]:
    """Return the columns to show.

    Raises:
        CommandError: `usage`: one is unknown, or `--columns` does not go with the format.
    """
    if not choice.columns:
        everything = choice.format in {Format.WIDE, Format.CSV}
        return [column for column in columns if everything or not column.is_wide]
    if choice.format.is_json or choice.format is Format.NAME:
        raise usage(
            f"--columns does not go with -o {choice.format.value}, which is always complete", "use -o csv or -o table"
        )
    return [_named(columns, key, "--columns") for key in choice.columns]


def _named(columns: Sequence[Column], key: str, option: str) -> Column:
    wanted = key.lower().replace("-", "_")
    for column in columns:
        if column.key == wanted:
            return column
    known = [column.key for column in columns]
    near = get_close_matches(wanted, known, n=1)
    there = f"there are {', '.join(known)}"
    raise usage(f"{option}: there is no column {key!r}", f"did you mean {near[0]}? {there}" if near else there)


def ordered(listing: Listing, sort: str) -> Sequence[Any]:
    """Return the items sorted by the column that `sort` names, "-" before it: descending; those without it last.

    Raises:
        CommandError: `usage`: there is no such column.
    """
    if not sort:
        return listing.items
    descending = sort.startswith("-")
    column = _named(listing.columns, sort.lstrip("-"), "--sort")
    present = [item for item in listing.items if column.raw(item) is not None]
    absent = [item for item in listing.items if column.raw(item) is None]
    try:
        present.sort(key=lambda item: _comparable(column.raw(item)), reverse=descending)
    except TypeError:
        present.sort(key=lambda item: str(column.raw(item)), reverse=descending)
    return [*present, *absent]


def _comparable(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _rows(columns: Sequence[Column], items: Sequence[Any]) -> list[list[Any]]:
    return [[column.key for column in columns], *([column.raw(item) for column in columns] for item in items)]


def _csv_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (Struct, dict, list, tuple, Enum)):
        found = plain(value)
        return found if isinstance(found, str) else json.dumps(found)
    return value


def _flatten(value: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flatten(inner, f"{key}[{number}]")
    else:
        yield key, value


def _document(kind: str, items: tuple[Any, ...], **fields: Any) -> dict[str, Any]:
    """Return a JSON document; the views of every command are loaded for it, which nothing else needs."""
    from supervisors.views.documents import document

    return document(kind, items, **fields)
