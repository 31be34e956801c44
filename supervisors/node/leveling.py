"""Other log levels for some actors for a while: begun by a command, ended by the clock, in the tree's processes too.

A level is about a path or a glob, not about an instance: an actor that is restarted meanwhile has it again, and one
that is started later has it too. It ends by itself, on the monotonic clock, and with the node at the latest. What the
configuration says is the level before and after.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.core.system import ActorSystem
from actors.core.timers import Timer
from actors.events import LogLevelChanged
from supervisors.loglevels import LevelRule, Levels, current
from supervisors.requests import LevelArguments
from supervisors.selectors import GLOB_CHARACTERS, SelectorError, check_selector, select
from supervisors.supervisor import Services
from supervisors.tree import nodes
from supervisors.views import LevelsView, LevelView, instant

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
RULES_MAX: Final = 100
"""Levels for a while at a time; each record is compared with all of them."""
LONGEST: Final = 86_400.0
"""Longest while, in seconds."""


class Held(Struct, frozen=True, eq=False):
    """A level for a while: who wanted it why, and the timer that ends it."""

    view: LevelView
    until: float
    timer: Timer


class Leveling:
    """Levels for a while in one node. Methods may be called on any thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._system: ActorSystem = services.system
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}

    def take(self, wanted: LevelArguments, author: str, why: str) -> LevelsView:
        """Carry out the command `level`; return what counts then.

        Raises:
            SelectorError: As `begin` and `end`.
        """
        if wanted.level:
            return self.begin(wanted, author, why)
        return self.end(wanted.selectors, author, why)

    def begin(self, wanted: LevelArguments, author: str, why: str) -> LevelsView:
        """Have the level that is wanted count for what is selected, for so many seconds; return what counts then.

        Raises:
            SelectorError: One selects nothing, the level is none, the while is too long, or there are too many.
        """
        level, seconds = wanted.level, wanted.seconds
        if level not in LEVELS:
            raise SelectorError("usage", f"there is no level {level!r}", f"there are {', '.join(LEVELS)}")
        if not 0 < seconds <= LONGEST:
            raise SelectorError("usage", "a level for a while ends within a day", "set log.level and reload")
        chosen = self._resolved(wanted.selectors)
        with self._lock:
            if len(self._held.keys() | set(chosen)) > RULES_MAX:
                raise SelectorError("conflict", f"there are {RULES_MAX} levels for a while", "actorctl level")
            until = self._system.clock.monotonic() + seconds
            ends_at = instant(self._system.clock.time() + seconds)
            for selector in chosen:
                was = self._held.pop(selector, None)
                if was is not None:
                    was.timer.cancel()
                view = LevelView(selector=selector, level=level, ends_at=ends_at, author=author, why=why)
                timer = self._system.schedule(seconds, partial(self._end, selector, until))
                self._held[selector] = Held(view, until, timer)
            self._apply()
        for selector in chosen:
            self._say(selector, level, seconds, author, why)
        return self.view()

    def end(self, selectors: Sequence[str], author: str, why: str) -> LevelsView:
        """Have the configured level count again for what `selectors` name; return what counts then.

        Raises:
            SelectorError: One of them is malformed, or has no other level.
        """
        names = [check_selector(selector) for selector in selectors]
        with self._lock:
            missing = [name for name in names if name not in self._held]
            if missing:
                raise SelectorError("not_found", f"{missing[0]} has the configured level already", "actorctl level")
            for name in names:
                self._held.pop(name).timer.cancel()
            self._apply()
        for name in names:
            self._say(name, "", 0.0, author, why)
        return self.view()

    def set_base(self, level: str) -> None:
        """Have `level` count for everything else from now on."""
        with self._lock:
            current.set(replace(current.levels, base=LEVELS[level]))

    def view(self) -> LevelsView:
        """Return what counts now."""
        with self._lock:
            items = tuple(held.view for held in self._held.values())
        return LevelsView(level=_name_of(current.levels.base), items=items)

    def of(self, path: str) -> LevelView | None:
        """Return the level for a while of the actor at `path`, None where it has none."""
        with self._lock:
            held = [held.view for held in self._held.values()]
        for view in reversed(held):
            if LevelRule(view.selector, 0).is_about(path):
                return view
        return None

    def close(self) -> None:
        """End every level for a while, silently: the node ends."""
        with self._lock:
            for held in self._held.values():
                held.timer.cancel()
            self._held.clear()
            self._apply()

    def _resolved(self, selectors: Sequence[str]) -> list[str]:
        """Return the rules that `selectors` mean: a state stands for those that are in it now."""
        tree = nodes(self._services)
        found: list[str] = []
        for selector in selectors:
            selected = select(tree, [selector])
            if selector.startswith("@"):
                found.extend(node.path for node in selected)
            else:
                found.append(check_selector(selector))
        return list(dict.fromkeys(found))

    def _end(self, selector: str, until: float) -> None:
        with self._lock:
            held = self._held.get(selector)
            if held is None or held.until != until:
                return
            del self._held[selector]
            self._apply()
        self._say(selector, "", 0.0, "", "its time is over")

    def _apply(self) -> None:
        rules = tuple(LevelRule(name, LEVELS[held.view.level]) for name, held in self._held.items())
        current.set(Levels(current.levels.base, rules))

    def _say(self, selector: str, level: str, seconds: float, author: str, why: str) -> None:
        path = selector if GLOB_CHARACTERS.isdisjoint(selector) else "/"
        self._system.bus.publish(
            LogLevelChanged(self._system.clock.time(), path, selector, level, seconds, author, why)
        )


def _name_of(level: int) -> str:
    return next((name for name, number in LEVELS.items() if number == level), str(level))
