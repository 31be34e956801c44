"""Laying one source of configuration over another, keeping for every value the place it came from.

A layer is a parsed document with the positions of its keys. Tables are merged key by key; anything else replaces what
lies below it, as a whole. Pure: files and the environment are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from supervisors.node.positions import KeyPath, Positions


class Origin(Struct, frozen=True):
    """Where a value came from.

    Attributes:
        source: A file's name as the user would write it, `environment ACTORS_…`, `flag --…`, `built-in` or `default`.
        line: Line in the file, counted from 1; 0 where there is none.
    """

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


DEFAULT: Final = Origin("default")


class Layer(Struct, frozen=True):
    """One source of values.

    Attributes:
        source: As in `Origin`.
        data: The parsed document.
        positions: Where its keys stand; None for the environment and flags.
    """

    source: str
    data: dict[str, Any]
    positions: Positions | None = None

    def origin(self, path: KeyPath) -> Origin:
        """Return the place of `path` in this layer."""
        if self.positions is None:
            return Origin(self.source)
        return Origin(self.source, self.positions.nearest(path).line)


class Layered:
    """Layers laid over each other."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.data: dict[str, Any] = {}
        self._origins: dict[KeyPath, Origin] = {}
        for layer in layers:
            self.lay(layer)

    def lay(self, layer: Layer) -> None:
        """Lay `layer` over what is here."""
        self._merge((), self.data, layer.data, layer)

    def origin(self, path: KeyPath) -> Origin:
        """Return where the value at `path` came from; for one that is not set, its nearest table's place.

        A table that several layers wrote belongs to the first of them.
        """
        for end in range(len(path), 0, -1):
            found = self._origins.get(path[:end])
            if found is not None:
                return found
        return DEFAULT

    def is_set(self, path: KeyPath) -> bool:
        """Whether some layer sets `path`."""
        return path in self._origins

    def _merge(self, path: KeyPath, below: dict[str, Any], above: dict[str, Any], layer: Layer) -> None:
        for name, value in above.items():
            here = (*path, name)
            if isinstance(value, dict):
                if not isinstance(below.get(name), dict):
                    self._forget(here)
                    below[name] = {}
                self._origins.setdefault(here, layer.origin(here))
                self._merge(here, below[name], value, layer)
            else:
                self._forget(here)
                below[name] = value
                self._origins[here] = layer.origin(here)
                if isinstance(value, list):
                    self._note_items(here, value, layer)

    def _note_items(self, path: KeyPath, items: list[Any], layer: Layer) -> None:
        for number, item in enumerate(items):
            here = (*path, number)
            self._origins[here] = layer.origin(here)
            if isinstance(item, list):
                self._note_items(here, item, layer)

    def _forget(self, path: KeyPath) -> None:
        if path in self._origins:
            size = len(path)
            for known in [known for known in self._origins if known[:size] == path]:
                del self._origins[known]
