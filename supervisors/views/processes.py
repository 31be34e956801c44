"""Views of what is particular to children in processes of their own."""

from __future__ import annotations

from supervisors.views.base import View


class SparesView(View, frozen=True, gc=False):
    """The spares of one class of process children.

    Attributes:
        wanted: How many are kept.
        waiting: How many wait, ready.
        making: How many are being made.
        size_bytes: Memory that those waiting share with no other process.
        used: How many became children.
        lost: How many ended, did not get ready, or were of no use when they were wanted.
        nursery_pid: The process that spares are copied from, None where there is none.
        nurseries: How many of those were started; more than one means that one ended.
        last_start: How the process that runs now was made: `new`, `copy` or `spare`; "" where none runs.
    """

    wanted: int
    waiting: int
    making: int
    size_bytes: int
    used: int
    lost: int
    nursery_pid: int | None = None
    nurseries: int = 0
    last_start: str = ""


class SendingView(View, frozen=True, gc=False):
    """The messages for one actor of another process that it has not taken into its mailbox.

    Attributes:
        waiting: How many wait here until it takes more.
        waiting_bytes: Their size.
        under_way: How many were sent and are not known to be in its mailbox.
        rejected: How many were refused because too many waited.
        dropped: How many became dead letters because too many waited.
        blocked: How many senders had to wait for room.
    """

    waiting: int
    waiting_bytes: int
    under_way: int
    rejected: int
    dropped: int
    blocked: int
