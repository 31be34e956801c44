"""Control RPC: what a client and a node say to each other, as types, and their bytes.

A client connects a DEALER (a REQ will do for calls) to the node's ROUTER. Every message is one msgpack map:

    client                                            node
      Call {kind: call, id, command, args, ...}  -->
                                                 <--  Response {id, ok: true, result}
                                                 or   Response {id, ok: false, error: {code, message, hint}}

A call that carries `credit` is answered by a stream: at most that many parts, then more as the client grants more.

      Call {..., credit: 64}                     -->
                                                 <--  Response {id, ok, result, more: true, part: 1}
      Credit {kind: credit, id, credit: 32}      -->
      Cancel {kind: cancel, id}                  -->
                                                 <--  Response {id, ok, result}     the last one, `more` is false

`key` makes a command safe to send again: the node carries it out once and answers every try with the same outcome.
`deadline` is in seconds left, so clocks need not agree. Every map carries `v`, the version of this protocol; unknown
keys are ignored and other versions are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from transport.codec import join_map, pack, unpack
from transport.errors import ControlError, ErrorCode, MalformedFrameError, VersionError
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS, Limits

VERSION: Final = 1
ID_LIMIT: Final = 64
TEXT_LIMIT: Final = 1_000

KEEPALIVE: Final = 5.0
"""Seconds after which each side of a stream says that it is still there: the reader by credit, of 0 if need be."""


class Request(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="call"):
    """A command.

    Attributes:
        id: The client's name for this call; unique on its connection, at most 64 characters.
        command: What to do.
        args: Its arguments: plain data.
        deadline: Seconds the client still waits; None leaves it to the node.
        caller: On the client's side, what it calls itself; on the node's, who it was found to be (and calls itself).
        reason: Why, in the words of whoever asked; kept in the audit.
        key: Idempotency key, or "".
        credit: 0 for a call; else how many parts of a streamed answer the client takes for now.
        v: Version of the protocol.
    """

    id: str
    command: str
    args: dict[str, Any] = {}
    deadline: float | None = None
    caller: str = ""
    reason: str = ""
    key: str = ""
    credit: int = 0
    v: int = VERSION


class Credit(Struct, frozen=True, tag_field="kind", tag="credit"):
    """The client takes `credit` further parts of the stream `id`, and is still there."""

    id: str
    credit: int
    v: int = VERSION


class Cancel(Struct, frozen=True, tag_field="kind", tag="cancel"):
    """The client no longer wants the answer to `id`."""

    id: str
    v: int = VERSION


ClientMessage = Request | Credit | Cancel


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    """Why a command failed: a code (`ErrorCode`), one sentence of what happened, and what to do about it."""

    code: str
    message: str
    hint: str = ""


class Response(Struct, frozen=True, omit_defaults=True):
    """An answer, or a part of one.

    Attributes:
        id: The call it answers; "" where the node could not read one.
        ok: Whether the command succeeded (so far).
        result: Plain data; beside an error, what was achieved all the same. A node may give it packed already, as
            `msgspec.Raw`; a client may have it read as a type.
        error: Why not, where `ok` is false.
        more: Whether parts follow.
        part: Number of this part of a stream, from 1; 0 for a whole or final answer, and with `more` for a mere sign of
            life.
        v: Version of the protocol.
    """

    id: str
    ok: bool
    result: Any = None
    error: ErrorBody | None = None
    more: bool = False
    part: int = 0
    v: int = VERSION

    def value(self, kind: Any = Any) -> Any:
        """Return the result; one that is still packed is read as a `kind`.

        Raises:
            ControlError: The command failed.
            MalformedFrameError: The result is no `kind`.
        """
        if self.ok:
            return self.result if type(self.result) is not Raw else _unpacked(self.result, kind)
        error = self.error or ErrorBody(ErrorCode.INTERNAL, "the node gave no reason")
        raise ControlError(error.code, error.message, error.hint, self.result)


def encode_message(message: ClientMessage) -> bytes:
    """Return the bytes of what a client says.

    Raises:
        EncodingError: Its arguments hold something that is no plain data.
    """
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return pack({"kind": message.__struct_config__.tag, **fields})


def decode_message(data: bytes, limits: Limits = REQUEST_LIMITS) -> ClientMessage:
    """Return what a client said.

    Raises:
        LimitExceededError, MalformedFrameError, VersionError: It cannot be read; see `codec.unpack`.
    """
    body = _body(data, limits)
    try:
        message: ClientMessage = msgspec.convert(body, ClientMessage)
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"no control message: {error}") from None
    texts = {"id": message.id}
    if isinstance(message, Request):
        texts |= {"command": message.command, "caller": message.caller, "reason": message.reason, "key": message.key}
        if message.deadline is not None and not 0 <= message.deadline < 1e9:
            raise MalformedFrameError(f"no control message: deadline is seconds from 0, got {message.deadline}")
        if not message.command:
            raise MalformedFrameError("no control message: the command is empty")
    for name, text in texts.items():
        if len(text) > (ID_LIMIT if name in {"id", "command"} else TEXT_LIMIT):
            raise MalformedFrameError(f"no control message: {name} is longer than allowed ({len(text):,} characters)")
    if not isinstance(message, Cancel) and not 0 <= message.credit <= 1_000_000:
        raise MalformedFrameError(f"no control message: credit is 0 to 1,000,000, got {message.credit}")
    return message


def id_in(data: bytes, limits: Limits = REQUEST_LIMITS) -> str:
    """Return the id of a message that could not be taken, as far as it can be read; else ""."""
    try:
        found = _body(data, limits, any_version=True).get("id", "")
    except ValueError:
        return ""
    return found if isinstance(found, str) and len(found) <= ID_LIMIT else ""


def encode_response(response: Response) -> bytes:
    """Return the bytes of an answer.

    Raises:
        EncodingError: Its result holds something that is no plain data.
    """
    head: dict[str, Any] = {"v": response.v, "id": response.id, "ok": response.ok}
    if response.error is not None:
        head["error"] = msgspec.to_builtins(response.error)
    if response.more:
        head |= {"part": response.part, "more": True}
    result = response.result
    return join_map(head, "result", bytes(result) if type(result) is Raw else pack(result))


def decode_response(data: bytes, limits: Limits = RESPONSE_LIMITS, *, is_packed: bool = False) -> Response:
    """Return an answer of a node that the reader has chosen and verified.

    Args:
        data: Its bytes.
        limits: What is taken.
        is_packed: Leave the result of a command that succeeded packed, as `msgspec.Raw`, for `Response.value`.

    Raises:
        LimitExceededError, MalformedFrameError, VersionError: It cannot be read; see `codec.unpack`.
    """
    if is_packed and len(data) <= limits.max_frame_bytes:
        found = _success(data)
        if found is not None:
            return found
    body = _body(data, limits, is_bounded=True)
    result = body.pop("result", None)
    try:
        return msgspec.structs.replace(msgspec.convert(body, Response), result=result)
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"no control response: {error}") from None


class _Success(Struct):
    """The answer to a call that succeeded."""

    id: str
    ok: bool
    result: Raw = Raw(b"\xc0")
    more: bool = False
    part: int = 0
    v: int = VERSION


_successes = msgspec.msgpack.Decoder(_Success)


def _success(data: bytes) -> Response | None:
    """Return the answer with its result packed; None for what is no success, or no answer at all."""
    try:
        found = _successes.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not found.ok or found.v != VERSION:
        return None
    return Response(found.id, True, found.result, None, found.more, found.part)


def _unpacked(result: Raw, kind: Any) -> Any:
    try:
        return _decoder(kind).decode(result)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedFrameError(f"no {getattr(kind, '__name__', kind)}: {error}") from None
    except RecursionError:
        raise MalformedFrameError(f"no {getattr(kind, '__name__', kind)}: nested too deeply") from None


@lru_cache(maxsize=64)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def failure(id: str, code: ErrorCode | str, message: str, hint: str = "", result: Any = None) -> Response:
    """Return the response that says that a command failed."""
    return Response(id, False, result, ErrorBody(str(code), message, hint))


def _body(data: bytes, limits: Limits, *, any_version: bool = False, is_bounded: bool = False) -> dict[str, Any]:
    body = unpack(data, limits, is_bounded=is_bounded)
    if not isinstance(body, Mapping):
        raise MalformedFrameError(f"a control message is a map, this is a {type(body).__name__}")
    version = body.get("v", VERSION)
    if type(version) is not int:
        raise MalformedFrameError(f"no control message: v is a number, got a {type(version).__name__}")
    if version != VERSION and not any_version:
        raise VersionError("control protocol", version, VERSION)
    return dict(body)
