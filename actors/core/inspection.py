"""What every actor answers without its author's doing: the view of its state that it allows others to see."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages import Message


class ViewState(Message[bytes], frozen=True):
    """Ask an actor for its `state_view()`; it is answered between two messages, as JSON.

    Values that JSON has no form for are given as their `repr`.
    """


def view_state(actor: Any, _message: ViewState) -> bytes:
    """Answer `ViewState`."""
    return msgspec.json.encode(actor.state_view(), enc_hook=repr)


def read_state(answer: bytes) -> dict[str, Any]:
    """Return the state view that `answer` holds."""
    return msgspec.json.decode(answer, type=dict[str, Any])
