"""Typed messages: the reply type lives in the message, and a message can cross a process unchanged.

    class Fetch(Message[list[Mail]], frozen=True):
        label: str = "INBOX"

`ref.ask(Fetch())` is inferred as `list[Mail]`; `@on(Fetch)` rejects a handler that returns anything else (mypy and
pyright, no plugin). Every field and the reply type must be something msgpack can carry with its type known: numbers,
text, bytes, None, containers of those, enums, datetimes, dataclasses and `msgspec.Struct`s. That is checked while the
class is being defined: a `MessageDefinitionError` names the field, so an actor moved to a process of its own never
finds out at its first crash. Annotations are resolved at that moment, so the types they name must exist by then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, ForwardRef, Generic, TypeVar, get_args, get_origin, overload
from weakref import WeakSet

import msgspec
from msgspec import Struct, inspect

from actors.errors import MessageDefinitionError

R = TypeVar("R")
A = TypeVar("A")
M = TypeVar("M", bound="Message[Any]")
M_co = TypeVar("M_co", covariant=True)

HANDLES: Final = "__handles__"
"""The attribute `@on` leaves on a handler: a `Handles`."""

_OPEN: Final = (inspect.AnyType, inspect.CustomType, inspect.ExtType, inspect.RawType)


_local: Final[WeakSet[type]] = WeakSet()


def is_local(message: type) -> bool:
    """Whether messages of this class never leave their process: it was defined with `local=True`."""
    return message in _local


class _MessageMeta(msgspec.StructMeta):
    """Checks, as a message class is made, that its fields and its reply can cross a process."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, local: bool = False, **options: Any
    ) -> Any:
        cls = super().__new__(mcls, name, bases, namespace, **options)
        if any(isinstance(base, _MessageMeta) for base in bases):
            if local or any(is_local(base) for base in bases):
                _local.add(cls)
            elif not getattr(cls, "__parameters__", ()):
                _check(cls)
        return cls


class Message(Struct, Generic[R], frozen=True, metaclass=_MessageMeta):
    """Base of typed messages; `R` is the type of the answer, `None` where nothing is answered.

    Subclasses are frozen msgspec structs. They compare by value and cost about a tenth of a frozen dataclass to make.
    One defined with `local=True` never leaves its process and may hold anything: a ref, an exception, a socket.
    """


class Handles(Struct, frozen=True):
    """What `@on` says of a handler.

    Attributes:
        message: The message class it takes (and its subclasses' instances).
        timeout: Longest it may run, in seconds; an `async` handler past it is cancelled. None: no limit of its own.
        is_async: Whether it is an `async def`.
    """

    message: type
    timeout: float | None
    is_async: bool


class On(Generic[M_co]):
    """The decorator `on(...)` returns; see there."""

    def __init__(self, message: type[M_co], timeout: float | None) -> None:
        self._message = message
        self._timeout = timeout

    @overload
    def __call__(
        self: On[Message[R]], handler: Callable[[A, M_co], Coroutine[Any, Any, R]]
    ) -> Callable[[A, M_co], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self: On[Message[R]], handler: Callable[[A, M_co], R]) -> Callable[[A, M_co], R]: ...
    def __call__(self, handler: Any) -> Any:
        is_async = bool(getattr(handler, "__code__", None) and handler.__code__.co_flags & 0x80)  # CO_COROUTINE
        setattr(handler, HANDLES, Handles(self._message, self._timeout, is_async))
        return handler


def on(message: type[M], *, timeout: float | None = None) -> On[M]:
    """Mark a method as the handler of `message`, plain or `async def`.

    Args:
        message: A `Message` class; also `Down`, `ExitSignal` and other classes the runtime sends.
        timeout: Seconds an `async` handler may take before it is cancelled and the actor crashes with `TimeoutError`.

    Raises:
        ValueError: `timeout` is not positive.
    """
    if timeout is not None and timeout <= 0:
        raise ValueError(f"timeout is positive seconds, got {timeout}")
    return On(message, timeout)


def reply_type(message: type) -> Any:
    """Return the type a `Message` class is answered with; `Any` for a class that is none."""
    for cls in message.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if isinstance(get_origin(base), _MessageMeta):
                (found,) = get_args(base) or (Any,)
                if isinstance(found, ForwardRef):
                    found = eval(found.__forward_arg__, vars(sys.modules[cls.__module__]))  # noqa: S307 (an annotation)
                return found
    return Any


def _check(cls: type) -> None:
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        fields = inspect.type_info(cls)
    except NameError as error:
        raise MessageDefinitionError(name, "annotation", f"{error}; define that type above the message") from None
    except TypeError as error:
        raise MessageDefinitionError(name, "annotation", str(error)) from None
    assert isinstance(fields, inspect.StructType)  # the metaclass makes nothing else
    for field in fields.fields:
        _walk(field.type, name, f"field {field.name!r}", set())
    try:
        reply = reply_type(cls)
        if isinstance(reply, TypeVar):
            return
        answer = inspect.type_info(reply)
    except (TypeError, NameError) as error:
        raise MessageDefinitionError(name, "reply", str(error)) from None
    _walk(answer, name, "reply", set())


def _walk(kind: inspect.Type, message: str, where: str, seen: set[type]) -> None:
    """Refuse every type below `kind` that msgpack cannot bring back as it was."""
    if isinstance(kind, _OPEN):
        shown = "Any" if isinstance(kind, inspect.AnyType) else getattr(kind, "cls", kind)
        raise MessageDefinitionError(
            message,
            where,
            f"{getattr(shown, '__qualname__', shown)} would not cross a process unchanged: name its type",
        )
    cls = getattr(kind, "cls", None)
    fields = getattr(kind, "fields", None)
    if isinstance(cls, type) and fields is not None:
        if cls in seen:
            return
        seen.add(cls)
        for field in fields:
            _walk(field.type, message, f"{where} > {cls.__qualname__}.{field.name}", seen)
        return
    for inner in ("item_type", "key_type", "value_type"):
        below = getattr(kind, inner, None)
        if below is not None:
            _walk(below, message, where, seen)
    for inner in ("item_types", "types"):
        for below in getattr(kind, inner, ()):
            _walk(below, message, where, seen)
