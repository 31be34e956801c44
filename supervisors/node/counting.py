"""How many instances of a child: a number, or arithmetic over the machine such as `max(2, cpus/2)`.

The grammar is all there is: numbers, `cpus`, `mem_gib`, `+ - * /`, brackets, `min(…)`, `max(…)`. It is parsed here and
never handed to the interpreter. The result is rounded down.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import psutil
from msgspec import Struct

from actors.errors import ActorRuntimeError

COUNT_LIMIT: Final = 10_000
"""The most instances one entry may ask for."""
TEXT_LIMIT: Final = 200
"""The longest expression read, in characters; it bounds the nesting too."""

NAMES: Final = ("cpus", "mem_gib")
_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {"min": min, "max": max}
_TOKEN: Final = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?)|([A-Za-z_][A-Za-z_0-9]*)|([-+*/(),]))")


class Machine(Struct, frozen=True):
    """What a count may depend on.

    Attributes:
        cpus: Processors this process may use; 1 or more.
        mem_gib: Memory of the machine, in GiB.
    """

    cpus: int
    mem_gib: float


class CountError(ActorRuntimeError, ValueError):
    """Text that is no count; `hint` says what would be right."""

    def __init__(self, text: str, why: str, hint: str = 'a number, or arithmetic like "max(2, cpus/2)"') -> None:
        super().__init__(f"{text[:TEXT_LIMIT]!r} is no count: {why}")
        self.text = text
        self.hint = hint


@cache
def this_machine() -> Machine:
    """Return the machine this process runs on; where processors are assigned to it, only those count."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cpus = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    return Machine(cpus, psutil.virtual_memory().total / 2**30)


def evaluate_count(text: str, machine: Machine) -> int:
    """Return the count that `text` names on `machine`.

    Raises:
        CountError: It does not parse, divides by zero, or its result is not in 0..`COUNT_LIMIT`.
    """
    if len(text) > TEXT_LIMIT:
        raise CountError(text, f"it is longer than {TEXT_LIMIT} characters")
    parser = _Parser(text, {"cpus": float(machine.cpus), "mem_gib": machine.mem_gib})
    value = parser.whole()
    if not (math.isfinite(value) and 0 <= value <= COUNT_LIMIT):
        raise CountError(text, f"its result {value:g} is not in 0..{COUNT_LIMIT}")
    return math.floor(value)


class _Parser:
    """Recursive descent over the tokens of one expression; evaluates as it reads."""

    def __init__(self, text: str, names: Mapping[str, float]) -> None:
        self._text = text
        self._names = names
        self._tokens = self._split()
        self._at = 0

    def whole(self) -> float:
        value = self._sum()
        if self._at < len(self._tokens):
            raise CountError(self._text, f"{self._tokens[self._at]!r} is not expected there")
        return value

    def _split(self) -> list[str]:
        tokens: list[str] = []
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise CountError(self._text, f"{self._text[at:].strip()[:1]!r} is not expected there")
            tokens.append(found.group().strip())
            at = found.end()
        return tokens

    def _sum(self) -> float:
        value = self._product()
        while (sign := self._taken("+", "-")) is not None:
            right = self._product()
            value = value + right if sign == "+" else value - right
        return value

    def _product(self) -> float:
        value = self._signed()
        while (sign := self._taken("*", "/")) is not None:
            right = self._signed()
            if sign == "/" and right == 0:
                raise CountError(self._text, "it divides by zero")
            value = value * right if sign == "*" else value / right
        return value

    def _signed(self) -> float:
        sign = 1.0
        while self._taken("-") is not None:
            sign = -sign
        return sign * self._single()

    def _single(self) -> float:
        token = self._next()
        if token[0].isdigit():
            return float(token)
        if token == "(":
            value = self._sum()
            self._expect(")")
            return value
        if token in _FUNCTIONS:
            self._expect("(")
            values = [self._sum()]
            while self._taken(",") is not None:
                values.append(self._sum())
            self._expect(")")
            return _FUNCTIONS[token](*values) if len(values) > 1 else values[0]
        if token in self._names:
            return self._names[token]
        known = ", ".join([*NAMES, *(f"{name}(…)" for name in _FUNCTIONS)])
        raise CountError(self._text, f"{token!r} is not expected there", f"the names are {known}")

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise CountError(self._text, "it ends too soon")
        self._at += 1
        return self._tokens[self._at - 1]

    def _taken(self, *wanted: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at] in wanted:
            return self._next()
        return None

    def _expect(self, wanted: str) -> None:
        if self._taken(wanted) is None:
            raise CountError(self._text, f"{wanted!r} is missing")
