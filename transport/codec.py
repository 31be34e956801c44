"""Bytes: envelopes and headers by msgpack under strict limits, typed payloads by msgspec on the same wire format.

Two kinds of decoding, each safe against hostile bytes in its own way:

- *Untyped* (`unpack`, `unpack_frame`: control requests, tap headers, envelopes). `limits.check` refuses what is too
  big, too deep, too long, cut short or left over; only then msgpack decodes.
- *Typed* (`Codec.decode`: payloads). The size is checked, then msgspec decodes into exactly the declared type; a type
  bounds its own depth, and one that contains itself is walked first.

A payload is named by its class, `module:Class`. A name resolves to a registered struct or to a `Message` subclass,
found in a module that is already imported or that the receiver allow-listed: bytes from outside never import anything
else and never call anything. Nothing here pickles.

What a payload may hold: text without lone surrogates, integers of -2**63 to 2**64 - 1, floats (NaN and the infinities
come back as they were), aware datetimes (they come back in UTC; naive ones come back naive), bytes, containers and
structs. Everything else is an `EncodingError` that names the class.

Everything here may be called on any thread.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Collection, Iterable
from typing import Any, TypeVar, get_origin

import msgpack  # type: ignore[import-untyped]
import msgspec
from msgspec import Struct, inspect

from actors.messages import Message, reply_type
from transport.envelope import Envelope, from_rows, to_row
from transport.errors import EncodingError, LimitExceededError, MalformedFrameError, UnknownTypeError
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS, WIRE_LIMITS, Limits, check

T = TypeVar("T")
S = TypeVar("S", bound=type)


BATCH_MAX = 256
"""Envelopes that share a frame at most."""

_WALKED_FROM = 64 * 1024
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
        raise EncodingError(type(value).__name__, _why_not(error)) from None


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


def join_frame(envelopes: Collection[bytes]) -> bytes:
    """Return the frame of envelopes already packed, 1 to 65,535, without decoding them."""
    count = len(envelopes)
    if not 0 < count < 65_536:
        raise ValueError(f"a frame holds 1 to 65,535 envelopes, got {count}")
    head = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return head + b"".join(envelopes)


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


def unpack_frame(frame: bytes, limits: Limits = WIRE_LIMITS) -> list[Envelope]:
    """Return the envelopes of `frame`, in order.

    A frame of up to 64 KiB is not walked before it is decoded: the few values it can hold bound what it can cost, and
    anything nested in an envelope is refused after.

    Raises:
        FrameTooLargeError, LimitExceededError: It is beyond `limits`.
        VersionError: An envelope is of a version not spoken here.
        MalformedFrameError: It is no frame.
    """
    return from_rows(unpack(frame, limits, is_bounded=len(frame) <= _WALKED_FROM))


class TypeRegistry:
    """Which payload types a receiver resolves: registered structs, and `Message` classes where it may look for them."""

    def __init__(self, *, modules: Collection[str] = ()) -> None:
        """Make a registry.

        Args:
            modules: Modules that may be imported to find a `Message` class: a name, or `package.*` for a whole package.
                Others are looked into only if something else has imported them already.
        """
        self._modules = tuple(modules)
        self._types: dict[str, type] = {}

    def register(self, cls: S) -> S:
        """Take `cls`, a `msgspec.Struct`, as a payload type; returns it, so that it serves as a decorator.

        Raises:
            TypeError: It is no struct.
        """
        if not issubclass(cls, Struct):
            raise TypeError(f"a payload type is a msgspec.Struct, got {cls!r}")
        self._types[name_of(cls)] = cls
        return cls

    def resolve(self, type_name: str) -> type:
        """Return the class named `module:Class`.

        Raises:
            UnknownTypeError: There is no such class here, it is no payload type, or its module may not be imported.
        """
        found = self._types.get(type_name)
        if found is None:
            found = self._types[type_name] = self._find(type_name)
        return found

    def accepts(self, cls: type) -> bool:
        """Whether a value of `cls` can be a payload."""
        return issubclass(cls, Message) or self._types.get(name_of(cls)) is cls

    def _find(self, type_name: str) -> type:
        module_name, colon, qualified = type_name.partition(":")
        if not colon or not module_name or not qualified:
            raise UnknownTypeError(type_name, "a payload type is written module:Class")
        module = sys.modules.get(module_name)
        if module is None:
            if not self._may_import(module_name):
                raise UnknownTypeError(
                    type_name, f"module {module_name[:100]!r} is neither imported nor allow-listed here"
                )
            try:
                module = importlib.import_module(module_name)
            except Exception as error:  # whatever the module's own code raises
                raise UnknownTypeError(
                    type_name, f"its module failed to import: {type(error).__name__}: {error}"
                ) from error
        found: object = module
        for part in qualified.split("."):
            found = vars(found).get(part) if found is module or isinstance(found, type) else None
        if not isinstance(found, type) or not issubclass(found, Message):
            raise UnknownTypeError(type_name, "it names no Message class and no registered struct")
        if name_of(found) != type_name:
            raise UnknownTypeError(type_name, f"the class calls itself {name_of(found)}")
        return found

    def _may_import(self, module: str) -> bool:
        return any(module == m or (m.endswith(".*") and (module + ".").startswith(m[:-1])) for m in self._modules)


def name_of(cls: type) -> str:
    """Return the name a payload of `cls` travels under, `module:Class`."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Codec:
    """Encodes and decodes typed payloads."""

    def __init__(self, registry: TypeRegistry | None = None, limits: Limits = WIRE_LIMITS) -> None:
        """Make a codec.

        Args:
            registry: Which types it takes; by default `Message` classes of modules already imported.
            limits: `max_bin_bytes` bounds a payload both ways; `max_items` bounds one of a type that contains itself.
        """
        self.registry = registry if registry is not None else TypeRegistry()
        self.limits = limits
        self._names: dict[type, str] = {}

    def encode(self, value: Struct) -> tuple[str, bytes]:
        """Return the type name and the bytes of a message or of a registered struct.

        Raises:
            EncodingError: It is neither, or holds something msgpack cannot carry.
            LimitExceededError: It is larger than a payload may be.
        """
        cls = type(value)
        name = self._names.get(cls)
        if name is None:
            if not self.registry.accepts(cls):
                raise EncodingError(name_of(cls), "only Message subclasses and registered structs cross a process")
            name = self._names[cls] = name_of(cls)
        return name, self.encode_value(value, name)

    def decode(self, type_name: str, data: bytes) -> Any:
        """Return the message or struct that `encode` wrote.

        Raises:
            UnknownTypeError: The type is not one of this receiver's.
            LimitExceededError: It is larger or deeper than a payload may be.
            MalformedFrameError: The bytes are not a value of that type.
        """
        return self.decode_value(self.registry.resolve(type_name), data)

    def encode_value(self, value: object, name: str = "") -> bytes:
        """Return the bytes of any value a reply may be; its type is known to whoever asked.

        Raises:
            EncodingError, LimitExceededError: As `encode`.
        """
        try:
            data = msgspec.msgpack.encode(value)
        except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError) as error:
            raise EncodingError(name or name_of(type(value)), _why_not(error)) from None
        if len(data) > self.limits.max_bin_bytes:
            raise LimitExceededError(
                "max_bin_bytes", len(data), self.limits.max_bin_bytes, f" ({name})" if name else ""
            )
        return data

    def decode_value(self, kind: Any, data: bytes) -> Any:
        """Return the value of type `kind` that `data` holds.

        Raises:
            LimitExceededError, MalformedFrameError: As `decode`.
        """
        if len(data) > self.limits.max_bin_bytes:
            raise LimitExceededError("max_bin_bytes", len(data), self.limits.max_bin_bytes)
        decoder, walked = _decoder(kind)
        if walked:
            check(data, _walk_limits(self.limits))
        try:
            return decoder.decode(data)
        except (msgspec.MsgspecError, ValueError) as error:
            raise MalformedFrameError(f"payload is no {_shown(kind)}: {error}") from None
        except RecursionError:
            raise LimitExceededError("max_depth", sys.getrecursionlimit(), PAYLOAD_DEPTH) from None

    def encode_reply(self, message: type, reply: object) -> bytes:
        """Return the bytes of the answer to a `message`."""
        return self.encode_value(reply, f"reply to {name_of(message)}")

    def decode_reply(self, message: type, data: bytes) -> Any:
        """Return the answer to a `message`, decoded as the reply type it declares."""
        return self.decode_value(reply_type(message), data)


