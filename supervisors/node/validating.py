"""From merged tables to a `Config`: every fault of type and spelling at once, each at the place its value came from.

What is at fault is cut out and the rest validated again, so that the checks across tables can look at whatever is
sound; `damaged` names what was cut, lest a check complain of its absence.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from msgspec import Struct
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from supervisors.errors import Fault
from supervisors.node.config import Config
from supervisors.node.faults import cut
from supervisors.node.fields import suggestion, toml_type
from supervisors.node.layers import Layered
from supervisors.node.positions import KeyPath
from supervisors.node.shapes import keys_of, shape_at, show_path

ROUNDS: Final = 100
"""Most times faults are cut out; each round cuts at least one, and all that one round finds."""

_SECTIONS_ELSEWHERE: Final = {
    "cron": "schedules of loops are written in [loops.list.ID]",
    "watch": "files are not watched in this version",
    "degrade": "there are no degradation levels in this version",
    "watchdog": 'the watchdog is the actor [actors."/sys/watchdog"]',
    "web": "there is no web interface in this version",
}


class Validated(Struct, frozen=True):
    """What came of validating.

    Attributes:
        config: The configuration, or the sound part of it where there are faults.
        faults: Every fault of type and spelling.
        damaged: The paths that were cut out.
    """

    config: Config
    faults: tuple[Fault, ...]
    damaged: frozenset[KeyPath]


def validate(layered: Layered) -> Validated:
    """Return the configuration that `layered` holds, with everything that is wrong in it."""
    data = copy.deepcopy(layered.data)
    faults: list[Fault] = []
    damaged: set[KeyPath] = set()
    for attempt in range(ROUNDS):
        try:
            return Validated(Config.model_validate(data), tuple(faults), frozenset(damaged))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            if attempt == 0:
                faults.extend(_fault(detail, layered) for detail in details)
            for detail in details:
                path = _path_of(detail)
                if detail["type"] == "missing":
                    path = path[:-1]  # the table is incomplete
                _cut_out(data, path)
                damaged.add(path)
    raise AssertionError("faults remain after everything at fault was cut out")


def _path_of(detail: ErrorDetails) -> KeyPath:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _fault(detail: ErrorDetails, layered: Layered) -> Fault:
    path = _path_of(detail)
    origin = layered.origin(path)
    message, hint = _words(detail, path, layered.data)
    return Fault(cut(show_path(path)), message, hint, file=origin.source, line=origin.line)


def _words(detail: ErrorDetails, path: KeyPath, data: dict[str, Any]) -> tuple[str, str]:
    match detail["type"]:
        case "refused":
            context = detail.get("ctx", {})
            return str(context["reason"]), str(context["hint"])
        case "extra_forbidden":
            return _unknown(path)
        case "missing":
            return "it is missing", "add it"
        case "model_type" | "model_attributes_type" | "dict_type":
            return (
                f"expected a table, got {toml_type(_value_at(data, path))}",
                "{ key = value }, or a [table] of its own",
            )
        case other:
            return f"it is refused ({other})", ""


def _unknown(path: KeyPath) -> tuple[str, str]:
    name = str(path[-1])
    section = shape_at(path[:-1]).section
    known = list(keys_of(section)) if section is not None else []
    if len(path) == 1 and name in _SECTIONS_ELSEWHERE:
        return "there is no such section in this version", _SECTIONS_ELSEWHERE[name]
    near = suggestion(name, known)
    hint = f"the keys here are {', '.join(known)}"
    if not near and len(path) == 1 and (home := _section_with(name)):
        near = f"under a [table] a key belongs to it; {name} stands in [{home}]"
    return "unknown key", near or hint


def _section_with(name: str) -> str:
    """Return the top section that has a key `name`, for a key written outside of it."""
    for section, shape in keys_of(Config).items():
        if shape.section is not None and name in keys_of(shape.section):
            return section
    return ""


def _value_at(data: Any, path: KeyPath) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _cut_out(data: Any, path: KeyPath) -> None:
    """Remove what `path` names; an item of a list goes with its whole list."""
    for end in range(len(path), 0, -1):
        holder = _value_at(data, path[: end - 1])
        if isinstance(holder, dict):
            holder.pop(path[end - 1], None)
            return
