"""Who learns of an actor's end: watches, and monitors and links built on them.

A watch is a call made once, on the thread where the watched actor ends, with the reason; at once where it has ended
already. A monitor is a watch that posts `Down`; a link is two of them, that pass the exit on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from actors.core.cell import ENDED, Cell
from actors.core.signals import Notice
from actors.exits import ExitKind, ExitReason

if TYPE_CHECKING:
    from actors.core.ref import ActorRef, Ref

logger = logging.getLogger(__name__)

NOPROC: Final = ExitReason(ExitKind.CRASHED, "noproc")
"""The reason given for an actor that is not there."""

_lock: Final = threading.Lock()


class Down(Notice, frozen=True):
    """What a monitor gets when the watched actor has ended.

    It comes through the user lane, after all the actor had sent before it ended, and past the mailbox's bound.

    Attributes:
        ref_address: Address of the actor that ended; its text form where it has none.
        monitor: `Monitor.number` of the monitor.
        reason: Why it ended; detail "noproc" where it was not there in the first place.
    """

    ref_address: str
    monitor: int
    reason: ExitReason


class ExitSignal(Notice, frozen=True):
    """What an actor with `trap_exits` gets in place of ending with a linked one."""

    ref_address: str
    reason: ExitReason


class Watch:
    """A call to be made at the end of one actor."""

    __slots__ = ("_bonds", "callback")

    def __init__(self, callback: Callable[[ExitReason], object]) -> None:
        self._bonds: Bonds | None = None
        self.callback = callback

    def call(self, reason: ExitReason) -> None:
        """Make the call; what it raises is logged, as others wait for theirs."""
        try:
            self.callback(reason)
        except Exception:
            logger.exception("a watch could not pass on an end", extra={"reason": str(reason)})

    def cancel(self) -> None:
        """Make no call; one that is being made on another thread goes through."""
        bonds = self._bonds
        if bonds is not None:
            with _lock:
                bonds.watches.pop(self, None)


class Bonds:
    """The watches on one actor, and its links by the other side's ref."""

    __slots__ = ("links", "watches")

    def __init__(self) -> None:
        self.links: dict[Any, Link] = {}
        self.watches: dict[Watch, None] = {}

    def broken(self, reason: ExitReason) -> None:
        """Make every call; the actor's phase is already ENDED."""
        with _lock:
            watches = tuple(self.watches)
            self.watches.clear()
            self.links.clear()
        for watch in watches:
            watch.call(reason)


def watch(cell: ActorRef[Any], callback: Callable[[ExitReason], object]) -> Watch:
    """Call `callback(reason)` when `cell` has ended, or now if it has."""
    found = Watch(callback)
    with _lock:
        bonds = _bonds_of(cell)
        bonds.watches[found] = None
        found._bonds = bonds
    if cell._phase == ENDED:  # its end may have looked for watches before this one was there
        with _lock:
            mine = bonds.watches.pop(found, found) is None
        if mine:
            found.call(cell._reason if cell._reason is not None else NOPROC)
    return found


class Monitor:
    """A watch on another actor, held by the actor that gets its `Down`.

    Attributes:
        number: Tells the actor's monitors apart; `Down.monitor`.
    """

    __slots__ = ("number", "watch")

    def __init__(self, number: int) -> None:
        self.number = number
        self.watch: Watch | None = None


class Link:
    """Shared fate of two actors: each one's end is passed to the other as an exit signal."""

    __slots__ = ("watches",)

    def __init__(self) -> None:
        self.watches: tuple[Watch, ...] = ()

    def cancel(self) -> None:
        """Share no fate any more."""
        for one in self.watches:
            one.cancel()


def link(mine: ActorRef[Any], theirs: Ref) -> None:
    """Link `mine` with `theirs`; nothing happens where they are linked already."""
    made = Link()
    with _lock:
        if _bonds_of(mine).links.setdefault(theirs, made) is not made:
            return
        if isinstance(theirs, Cell):
            _bonds_of(theirs).links[mine] = made
    name, other = mine.identity, theirs.identity
    bind = getattr(theirs, "bind", None) if mine.path else None
    made.watches = (
        theirs.watch(lambda reason: mine.exit(reason, other)),
        # a process that is killed passes nothing on: the other side watches this one itself
        bind(mine.path) if bind is not None else mine.watch(lambda reason: theirs.exit(reason, name)),
    )


def unlink(mine: ActorRef[Any], theirs: Ref) -> None:
    """Take the link between `mine` and `theirs` away; nothing happens where there is none."""
    with _lock:
        made = _bonds_of(mine).links.pop(theirs, None)
        if isinstance(theirs, Cell):
            _bonds_of(theirs).links.pop(mine, None)
    if made is not None:
        made.cancel()


def _bonds_of(cell: Any) -> Bonds:
    if cell._bonds is None:
        cell._bonds = Bonds()
    bonds: Bonds = cell._bonds
    return bonds
