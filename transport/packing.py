"""Untyped msgpack: plain data and envelopes to bytes and back, under limits, and envelopes joined to frames.

Everything here may be called on any thread.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Collection, Iterable
from typing import Any

import msgpack  # type: ignore[import-untyped]

from transport.envelope import VERSION, Envelope, Kind, to_row
from transport.errors import EncodingError, MalformedFrameError
from transport.limits import Limits, check

BATCH_MAX = 256
"""Envelopes that share a frame at most."""

_local = threading.local()


def pack(value: object) -> bytes:
    """Return plain data (None, bool, numbers, text, bytes, lists, tuples, maps with text keys) as msgpack.

    Raises:
        EncodingError: It holds something else, a lone surrogate, an integer beyond 64 bits or itself.
    """
    try:
        packer = _local.packer
    except AttributeError:
        packer = _local.packer = msgpack.Packer()
    try:
        return packer.pack(value)  # type: ignore[no-any-return]  # msgpack ships no types
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError) as error:
        packer.reset()
        raise EncodingError(type(value).__name__, why_not(error)) from None


def unpack(data: bytes, limits: Limits, *, is_bounded: bool = False) -> Any:
    """Return the plain data that `data` holds.

    Args:
        data: One msgpack value.
        limits: What is taken.
        is_bounded: The size alone bounds what decoding can cost (a small frame), or who wrote it is trusted not to
            make it cost more (a node that the reader has chosen and verified): the bytes are not walked first, which
            would cost more than decoding them. Long values are refused before they are made all the same.

    Raises:
        FrameTooLargeError, LimitExceededError: It is beyond `limits`.
        MalformedFrameError: It is not exactly one msgpack value of text-keyed maps, arrays and scalars.
    """
    if not is_bounded or len(data) > limits.max_frame_bytes:
        check(data, limits)
        return _decode(data, limits)
    try:
        return _decode(data, limits)
    except MalformedFrameError:
        check(data, limits)  # says which limit, where it was one
        raise


def _decode(data: bytes, limits: Limits) -> Any:
    try:
        return msgpack.unpackb(
            data,
            strict_map_key=True,
            max_str_len=limits.max_str_bytes,
            max_bin_len=limits.max_bin_bytes,
            max_array_len=limits.max_array_items,
            max_map_len=limits.max_map_items,
            max_ext_len=0,
        )
    except UnicodeDecodeError as error:
        raise MalformedFrameError(f"a text is no UTF-8: {error.reason} at its byte {error.start}") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedFrameError(f"no frame: {error or type(error).__name__}") from None


def pack_envelope(envelope: Envelope) -> bytes:
    """Return one envelope's bytes, to be joined into a frame by `join_frame`.

    Raises:
        EncodingError: A text of it holds a lone surrogate or a number is beyond 64 bits.
    """
    return pack(to_row(envelope))


def pack_run(target: str, type_name: str, messages: Collection[bytes]) -> bytes:
    """Return the RUN envelope of messages of one type for one actor, already packed, 1 to 65,535.

    Raises:
        EncodingError: A text holds a lone surrogate.
    """
    body = _array_head(len(messages)) + b"".join(messages)
    return b"".join((_head(5, Kind.RUN, target, type_name), _bytes_head(len(body)), body))


def pack_ask(target: str, type_name: str, payload: bytes, number: int, deadline: float | None) -> bytes:
    """Return the ASK envelope of a message, already packed; as `pack_envelope` would make it.

    Raises:
        EncodingError: A text holds a lone surrogate.
    """
    size = _bytes_head(len(payload))
    if deadline is None:
        return b"".join((_head(6, Kind.ASK, target, type_name), size, payload, pack(number)))
    head = _head(9, Kind.ASK, target, type_name)
    return b"".join((head, size, payload, pack(number), b"\xa0\x00", pack(deadline)))


def pack_answer(kind: Kind, payload: bytes, correlation: int) -> bytes:
    """Return the REPLY or ERROR envelope that answers the ask `correlation`; as `pack_envelope` would make it."""
    return b"".join((_head(8, kind, "", ""), _bytes_head(len(payload)), payload, b"\x00\xa0", pack(correlation)))


@functools.lru_cache(maxsize=4096)
def _head(fields: int, kind: Kind, target: str, type_name: str) -> bytes:
    """Return the first bytes of an envelope of so many fields, up to its payload."""
    return bytes((0x90 | fields, VERSION, kind)) + pack(target) + pack(type_name)


def _bytes_head(size: int) -> bytes:
    if size < 0x100:
        return bytes((0xC4, size))
    if size < 0x10000:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def _array_head(count: int) -> bytes:
    if not 0 < count < 65_536:
        raise ValueError(f"a frame holds 1 to 65,535 envelopes, and a run as many messages; got {count}")
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def run_length(payload: bytes) -> int:
    """Return how many messages a run says that it holds.

    Raises:
        MalformedFrameError: It is no run, or an empty one, or one of more than `BATCH_MAX`.
    """
    first = payload[0] if payload else 0
    count = first & 0x0F if 0x90 <= first <= 0x9F else int.from_bytes(payload[1:3], "big") if first == 0xDC else 0
    if not 0 < count <= BATCH_MAX:
        raise MalformedFrameError(f"a run is an array of 1 to {BATCH_MAX} messages")
    return count


def join_frame(envelopes: Collection[bytes]) -> bytes:
    """Return the frame of envelopes already packed, 1 to 65,535, without decoding them."""
    return _array_head(len(envelopes)) + b"".join(envelopes)


def join_map(head: dict[str, object], name: str, packed: bytes) -> bytes:
    """Return the map of `head`, up to 14 pairs, and one more pair, whose value is packed already.

    Raises:
        EncodingError: As `pack`.
        ValueError: `head` has more pairs.
    """
    if len(head) > 14:
        raise ValueError(f"a head has up to 14 pairs, got {len(head)}")
    data = pack(head)
    return b"".join((bytes((data[0] + 1,)), data[1:], pack(name), packed))


def pack_frame(envelopes: Iterable[Envelope]) -> bytes:
    """Return one frame of `envelopes`."""
    return join_frame([pack_envelope(e) for e in envelopes])


def why_not(error: Exception) -> str:
    """Return why a value could not be packed, for people."""
    if isinstance(error, UnicodeEncodeError):
        return f"a text holds a lone surrogate (\\u{ord(error.object[error.start]):04x} at its character {error.start})"
    if isinstance(error, OverflowError):
        return "an integer is beyond 64 bits (-2**63 to 2**64 - 1); send it as text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    return str(error) or type(error).__name__
