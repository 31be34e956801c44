"""What a receiver takes of untyped msgpack, and the check that refuses the rest before anything is decoded.

`check` walks the bytes without building a value and without recursion: what is too big, too deep, too long, cut short
or left over is refused with the limit's name and the value found. Its work is bounded by `max_items`, so hostile bytes
cannot hold the thread that owns a socket.
"""

from __future__ import annotations

from msgspec import Struct

from transport.errors import FrameTooLargeError, LimitExceededError, MalformedFrameError


class Limits(Struct, frozen=True, gc=False):
    """What a receiver takes. A frame beyond any of these is refused before it is decoded.

    Attributes:
        max_frame_bytes: Size of a whole frame.
        max_depth: Containers inside one another; the outermost counts as 1.
        max_items: Values in a frame in all, containers and keys included.
        max_str_bytes: Length of one text, in UTF-8.
        max_bin_bytes: Length of one byte string; bounds the payload of an envelope.
        max_array_items: Length of one array; bounds the envelopes of a frame.
        max_map_items: Pairs of one map.
        takes_instants: Whether msgpack's timestamps are taken, which instants in typed payloads are; any other
            extension never is.
    """

    max_frame_bytes: int = 16 * 1024 * 1024
    max_depth: int = 16
    max_items: int = 100_000
    max_str_bytes: int = 1024 * 1024
    max_bin_bytes: int = 16 * 1024 * 1024
    max_array_items: int = 65_536
    max_map_items: int = 65_536
    takes_instants: bool = False


WIRE_LIMITS = Limits(max_depth=2, max_str_bytes=4096)
"""For frames of envelopes: an array of flat arrays, whose texts are paths and type names."""

REQUEST_LIMITS = Limits(
    max_frame_bytes=1024 * 1024,
    max_items=50_000,
    max_bin_bytes=1024 * 1024,
    max_array_items=10_000,
    max_map_items=1_000,
)
"""For control requests."""

RESPONSE_LIMITS = Limits(
    max_frame_bytes=64 * 1024 * 1024,
    max_items=5_000_000,
    max_str_bytes=16 * 1024 * 1024,
    max_bin_bytes=64 * 1024 * 1024,
    max_array_items=1_000_000,
    max_map_items=1_000_000,
)
"""For what a client reads from a node it has chosen and verified."""


def check(data: bytes, limits: Limits) -> None:
    """Refuse `data` unless it is exactly one msgpack value within `limits`. Builds nothing, recurses nowhere.

    Raises:
        FrameTooLargeError: More bytes than `max_frame_bytes`.
        LimitExceededError: Too deep, too many values, or one too long.
        MalformedFrameError: Cut short, bytes left over, an extension type or the code that msgpack never uses.
    """
    size = len(data)
    if size > limits.max_frame_bytes:
        raise FrameTooLargeError("max_frame_bytes", size, limits.max_frame_bytes)
    if size == 0:
        raise MalformedFrameError("the frame is empty")
    open_containers: list[int] = []  # values still expected in each container around the current one
    left = 1  # values still expected in the innermost
    at = items = 0
    budget, depth_limit = limits.max_items, limits.max_depth
    steps = _STEP if limits.max_str_bytes >= 31 else _STEP_WITHOUT_TEXT
    while True:
        while left == 0:
            if not open_containers:
                if at < size:
                    raise MalformedFrameError(f"{size - at:,} bytes are left over after the value")
                return
            left = open_containers.pop()
        if at >= size:
            raise MalformedFrameError(f"cut short: {size:,} bytes and more expected")
        left -= 1
        items += 1
        if items > budget:
            raise LimitExceededError("max_items", items, budget)
        code = data[at]
        step = steps[code]
        if step > 0:  # a scalar of known size; most texts and numbers
            at += step
            if at > size:
                raise MalformedFrameError(f"cut short: a value ends {at - size:,} bytes beyond the frame's {size:,}")
            continue
        at, count = _long(data, at, code, size, limits)
        if count >= 0:
            open_containers.append(left)
            left = count
            if len(open_containers) > depth_limit:
                raise LimitExceededError("max_depth", len(open_containers), depth_limit)


def _long(data: bytes, at: int, code: int, size: int, limits: Limits) -> tuple[int, int]:
    """Step over one text, byte string, instant or container head: the next position, and a container's values or -1."""
    if code < 0xA0:
        length, is_map = code & 0x0F, code < 0x90
        kind = "max_map_items" if is_map else "max_array_items"
        if length > getattr(limits, kind):
            raise LimitExceededError(kind, length, getattr(limits, kind), f" (at byte {at:,})")
        return at + 1, 2 * length if is_map else length
    if code < 0xC0:  # a short text, where even those are limited
        if (length := code & 0x1F) > limits.max_str_bytes:
            raise LimitExceededError("max_str_bytes", length, limits.max_str_bytes, f" (at byte {at:,})")
        if length >= size - at:
            raise MalformedFrameError(f"cut short inside a text at byte {at:,}")
        return at + 1 + length, -1
    try:
        width, kind = _HEADS[code]
    except KeyError:
        for head, whole in _INSTANTS if limits.takes_instants else ():
            if data.startswith(head, at):
                if at + whole > size:
                    raise MalformedFrameError(f"cut short inside an instant at byte {at:,}") from None
                return at + whole, -1
        what = "the code msgpack never uses" if code == 0xC1 else "an extension type"
        raise MalformedFrameError(f"byte {at:,} is {what} (0x{code:02x})") from None
    body = at + 1 + width
    if body > size:
        raise MalformedFrameError(f"cut short inside a length at byte {at:,}")
    length = int.from_bytes(data[at + 1 : body], "big")
    allowed: int = getattr(limits, kind)
    if length > allowed:
        raise LimitExceededError(kind, length, allowed, f" (at byte {at:,})")
    if kind == "max_map_items":
        length *= 2
    if length > size - body:  # each value takes a byte at least
        raise MalformedFrameError(f"cut short: {length:,} announced at byte {at:,}, {size - body:,} bytes follow")
    if kind == "max_array_items" or kind == "max_map_items":
        return body, length
    return body + length, -1


def _scalar_steps() -> list[int]:
    steps = [0] * 256
    for code in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):
        steps[code] = 1
    for code in range(0xA0, 0xC0):
        steps[code] = 1 + (code & 0x1F)
    for code, width in ((0xCA, 4), (0xCB, 8), (0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        steps[code] = 1 + width
    for code, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        steps[code] = 1 + width
    return steps


_STEP = _scalar_steps()
_STEP_WITHOUT_TEXT = [0 if 0xA0 <= code < 0xC0 else step for code, step in enumerate(_STEP)]
_HEADS = {
    0xC4: (1, "max_bin_bytes"),
    0xC5: (2, "max_bin_bytes"),
    0xC6: (4, "max_bin_bytes"),
    0xD9: (1, "max_str_bytes"),
    0xDA: (2, "max_str_bytes"),
    0xDB: (4, "max_str_bytes"),
    0xDC: (2, "max_array_items"),
    0xDD: (4, "max_array_items"),
    0xDE: (2, "max_map_items"),
    0xDF: (4, "max_map_items"),
}
_INSTANTS = ((b"\xd6\xff", 6), (b"\xd7\xff", 10), (b"\xc7\x0c\xff", 15))
"""How a timestamp of msgpack begins, and its length in all."""
