"""Bringing instances up and down: launch, ask to stop, kill, and what a stop in progress turns into."""

from __future__ import annotations

from typing import assert_never

from actors.exits import SHUTDOWN, ExitKind, ExitReason
from supervisors.core.draft import Draft
from supervisors.core.effects import AskStop, ExitedFact, Kill, Launch, Refusal, StateFact
from supervisors.core.events import Hold, TimerKind
from supervisors.core.states import (
    UP,
    Child,
    Down,
    DownWhy,
    Ended,
    Held,
    Origin,
    Restarting,
    Running,
    Starting,
    Stopping,
    Then,
)
from supervisors.specs import ChildSpec, Restart

ABANDONED = ExitReason.killed("abandoned")
GAVE_UP = "gave-up"
FAILED_TO_START = "failed-to-start"
AUTO_SHUTDOWN = "auto-shutdown"
RECYCLED = "recycled"
"""Begins the detail of the reason with which a child is asked to end because its spec limits its age or messages."""
REQUESTED = "restart-requested"
"""Begins the detail of the reason with which a child is asked to end because it asked for its restart."""
START_TIMEOUT = ExitReason.killed("start-timeout")


_PERMANENT = Restart.PERMANENT  # members of an Enum are slow to look up, and this is asked at each end


def launch(draft: Draft, child: Child, origin: Origin, request: int | None = None, is_new: bool = False) -> None:
    """Start the next instance of a child that has none."""
    begin(
        draft,
        Child(
            child.id,
            child.spec,
            child.position,
            child.generation + 1,
            starting(draft, child.spec, origin, request, is_new),
            child.attempt,
            child.restarts,
            child.parked,
            child.last_exit,
            child.window,
        ),
    )


def starting(
    draft: Draft, spec: ChildSpec, origin: Origin, request: int | None = None, is_new: bool = False
) -> Starting:
    """Return the state of a child whose launch begins now, with its deadline watched."""
    timeout = spec.start_timeout
    if timeout is None:
        return Starting(draft.now, None, origin, request, is_new)
    due = draft.now + timeout
    if not draft.start_serial or due < draft.start_due:
        draft.disarm(TimerKind.START, "", draft.start_serial)
        draft.start_serial = draft.arm(TimerKind.START, "", timeout)
        draft.start_due = due
    return Starting(draft.now, due, origin, request, is_new)


def begin(draft: Draft, child: Child) -> None:
    """Set the record of a child that is `starting`, and launch it."""
    spec = child.spec
    draft.children = draft.children.insert(child.id, child)
    draft.effects.append(Launch(child.id, child.generation, child.attempt, child.last_exit, spec.start_timeout, spec))


def stop(
    draft: Draft,
    child: Child,
    then: Then,
    requests: tuple[int, ...] = (),
    hold: Hold | None = None,
    shared: bool = False,
    reason: ExitReason = SHUTDOWN,
) -> None:
    """Stop the instance of a child that is starting or running, by its own shutdown rule.

    Args:
        draft: The step's draft.
        child: Its state is `Starting` or `Running`.
        then: What follows when it is gone.
        requests: Calls to answer then.
        hold: For `Then.HOLD`.
        shared: Whether its time to stop is watched by a shared timer.
        reason: What it is asked to end with.
    """
    state = child.state
    assert isinstance(state, UP)
    rule = child.spec.shutdown
    serial, killed = 0, False
    draft.effects.append(StateFact(child.id, child.generation, "stopping"))
    if rule == "brutal_kill":
        killed = True
    else:
        draft.effects.append(AskStop(child.id, child.generation, reason))
        if rule == 0:
            killed = True
        elif rule != "infinity" and not shared:
            serial = draft.arm(TimerKind.STOP, child.id, rule)
    if killed:
        draft.effects.append(Kill(child.id, child.generation))
    ready_at = state.since if isinstance(state, Running) else None
    start = state if isinstance(state, Starting) else None
    draft.become(child, Stopping(ready_at, then, serial, killed, requests, hold, start))


