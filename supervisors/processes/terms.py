"""What a child spec means for a child in a process of its own: what it is held to, and what the process imports."""

from __future__ import annotations

from math import inf
from typing import Any

from supervisors.processes.states import HELLO_TIMEOUT, Limits
from supervisors.programs import ProgramStart
from supervisors.specs import ChildSpec, ImportStart, LocalStart, SupervisorSpec


def limits_of(spec: ChildSpec) -> Limits:
    """Return what a child of `spec` is held to."""
    return Limits(
        start_timeout=spec.start_timeout if spec.start_timeout is not None else inf,
        heartbeat=spec.heartbeat.every if spec.heartbeat is not None else inf,
        misses=spec.heartbeat.misses if spec.heartbeat is not None else 1,
        memory_max_bytes=spec.memory_max_bytes,
        hello_timeout=HELLO_TIMEOUT if spec.start_timeout is None else inf,
        beats_early=isinstance(spec.start, SupervisorSpec) and spec.heartbeat is not None,
    )


def import_path_of(spec: ChildSpec) -> tuple[str, dict[str, Any]]:
    """Return the import path and the keyword arguments that start a child in another process; a worker in another
    language knows what it is, so its path is "".

    Raises:
        ValueError, TypeError: What `spec` starts cannot be named from another process.
    """
    start = spec.start
    if isinstance(start, ProgramStart):
        return "", dict(start.arguments)
    if isinstance(start, ImportStart):
        return start.target, dict(start.kwargs)
    if not isinstance(start, LocalStart) or not isinstance(start.make, type):
        raise TypeError(f"{spec.id}: a process child starts a class by its import path, package.module:Class")
    kind = start.make
    if start.args:
        raise ValueError(f"{spec.id}: a process child takes keyword arguments only")
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise ValueError(
            f"{spec.id}: {kind.__module__}.{kind.__qualname__} cannot be imported by another process; "
            "define it at the top of a module that is not the program itself"
        )
    return f"{kind.__module__}:{kind.__qualname__}", dict(start.kwargs)
