"""The envelope: what travels with a message between two processes, as a value and in its wire shape.

On the wire an envelope is a msgpack array; a frame is an array of one or more envelopes, so that messages that queued
up together share a frame. Positions are fixed, later versions of the protocol only append to them:

    0 version | 1 kind | 2 target | 3 type_name | 4 payload | 5 id | 6 sender | 7 correlation | 8 deadline | 9 trace

Trailing positions that hold their default are left out: a tell has five. A receiver ignores positions it does not know
and refuses a `version` it does not speak. The payload is opaque bytes here: whoever routes an envelope need not
understand it. Bytes come and go in `codec`; this module knows no msgpack.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Struct

from transport.errors import MalformedFrameError, VersionError

VERSION = 1


class Kind(IntEnum):
    """What an envelope asks of its receiver. Numbers are never reused."""

    TELL = 1
    """Deliver `payload` to `target`."""
    ASK = 2
    """Deliver, and answer with REPLY or ERROR whose `correlation` is this `id`, within `deadline`."""
    REPLY = 3
    """The answer to the ask `correlation`."""
    ERROR = 4
    """The ask `correlation` failed; the payload is the error."""
    DOWN = 5
    """The actor `sender`, monitored under `correlation`, ended; the payload is an exit record."""
    SYSTEM = 6
    """For the runtime at `target` (start, ready, stop, suspend, ...); the payload's type says what."""
    MONITOR = 7
    """Watch `target`; its end is to be told by DOWN whose `correlation` is this `id`."""
    DEMONITOR = 8
    """Forget the monitor `correlation`."""
    LINK = 9
    """Share fate between `sender` and `target`."""
    UNLINK = 10
    """End the link between `sender` and `target`."""
    SIGNAL = 11
    """An exit signal for `target` from `sender`; the payload is an exit record."""
    HEARTBEAT = 12
    """The sender's process is alive; the payload may hold its measurements."""
    CANCEL = 13
    """Whoever asked `correlation` no longer waits."""
    EVENT = 14
    """An event of the sender's process, for the receiver's bus."""
    RUN = 15
    """Tells of one type for `target`, in order: the payload is an array of their payloads."""


class Envelope(Struct, frozen=True, gc=False, array_like=True):
    """One message between processes.

    Attributes:
        version: Version of the envelope protocol.
        kind: What is asked of the receiver.
        target: Path of the actor it is for; "" for the peer's runtime.
        type_name: Type of the payload, `module:Class`; "" where the kind or the ask determines it.
        payload: The encoded message.
        id: Number the sender gave it, unique on its connection, from 1; 0: nothing will refer to it.
        sender: Path of the actor that sent it, or "".
        correlation: The `id` of the envelope this one answers or cancels; 0: none.
        deadline: Seconds the sender still waits, counted from sending, so clocks need not agree; None: no limit.
        trace: Trace context as in W3C `traceparent`, or "".
    """

    version: int
    kind: Kind
    target: str = ""
    type_name: str = ""
    payload: bytes = b""
    id: int = 0
    sender: str = ""
    correlation: int = 0
    deadline: float | None = None
    trace: str = ""


def envelope(
    kind: Kind,
    target: str = "",
    type_name: str = "",
    payload: bytes = b"",
    *,
    id: int = 0,
    sender: str = "",
    correlation: int = 0,
    deadline: float | None = None,
    trace: str = "",
) -> Envelope:
    """Return an envelope of the version spoken here."""
    return Envelope(VERSION, kind, target, type_name, payload, id, sender, correlation, deadline, trace)


def to_row(e: Envelope) -> list[Any]:
    """Return the wire array of `e`, without trailing defaults."""
    if not (e.id or e.sender or e.correlation or e.deadline is not None or e.trace):
        return [e.version, e.kind, e.target, e.type_name, e.payload]
    row = [
        *(e.version, e.kind, e.target, e.type_name, e.payload),
        *(e.id, e.sender, e.correlation, e.deadline, e.trace),
    ]
    for default in ("", None, 0, ""):
        if row[-1] != default or row[-1].__class__ is not default.__class__:
            break
        row.pop()
    return row


def from_rows(rows: object) -> list[Envelope]:
    """Return the envelopes of one decoded frame.

    Raises:
        VersionError: One is of a version not spoken here.
        MalformedFrameError: The frame is empty or one of its envelopes has another shape.
    """
    if type(rows) is not list or not rows:
        raise MalformedFrameError(f"a frame is an array of at least one envelope, this is {_kind_of(rows)}")
    for at, row in enumerate(rows):
        if type(row) is not list or not row:
            raise MalformedFrameError(f"envelope {at} of the frame is {_kind_of(row)}, not an array")
        version = row[0]
        if type(version) is not int:
            raise MalformedFrameError(f"envelope {at} of the frame has {_kind_of(version)} for a version")
        if version != VERSION:
            raise VersionError("envelope", version, VERSION)
    try:
        found = msgspec.convert(rows, list[Envelope])
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"frame of {len(rows)} envelopes: {error}") from None
    return found


def _kind_of(value: object) -> str:
    if isinstance(value, list | dict | str | bytes) and not value:
        return f"an empty {type(value).__name__}"
    return f"a {type(value).__name__}"
