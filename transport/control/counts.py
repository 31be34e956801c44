"""What a control server has counted."""

from __future__ import annotations

from msgspec import Struct


class ControlStatistics(Struct, frozen=True, gc=False):
    """What a server has done so far; all but `pending` only grow.

    Attributes:
        pending: Calls open now.
        requests: Calls taken.
        malformed: Messages that could not be read.
        answered: Calls that succeeded.
        failed: Calls that failed, time-outs and refusals included.
        timed_out: Calls whose handler had not answered at the deadline.
        late: Answers that came after that.
        joined: Tries of a command that was under way or done already.
        denied: Calls that the caller's role does not allow.
        throttled: Messages of peers that sent more than they may, dropped unread.
        cancelled: Calls whose client was gone or no longer wanted the answer.
        undelivered: Answers that could not be handed to ZeroMQ.
    """

    pending: int
    requests: int
    malformed: int
    answered: int
    failed: int
    timed_out: int
    late: int
    joined: int
    denied: int
    throttled: int
    cancelled: int
    undelivered: int