def kill(draft: Draft, child: Child) -> None:
    """Kill the instance of a child, whatever it does; what follows stays as it was decided."""
    draft.effects.append(Kill(child.id, child.generation))
    state = child.state
    if isinstance(state, Stopping):
        draft.disarm(TimerKind.STOP, child.id, state.serial)
        draft.become(child, Stopping(state.ready_at, state.then, 0, True, state.requests, state.hold, state.start))


def expire(draft: Draft, child: Child, state: Starting) -> None:
    """End a start that took too long: kill it, and handle the failure when it is gone."""
    draft.effects.append(Kill(child.id, child.generation))
    draft.become(child, Stopping(None, Then.FAIL, killed=True, start=state))


def is_expected_stop(spec: ChildSpec, killed_at_once: bool, reason: ExitReason) -> bool:
    """Whether the end of an instance that its supervisor stopped needs no report (OTP: no `shutdown_error`).

    Args:
        spec: The child's.
        killed_at_once: Whether its shutdown rule is `brutal_kill`.
        reason: How it ended.
    """
    if reason.kind is ExitKind.KILLED:
        return killed_at_once
    if reason.kind is ExitKind.CRASHED:
        return False
    if spec.restart is not Restart.PERMANENT:
        return True
    is_plain = not reason.detail or reason.detail.startswith((RECYCLED, REQUESTED))
    return not killed_at_once and reason.kind is ExitKind.SHUTDOWN and is_plain


def is_expected_end(spec: ChildSpec, reason: ExitReason) -> bool:
    """Whether the end of an instance by itself needs no report.

    OTP reports every end of a permanent child, and abnormal ends; here a child that gave up is reported as well.
    """
    return spec.restart is not _PERMANENT and not reason.is_abnormal and reason.detail != GAVE_UP


def announce_stopped(draft: Draft, child: Child, ready_at: float | None, reason: ExitReason) -> None:
    """Announce the end of an instance that was being stopped, or about to be."""
    if ready_at is None:
        draft.effects.append(StateFact(child.id, child.generation, "start-cancelled"))
        return
    expected = is_expected_stop(child.spec, child.spec.shutdown == "brutal_kill", reason)
    uptime = draft.now - ready_at
    draft.effects.append(ExitedFact(child.id, child.generation, reason, uptime, "stopping", expected))


def settle_down(draft: Draft, child: Child, then: Then, hold: Hold | None = None, abandoned: bool = False) -> None:
    """Give a child without an instance the state that its stop was meant for; the record may go.

    What starts it again, and `Then.FAIL`, are the caller's.
    """
    match then:
        case Then.DROP:
            draft.drop(child)
        case Then.DOWN | Then.WAIT | Then.HOLD:
            if draft.is_dynamic or child.spec.restart is Restart.TEMPORARY:
                draft.drop(child)
            elif then is Then.WAIT:
                draft.become(child, Down(DownWhy.WAITING))
            elif then is Then.HOLD and hold is not None:
                draft.become(child, Held(hold))
                draft.effects.append(StateFact(child.id, child.generation, "stopped", hold.why))
            else:
                draft.become(child, Down(DownWhy.ABANDONED if abandoned else DownWhy.TERMINATED))
                draft.effects.append(StateFact(child.id, child.generation, "stopped"))
        case Then.START | Then.RECYCLE | Then.RESTART | Then.FAIL:
            raise AssertionError(f"{then} is not settled here")
        case _:
            assert_never(then)


def cancel_retry(draft: Draft, child: Child, then: Then, hold: Hold | None = None) -> None:
    """Cancel the next try of a child that waits for one."""
    state = child.state
    assert isinstance(state, Restarting)
    draft.disarm(TimerKind.RETRY, child.id, state.serial)
    settle_down(draft, child, then, hold)


def consume(draft: Draft, child: Child, then: Then, hold: Hold | None = None) -> None:
    """Take the end of a child, which waited for a decision, as the end of a stop (OTP finds it dead already)."""
    assert isinstance(child.state, Ended)
    settle_down(draft, child, then, hold)


def refuse_start(draft: Draft, child: Child, start: Starting | None, reason: ExitReason, why: str) -> None:
    """Answer the caller of a start by hand, if there is one, that it came to nothing."""
    if start is not None:
        draft.refuse(start.request, child.id, Refusal.START_FAILED, f"{child.id} {why}", reason)
