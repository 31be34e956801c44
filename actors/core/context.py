"""What a thread is to the kernel: a pool's worker, an event loop, a thread whose actor was abandoned, or none of them.

The hot paths ask one question only, whether a set is empty, and look closer where it is not: a tell at `fenced`, an ask
that may run its target at `special`.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any

from actors.errors import ActorRuntimeError

if TYPE_CHECKING:
    from actors.core.pool import Worker
    from actors.core.ref import ActorRef


class AbandonedError(ActorRuntimeError):
    """Raised in an abandoned actor's own thread at its next attempt to send: its effects no longer count."""

    def __init__(self) -> None:
        super().__init__("this actor was abandoned by its supervisor; what it still sends is refused")


class _Here(threading.local):
    """Facts of the current thread; the class's values hold for a thread that never set them."""

    worker: Worker | None = None
    """The pool worker this thread is."""

    constructing: ActorRef[Any] | None = None
    """The cell that the next `Actor.__init__` on this thread belongs to."""

    cell: ActorRef[Any] | None = None
    """The actor whose own thread this is."""

    is_loop: bool = False
    """Whether this thread must never wait. A fact of the thread and not of its number, which others get after it."""


here = _Here()

special: set[int] = set()
"""Idents of threads that need care when they send: event loops and fenced threads."""

nested: list[None] = []
"""One item for each turn that a thread runs inside of another turn of its own, all threads together."""

fenced: set[int] = set()
"""Those of them whose actor was abandoned: all that a tell looks at."""


def enter_loop() -> None:
    """Say that the current thread runs an event loop: blocking there is refused."""
    here.is_loop = True
    special.add(get_ident())


def leave_loop() -> None:
    """Undo `enter_loop`."""
    here.is_loop = False
    if get_ident() not in fenced:
        special.discard(get_ident())


@contextmanager
def never_waiting() -> Iterator[None]:
    """Inside, this thread counts as an event loop: a full mailbox refuses at once rather than hold it up."""
    if on_loop():
        yield
        return
    enter_loop()
    try:
        yield
    finally:
        leave_loop()


def on_loop() -> bool:
    """Whether the current thread runs an event loop of the kernel."""
    return bool(special) and here.is_loop


def fence(ident: int) -> None:
    """Refuse what the thread `ident` sends from now on; it must never run another actor."""
    fenced.add(ident)
    special.add(ident)


def unfence() -> None:
    """Forget the current thread's fence, as it ends (idents are used again)."""
    fenced.discard(get_ident())
    special.discard(get_ident())


def check_fence() -> None:
    """Refuse an effect of an abandoned actor.

    A fenced thread may be inside another actor, which the abandoned one asked and which runs on its thread: that one
    is innocent and sends on.

    Raises:
        AbandonedError: The current thread was fenced, and the actor it is inside of was abandoned.
    """
    if fenced and get_ident() in fenced:
        for cell in turns_here():
            if not cell.is_abandoned:
                return
            break
        raise AbandonedError


turn_codes: dict[int, str] = {}
"""The functions that run a turn, by the `id` of their code, and which of their variables is the cell.

By `id`, for the hash of a code object is made anew from all it holds each time; functions of modules live for good.
"""


def turns_here() -> Iterator[ActorRef[Any]]:
    """Yield the actors whose turns the current thread is inside of, innermost first.

    Found in the frames of the thread, so that entering a turn costs nothing; only rare paths ask.
    """
    frame = sys._getframe(1)
    walk: FrameType | None = frame
    while walk is not None:
        name = turn_codes.get(id(walk.f_code))
        if name is not None:
            yield walk.f_locals[name]
        walk = walk.f_back


path_awaiting: ContextVar[str] = ContextVar("path_awaiting", default="")
"""The path of the actor whose coroutine this is part of; tasks and threads that it begins by asyncio have it too."""


def path_here() -> str:
    """Return the path of the actor that the current thread works for; "" where there is none, or it has no path."""
    if not nested:  # else the frames say whose turn is the innermost
        worker = here.worker
        cell = worker.cell if worker is not None else here.cell
        if cell is not None:
            return cell.path
    for cell in turns_here():
        return cell.path
    return path_awaiting.get()
