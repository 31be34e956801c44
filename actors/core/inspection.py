"""What can be seen of every actor: the view of its state that it allows, and whether it rests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from actors.core.cell import Cell
from actors.exits import said
from actors.hiding import hidden
from actors.messages import Message


def resting(cells: Sequence[Cell | None]) -> list[int]:
    """Return for each actor how many messages it has handled, where it rests; -1 where it is at work; 0 for None.

    An actor rests while nothing waits in its mailbox, nothing is in hand, and the mailbox was never full. While that
    number stays as it is, so does everything that `statistics` counts; it costs a fraction of them to ask.
    """
    return [
        0
        if cell is None
        else cell._handled
        if cell._handling is None and not cell._queue and cell._pressure is None
        else -1
        for cell in cells
    ]


LENGTH_LIMIT: Final = 1024 * 1024
"""Characters of JSON that a state view may have; a longer one loses its longest values."""
VALUE_LIMIT: Final = 64 * 1024
"""Characters of one value of a view that is too long."""
DEPTH_LIMIT: Final = 8
"""Containers inside one another that are shown of a value."""


class ViewState(Message[bytes], frozen=True):
    """Ask an actor for its `state_view()`; it is answered between two messages, as JSON.

    Values that JSON has no form for are given as their `repr`. A view that raises, or cannot be shown, is no crash.
    """


def view_state(actor: Any, _message: ViewState) -> bytes:
    """Answer `ViewState`: with what went wrong where the view cannot be had, for looking at an actor ends none."""
    try:
        view = actor.state_view()
        try:
            text = _as_json(view)
            if not text.startswith("{"):
                raise TypeError(f"state_view() returned {type(view).__name__}, not a dict")
            if len(text) > LENGTH_LIMIT:
                raise ValueError(f"{len(text):,} characters are too many to be shown")
        except Exception:
            if not isinstance(view, dict):
                raise
            text = _as_json({str(name): _shown(value) for name, value in view.items()})
            if len(text) > LENGTH_LIMIT:
                raise
    except BaseException as error:  # `SystemExit` too
        text = _as_json({"error": _text(said(error))})
    return hidden(text).encode()


def _as_json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_repr).decode()


def _shown(value: object) -> object:
    """Return `value`, or why it cannot be shown, so that the others can."""
    value = _text(value) if isinstance(value, str) else value
    try:
        if (length := len(_as_json(value))) > VALUE_LIMIT:
            raise ValueError(f"{length:,} characters are too many")
    except Exception as error:
        return f"<cannot be shown: {_text(said(error))}>"
    return value


def _repr(value: object) -> str:
    try:
        return _text(repr(value))
    except BaseException as error:  # the value's own code
        return f"<cannot be shown: {_text(said(error))}>"


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def read_state(answer: bytes) -> dict[str, Any]:
    """Return the state view that `answer` holds, as any reader can take it.

    An integer beyond 64 bits is a text here; what is more than `DEPTH_LIMIT` containers deep is left out.
    """
    return {name: _plain(value, 1) for name, value in msgspec.json.decode(answer, type=dict[str, Any]).items()}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if not isinstance(value, dict | list):
        return value
    if depth > DEPTH_LIMIT:
        return "…"
    if isinstance(value, dict):
        return {name: _plain(inner, depth + 1) for name, inner in value.items()}
    return [_plain(inner, depth + 1) for inner in value]


def has_room(ref: Any) -> bool:
    """Whether the mailbox of `ref` takes a message now. Any thread.

    True of an ended actor, which refuses at once, and of a ref without a mailbox of its own, which decides by itself.
    """
    queue = getattr(ref, "_queue", None)
    return queue is None or ref._limit < 0 or len(queue) < ref._limit
