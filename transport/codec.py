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
from collections.abc import Collection
from typing import Any, TypeVar, get_origin

import msgspec
from msgspec import Struct, inspect

from actors.messages import Message, reply_type
from transport.envelope import VERSION, Envelope, from_rows
from transport.errors import EncodingError, LimitExceededError, MalformedFrameError, UnknownTypeError
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS, WIRE_LIMITS, Limits, check
from transport.packing import (
    BATCH_MAX,
    join_frame,
    join_map,
    pack,
    pack_answer,
    pack_ask,
    pack_envelope,
    pack_frame,
    pack_run,
    run_length,
    unpack,
    why_not,
)

T = TypeVar("T")
S = TypeVar("S", bound=type)


_WALKED_FROM = 64 * 1024
_PLAIN_TO = 4096
"""Bytes of a frame in which nothing can be beyond the limits of an envelope, so that its shape alone is looked at."""

_envelopes = msgspec.msgpack.Decoder(list[Envelope])
encode = msgspec.msgpack.Encoder().encode
"""Packs a value; what it raises, and what it lets pass, is for `Codec.encode_value` to judge."""


def unpack_frame(frame: bytes, limits: Limits = WIRE_LIMITS) -> list[Envelope]:
    """Return the envelopes of `frame`, in order.

    A frame of up to 64 KiB is not walked before it is decoded: the few values it can hold bound what it can cost, and
    anything nested in an envelope is refused after.

    Raises:
        FrameTooLargeError, LimitExceededError: It is beyond `limits`.
        VersionError: An envelope is of a version not spoken here.
        MalformedFrameError: It is no frame.
    """
    if len(frame) <= _PLAIN_TO and limits is WIRE_LIMITS:
        try:
            found = _envelopes.decode(frame)
        except (msgspec.MsgspecError, ValueError):
            found = []  # what is wrong with it is said below
        if found and all(e.version == VERSION for e in found):
            return found
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
        self.names: dict[type, str] = {}
        """Classes that were encoded once, and the names they travel under."""
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}

    def encode(self, value: Struct) -> tuple[str, bytes]:
        """Return the type name and the bytes of a message or of a registered struct.

        Raises:
            EncodingError: It is neither, or holds something msgpack cannot carry.
            LimitExceededError: It is larger than a payload may be.
        """
        cls = type(value)
        name = self.names.get(cls)
        if name is None:
            if not self.registry.accepts(cls):
                raise EncodingError(name_of(cls), "only Message subclasses and registered structs cross a process")
            name = self.names[cls] = name_of(cls)
        return name, self.encode_value(value, name)

    def decode(self, type_name: str, data: bytes) -> Any:
        """Return the message or struct that `encode` wrote.

        Raises:
            UnknownTypeError: The type is not one of this receiver's.
            LimitExceededError: It is larger or deeper than a payload may be.
            MalformedFrameError: The bytes are not a value of that type.
        """
        decoder = self._decoders.get(type_name)
        if decoder is None:
            kind = self.registry.resolve(type_name)
            found, walked = _decoder(kind)
            if not walked:
                self._decoders[type_name] = found
            return self.decode_value(kind, data)
        if len(data) <= self.limits.max_bin_bytes:
            try:
                return decoder.decode(data)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # what is wrong with it is said below
        return self.decode_value(self.registry.resolve(type_name), data)

    def encode_value(self, value: object, name: str = "") -> bytes:
        """Return the bytes of any value a reply may be; its type is known to whoever asked.

        Raises:
            EncodingError, LimitExceededError: As `encode`.
        """
        try:
            data = encode(value)
        except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError) as error:
            raise EncodingError(name or name_of(type(value)), why_not(error)) from None
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

    def decode_run(self, type_name: str, data: bytes) -> list[Any]:
        """Return the messages of a run of one type.

        Raises:
            UnknownTypeError: The type is not one of this receiver's.
            LimitExceededError: They are larger than a payload may be.
            MalformedFrameError: The bytes are not such a run, or the type leaves its depth open: take it apart.
        """
        if len(data) > self.limits.max_bin_bytes:
            raise LimitExceededError("max_bin_bytes", len(data), self.limits.max_bin_bytes)
        decoder = _run_decoder(self.registry.resolve(type_name))
        if decoder is None:
            raise MalformedFrameError(f"a run of {type_name} is to be taken apart")
        try:
            return decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise MalformedFrameError(f"no run of {type_name}: {error}") from None

    def encode_reply(self, message: type, reply: object) -> bytes:
        """Return the bytes of the answer to a `message`."""
        return self.encode_value(reply, f"reply to {name_of(message)}")

    def decode_reply(self, message: type, data: bytes) -> Any:
        """Return the answer to a `message`, decoded as the reply type it declares."""
        return self.decode_value(_reply_type(message), data)


_reply_type = functools.lru_cache(maxsize=4096)(reply_type)

PAYLOAD_DEPTH = 128
"""Containers inside one another in a payload whose type contains itself."""


@functools.lru_cache(maxsize=4096)
def _decoder(kind: Any) -> tuple[msgspec.msgpack.Decoder[Any], bool]:
    """Return the decoder of `kind`, and whether its type leaves the depth open."""
    return msgspec.msgpack.Decoder(kind), kind is Any or _contains_itself(inspect.type_info(kind), ())


@functools.lru_cache(maxsize=4096)
def _run_decoder(kind: Any) -> msgspec.msgpack.Decoder[list[Any]] | None:
    """Return the decoder of a list of `kind`, None where its type leaves the depth open."""
    return None if _decoder(kind)[1] else msgspec.msgpack.Decoder(list[kind])


def split_run(data: bytes) -> list[bytes]:
    """Return the messages of a run, each with its bytes.

    Raises:
        MalformedFrameError: It is none.
    """
    try:
        return [bytes(raw) for raw in _raws.decode(data)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"no run: {error}") from None


_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])


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
    return Limits(size, PAYLOAD_DEPTH, limits.max_items, size, size, limits.max_items, limits.max_items, True)


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
    "encode",
    "join_frame",
    "join_map",
    "name_of",
    "pack",
    "pack_answer",
    "pack_ask",
    "pack_envelope",
    "pack_frame",
    "pack_run",
    "run_length",
    "split_run",
    "unpack",
    "unpack_frame",
]
