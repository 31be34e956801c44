"""How an error that answers an ask crosses to the asker's process, so that the asker catches it as if it were local.

What crosses is the error's class by name, its arguments and attributes as far as they are plain data, its text and its
formatted traceback. The receiver makes an error of the same class again when that class is an `Exception` in a module
it has imported already; it never imports one and never runs the class's `__init__`. Otherwise, and for what cannot be
rebuilt, it is a `RemoteError` that names the class. Either way the far side's traceback is its `__cause__`.

Exit reasons cross as their records.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.exits import Crash, CrashRecord, ExitReason, ExitRecord, from_record, to_record
from transport.codec import name_of
from transport.errors import MalformedFrameError, TransportError

_ITEMS: Final = 16
_TEXT: Final = 10_000
_PLAIN: Final = (str, bytes, int, float, bool, type(None))


class Failure(Struct, frozen=True):
    """An error as it crosses.

    Attributes:
        type_name: Its class, `module:Class`.
        record: Class, text and traceback for people.
        args: Its arguments; None where one is no plain data.
        attributes: Those of its attributes that are plain data.
    """

    type_name: str
    record: CrashRecord
    args: tuple[Any, ...] | None = None
    attributes: dict[str, Any] = {}


class RemoteError(TransportError):
    """A handler in another process raised an error whose class is not known, or cannot be rebuilt, here.

    Attributes:
        type_name: The class, `module:Class`.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name


class RemoteTracebackError(TransportError):
    """Not raised: the cause of an error from another process, its text the traceback there."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}" if self.args else ""


def failure_of(error: BaseException) -> Failure:
    """Return `error` as it crosses. Formats its traceback."""
    reduced = error.__reduce__()  # an OSError keeps a part of its arguments only there
    args: Any = reduced[1] if isinstance(reduced, tuple) and reduced[0] is type(error) else error.args
    if len(args) > _ITEMS or not all(map(_is_plain, args)):
        args = None
    found = {name: value for name, value in vars(error).items() if not name.startswith("_") and _is_plain(value)}
    attributes = dict(list(found.items())[:_ITEMS])
    return Failure(name_of(type(error)), Crash(error).record, args, attributes)


def error_of(failure: Failure) -> Exception:
    """Return the error that `failure` describes, its `__cause__` the traceback of the other side."""
    error = _rebuilt(failure)
    if error is None:
        error = RemoteError(failure.type_name, failure.record.message)
    if failure.record.traceback:
        error.__cause__ = RemoteTracebackError(failure.record.traceback)
    return error


def encode_failure(error: BaseException) -> bytes:
    """Return `error` as the payload of an ERROR envelope."""
    return msgspec.msgpack.encode(failure_of(error))


_decoder: Final = msgspec.msgpack.Decoder(Failure)


def decode_failure(data: bytes) -> Exception:
    """Return the error that the payload of an ERROR envelope describes; bytes that are none give a `RemoteError`."""
    try:
        return error_of(_decoder.decode(data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as malformed:
        return RemoteError("?", f"an error that cannot be read: {malformed}")


_records: Final = msgspec.msgpack.Decoder(ExitRecord)


def encode_reason(reason: ExitReason) -> bytes:
    """Return `reason` as a payload. Formats its tracebacks."""
    return msgspec.msgpack.encode(to_record(reason))


def decode_reason(payload: bytes) -> ExitReason:
    """Return the reason that `payload` holds.

    Raises:
        MalformedFrameError: It holds none.
    """
    try:
        return from_record(_records.decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"payload is no exit record: {error}") from None


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _TEXT and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return isinstance(value, _PLAIN)


def _rebuilt(failure: Failure) -> Exception | None:
    kind = _class_of(failure.type_name)
    if kind is None or failure.args is None:
        return None
    try:
        error = kind.__new__(kind, *failure.args)
        if not error.args:  # an OSError's constructor would set them
            error.args = failure.args
        for name, value in failure.attributes.items():
            if name.isidentifier() and not name.startswith("_") and not hasattr(kind, name):
                setattr(error, name, value)
        str(error)
    except BaseException:  # whatever the class's own code makes of it
        return None
    return error


def _class_of(type_name: str) -> type[Exception] | None:
    module_name, _, qualified = type_name.partition(":")
    found: object = sys.modules.get(module_name)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if isinstance(found, type) and issubclass(found, Exception) and name_of(found) == type_name:
        return found
    return None
