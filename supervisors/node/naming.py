"""Names that follow from a class: a child's id, and the import path by which another process finds it."""

from __future__ import annotations

import re


def dashed(name: str) -> str:
    """Return the name of a class in lower case with dashes: `HTTPDoor` is `http-door`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def import_path(actor: type) -> str:
    """Return `package.module:Class`.

    Raises:
        ValueError: Another process could not import it.
    """
    module, name = actor.__module__, actor.__qualname__
    if module == "__main__" or "<" in name:
        raise ValueError(
            f"{module}.{name} cannot run in a process of its own: another process cannot import it; "
            "define it at the top of a module that is not the program itself"
        )
    return f"{module}:{name}"
