"""What is wrong with a tree of specs, all of it at once, before anything starts; and its start order.

A spec is checked value by value too, since nothing else does that at run time: a wrong word (`restart="permanant"`) is
a fault with a suggestion, and so is a name in `needs` that nobody has. Where something is not even of the right kind
(`kinds`), that alone is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from math import isfinite
from typing import Any, get_args

from msgspec.structs import replace

from actors.addresses import ROOT, check_path, check_segment, is_within, join
from actors.errors import AddressError
from actors.policies.backoff import Backoff
from supervisors.core.crossing import crossing_faults
from supervisors.core.kinds import child_kind_faults, kind_faults
from supervisors.errors import Fault
from supervisors.programs import ProgramStart, program_faults
from supervisors.specs import (
    AutoShutdown,
    Bounds,
    Budget,
    ChildSpec,
    ChildType,
    Heartbeat,
    ImportStart,
    LocalStart,
    OnLimit,
    Placement,
    Restart,
    Strategy,
    SupervisorSpec,
    WhenDown,
)


def validate_tree(spec: SupervisorSpec, path: str = ROOT) -> list[Fault]:
    """Return everything that is wrong with a tree; an empty list means that it can be started.

    Args:
        spec: The tree's top supervisor.
        path: Where it will stand. A need of something outside is taken as met: whoever holds the whole tree checks it.
    """
    if faults := list(kind_faults(spec, path)):
        return faults
    faults = list(_supervisor_faults(spec, path))
    faults.extend(_need_faults(spec, path))
    return faults


def faults_of_child(spec: ChildSpec, supervisor: str, auto_shutdown: AutoShutdown = AutoShutdown.NEVER) -> list[Fault]:
    """Return what is wrong with one child spec, and with the tree below it, under a supervisor at `supervisor`."""
    return list(child_kind_faults(spec, supervisor)) or list(_child_faults(spec, supervisor, auto_shutdown))


def check_childspecs(
    specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown = AutoShutdown.NEVER, path: str = ROOT
) -> list[Fault]:
    """Return what is wrong with a list of child specs of one supervisor, without starting anything."""
    specs = tuple(specs)
    if faults := [fault for spec in specs for fault in child_kind_faults(spec, path)]:
        return faults
    faults = [fault for spec in specs for fault in _child_faults(spec, path, auto_shutdown)]
    faults.extend(_duplicates(specs, path))
    return faults


def _supervisor_faults(spec: SupervisorSpec, path: str) -> Iterable[Fault]:
    yield from _word(path, "strategy", spec.strategy, Strategy)
    yield from _word(path, "auto_shutdown", spec.auto_shutdown, AutoShutdown)
    yield from _word(path, "on_limit", spec.on_limit, OnLimit)
    yield from _whole(path, "intensity", spec.intensity, 0)
    yield from _seconds(path, "period", spec.period)
    yield from _seconds(path, "park_every", spec.park_every)
    is_dynamic = spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
    if is_dynamic and len(spec.children) != 1:
        yield Fault(
            "children", f"a dynamic supervisor has one template, got {len(spec.children)} child specs", path=path
        )
    if spec.max_children is not None:
        if not is_dynamic:
            yield Fault("max_children", "only a dynamic supervisor has a limit of children", path=path)
        else:
            yield from _whole(path, "max_children", spec.max_children, 0)
    for child in spec.children:
        yield from _child_faults(child, path, spec.auto_shutdown)
    yield from _duplicates(spec.children, path)


def _child_faults(spec: ChildSpec, supervisor: str, auto_shutdown: AutoShutdown) -> Iterable[Fault]:
    path = f"{supervisor}: {spec.id!r}"
    try:
        path = join(supervisor, check_segment(spec.id))
    except AddressError as error:
        yield Fault("id", str(error), path=path)
    yield from _word(path, "restart", spec.restart, Restart)
    yield from _word(path, "type", spec.type, ChildType)
    if spec.runs_in not in get_args(Placement):
        yield _wrong_word(path, "runs_in", spec.runs_in, get_args(Placement))
    if spec.when_down not in get_args(WhenDown):
        yield _wrong_word(path, "when_down", spec.when_down, get_args(WhenDown))
    yield from _whole(path, "held_max", spec.held_max, 1)
    if isinstance(spec.shutdown, str):
        if spec.shutdown not in {"infinity", "brutal_kill"}:
            yield _wrong_word(path, "shutdown", spec.shutdown, ("infinity", "brutal_kill"), "or seconds")
    else:
        yield from _seconds(path, "shutdown", spec.shutdown, allows_zero=True)
    if spec.start_timeout is not None:
        yield from _seconds(path, "start_timeout", spec.start_timeout)
    if spec.significant:
        if spec.restart is Restart.PERMANENT:
            yield Fault(
                "significant", "a permanent child cannot be significant", "make it transient or temporary", path=path
            )
        if auto_shutdown is AutoShutdown.NEVER:
            yield Fault(
                "significant",
                f"{supervisor} never shuts down by itself",
                "give it auto_shutdown any_significant or all_significant",
                path=path,
            )
    yield from _start_faults(spec, path)
    yield from _limit_faults(spec, path)
    yield from _bound_faults(spec, path)


def _start_faults(spec: ChildSpec, path: str) -> Iterable[Fault]:
    start = spec.start
    if isinstance(start, SupervisorSpec):
        if spec.type is not ChildType.SUPERVISOR:
            yield Fault("type", "its start is a supervisor spec", "leave type away, or say supervisor", path=path)
        yield from _supervisor_faults(start, path)
        if spec.runs_in == "process":
            yield from crossing_faults(start, path)
    elif isinstance(start, LocalStart):
        if not callable(start.make):
            yield Fault("start", f"make is a class or a function, got {start.make!r}", path=path)
        if spec.runs_in == "process":
            yield Fault(
                "start", "a process child starts by its import path", 'ImportStart("package.module:Class")', path=path
            )
    elif isinstance(start, ImportStart):
        module, colon, name = start.target.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            yield Fault("start", f"{start.target!r} is no import path", "package.module:Class", path=path)
    elif isinstance(start, ProgramStart):
        for key, message, hint in program_faults(start):
            yield Fault(key, message, hint, path=path)
        if spec.runs_in != "process":
            yield Fault("runs_in", "a program is a process of its own", "leave it out", path=path)
        if spec.heartbeat is not None and not start.speaks:
            yield Fault("heartbeat", "a program beats by sd_notify or not at all", "watchdog, or alive", path=path)
    else:
        hint = "LocalStart, ImportStart, ProgramStart or SupervisorSpec"
        yield Fault("start", f"no way to start a child: {start!r}", hint, path=path)


def _limit_faults(spec: ChildSpec, path: str) -> Iterable[Fault]:
    if not isinstance(spec.backoff, Backoff):
        yield Fault("backoff", f"no back-off rule: {spec.backoff!r}", "Backoff(first=...)", path=path)
    if spec.budget is not None:
        if not isinstance(spec.budget, Budget):
            yield Fault("budget", f"no budget: {spec.budget!r}", "Budget(intensity, period)", path=path)
        else:
            yield from _whole(path, "budget.intensity", spec.budget.intensity, 0)
            yield from _seconds(path, "budget.period", spec.budget.period)
        if spec.restart is Restart.TEMPORARY:
            yield Fault("budget", "a temporary child is never restarted, so it has no restart budget", path=path)
    if spec.restart_on_gave_up and spec.restart is not Restart.TRANSIENT:
        yield Fault(
            "restart_on_gave_up", f"it has a meaning for transient children only, not {_shown(spec.restart)}", path=path
        )
    if spec.heartbeat is not None:
        if not isinstance(spec.heartbeat, Heartbeat):
            yield Fault("heartbeat", f"no heartbeat: {spec.heartbeat!r}", "Heartbeat(every, misses)", path=path)
        else:
            yield from _seconds(path, "heartbeat.every", spec.heartbeat.every)
            yield from _whole(path, "heartbeat.misses", spec.heartbeat.misses, 1)
        if spec.runs_in != "process":
            yield Fault("heartbeat", f"only process children have one; this runs in {spec.runs_in!r}", path=path)
    if spec.memory_max_bytes is not None:
        yield from _whole(path, "memory_max_bytes", spec.memory_max_bytes, 1)
        if spec.runs_in != "process":
            yield Fault("memory_max_bytes", f"only a process can be measured; this runs in {spec.runs_in!r}", path=path)
    if spec.spares != 0:
        yield from _whole(path, "spares", spec.spares, 0)
        if spec.runs_in != "process":
            yield Fault("spares", f"only a process has spares; this runs in {spec.runs_in!r}", path=path)
        elif not isinstance(spec.start, ImportStart | SupervisorSpec):
            yield Fault("spares", "only classes can be imported beforehand: a program has none", path=path)


def _bound_faults(spec: ChildSpec, path: str) -> Iterable[Fault]:
    bounds = spec.bounds
    if not isinstance(bounds, Bounds):
        yield Fault("bounds", f"no bounds: {bounds!r}", "Bounds(max_age=3600.0)", path=path)
        return
    if bounds != Bounds() and spec.runs_in != "process":
        yield Fault("bounds", f"only a process can be held to them; this runs in {spec.runs_in!r}", path=path)
    for key in ("memory_warn_bytes", "max_messages"):
        if getattr(bounds, key) is not None:
            yield from _whole(path, f"bounds.{key}", getattr(bounds, key), 1)
    for key in ("cpu_warn", "cpu_max", "max_age"):
        if getattr(bounds, key) is not None:
            yield from _seconds(path, f"bounds.{key}", getattr(bounds, key))
    if bounds.max_messages is not None and not isinstance(spec.start, ImportStart):
        yield Fault("bounds.max_messages", "only an actor counts its messages", "leave it out", path=path)
    if spec.restart is Restart.TEMPORARY and (bounds.max_age is not None or bounds.max_messages is not None):
        yield Fault("bounds", "a temporary child is not replaced", "leave out max_age and max_messages", path=path)


def _duplicates(specs: Sequence[ChildSpec], path: str) -> Iterable[Fault]:
    seen: set[Any] = set()
    for spec in specs:
        if spec.id in seen:
            yield Fault("children", f"{spec.id!r} is there twice", "ids are unique in a supervisor", path=path)
        seen.add(spec.id)


def _need_faults(spec: SupervisorSpec, path: str) -> Iterable[Fault]:
    """What is wrong with `needs` in a whole tree: unknown names, needs of oneself or an ancestor, circles."""
    paths = dict(_walk(spec, path))
    for at, child in paths.items():
        if child is None:
            continue
        supervisor = at.rpartition("/")[0] or ROOT
        for need in child.needs:
            target = _target(need, supervisor)
            if target is None:
                yield Fault("needs", f"{need!r} is neither an id nor a path", path=at)
            elif is_within(at, target):
                yield Fault("needs", f"{need!r} is it itself or above it, so it can never be there first", path=at)
            elif not is_within(target, path):
                continue  # in a branch that only the tree above knows
            elif target not in paths:
                siblings = [other for other in paths if (other.rpartition("/")[0] or ROOT) == supervisor]
                close = get_close_matches(need, [*(p.rpartition("/")[2] for p in siblings), *paths], 1)
                yield Fault("needs", f"there is no {need!r}", f"did you mean {close[0]!r}?" if close else "", path=at)
            elif is_within(target, at):
                yield Fault("needs", f"{need!r} is below it, so it can never be there first", path=at)
    yield from _circles(spec, path, paths)


def _walk(spec: SupervisorSpec, path: str) -> Iterable[tuple[str, ChildSpec | None]]:
    """Every path of a tree with its child spec; None for the top."""
    yield path, None
    for child in spec.children:
        below = join(path, str(child.id))
        yield below, child
        if isinstance(child.start, SupervisorSpec):
            for inner, found in _walk(child.start, below):
                if found is not None:
                    yield inner, found


def _target(need: str, supervisor: str) -> str | None:
    """The path that an entry of `needs` names, or None."""
    try:
        return check_path(need) if need.startswith("/") else join(supervisor, check_segment(need))
    except (AddressError, AttributeError):
        return None


def _edges(spec: SupervisorSpec, path: str) -> dict[str, set[str]]:
    """For each child of one supervisor, the siblings that it, or anything below it, needs to be started before it."""
    ids = [str(child.id) for child in spec.children]
    edges: dict[str, set[str]] = {id: set() for id in ids}
    prefix = "/" if path == ROOT else path + "/"
    for at, child in _walk(spec, path):
        if child is None:
            continue
        owner = at[len(prefix) :].partition("/")[0]
        supervisor = at.rpartition("/")[0] or ROOT
        for need in child.needs:
            target = _target(need, supervisor)
            if target is not None and target.startswith(prefix):
                first = target[len(prefix) :].partition("/")[0]
                if first in edges and first != owner:
                    edges[owner].add(first)
    return edges


def _sorted(spec: SupervisorSpec, path: str) -> tuple[list[ChildSpec], list[str]]:
    """The children in start order, those in no circle; and the ids that lie in or behind one."""
    edges = _edges(spec, path)
    if not any(edges.values()):
        return list(spec.children), []
    order: list[ChildSpec] = []
    placed: set[str] = set()
    rest = list(spec.children)
    while rest:
        found = next((child for child in rest if edges[str(child.id)] <= placed), None)
        if found is None:
            break
        rest.remove(found)
        order.append(found)
        placed.add(str(found.id))
    return order, [str(child.id) for child in rest]


def _circles(spec: SupervisorSpec, path: str, paths: Mapping[str, ChildSpec | None]) -> Iterable[Fault]:
    _, stuck = _sorted(spec, path)
    if stuck:
        edges = _edges(spec, path)
        circle = [stuck[0]]
        while circle.count(circle[-1]) < 2:
            circle.append(next(id for id in edges[circle[-1]] if id in stuck))
        circle = circle[circle.index(circle[-1]) :]
        yield Fault("needs", "a circle, so none of them can be first: " + " needs ".join(circle), path=path)
    for child in spec.children:
        if isinstance(child.start, SupervisorSpec):
            yield from _circles(child.start, join(path, str(child.id)), paths)


def arrange(spec: SupervisorSpec, path: str = ROOT) -> SupervisorSpec:
    """Return the tree with every list of children in start order: as written, but after what each needs.

    A need of something in another branch orders the two branches where they part. The tree must have no faults.
    """
    order, stuck = _sorted(spec, path)
    if stuck:
        raise ValueError(f"a circle of needs under {path}: {', '.join(stuck)}")
    children = tuple(
        replace(child, start=arrange(child.start, join(path, child.id)))
        if isinstance(child.start, SupervisorSpec)
        else child
        for child in order
    )
    return replace(spec, children=children)


def _word(path: str, key: str, value: object, words: type[Enum]) -> Iterable[Fault]:
    if not isinstance(value, words):
        yield _wrong_word(path, key, value, [str(word.value) for word in words], enum=words)


def _wrong_word(
    path: str, key: str, value: object, words: Sequence[str], also: str = "", enum: type[Enum] | None = None
) -> Fault:
    close = get_close_matches(str(value), words, 1)
    if enum is not None and close:
        hint = f"{enum.__name__}.{enum(close[0]).name}" + ("" if value == close[0] else f", {close[0]!r}?")
    elif close:
        hint = f"did you mean {close[0]!r}?"
    else:
        hint = "one of " + ", ".join(words) + (f" {also}" if also else "")
    return Fault(key, f"{value!r} is none of its words", hint, path=path)


def _whole(path: str, key: str, value: object, least: int) -> Iterable[Fault]:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield Fault(key, f"a whole number, {least} or more, got {value!r}", path=path)


def _seconds(path: str, key: str, value: object, *, allows_zero: bool = False) -> Iterable[Fault]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or value < 0 or (value == 0 and not allows_zero):  # type: ignore[operator]  # a number by then
        yield Fault(key, f"{'0 or more' if allows_zero else 'positive'} seconds, got {value!r}", path=path)


def _shown(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else repr(value)
