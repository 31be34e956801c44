"""What a supervisor needs to be able to run in a process of its own: everything below it can be named and carried.

Another process makes the tree again from its specs. So each actor must be a class that can be imported there, and each
argument plain data: what msgpack carries without help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.addresses import join
from supervisors.errors import Fault
from supervisors.specs import ChildSpec, ImportStart, LocalStart, SupervisorSpec

_DEPTH = 12
"""Containers inside one another that an argument may have."""


def crossing_faults(spec: SupervisorSpec, path: str) -> Iterable[Fault]:
    """Yield why the tree below the supervisor at `path`, with that spec, cannot be made in another process."""
    for child in spec.children:
        yield from child_crossing_faults(child, join(path, str(child.id)))


def child_crossing_faults(spec: ChildSpec, path: str) -> Iterable[Fault]:
    """Yield why the child at `path`, with all below it, cannot be made in another process."""
    start = spec.start
    if isinstance(start, SupervisorSpec):
        yield from crossing_faults(start, path)
    elif isinstance(start, LocalStart):
        yield from _local_faults(start, path)
    elif isinstance(start, ImportStart):
        yield from _argument_faults(start.kwargs, path)


def importable_name(start: LocalStart) -> str | None:
    """Return the import path of the class that `start` makes, None where another process could not import it."""
    kind = start.make
    if not isinstance(kind, type) or kind.__module__ == "__main__" or "<" in kind.__qualname__:
        return None
    return f"{kind.__module__}:{kind.__qualname__}"


def _local_faults(start: LocalStart, path: str) -> Iterable[Fault]:
    if importable_name(start) is None:
        what = getattr(start.make, "__qualname__", repr(start.make))
        yield Fault(
            "start",
            f"its supervisor runs in another process, which cannot import {what}",
            "name a class at the top of a module that is not the program itself",
            path=path,
        )
    if start.args:
        yield Fault(
            "start", "what runs in another process takes keyword arguments only", "write them by name", path=path
        )
    yield from _argument_faults(start.kwargs, path)


def _argument_faults(kwargs: Mapping[str, object], path: str) -> Iterable[Fault]:
    for name, value in kwargs.items():
        odd = _odd_part(value, _DEPTH)
        if odd:
            yield Fault(
                f"start.{name}",
                f"it goes to another process, which {odd} cannot",
                "plain data: text, bytes, numbers, truth values, None, lists, and tables of them",
                path=path,
            )


def _odd_part(value: object, depth: int) -> str:
    """Return what in `value` msgpack does not carry, "" where all of it is plain."""
    if value is None or isinstance(value, bool | str | bytes | float):
        return ""
    if isinstance(value, int):
        return "" if -(2**63) <= value < 2**64 else "a number of more than 64 bits"
    if depth == 0:
        return "data nested so deeply"
    if isinstance(value, list | tuple):
        return next((odd for item in value if (odd := _odd_part(item, depth - 1))), "")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return "a table whose keys are no texts"
        return next((odd for item in value.values() if (odd := _odd_part(item, depth - 1))), "")
    return f"a {type(value).__name__}"
