"""Views that answer `level`: which log records are kept of which actors."""

from __future__ import annotations

from supervisors.views.base import Instant, View


class LevelView(View, frozen=True):
    """Another log level for some actors for a while.

    Attributes:
        selector: The path, with what is below it, or the glob that it is about.
        level: `debug`, `info`, `warning` or `error`.
        ends_at: When the configured level counts again.
        author: Who wanted it.
        why: The reason given.
    """

    selector: str
    level: str
    ends_at: Instant | None = None
    author: str = ""
    why: str = ""


class LevelsView(View, frozen=True):
    """Answer to `level`: `level` is that of everything that no item is about; the last item about an actor counts."""

    level: str
    items: tuple[LevelView, ...] = ()
