"""One spare, what it waits for, and what became of those that were at its place before."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from supervisors.processes.capture import Captured
from supervisors.processes.protocol import Prepared
from supervisors.processes.sparing import Make
from supervisors.processes.spawning import Made
from supervisors.processes.trees import kill_tree, sweep_remains

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

PLACES: Final = 1000
"""Most places that are remembered."""


class Spare:
    """One spare: its process, and what it said of itself."""

    def __init__(self, order: Make, process: Made, captured: Captured) -> None:
        self.number = order.number
        self.target = order.target
        self.slot = order.slot
        self.process = process
        self.captured = captured
        self.prepared: Prepared | None = None
        self.heard = b""
        self.made_in = surroundings()
        self.is_taken = False


class Want(Struct, frozen=True):
    """What spares of a class are for.

    Attributes:
        path: A child of the class.
        count: How many are wanted.
        classes: What they import; () where the class's own name says it.
    """

    path: str
    count: int
    classes: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """What became of the spares at one place of a class.

    Attributes:
        made: Spares made for it.
        lost: How many of those ended, or did not get ready, without becoming a child.
        why: What became of the last one that was lost, or "".
        at: When, seconds since the epoch.
    """

    made: int = 0
    lost: int = 0
    why: str = ""
    at: float = 0.0


class Places(dict[tuple[str, int], Place]):
    """What became of the spares at each place, by class and number; of the thousand places used last."""

    def note_made(self, order: Make) -> None:
        """Take note that a spare is made."""
        key = (order.target, order.slot)
        place = self.pop(key, Place())
        self[key] = replace(place, made=place.made + 1)
        while len(self) > PLACES:
            del self[next(iter(self))]

    def note_lost(self, target: str, slot: int, why: str, at: float) -> None:
        """Take note that one did not become a child."""
        place = self.get((target, slot), Place())
        self[target, slot] = replace(place, lost=place.lost + 1, why=why, at=at)


def surroundings() -> tuple[dict[str, str], list[str]]:
    """Return what a module that is imported may depend on, besides files."""
    return dict(os.environ), list(sys.path)


def unchanged(prepared: Prepared) -> bool:
    """Whether the files that a spare imported are what they were."""
    for path, mtime_ns, size in prepared.files:
        try:
            found = os.stat(path)
        except OSError:
            return False
        if (found.st_mtime_ns, found.st_size) != (mtime_ns, size):
            return False
    return True


def clear_up(spare: Spare) -> None:
    """End a spare's process and what it left; takes its time."""
    process = spare.process
    below = kill_tree(process.pid)
    process.wait()
    process.stdin.close()
    left = sweep_remains(process.mark + ";", below)
    if left:
        logger.error("the spare of %s left processes behind that cannot be ended: %s", spare.target, left)
