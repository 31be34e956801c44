"""What a worker is told and asked: the messages of the worker protocol that are messages of actors.

A worker is an actor in a process of its own, in whatever language; `docs/reference/wire.md` has its words beside these.
"""

from __future__ import annotations

from actors.messages import Message

Scalar = None | bool | int | float | str
_Plain1 = Scalar | list[Scalar] | dict[str, Scalar]
_Plain2 = Scalar | list[_Plain1] | dict[str, _Plain1]
_Plain3 = Scalar | list[_Plain2] | dict[str, _Plain2]
Plain = Scalar | list[_Plain3] | dict[str, _Plain3]
"""Plain data, up to four containers inside one another, which is how deep a task's data and answer may be."""


class Task(Message[Plain], frozen=True):
    """Do something and answer with what came of it: plain data, or an error.

    Attributes:
        name: What to do.
        data: With what; plain data.
    """

    name: str
    data: dict[str, _Plain3] = {}


class Reload(Message[None], frozen=True):
    """Take over new settings; answered, where it was asked, once they are in force.

    Attributes:
        settings: Plain data; what is not named stays as it is.
    """

    settings: dict[str, _Plain3] = {}
