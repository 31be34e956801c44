"""What may stand under a key, read off the models: a value of some kind, a table of fixed keys, or a table of entries.

Environment variables, suggestions for unknown keys, `config show` and the reference all walk the models through here.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Struct

from supervisors.node.config import Config
from supervisors.node.fields import Kind
from supervisors.node.positions import KeyPath
from supervisors.node.sections import Section


class Shape(Struct, frozen=True):
    """What one key takes; exactly one of the three, or none of them inside a free table.

    Attributes:
        kind: A value of this kind.
        section: A table with the keys of this model.
        entries: A table whose keys the user names; the shape of each value.
        is_reference: Whether it takes a reference to a secret.
    """

    kind: Kind | None = None
    section: type[Section] | None = None
    entries: Shape | None = None
    is_reference: bool = False


ROOT = Shape(section=Config)


@cache
def keys_of(section: type[Section]) -> dict[str, Shape]:
    """Return the keys of a table and their shapes, in the order of the model."""
    return {name: _shape(field.annotation, field.metadata) for name, field in section.model_fields.items()}


def shape_at(path: KeyPath) -> Shape:
    """Return the shape under `path`; an empty shape where the models know no such key."""
    shape = ROOT
    for step in path:
        if shape.section is not None:
            shape = keys_of(shape.section).get(str(step), Shape())
        elif shape.entries is not None:
            shape = shape.entries
        else:
            return Shape(kind=shape.kind)
    return shape


def show_path(path: KeyPath) -> str:
    """Return `path` as one would write it: `actors."/io/gmail".restart`, `include[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = step and all(c.isascii() and (c.isalnum() or c in "-_") for c in step)
            shown = step if bare else '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
            text += f".{shown}" if text else shown
    return text


def _shape(annotation: Any, metadata: Sequence[Any] = ()) -> Shape:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return _shape(inner, [*metadata, *marks])
    if get_origin(annotation) in {Union, types.UnionType}:
        inner = [part for part in get_args(annotation) if part is not type(None)]
        if len(inner) == 1:
            return _shape(inner[0], metadata)
    kind = next((mark for mark in metadata if isinstance(mark, Kind)), None)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Shape(section=annotation, is_reference=kind is not None)
    if kind is not None:
        return Shape(kind=kind)
    if get_origin(annotation) is dict:
        return Shape(entries=_shape(get_args(annotation)[1]))
    raise TypeError(f"a configuration key has no kind: {annotation!r}")
