"""Where each key of a TOML text stands: the line numbers that `tomllib` does not keep.

`index_positions` walks the text once and notes the line and column of every table header, key and array item under
the path its value has in the parsed document: `("actors", "/io/gmail", "restart")`, `("include", 0)`. It judges
nothing: `tomllib` decides what is valid, and a walk over invalid text ends quietly where it no longer understands. The
one thing it refuses is nesting beyond `DEPTH_LIMIT`, which it can do safely because it is run before the parser.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Final

from msgspec import Struct

from actors.errors import ActorRuntimeError

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of a document down to a value."""

DEPTH_LIMIT: Final = 16
"""The deepest nesting taken: tables, lists and dotted keys count one each."""

_BLANK: Final = re.compile(r"[ \t]*")
_FILLER: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_LONG_BASIC: Final = re.compile(r'"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}')
_LONG_LITERAL: Final = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")
_SCALAR: Final = re.compile(r"[^,\]}\n#]+")


class Position(Struct, frozen=True, gc=False):
    """A place in a text: line and column, both counted from 1."""

    line: int
    column: int


class NestingError(ActorRuntimeError, ValueError):
    """A text nests deeper than `DEPTH_LIMIT`."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"nested deeper than {DEPTH_LIMIT} levels at line {position.line}")
        self.position = position


class Positions:
    """The places of one document's keys."""

    def __init__(self, places: Mapping[KeyPath, Position]) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, path: KeyPath) -> bool:
        return path in self._places

    def nearest(self, path: KeyPath) -> Position:
        """Return the place of `path`, or of the closest enclosing key that the text holds; line 1 if there is none."""
        for end in range(len(path), 0, -1):
            place = self._places.get(path[:end])
            if place is not None:
                return place
        return Position(1, 1)


def index_positions(text: str) -> Positions:
    """Return where each key of `text` stands.

    Raises:
        NestingError: The text nests deeper than `DEPTH_LIMIT`.
    """
    walk = _Walk(text)
    with suppress(_LostError):  # invalid text: tomllib names the place; what was seen until here stays useful
        walk.document()
    return Positions(walk.places)


class _LostError(Exception):
    """The walk met text that is not TOML."""


class _Walk:
    """One pass over a text; `_at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.places: dict[KeyPath, Position] = {}
        self._text = text
        self._at = 0
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._repeats: dict[KeyPath, int] = {}  # arrays of tables: how many items so far

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self._match(_FILLER)
            if self._at >= len(self._text):
                return
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        start = self._at
        repeated = self._text.startswith("[[", self._at)
        self._at += 2 if repeated else 1
        self._match(_BLANK)
        path: KeyPath = ()
        names = self._key()
        for name in names:
            self._check_depth(path, start)
            path = (*path, name)
            self._note(path, start)
            if path in self._repeats and not (repeated and len(path) == len(names)):
                path = (*path, self._repeats[path] - 1)
        if repeated:
            base = path
            number = self._repeats.get(base, 0)
            self._repeats[base] = number + 1
            path = (*base, number)
            self._note(path, start)
        self._expect("]]" if repeated else "]")
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for name in self._key():
            self._check_depth(path, start)
            path = (*path, name)
            self._note(path, start)
        self._expect("=")
        self._match(_BLANK)
        self._value(path)

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            quoted = _QUOTED.match(self._text, self._at)
            bare = quoted or _BARE.match(self._text, self._at)
            if bare is None:
                raise _LostError
            self._at = bare.end()
            names.append(_unquoted(bare.group()) if quoted else bare.group())
            self._match(_BLANK)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1
            self._match(_BLANK)

    def _value(self, path: KeyPath) -> None:
        self._check_depth(path[:-1], self._at)
        text, at = self._text, self._at
        if text.startswith("[", at):
            self._array(path)
        elif text.startswith("{", at):
            self._inline_table(path)
        else:
            for kind in (_LONG_BASIC, _LONG_LITERAL, _QUOTED, _SCALAR):
                found = kind.match(text, at)
                if found is not None:
                    self._at = found.end()
                    return
            raise _LostError

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        for number in count():
            self._match(_FILLER)
            if self._text.startswith("]", self._at):
                break
            item = (*path, number)
            self._note(item, self._at)
            self._value(item)
            self._match(_FILLER)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._match(_FILLER)
        while not self._text.startswith("}", self._at):
            self._pair(path)
            self._match(_FILLER)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
            self._match(_FILLER)
        self._expect("}")

    def _match(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _expect(self, what: str) -> None:
        self._match(_BLANK)
        if not self._text.startswith(what, self._at):
            raise _LostError
        self._at += len(what)

    def _note(self, path: KeyPath, offset: int) -> None:
        if path not in self.places:
            self.places[path] = self._position(offset)

    def _check_depth(self, above: KeyPath, offset: int) -> None:
        if len(above) >= DEPTH_LIMIT:
            raise NestingError(self._position(offset))

    def _position(self, offset: int) -> Position:
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


def _unquoted(key: str) -> str:
    if "\\" not in key:
        return key[1:-1]
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _LostError from None
