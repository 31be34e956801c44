"""A configuration that cannot be used: all its faults at once, and how they repeat what somebody wrote."""

from __future__ import annotations

from collections.abc import Iterable

from actors.errors import ActorRuntimeError
from supervisors.errors import Fault

SHOWN_LIMIT = 120
"""The longest piece of somebody's text repeated in a fault, in characters."""
MESSAGE_LIMIT = 500
"""The longest message of somebody else's error repeated in a fault, in characters."""


class ConfigurationError(ActorRuntimeError, ValueError):
    """The configuration cannot be used; holds every fault found, ordered by file and line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(
            sorted(
                dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line, fault.column, fault.path, fault.key)
            )
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
