"""Output that has no end: one item a line, written at once.

`json` and `jsonl` are both JSON Lines here, since an array that never closes is no use to a program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from supervisors.cli.rendering import GAP, LAST_LEAST, Choice, Column, Format, Output, chosen, hung
from supervisors.cli.terminal import Style, cell_width, pad, wrap
from supervisors.views.base import plain

WIDTHS: Final[Mapping[str, int]] = {
    "seq": 8,
    "at": 12,
    "severity": 8,
    "topic": 18,
    "path": 20,
    "type": 17,
    "state": 12,
    "level": 7,
}
"""Columns a stream's table sets aside: it cannot wait for the widest value. A longer value pushes its row aside."""


class Stream:
    """Writes items one by one in one format.

    Args:
        output: Where to.
        columns: What can be shown of an item.
        choice: The user's wishes.
        name: What identifies an item.
    """

    def __init__(self, output: Output, columns: Sequence[Column], choice: Choice, name: Any) -> None:
        self._output = output
        self._format = choice.format
        self._columns = chosen(columns, choice)
        self._name = name
        self._has_head = False

    def write(self, item: Any) -> None:
        """Write one item and flush."""
        match self._format:
            case Format.JSON | Format.JSONL:
                self._output.json(plain(item), is_line=True)
            case Format.CSV:
                self._head_of_csv()
                self._output.csv([column.raw(item) for column in self._columns])
            case Format.NAME:
                self._output.lines([self._name(item)])
            case Format.TABLE | Format.WIDE:
                self._output.lines(self._row(item))
        self._output.out.flush()

    def _head_of_csv(self) -> None:
        if not self._has_head:
            self._has_head = True
            self._output.csv([column.key for column in self._columns])

    def _row(self, item: Any) -> list[str]:
        terminal = self._output.terminal
        cells = [column.text(item) for column in self._columns]
        widths = [WIDTHS.get(column.key, 0) for column in self._columns]
        padded = [
            pad(cell, width, right=c.is_right) for cell, width, c in zip(cells, widths, self._columns, strict=True)
        ]
        line = GAP.join(padded).rstrip()
        below: list[str] = []
        if terminal.width is not None and cell_width(line) > terminal.width:
            hanging = " " * (cell_width(line) - cell_width(padded[-1].rstrip()))
            if terminal.width - len(hanging) < LAST_LEAST:
                first, *rest = wrap(GAP.join(cell for cell in cells if cell != "-"), terminal.width - 2)
                return [first, *(f"  {more}" for more in rest)]
            padded[-1], *below = hung(cells[-1], terminal.width, hanging)
        painted = [
            terminal.paint(p, c.style(item)) if c.style else p for p, c in zip(padded, self._columns, strict=True)
        ]
        lines = [GAP.join(painted).rstrip(), *below]
        if not self._has_head:
            self._has_head = True
            heads = [c.key.upper().replace("_", " ") for c in self._columns]
            head = GAP.join(pad(h, w, right=c.is_right) for h, w, c in zip(heads, widths, self._columns, strict=True))
            lines.insert(0, terminal.paint(head.rstrip(), Style.STRONG))
        return lines
