"""Specs and management calls as bytes, for a tree that runs in another process; values in, the same values out.

A spec is written field by field, so a field added to `ChildSpec` crosses too. A class is written as its import path:
the other side makes the same tree of `ImportStart`s. The classes of actors are not imported by reading one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.core.mailbox import MailboxSpec
from actors.exits import ExitReason, ExitRecord, from_record, to_record
from supervisors import core
from supervisors.children import resolve
from supervisors.core.crossing import child_crossing_faults, crossing_faults, importable_name
from supervisors.errors import Fault, SpecError
from supervisors.programs import ProgramStart
from supervisors.specs import ChildSpec, ImportStart, LocalStart, StartSpec, SupervisorSpec
from transport.errors import MalformedFrameError

_OWN: Final = frozenset({"request", "now", "chance"})
"""Fields of a request that the side which carries it out fills in."""

_REQUESTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(core.Request)}
_STARTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(StartSpec)}


class Plan(Struct, frozen=True):
    """What a process is to supervise.

    Attributes:
        spec: Its supervisor.
        holds: Children that a person stopped, by path.
    """

    spec: SupervisorSpec
    holds: dict[str, core.Hold] = {}


def pack_plan(plan: Plan, path: str) -> bytes:
    """Return `plan`, for the supervisor at `path`, as bytes.

    Raises:
        SpecError: Something in it cannot be named or carried; all of it is said.
    """
    faults = list(crossing_faults(plan.spec, path))
    if faults:
        raise SpecError(faults)
    return msgspec.msgpack.encode({"spec": _plain(plan.spec), "holds": plan.holds})


def unpack_plan(data: bytes) -> Plan:
    """Return the plan that `pack_plan` wrote.

    Raises:
        MalformedFrameError: The bytes hold none.
    """
    found = _decode(data)
    try:
        return Plan(_made(SupervisorSpec, found["spec"]), msgspec.convert(found["holds"], dict[str, core.Hold]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedFrameError(f"this is no plan of a tree: {error}") from None


def targets_of(spec: SupervisorSpec) -> Iterator[str]:
    """Yield the import paths of the actors of a tree that run in the process of its supervisor."""
    for child in spec.children:
        start = child.start
        if child.runs_in == "process":
            continue
        if isinstance(start, SupervisorSpec):
            yield from targets_of(start)
        elif isinstance(start, ImportStart):
            yield start.target
        elif isinstance(start, LocalStart) and (name := importable_name(start)):
            yield name


def pack_spec(spec: ChildSpec) -> Any:
    """Return a child spec as plain data."""
    return _plain(spec)


def unpack_spec(data: Any) -> ChildSpec:
    """Return the spec that `pack_spec` made.

    Raises:
        MalformedFrameError: The data hold none.
    """
    try:
        spec: ChildSpec = _made(ChildSpec, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedFrameError(f"this is no spec of a child: {error!r}") from None
    return spec


# --- management calls -------------------------------------------------------------------------------------------------


def pack_request(request: core.Request, supervisor: str) -> bytes:
    """Return a management call of the supervisor at `supervisor` as bytes, without what the far side fills in.

    Raises:
        SpecError: A spec in it, or an argument of a child to be made, cannot be carried.
    """
    faults: list[Fault] = []
    match request:
        case core.StartChild(spec=spec):
            faults.extend(child_crossing_faults(spec, f"{supervisor.rstrip('/')}/{spec.id}"))
        case core.Reconfigure(spec=SupervisorSpec() as tree):
            faults.extend(crossing_faults(tree, supervisor))
        case core.SpawnChild(args=args, kwargs=kwargs):
            given = {**{str(at): value for at, value in enumerate(args)}, **kwargs}
            faults.extend(child_crossing_faults(ChildSpec("new", ImportStart("", given)), supervisor))
    if faults:
        raise SpecError(faults)
    fields = {name: _plain(getattr(request, name)) for name in request.__struct_fields__ if name not in _OWN}
    return msgspec.msgpack.encode({"kind": type(request).__name__, **fields})


def unpack_request(data: bytes) -> core.Request:
    """Return the management call that `pack_request` wrote; its number, instant and chance are zero.

    Raises:
        MalformedFrameError: The bytes hold none.
    """
    found = _decode(data)
    try:
        kind: Any = _REQUESTS[found.pop("kind")]
        hints = _hints(kind)
        fields = {name: _made(hints[name], value) for name, value in found.items()}
        request: core.Request = kind(request=0, now=0.0, chance=0.5, **fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedFrameError(f"this is no management call: {error!r}") from None
    return request


class _Result(Struct, frozen=True, omit_defaults=True):
    """A `Done`, or where `code` is set a `Refused`, as it crosses."""

    id: str
    generation: int = 0
    info: Any = None
    code: str = ""
    message: str = ""
    reason: ExitRecord | None = None
    faults: tuple[Fault, ...] = ()


def pack_result(result: core.Done | core.Refused) -> bytes:
    """Return the answer to a management call as bytes; what a start told beside being ready only if it is plain."""
    if isinstance(result, core.Refused):
        reason = to_record(result.reason) if result.reason is not None else None
        found = _Result(result.id, code=result.code.value, message=result.message, reason=reason, faults=result.faults)
        return msgspec.msgpack.encode(found)
    try:
        return msgspec.msgpack.encode(_Result(result.id, result.generation, result.info))
    except (TypeError, ValueError, OverflowError):
        return msgspec.msgpack.encode(_Result(result.id, result.generation, repr(result.info)))


def unpack_result(data: bytes) -> core.Done | core.Refused:
    """Return the answer that `pack_result` wrote.

    Raises:
        MalformedFrameError: The bytes hold none.
    """
    try:
        found = msgspec.msgpack.decode(data, type=_Result)
        if not found.code:
            return core.Done(found.id, found.generation, found.info)
        reason: ExitReason | None = from_record(found.reason) if found.reason is not None else None
        return core.Refused(found.id, core.Refusal(found.code), found.message, reason, found.faults)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"this is no answer to a management call: {error}") from None


# --- plain data -------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return `value` as plain data; specs and starts by their kind, other values as msgspec has them."""
    if isinstance(value, LocalStart):
        value = ImportStart(importable_name(value) or "", value.kwargs)
    if isinstance(value, ChildSpec | SupervisorSpec):
        fields = {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, ProgramStart):
        places = {name: _place(place) for name, place in value.secrets.items()}
        return {"kind": "ProgramStart", **msgspec.to_builtins(replace(value, secrets={})), "secrets": places}
    if isinstance(value, ImportStart):
        return {"kind": "ImportStart", "target": value.target, "kwargs": value.kwargs}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def _made(kind: Any, value: Any) -> Any:
    """Return the value of type `kind` that `_plain` wrote."""
    if kind is ChildSpec or kind is SupervisorSpec:
        hints = _hints(kind)
        return kind(**{name: _made(hints[name], found) for name, found in value.items() if name in hints})
    if kind == StartSpec:
        start = _STARTS[value["kind"]]
        if start is SupervisorSpec:
            return _made(start, value)
        if start is ProgramStart:
            places = {name: _placed(place) for name, place in value["secrets"].items()}
            return replace(msgspec.convert({**_without_kind(value), "secrets": {}}, start), secrets=places)
        return msgspec.convert(_without_kind(value), start)
    if kind == tuple[ChildSpec, ...]:
        return tuple([_made(ChildSpec, item) for item in value])
    if kind == (SupervisorSpec | None):
        return None if value is None else _made(SupervisorSpec, value)
    return msgspec.convert(value, kind)


def _without_kind(value: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in value.items() if name != "kind"}


def _place(place: Any) -> dict[str, Any]:
    """Return where a secret is found: the class of the place by its import path, and its fields."""
    kind = type(place)
    return {"use": f"{kind.__module__}:{kind.__qualname__}", **msgspec.to_builtins(place)}


def _placed(found: dict[str, Any]) -> Any:
    kind: Any = resolve(found["use"])
    return msgspec.convert({name: value for name, value in found.items() if name != "use"}, kind)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    if kind is ChildSpec:
        hints["mailbox"] = MailboxSpec | None  # the specs know no actors, and say Any
    return hints


def _decode(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"this is no plan: {error}") from None
