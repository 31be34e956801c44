"""Which engines are in this process: code beside one reaches it by a call, all other by messages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from actors.core.system import ActorSystem

if TYPE_CHECKING:
    from actors.jobs.engine import Engine

_engines: WeakKeyDictionary[ActorSystem, dict[str, Engine]] = WeakKeyDictionary()


def remember_engine(system: ActorSystem, path: str, engine: Engine) -> None:
    """The queues at `path` of `system` have `engine`."""
    _engines.setdefault(system, {})[path] = engine


def forget_engine(system: ActorSystem, path: str) -> None:
    """They have it no more."""
    _engines.get(system, {}).pop(path, None)


def engine_at(system: ActorSystem, path: str) -> Engine | None:
    """Return the engine of the queues at `path` of `system`, None where they are not in this process."""
    return _engines.get(system, {}).get(path)
