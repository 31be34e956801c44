"""Actor classes that find their secrets as they are made: `supervisors.node.secretive:of.package.module.Class`.

An import path through `of` names a subclass of the class that follows. It is made with the arguments of that
class in `args` and the places of its secrets in `secrets`, looks the secrets up at that moment, in the process in which
it is made, and hands both on. Everything else is the class's own: its name, its handlers, its mailbox. So a child spec
of an actor with secrets is a spec like any other, and holds no secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

import msgspec

from supervisors.node.credentials import SecretSource, find_secret
from supervisors.specs import ImportStart

_OF: Final = "supervisors.node.secretive:of"


def secretive_start(use: str, args: Mapping[str, Any], secrets: Mapping[str, SecretSource]) -> ImportStart:
    """Return how an actor is started that has secrets.

    Args:
        use: Its class, `package.module:Class`, at the top of its module.
        args: Its keyword arguments but for the secrets.
        secrets: For each argument that is a secret, its place.
    """
    places = {name: msgspec.to_builtins(at) for name, at in secrets.items()}
    return ImportStart(f"{_OF}.{use.replace(':', '.')}", {"args": dict(args), "secrets": places})


@cache
def secretive(cls: type) -> type:
    """Return the subclass of `cls` that finds its secrets as it is made.

    Making one raises `SecretError` where a secret is not where it was said to be.
    """

    base: Any = cls  # its constructor takes what it takes

    def __init__(self: Any, *, args: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]) -> None:  # noqa: N807
        found = {name: find_secret(SecretSource(**place), os.environ) for name, place in secrets.items()}
        base.__init__(self, **args, **found)

    own = {"__init__": __init__, "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), own)


class _Dotted:
    """A dotted name on its way to a class; holds no public name itself, so that it hides nobody's module."""

    __slots__ = ("__name",)

    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self.__name), name, None) if self.__name else None
        if isinstance(found, type):
            return secretive(found)
        return _Dotted(f"{self.__name}.{name}" if self.__name else name)


of: Final[Any] = _Dotted("")
"""Where an import path through this module begins."""
