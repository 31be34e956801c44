"""Which function of an actor class takes which message: one dictionary a class, filled as message types are met.

A message type is resolved once: the runtime's own messages, then an overridden `on_receive` (which takes all, and
reaches the `@on` handlers through `super().on_receive`), then the `@on` handlers along the message's base classes, then
the default `on_receive`. After that a message costs one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final, TypeGuard

import pykka
from pykka import messages as pykka_messages
from pykka._introspection import get_attr_directly  # read in pykka 4.5.0: how a proxy call finds its callee

from actors.messages import HANDLES, Handles

Handler = Callable[[Any, Any], Any]

DEFERRED: Final = object()
"""Returned by a handler whose answer comes later; the turn does not answer the ask."""

_CO_GENERATOR: Final = 0x20
_CO_COROUTINE: Final = 0x80
_CO_ASYNC_GENERATOR: Final = 0x200


def is_async(function: object) -> bool:
    """Whether calling `function` makes a coroutine."""
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)


def is_generator(function: object) -> bool:
    """Whether calling `function` makes a generator, plain or asynchronous."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & (_CO_GENERATOR | _CO_ASYNC_GENERATOR))


class HandlerTable(dict[type, Handler]):
    """The handlers of one actor class by message type; missing types are resolved as they come.

    Attributes:
        owner: The actor class.
        declared: The class's `@on` handlers by message class, and what they declare.
        timeouts: Resolved message types whose handler is a coroutine function, with its time limit.
        has_coroutines: Whether any method is a coroutine function: such actors need an event loop.
        has_failure_hook: Whether the class says what is to be done when it crashes (`on_failure`).
    """

    __slots__ = ("declared", "default_receive", "has_coroutines", "has_failure_hook", "owner", "timeouts")

    def __init__(self, owner: type, runtime: dict[type, Handler], default_receive: Handler) -> None:
        super().__init__(runtime)
        self.owner = owner
        self.default_receive = default_receive
        self.declared = _declared(owner)
        self.timeouts: dict[type, float | None] = {}
        self.has_coroutines = any(
            is_async(value) for cls in owner.__mro__ if cls not in {object, pykka.Actor} for value in vars(cls).values()
        )
        self.has_failure_hook = owner.on_failure is not pykka.Actor.on_failure  # type: ignore[attr-defined] # an Actor

    def __missing__(self, kind: type) -> Handler:
        for cls in kind.__mro__:
            known = self.get(cls) if cls.__module__ == "pykka.messages" else None
            if known is not None:
                self[kind] = known
                return known
        overridden = self.owner.on_receive is not self.default_receive  # type: ignore[attr-defined] # an Actor class
        found = None if overridden else self.find(kind)
        if found is None:
            if is_async(self.owner.on_receive):  # type: ignore[attr-defined]
                self.timeouts[kind] = None
            self[kind] = _call_on_receive
            return _call_on_receive
        function, handles = found
        if handles.is_async:
            self.timeouts[kind] = handles.timeout
        self[kind] = function
        return function

    def find(self, kind: type) -> tuple[Handler, Handles] | None:
        """Return the `@on` handler for messages of class `kind`, or None."""
        for cls in kind.__mro__:
            found = self.declared.get(cls)
            if found is not None:
                return found
        return None


def _declared(owner: type) -> dict[type, tuple[Handler, Handles]]:
    """Collect the `@on` handlers; an override without `@on` takes over what it overrides.

    Raises:
        TypeError: Two methods of one class handle the same message; a handler is a generator, or has a time limit that
            could not end it.
    """
    found: dict[type, tuple[Handler, Handles]] = {}
    for cls in reversed(owner.__mro__):
        own: dict[type, str] = {}
        for name, value in vars(cls).items():
            handles = getattr(value, HANDLES, None)
            if isinstance(handles, Handles):
                if handles.message in own:
                    names = f"{own[handles.message]} and {name}"
                    raise TypeError(f"{cls.__qualname__}: {names} both handle {handles.message.__qualname__}")
                own[handles.message] = name
                function = getattr(owner, name)
                if handles.timeout is not None and not is_async(function):
                    raise TypeError(f"{cls.__qualname__}.{name} is no coroutine, so a timeout could not end it")
                if is_generator(function):
                    raise TypeError(
                        f"{cls.__qualname__}.{name} is a generator (it has a yield), so no message would run it: "
                        "return a list, or tell each value"
                    )
                if callable(function):  # `name = None` in a subclass takes a handler away
                    found[handles.message] = (function, Handles(handles.message, handles.timeout, is_async(function)))
                else:
                    found.pop(handles.message, None)
    return found


def _call_on_receive(actor: Any, message: Any) -> Any:
    return actor.on_receive(message)


def proxy_call(actor: Any, message: Any) -> Any:
    """Call the method a proxy named."""
    return get_attr_directly(actor, message.attr_path)(*message.args, **message.kwargs)


def proxy_get(actor: Any, message: Any) -> Any:
    """Read the attribute a proxy named."""
    return get_attr_directly(actor, message.attr_path)


def proxy_set(actor: Any, message: Any) -> None:
    """Set the attribute a proxy named."""
    setattr(get_attr_directly(actor, message.attr_path[:-1]), message.attr_path[-1], message.value)


def is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, Any]]:
    """Whether `value` is what calling a coroutine function gave."""
    return type(value) is CoroutineType


PROXY_HANDLERS: Final[dict[type, Handler]] = {
    pykka_messages.ProxyCall: proxy_call,
    pykka_messages.ProxyGetAttr: proxy_get,
    pykka_messages.ProxySetAttr: proxy_set,
}
