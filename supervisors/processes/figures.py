"""The figures of a launcher of process children, and of its spares."""

from __future__ import annotations

from msgspec import Struct


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
