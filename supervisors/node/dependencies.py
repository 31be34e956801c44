"""The kind of value that says what a node waits for before it starts."""

from __future__ import annotations

from typing import Annotated

from supervisors.node.awaiting import is_dependency
from supervisors.node.faults import cut
from supervisors.node.fields import ListOf, read_text, refuse


def _dependency(value: object) -> str:
    text = read_text(value)
    if not is_dependency(text):
        refuse(f"{cut(text)!r} is nothing that can be waited for", "tcp://host:port, unix:///socket or file:///path")
    return text


Dependencies = Annotated[tuple[str, ...], ListOf("list of addresses", _dependency)]
