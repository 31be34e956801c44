"""The errors of transport: what a frame, a socket or a peer did wrong, each with its facts as attributes.

TransportError
  CodecError                 a frame or value that cannot be carried
    LimitExceededError       larger, deeper or longer than a stated limit
      FrameTooLargeError
    MalformedFrameError      not msgpack, cut short, or not of the expected shape
    VersionError             written by a version this side does not speak
    UnknownTypeError         a payload type the receiver does not accept
    EncodingError            a value msgpack cannot carry
  EndpointError              an address or directory that cannot serve as an endpoint
  OutboxFullError            more is waiting to be sent than the socket's bound
  SocketClosedError          the socket, or the thread that owns it, has ended
  PeerLostError              the other side is gone
  ControlError               a control command's failure, with code and hint
    UnreachableError         no node answered, and why
    AuthenticationError      the node refused this key
"""

from __future__ import annotations

from enum import StrEnum

from actors.errors import ActorRuntimeError


class TransportError(ActorRuntimeError):
    """Root of the errors raised by transport."""


class CodecError(TransportError, ValueError):
    """A frame or a value that cannot be carried; the subclasses say which and why."""


class LimitExceededError(CodecError):
    """Something is beyond a stated limit; nothing of it was decoded.

    Attributes:
        limit: Name of the limit, as in `codec.Limits`.
        value: What was found.
        allowed: The limit's value.
    """

    def __init__(self, limit: str, value: int, allowed: int, where: str = "") -> None:
        super().__init__(f"{limit}: {value:,} exceeds the limit of {allowed:,}{where}")
        self.limit = limit
        self.value = value
        self.allowed = allowed


class FrameTooLargeError(LimitExceededError):
    """A frame of more bytes than the receiver, or the wire, takes."""


class MalformedFrameError(CodecError):
    """A frame that is no msgpack, is cut short, has bytes left over, or has another shape than expected."""


class VersionError(CodecError):
    """A frame written by a version that this side does not speak.

    Attributes:
        found: The version in the frame.
        spoken: The version this side speaks.
    """

    def __init__(self, subject: str, found: int, spoken: int) -> None:
        super().__init__(f"{subject} version {found} is not spoken here; this side speaks version {spoken}")
        self.found = found
        self.spoken = spoken


class UnknownTypeError(CodecError):
    """A payload type that the receiver cannot, or will not, resolve."""

    def __init__(self, type_name: str, why: str) -> None:
        super().__init__(f"payload type {_shown(type_name)} refused: {why}")
        self.type_name = type_name
        self.why = why


class EncodingError(CodecError):
    """A value that msgpack cannot carry.

    Attributes:
        type_name: Class of the whole value, `module:Class`.
    """

    def __init__(self, type_name: str, why: str) -> None:
        super().__init__(f"{type_name} cannot be encoded: {why}")
        self.type_name = type_name
        self.why = why


class EndpointError(TransportError, ValueError):
    """An endpoint, or the directory for one, cannot be used; the text says what would be right."""


class OutboxFullError(TransportError, BufferError):
    """The socket's outbox is at its bound: the peer reads too slowly or is away. The message was not taken."""

    def __init__(self, socket: str, capacity: int) -> None:
        super().__init__(f"outbox of {socket} is full ({capacity:,} messages); the peer reads too slowly or is away")
        self.socket = socket
        self.capacity = capacity


class SocketClosedError(TransportError, RuntimeError):
    """The socket, or the reactor that owns it, is closed."""

    def __init__(self, socket: str) -> None:
        super().__init__(f"{socket} is closed")
        self.socket = socket


class PeerLostError(TransportError, ConnectionError):
    """The other side is gone; whether it handled what was sent is unknown."""

    def __init__(self, peer: str, why: str) -> None:
        super().__init__(f"{peer} is gone: {why}")
        self.peer = peer
        self.why = why


class ErrorCode(StrEnum):
    """The closed set of codes that a control command fails with."""

    FAILED = "failed"
    USAGE = "usage"
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"
    CONDITION = "condition"
    TIMEOUT = "timeout"
    CONFLICT = "conflict"
    INVALID = "invalid"
    PARTIAL = "partial"
    DENIED = "denied"
    INTERNAL = "internal"


class ControlError(TransportError):
    """A control command did not succeed.

    Attributes:
        code: One of `ErrorCode`; a code of a newer node that this side does not know is `ErrorCode.FAILED`.
        message: What happened, to which thing.
        hint: What to do about it, or "".
        result: What was achieved all the same (a partial result), or None.
    """

    def __init__(self, code: ErrorCode | str, message: str, hint: str = "", result: object = None) -> None:
        super().__init__(message)
        self.code = code if isinstance(code, ErrorCode) else _code(code)
        self.message = message
        self.hint = hint
        self.result = result


class UnreadableAnswerError(ControlError):
    """A node answered with something that this side cannot read: it is of another version."""


class UnreachableError(ControlError, ConnectionError):
    """No node answered.

    Attributes:
        why: `not running`, `stale`, `other user`, `unreadable` or `no answer`.
        looked_at: The file or endpoint that was tried.
    """

    def __init__(self, why: str, looked_at: str, message: str, hint: str = "") -> None:
        super().__init__(ErrorCode.UNREACHABLE, message, hint)
        self.why = why
        self.looked_at = looked_at


class AuthenticationError(ControlError, PermissionError):
    """The peer refused this key (or this side holds the wrong key of the peer)."""

    def __init__(self, endpoint: str, message: str, hint: str = "") -> None:
        super().__init__(ErrorCode.DENIED, message, hint)
        self.endpoint = endpoint


def _code(word: str) -> ErrorCode:
    try:
        return ErrorCode(word)
    except ValueError:
        return ErrorCode.FAILED


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else f"{text[:97]}...")
