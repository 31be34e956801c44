"""Fields of a spec that hold something of another kind than they should, so that nothing else could be said of it.

What a field of the right kind may hold is checked elsewhere (`validation`), and only where this finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from actors.addresses import join
from actors.flightrecord import FlightRule
from supervisors.errors import Fault
from supervisors.specs import ChildSpec, ImportStart, LocalStart, SupervisorSpec

T = TypeVar("T")


def kind_faults(spec: SupervisorSpec, path: str) -> Iterable[Fault]:
    """Yield what is of a wrong kind in the supervisor at `path`, and in all below it."""
    if not isinstance(spec.children, tuple | list):
        yield Fault("children", f"child specs in a tuple, got {_shown(spec.children)}", path=path)
        return
    for child in spec.children:
        yield from child_kind_faults(child, path)


def child_kind_faults(spec: Any, supervisor: str) -> Iterable[Fault]:
    """Yield what is of a wrong kind in one child spec of the supervisor at `supervisor`, and in all below it."""
    if not isinstance(spec, ChildSpec):
        hint = "what supervisors.api.child, program or supervisor returns"
        yield Fault("children", f"a child spec, got {_shown(spec)}", hint, path=supervisor)
        return
    id: Any = spec.id
    path = join(supervisor, id) if isinstance(id, str) else f"{supervisor}: {_shown(id)}"
    if not isinstance(id, str):
        yield Fault("id", f"an id is a name, got {type(id).__name__}", path=path)
    needs: Any = spec.needs
    if not isinstance(needs, tuple | list) or not all(isinstance(need, str) for need in needs):
        hint = f"needs=({needs!r},)" if isinstance(needs, str) else ""
        yield Fault("needs", f"ids or paths in a tuple, got {_shown(needs)}", hint, path=path)
    for key in ("significant", "restart_on_gave_up"):
        if not isinstance(getattr(spec, key), bool):
            yield Fault(key, f"True or False, got {_shown(getattr(spec, key))}", path=path)
    if not isinstance(spec.flight, FlightRule | None):
        yield Fault("flight", f"no rule: {_shown(spec.flight)}", "FlightRule(messages=...)", path=path)
    if spec.mailbox is not None and not hasattr(spec.mailbox, "capacity"):
        yield Fault("mailbox", f"no mailbox: {_shown(spec.mailbox)}", "MailboxSpec(capacity=...)", path=path)
    yield from _start_faults(spec.start, path)


def listed(key: str, given: Iterable[T], what: str) -> tuple[T, ...]:
    """Return `given` as a tuple; a text by itself would fall apart into its letters.

    Raises:
        TypeError: It is no list; `key` and `what` say of whom.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{key} is a list of {what}, got {_shown(given)}")
    return tuple(given)


def _start_faults(start: object, path: str) -> Iterable[Fault]:
    if isinstance(start, SupervisorSpec):
        yield from kind_faults(start, path)
    if isinstance(start, ImportStart) and not isinstance(start.target, str):
        yield Fault("start", f"an import path, got {_shown(start.target)}", "package.module:Class", path=path)
    if isinstance(start, LocalStart) and not isinstance(start.args, tuple | list):
        yield Fault("start", f"args are in a tuple, got {_shown(start.args)}", path=path)
    if isinstance(start, ImportStart | LocalStart) and not _names_arguments(start.kwargs):
        yield Fault("start", f"kwargs are values by their names, got {_shown(start.kwargs)}", path=path)


def _names_arguments(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)


def _shown(value: object) -> str:
    return f"{value!r:.100}"
