"""The figures of a launcher of process children, and of its spares."""

from __future__ import annotations

from msgspec import Struct

from supervisors.processes.sparing import State


class LauncherStatistics(Struct, frozen=True, gc=False):
    """A launcher's figures; all but the first only grow.

    Attributes:
        children: Children that have not ended.
        launched: Children launched so far.
        refused: Connections that said hello with a wrong token, or lied about who they are.
        strangers: Frames of connections that never said a right hello.
        undelivered: Frames that could not be handed to a child.
        wardens: Wardens started; more than one means that one was killed.
        nurseries: Nurseries started; more than one means that one ended.
        spares: Spares that wait, ready.
    """

    children: int
    launched: int
    refused: int
    strangers: int
    undelivered: int
    wardens: int
    nurseries: int
    spares: int


class SpareFigures(Struct, frozen=True, gc=False):
    """What there is of spares; of one class, or of all.

    Attributes:
        wanted: How many are to be kept.
        waiting: How many wait, ready.
        making: How many are being made.
        size_bytes: Memory of their own that those waiting take.
        used: How many became children.
        lost: How many ended, or did not get ready, or were no more of use when they were wanted.
        nursery: The nursery's process, None where there is none.
        nurseries: Nurseries started; more than one means that one ended.
        origin: How the process of the child asked about was made: `new`, `copy` or `spare`; "" where none runs.
    """

    wanted: int
    waiting: int
    making: int
    size_bytes: int
    used: int
    lost: int
    nursery: int | None
    nurseries: int
    origin: str = ""


class NurseryFigures(Struct, frozen=True, gc=False):
    """What there is of the process that spares are copied from.

    Attributes:
        pid: Its process, None where there is none.
        is_ready: Whether copies can be made of it now.
        since: When it was started, monotonic; 0.0 before the first.
        started: How many were started.
        lost: How many of those ended by themselves.
        lost_at: When the last of those did, seconds since the epoch; 0.0: none.
        size_bytes: Memory of its own; 0 before it was measured.
        problem: Why there can be none at all, or "".
    """

    pid: int | None
    is_ready: bool
    since: float
    started: int
    lost: int
    lost_at: float
    size_bytes: int
    problem: str


def figures_of(
    state: State, used: dict[str, int], lost: dict[str, int], nursery: int | None, nurseries: int, target: str | None
) -> SpareFigures:
    """Return the figures of the spares of class `target`, or of all.

    Args:
        state: The book.
        used, lost: So many became children, or did not, by class.
        nursery: The nursery's process.
        nurseries: Nurseries started.
        target: A class, or None.
    """
    stocks = state.stocks
    chosen = list(stocks.values()) if target is None else [stocks[target]] if target in stocks else []
    spares = [spare for stock in chosen for spare in stock.spares]
    ready = [spare for spare in spares if spare.is_ready]
    return SpareFigures(
        wanted=sum(stock.wanted for stock in chosen),
        waiting=len(ready),
        making=len(spares) - len(ready),
        size_bytes=sum(spare.size_bytes for spare in ready),
        used=sum(used.copy().values()) if target is None else used.get(target, 0),
        lost=sum(lost.copy().values()) if target is None else lost.get(target, 0),
        nursery=nursery,
        nurseries=nurseries,
    )
