"""What can be seen of every actor: the view of its state that it allows, and whether it rests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        except Exception:
            if not isinstance(view, dict):
                raise
            text = _as_json({str(name): _shown(value) for name, value in view.items()})
    except BaseException as error:  # `SystemExit` too
        text = _as_json({"error": _text(said(error))})
    return hidden(text).encode()


def _as_json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_repr).decode()


def _shown(value: object) -> object:
    """Return `value`, or why it cannot be shown, so that the others can."""
    if isinstance(value, str):
        return _text(value)
    try:
        _as_json(value)
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
    """Return the state view that `answer` holds."""
    return msgspec.json.decode(answer, type=dict[str, Any])


def has_room(ref: Any) -> bool:
    """Whether the mailbox of `ref` takes a message now. Any thread.

    True of an ended actor, which refuses at once, and of a ref without a mailbox of its own, which decides by itself.
    """
    queue = getattr(ref, "_queue", None)
    return queue is None or ref._limit < 0 or len(queue) < ref._limit
