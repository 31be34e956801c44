"""What the terminal on the other side of a stream can show: its width, colours and glyphs.

A pipe has no width: nothing is ever cut or wrapped for it. Colours follow `--color`, then `FORCE_COLOR`, `NO_COLOR`,
`TERM=dumb`, then whether the stream is a terminal; a colour is always doubled by a word or a glyph. Glyphs are ASCII
where the locale is not UTF-8. The locale is read from the environment, since Python itself works in UTF-8 under
`LANG=C` (PEP 538 and PEP 540) while the terminal does not.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import Final, TextIO

from msgspec import Struct


class ColorWhen(Enum):
    """When output is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Style(Enum):
    """What a colour says; never the only thing that says it."""

    GOOD = "32"
    WARNING = "33"
    BAD = "31"
    DIM = "2"
    STRONG = "1"


class Terminal(Struct, frozen=True, gc=False):
    """What one output stream can show.

    Attributes:
        width: Columns; None where nothing limits it (a pipe, a file).
        is_tty: Whether a person looks at it.
        colored: Whether escape sequences are written.
        unicode: Whether glyphs beyond ASCII are written.
        height: Lines; None as for `width`.
    """

    width: int | None = None
    is_tty: bool = False
    colored: bool = False
    unicode: bool = True
    height: int | None = None

    def paint(self, text: str, style: Style | None) -> str:
        """Return `text` in the colour of `style`, or as it is."""
        return f"\x1b[{style.value}m{text}\x1b[0m" if self.colored and style is not None and text else text

    def glyph(self, pretty: str, plain: str) -> str:
        """Return `pretty` where it can be shown, else `plain`."""
        return pretty if self.unicode else plain


SMALLEST_WIDTH: Final = 20


def detect(stream: TextIO, when: ColorWhen = ColorWhen.AUTO, environ: Mapping[str, str] = os.environ) -> Terminal:
    """Return what `stream` can show."""
    is_tty = stream.isatty()
    width = height = None
    if is_tty:
        width = max(SMALLEST_WIDTH, _asked(environ, "COLUMNS") or _size(stream).columns or 80)
        height = _asked(environ, "LINES") or _size(stream).lines or 24
    colored = is_colored(is_tty, when, environ)
    return Terminal(width, is_tty, colored, speaks_unicode(stream.encoding, environ), height)


def is_colored(is_tty: bool, when: ColorWhen, environ: Mapping[str, str]) -> bool:
    """Whether to colour; an explicit flag wins over the environment, `FORCE_COLOR` over `NO_COLOR`."""
    if when is not ColorWhen.AUTO:
        return when is ColorWhen.ALWAYS
    if environ.get("FORCE_COLOR", "") not in {"", "0"}:
        return True
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return is_tty


def speaks_unicode(encoding: str | None, environ: Mapping[str, str]) -> bool:
    """Whether glyphs can be written. `ACTORCTL_GLYPHS=ascii|unicode` overrides what the locale says."""
    chosen = environ.get("ACTORCTL_GLYPHS", "")
    if chosen:
        return chosen != "ascii"
    if (encoding or "").lower().replace("-", "") != "utf8":
        return False
    if os.name == "nt":
        return True
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    if environ.get("LC_CTYPE") == "C.UTF-8" and not environ.get("LC_ALL") and environ.get("LANG", "C") in _NO_LOCALE:
        return False  # Python itself put LC_CTYPE there (PEP 538): the terminal's locale is C
    return "utf8" in locale.lower().replace("-", "")


def open_missing() -> None:
    """Give each standard stream that was closed (`>&-`) the null device: what is written there is meant for nobody.

    Otherwise the next socket or file would get its number, and be written to by whatever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  # for good
        setattr(sys, name, stream)


def prepare(stream: TextIO) -> None:
    """Make `stream` write what its encoding lacks as backslash escapes instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def cell_width(text: str) -> int:
    """Return how many columns `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` filled with spaces to `width` columns; longer text stays whole."""
    fill = " " * max(0, width - cell_width(text))
    return fill + text if right else text + fill


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Break `text` at spaces into lines of at most `width` columns; a longer word stays whole."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if line and cell_width(indent + joined) > width:
            lines.append(indent + line)
            joined = word
        line = joined
    return [*lines, indent + line]


def cut(text: str, width: int) -> str:
    """Return `text` in one line of at most `width` columns, with `…` where it goes on."""
    if cell_width(text) <= width:
        return text
    kept, taken = [], 1
    for character in text:
        taken += cell_width(character)
        if taken > width:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _asked(environ: Mapping[str, str], name: str) -> int:
    chosen = environ.get(name, "")
    return int(chosen) if chosen.isdecimal() else 0


def _size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return os.terminal_size((0, 0))


def streams() -> tuple[TextIO, TextIO]:
    """Return stdout and stderr, prepared."""
    for stream in (sys.stdout, sys.stderr):
        prepare(stream)
    return sys.stdout, sys.stderr


_NO_LOCALE: Final = frozenset({"", "C", "POSIX"})