PAYLOAD_DEPTH = 128
"""Containers inside one another in a payload whose type contains itself."""


@functools.lru_cache(maxsize=4096)
def _decoder(kind: Any) -> tuple[msgspec.msgpack.Decoder[Any], bool]:
    """Return the decoder of `kind`, and whether its type leaves the depth open."""
    return msgspec.msgpack.Decoder(kind), kind is Any or _contains_itself(inspect.type_info(kind), ())


def _contains_itself(kind: inspect.Type, above: tuple[type, ...]) -> bool:
    if isinstance(kind, inspect.AnyType | inspect.RawType | inspect.CustomType):
        return True
    cls = getattr(kind, "cls", None)
    if isinstance(cls, type):
        if cls in above:
            return True
        above = (*above, cls)
    below: list[inspect.Type] = [field.type for field in getattr(kind, "fields", ())]
    below += [inner for name in _INNER if (inner := getattr(kind, name, None)) is not None]
    below += [*getattr(kind, "item_types", ()), *getattr(kind, "types", ())]
    return any(_contains_itself(inner, above) for inner in below)


_INNER = ("item_type", "key_type", "value_type")


@functools.lru_cache(maxsize=16)
def _walk_limits(limits: Limits) -> Limits:
    size = limits.max_bin_bytes
    return Limits(size, PAYLOAD_DEPTH, limits.max_items, size, size, limits.max_items, limits.max_items)


def _why_not(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"a text holds a lone surrogate (\\u{ord(error.object[error.start]):04x} at its character {error.start})"
    if isinstance(error, OverflowError):
        return "an integer is beyond 64 bits (-2**63 to 2**64 - 1); send it as text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    return str(error) or type(error).__name__


def _shown(kind: Any) -> str:
    return name_of(kind) if isinstance(kind, type) and get_origin(kind) is None else str(kind)


__all__ = [
    "BATCH_MAX",
    "REQUEST_LIMITS",
    "RESPONSE_LIMITS",
    "WIRE_LIMITS",
    "Codec",
    "Limits",
    "TypeRegistry",
    "check",
    "join_frame",
    "join_map",
    "name_of",
    "pack",
    "pack_envelope",
    "pack_frame",
    "unpack",
    "unpack_frame",
]
