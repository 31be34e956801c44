"""What is wrong with a configuration: every fault with its place, what is wrong there and what would be right."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from actors.errors import ActorRuntimeError

SHOWN_LIMIT = 120
"""The longest piece of somebody's text repeated in a fault, in characters."""
MESSAGE_LIMIT = 500
"""The longest message of somebody else's error repeated in a fault, in characters."""


class Fault(Struct, frozen=True):
    """One thing wrong with the configuration.

    Attributes:
        file: The file it stands in, as the user named it; `environment ACTORS_…` or `flag --…` for values from there.
        line: Line in that file, counted from 1; 0 where there is no line.
        key: The key as one would write it, `actors."/io/gmail".restart`; "" for a whole file.
        message: What is wrong. Never holds a secret.
        hint: What would be right, or "".
        column: Column of a syntax error, counted from 1; 0 elsewhere.
    """

    file: str
    line: int
    key: str
    message: str
    hint: str = ""
    column: int = 0

    @property
    def place(self) -> str:
        """`actors.toml:12` or `actors.toml:12:7`; without a line just the file."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}:{self.column}" if self.column else place

    def __str__(self) -> str:
        text = f"{self.place}: {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"
        return f"{text} (hint: {self.hint})" if self.hint else text


class ConfigurationError(ActorRuntimeError, ValueError):
    """The configuration cannot be used; holds every fault found, ordered by file and line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(
            sorted(dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line, fault.column, fault.key))
        )
        count = len(self.faults)
        head = "1 fault in the configuration" if count == 1 else f"{count} faults in the configuration"
        super().__init__("\n".join([f"{head}:", *(f"  {fault}" for fault in self.faults)]))


def cut(text: str, limit: int = SHOWN_LIMIT) -> str:
    """Return `text` made safe to repeat in a fault: one line, printable, at most `limit` characters and a note."""
    short = text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short)


def hints(*parts: str) -> str:
    """Return several hints as one."""
    said = [part for part in parts if part]
    return "".join(part if part is said[-1] else part + (" " if part.endswith("?") else "; ") for part in said)
