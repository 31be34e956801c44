"""Reads option and argument values without pydantic.

Typer 0.29 checks every value through a pydantic adapter, built when the first value is read; that import alone costs
more than a reading command may take. `lighten` gives each parameter whose type we know a small reader of our own, in
the attribute `_runtime_param` that Typer fills lazily (read in typer 0.29.2). Other types keep Typer's way.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from enum import Enum
from typing import Any, get_args, get_origin

from typer import BadParameter
from typer._coercion import RuntimeParam
from typer.core import TyperArgument, TyperOption

_PLACES = frozenset({"home", "endpoint", "config", "file"})
"""Parameters that choose where a command acts: an empty one is a variable without a value, and chooses nothing."""
_SCALARS: dict[type, Callable[[str], Any]] = {str: str, int: int, float: float}


class LightParam(RuntimeParam):
    """Reads text, whole numbers, numbers, choices, lists of those, and what has a `parser` of its own."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        kind = _item_type(self.annotation)
        try:
            if value == "" and param.name in _PLACES:
                raise ValueError("it is empty: leave it out, or name one")
            if isinstance(value, (list, tuple)):
                return tuple(self._read(item, kind) for item in value)
            return self._read(value, kind)
        except ValueError as error:
            hint = getattr(error, "hint", "")
            raise BadParameter(f"{error}; {hint}" if hint else str(error), ctx=ctx, param=param) from None

    def _read(self, value: Any, kind: Any) -> Any:
        if self.parameter_info.parser is not None:
            return self.parameter_info.parser(value) if isinstance(value, str) else value
        if isinstance(value, kind):
            return value
        if issubclass(kind, Enum):
            known = [str(choice.value) for choice in kind]
            if value not in known:
                near = get_close_matches(value, known, n=1)
                raise ValueError(
                    f"{value!r} is none of {', '.join(known)}" + (f"; did you mean {near[0]}?" if near else "")
                )
            return kind(value)
        try:
            found = _SCALARS[kind](value)
        except ValueError:
            raise ValueError(f"{value!r} is no {'whole number' if kind is int else 'number'}") from None
        least, most = self.parameter_info.min, self.parameter_info.max
        if kind is not str and ((least is not None and found < least) or (most is not None and found > most)):
            raise ValueError(f"{value} is not {f'at least {least}' if most is None else f'between {least} and {most}'}")
        return found


def lighten(param: Any) -> None:
    """Give `param` a light reader, where its type is one that `LightParam` knows."""
    if not isinstance(param, (TyperArgument, TyperOption)):
        return
    descriptor = param.type_descriptor
    kind = _item_type(descriptor.annotation)
    known = kind in _SCALARS or kind is bool or (isinstance(kind, type) and issubclass(kind, Enum))
    if known or descriptor.parameter_info.parser is not None:
        param._runtime_param = LightParam(descriptor.parameter_info, descriptor.annotation)


def _item_type(annotation: Any) -> Any:
    if get_origin(annotation) is tuple and len(set(get_args(annotation))) == 1:  # an option with several values
        return get_args(annotation)[0]
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation
