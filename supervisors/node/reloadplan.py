"""What a new configuration would change in a running tree: one step for each child, as values. Pure.

    add       it is new
    remove    it is not in the new one
    replace   it is stopped, then started with its new spec
    rolling   as replace, one of several instances after another, with one more beside them that is ready first
    update    a supervisor's own rules change; nothing is stopped

What a supervisor has below it is compared child by child; only where the supervisor itself is run in another way is it
replaced with all below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import is_within, join, matches
from actors.hiding import REDACTED
from supervisors.node.showing import SECRET_NAME, toml_of
from supervisors.programs import ProgramStart
from supervisors.selectors import GLOB_CHARACTERS, not_found
from supervisors.specs import ChildSpec, ImportStart, LocalStart, Strategy, SupervisorSpec

TEXT_LIMIT: Final = 80
"""Characters of a value that are shown."""


class Action(Enum):
    """What becomes of one child."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"
    ROLLING = "rolling"
    UPDATE = "update"


class Step(Struct, frozen=True):
    """What becomes of the child at `path`, and the differences that it comes from, each as a line."""

    path: str
    action: Action
    changes: tuple[str, ...] = ()


class ReloadPlan(Struct, frozen=True):
    """What a new configuration would change.

    Attributes:
        steps: In the order of the new tree, what goes at the end of its supervisor's.
        unchanged: Workers that nothing happens to.
    """

    steps: tuple[Step, ...]
    unchanged: int


def plan_reload(old: SupervisorSpec, new: SupervisorSpec) -> ReloadPlan:
    """Return what has to be done to make the tree `old` the tree `new`."""
    steps = tuple(_steps("/", old, new))
    return ReloadPlan(steps, _unchanged(old, new))


def chosen_part(old: SupervisorSpec, new: SupervisorSpec, only: Sequence[str]) -> SupervisorSpec:
    """Return `old` with what is new in `new` about the paths that `only` selects, and nothing else.

    Args:
        old: The tree that runs.
        new: The tree of the configuration.
        only: Paths, each with what is below it, and globs. `/work/task` is also each of `/work/task#1`, `/work/task#2`.

    Raises:
        SelectorError: `not_found`: one selects nothing in either tree.
    """
    paths = {*_paths("/", old), *_paths("/", new)}
    for selector in only:
        if not any(_is_chosen(path, (selector,)) for path in paths):
            raise not_found(selector, sorted(paths))
    return _chosen_part("/", old, new, only)


def _chosen_part(path: str, old: SupervisorSpec, new: SupervisorSpec, only: Sequence[str]) -> SupervisorSpec:
    wanted = {child.id: child for child in new.children}
    children: list[ChildSpec] = []
    for known in old.children:
        at, spec = join(path, known.id), wanted.pop(known.id, None)
        if spec is not None and is_same_place(known, spec):
            assert isinstance(known.start, SupervisorSpec)
            assert isinstance(spec.start, SupervisorSpec)
            children.append(replace(known, start=_chosen_part(at, known.start, spec.start, only)))
        elif not _is_chosen(at, only):
            children.append(known)
        elif spec is not None:
            children.append(spec)
    children += [spec for spec in wanted.values() if _is_chosen(join(path, spec.id), only)]
    rules = new if _is_chosen(path, only) else old
    return replace(rules, children=tuple(children))


def _is_chosen(path: str, only: Sequence[str]) -> bool:
    above, sign, _number = path.rpartition("#")
    names = (path, above) if sign else (path,)
    return any(
        matches(name, selector) if not GLOB_CHARACTERS.isdisjoint(selector) else is_within(name, selector)
        for name in names
        for selector in only
    )


def _paths(path: str, spec: SupervisorSpec) -> Iterator[str]:
    yield path
    for child in spec.children:
        at = join(path, child.id)
        if isinstance(child.start, SupervisorSpec):
            yield from _paths(at, child.start)
        else:
            yield at


def is_same_place(old: ChildSpec, new: ChildSpec) -> bool:
    """Whether both are the same supervisor, run in the same way, so that only what is below it may differ."""
    before, after = old.start, new.start
    if not isinstance(before, SupervisorSpec) or not isinstance(after, SupervisorSpec):
        return False
    is_dynamic = (before.strategy is Strategy.SIMPLE_ONE_FOR_ONE) or (after.strategy is Strategy.SIMPLE_ONE_FOR_ONE)
    return not is_dynamic and replace(old, start=after) == new


def rolling_groups(old: SupervisorSpec, new: SupervisorSpec) -> dict[str, tuple[ChildSpec, ...]]:
    """Return the new specs of workers that are replaced one after another, by the stem of their ids."""
    before = {child.id: child for child in old.children}
    changed = [
        spec
        for spec in new.children
        if stem_of(spec.id)
        and spec.id in before
        and before[spec.id] != spec
        and not isinstance(spec.start, SupervisorSpec)
        and not isinstance(before[spec.id].start, SupervisorSpec)
    ]
    counts = Counter(stem_of(spec.id) for spec in changed)
    return {
        stem: tuple(spec for spec in changed if stem_of(spec.id) == stem) for stem, count in counts.items() if count > 1
    }


def stem_of(id: str) -> str:
    """Return `task` for `task#2`, "" for what is no instance of several."""
    stem, sign, number = id.rpartition("#")
    return stem if sign and number.isdecimal() else ""


def differences(old: ChildSpec, new: ChildSpec) -> tuple[str, ...]:
    """Return in what the two specs of one child differ, a line for each value; values that sound secret are hidden."""
    return tuple(
        f"{name}: {_shown(name, before)} → {_shown(name, after)}"
        for name, (before, after) in sorted(_differing(_facts(old), _facts(new)).items())
    )


def _steps(path: str, old: SupervisorSpec, new: SupervisorSpec) -> Iterator[Step]:
    flags = _differing(_flags(old), _flags(new))
    if flags:
        changes = tuple(f"{name}: {_text(before)} → {_text(after)}" for name, (before, after) in flags.items())
        yield Step(path, Action.UPDATE, changes)
    before = {child.id: child for child in old.children}
    rolling = {spec.id for group in rolling_groups(old, new).values() for spec in group}
    for spec in new.children:
        at = join(path, spec.id)
        known = before.pop(spec.id, None)
        if known is None:
            yield from _all(at, spec, Action.ADD)
        elif known == spec:
            continue
        elif is_same_place(known, spec):
            assert isinstance(known.start, SupervisorSpec)
            assert isinstance(spec.start, SupervisorSpec)
            yield from _steps(at, known.start, spec.start)
        else:
            action = Action.ROLLING if spec.id in rolling else Action.REPLACE
            yield Step(at, action, differences(known, spec))
    for gone in before.values():
        yield from _all(join(path, gone.id), gone, Action.REMOVE)


def _all(path: str, spec: ChildSpec, action: Action) -> Iterator[Step]:
    yield Step(path, action)
    if isinstance(spec.start, SupervisorSpec):
        for child in spec.start.children:
            yield from _all(join(path, child.id), child, action)


def _unchanged(old: SupervisorSpec, new: SupervisorSpec) -> int:
    before = {child.id: child for child in old.children}
    count = 0
    for spec in new.children:
        known = before.get(spec.id)
        if known is None:
            continue
        if isinstance(spec.start, SupervisorSpec):
            if is_same_place(known, spec):
                assert isinstance(known.start, SupervisorSpec)
                count += _unchanged(known.start, spec.start)
        elif known == spec:
            count += 1
    return count


def _flags(spec: SupervisorSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__ if name != "children"}


def _facts(spec: ChildSpec) -> dict[str, Any]:
    found = {name: getattr(spec, name) for name in spec.__struct_fields__ if name not in {"id", "start", "type"}}
    match spec.start:
        case ImportStart(target=target, kwargs=kwargs):
            found["use"] = target.partition(":of.")[2] or target
            found.update(_flat("", kwargs))
        case LocalStart(make=make, kwargs=kwargs):
            found["use"] = f"{getattr(make, '__module__', '?')}:{getattr(make, '__qualname__', '?')}"
            found.update(_flat("args", kwargs))
        case ProgramStart() as program:
            found.update({name: getattr(program, name) for name in program.__struct_fields__})
        case SupervisorSpec() as tree:
            found.update(_flags(tree))
            found["children"] = len(tree.children)
    return found


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        at = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping) and value:
            yield from _flat(at, value)
        else:
            yield at, value


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*old, *new])
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _shown(name: str, value: Any) -> str:
    parts = name.split(".")
    is_place = parts[0] == "secrets"
    if value is not None and not is_place and (SECRET_NAME.search(parts[-1]) or parts[0] in {"env", "environment"}):
        return REDACTED
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Enum):
        value = value.value
    is_plain = isinstance(value, dict | list | tuple | bool)
    text = toml_of(value) if is_plain else str(value)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
