"""Levels of log records by actor: the node's own, and others for some actors for a while.

A record is of the actor in whose handler it was written, whichever logger that used: its field `path`, or else
whoever's turn the calling thread is inside of. It is of a trace in the same way: its fields `trace`, and `run` or `job`
where a scheduled run or a job began it. Logging belongs to a process, so its levels do too: `current` are those
of this one. A launcher of process children passes changes on to them, and they to theirs.

The root logger is held at the lowest level that any rule asks for, so that a record gets as far as the filter, which
drops what its actor's level does not let through. A logger with a level of its own keeps it where no rule is about.
"""

from __future__ import annotations

import logging
import threading
from typing import Final, Protocol
from weakref import WeakSet

from msgspec import Struct

from actors.addresses import is_within, matches
from actors.core.context import path_here
from actors.core.tracing import trace_here, traced

_GLOB: Final = frozenset("*?")


PATHS_KEPT: Final = 10_000
"""Actors whose level is remembered; then they are looked up anew."""


class LevelRule(Struct, frozen=True):
    """Another level for some actors.

    Attributes:
        selector: A path, which takes along what is below it, or a glob.
        level: Records below it are dropped, as the standard library numbers levels.
    """

    selector: str
    level: int

    def is_about(self, path: str) -> bool:
        """Whether it is a rule for the actor at `path`."""
        if _GLOB.isdisjoint(self.selector):
            return is_within(path, self.selector)
        return matches(path, self.selector)


class Levels(Struct, frozen=True):
    """The levels of a process; also the word that passes them on to a process child.

    Attributes:
        base: For everything that no rule is about.
        rules: The last that is about an actor counts.
    """

    base: int
    rules: tuple[LevelRule, ...] = ()

    def of(self, path: str) -> int | None:
        """Return the level that a rule gives the actor at `path`; None where no rule is about it."""
        for rule in reversed(self.rules):
            if rule.is_about(path):
                return rule.level
        return None

    def lowest(self) -> int:
        """Return the lowest level that any actor may have."""
        return min([self.base, *[rule.level for rule in self.rules]])


class Follower(Protocol):
    """Told of changes of the levels, on whichever thread makes them; it only posts."""

    def take_levels(self, levels: Levels) -> None:
        """Take note of `levels`, which count from now on."""
        ...


class LogLevels(logging.Filter):
    """The levels of this process, and the filter that goes by them. Methods may be called on any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._levels: Levels | None = None
        self._by_path: dict[str, int | None] = {}
        self._followers: WeakSet[Follower] = WeakSet()
        self._lock = threading.Lock()

    @property
    def levels(self) -> Levels:
        """What counts now; before anybody has set it, what the root logger has."""
        return self._levels or Levels(logging.getLogger().getEffectiveLevel())

    def set(self, levels: Levels) -> None:
        """Have `levels` count from now on, here and in every process below."""
        with self._lock:
            self._levels, self._by_path = levels, {}
            logging.getLogger().setLevel(levels.lowest())
            followers = tuple(self._followers)
        for follower in followers:
            follower.take_levels(levels)

    def follow(self, follower: Follower) -> None:
        """Tell `follower` of the levels, now if there are rules and at each change, for as long as anybody holds it."""
        with self._lock:
            self._followers.add(follower)
            levels = self._levels
        if levels is not None and levels.rules:
            follower.take_levels(levels)

    def filter(self, record: logging.LogRecord) -> bool:
        """Give `record` its actor's path and its trace, and say whether that actor's level lets it through."""
        fields = record.__dict__
        path = fields.get("path")
        if path is None:
            path = path_here()
            if path:
                fields["path"] = path
        if traced and "trace" not in fields:
            trace = trace_here()
            if trace is not None:
                fields["trace"] = trace.id
                if trace.run:
                    fields.setdefault("run", trace.run)
                if trace.job:
                    fields.setdefault("job", trace.job)
        levels = self._levels
        if levels is None or not levels.rules:
            return True
        level = self._level_of(levels, path) if path else None
        if level is not None:
            return record.levelno >= level
        return record.levelno >= levels.base or record.levelno >= (_own_level(record.name) or logging.CRITICAL + 1)

    def _level_of(self, levels: Levels, path: str) -> int | None:
        known = self._by_path
        if path not in known:
            if len(known) >= PATHS_KEPT:
                known.clear()
            known[path] = levels.of(path)
        return known.get(path)


def _own_level(name: str) -> int:
    """Return the level that the logger `name`, or the nearest above it but the root, was given; 0 for none."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None:
        if logger.level:
            return logger.level
        logger = logger.parent
    return 0


current: Final = LogLevels()
"""The levels of this process."""
