"""What a notice of an instance, or a timer, means for the child's present state.

Notices of another generation than the child's present one never get here: `machine` fences them.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from msgspec.structs import replace

from actors.exits import ExitKind, ExitReason
from supervisors.core.draft import Draft
from supervisors.core.effects import ExitedFact, IgnoredFact, Refusal, StartedFact, StartFailedFact, StateFact
from supervisors.core.ending import SHUTTING_DOWN, go_down, time_over
from supervisors.core.events import (
    ChildAbandoned,
    ChildAsksRestart,
    ChildExited,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    TimerFired,
    TimerKind,
)
from supervisors.core.instances import (
    ABANDONED,
    FAILED_TO_START,
    RECYCLED,
    REQUESTED,
    START_TIMEOUT,
    announce_stopped,
    expire,
    is_expected_end,
    kill,
    launch,
    refuse_start,
    settle_down,
    stop,
)
from supervisors.core.restarts import conclude, restart, retry
from supervisors.core.rounds import begin_hand, then_of
from supervisors.core.states import (
    IDLE,
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    GoingDown,
    Origin,
    Phase,
    Restarting,
    Running,
    Starting,
    StartingUp,
    Stopping,
    Then,
)
from supervisors.specs import OnLimit, Restart
from supervisors.strategies import binds_siblings

ALREADY_STARTED = "already-started"
"""The detail of a failed start whose child says that it runs already: passed on as that refusal."""

_PERMANENT, _TEMPORARY = Restart.PERMANENT, Restart.TEMPORARY  # members of an Enum are slow to look up


def started(draft: Draft, child: Child, event: ChildStarted) -> None:
    """The instance is ready."""
    state = child.state
    if isinstance(state, Starting):
        draft.effects.append(StartedFact(child.id, child.generation, child.attempt, draft.now - state.since))
        if child.spec.restart is _TEMPORARY and draft.is_dynamic:
            template = draft.spec.children[0]
            if replace(child.spec, start=template.start) == template:  # not one of before a new spec
                child = replace(child, spec=template)  # its own arguments are not needed again
        draft.become(child, Running(draft.now))
        if state.request is not None:
            draft.done(state.request, child, child.generation, event.info)
    elif isinstance(state, Stopping) and state.ready_at is None and state.then is not Then.FAIL:
        start = state.start
        draft.effects.append(
            StartedFact(child.id, child.generation, child.attempt, draft.now - start.since if start else 0.0)
        )
        draft.become(child, replace(state, ready_at=draft.now))


def ignored(draft: Draft, child: Child, event: ChildIgnored) -> None:
    """The instance answered its start with `ignore`."""
    state = child.state
    if isinstance(state, Starting):
        draft.effects.append(IgnoredFact(child.id, child.generation, event.why))
        if draft.is_dynamic or child.spec.restart is Restart.TEMPORARY:
            draft.drop(child)
        else:
            draft.become(child, Down(DownWhy.IGNORED, event.why))
        draft.done(state.request, child)
    elif isinstance(state, Stopping):
        draft.effects.append(IgnoredFact(child.id, child.generation, event.why))
        _gone(draft, child, state, ExitReason(ExitKind.NORMAL, "ignored"), announces=False)


def abandoned(draft: Draft, child: Child, event: ChildAbandoned) -> None:
    """The instance was cut off: it counts as gone, and its end, should it come, is not that of the child."""
    draft.note(abandoned=draft.ledger.abandoned | {(child.id, child.generation)})
    draft.effects.append(StateFact(child.id, child.generation, "abandoned"))
    ended(draft, child, event, ABANDONED)


def ended(
    draft: Draft, child: Child, event: ChildExited | ChildStartFailed | ChildAbandoned, reason: ExitReason
) -> None:
    """The instance is gone."""
    state = child.state
    if isinstance(state, Running):
        phase, since, spec = draft.phase, state.since, child.spec
        if phase is not IDLE and not _keeps_its_place(draft, child, phase, since, reason):
            return
        expected = spec.restart is not _PERMANENT and is_expected_end(spec, reason)
        draft.effects.append(ExitedFact(child.id, child.generation, reason, draft.now - since, "running", expected))
        if phase is IDLE or not draft.has_round:
            conclude(draft, child, since, reason)
        else:
            draft.become(replace(child, last_exit=reason), Ended(since, reason))
            draft.deferred = (*draft.deferred, event)
    elif isinstance(state, Starting):
        _start_failed(draft, child, state, reason)
    elif isinstance(state, Stopping):
        _gone(draft, child, state, reason, is_cut_off=isinstance(event, ChildAbandoned))


def _keeps_its_place(draft: Draft, child: Child, phase: Phase, since: float, reason: ExitReason) -> bool:
    """Whether something may follow the end of a child by itself; where it was about to be stopped nothing does."""
    round = phase.round if isinstance(phase, (Active, StartingUp)) else None
    if not isinstance(phase, GoingDown) and (round is None or child.id not in round.stops[round.at :]):
        return True
    announce_stopped(draft, child, since, reason)
    then = Then.DOWN if round is None else then_of(draft, round, child.id)
    settle_down(draft, replace(child, last_exit=reason), then)
    return False


def _start_failed(draft: Draft, child: Child, start: Starting, reason: ExitReason) -> None:
    draft.effects.append(StartFailedFact(child.id, child.generation, reason, child.attempt))
    child = replace(child, last_exit=reason)
    if draft.is_going_down:
        refuse_start(draft, child, start, reason, "failed to start")
        settle_down(draft, child, Then.DOWN)
        return
    match start.origin:
        case Origin.INITIAL:
            refuse_start(draft, child, start, reason, "failed to start")
            if _starts_without(draft, child):
                restart(draft, child, reason, was_quiet=False, was_ready=False)
                return
            draft.become(child, Down(DownWhy.FAILED))
            go_down(draft, ExitReason(ExitKind.SHUTDOWN, FAILED_TO_START, cause=draft.cause(child, reason)))
        case Origin.HAND:
            code = Refusal.ALREADY_STARTED if reason.detail == ALREADY_STARTED else Refusal.START_FAILED
            draft.refuse(start.request, child.id, code, f"{child.id} failed to start: {reason}", reason)
            if start.is_new or draft.is_dynamic:
                draft.drop(child)
            else:
                draft.become(child, Down(DownWhy.FAILED))
        case Origin.RESTART | Origin.GROUP:
            refuse_start(draft, child, start, reason, "failed to start")
            phase = draft.phase
            round = phase.round if start.origin is Origin.RESTART and isinstance(phase, Active) else None
            if round is None:
                restart(draft, child, reason, was_quiet=False, was_ready=False)
            elif child.id in round.stops[round.at :]:  # launched before the round, which was about to stop it
                settle_down(draft, child, then_of(draft, round, child.id))
            else:  # the round comes first, as for the end of any child that is not part of it
                draft.become(child, Ended(draft.now, reason))
                event = ChildExited(child.id, child.generation, reason, now=draft.now, chance=draft.chance)
                draft.deferred = (*draft.deferred, event)
        case _:
            assert_never(start.origin)


def _starts_without(draft: Draft, child: Child) -> bool:
    """Whether the supervisor starts although the first start of `child` failed, and retries it."""
    parks = draft.spec.on_limit is OnLimit.PARK and not binds_siblings(draft.spec.strategy)
    return parks and child.spec.restart is not _TEMPORARY


def _gone(
    draft: Draft, child: Child, state: Stopping, reason: ExitReason, is_cut_off: bool = False, announces: bool = True
) -> None:
    """An instance that was being stopped is gone."""
    draft.disarm(TimerKind.STOP, child.id, state.serial)
    start = state.start
    if state.then is Then.FAIL and start is not None:
        _start_failed(draft, child, start, START_TIMEOUT)
        return
    if announces:
        announce_stopped(draft, child, state.ready_at, reason)
    refuse_start(draft, child, start, reason, "was stopped before it was ready")
    child = replace(child, last_exit=reason)
    if state.then is Then.START:
        _start_again(draft, child, state)
        return
    if state.then in {Then.RECYCLE, Then.RESTART}:
        _replace(draft, child, state, reason, is_cut_off)
        return
    then = Then.DOWN if state.then is Then.WAIT and draft.is_going_down else state.then
    if start is not None and start.is_new:
        then = Then.DROP
    settle_down(draft, child, then, state.hold, is_cut_off)
    for request in state.requests:
        draft.done(request, child)


def asks_restart(draft: Draft, child: Child, event: ChildAsksRestart) -> None:
    """A running instance is to be replaced. A temporary child is stopped; an end or a stop under way is enough."""
    state = child.state
    if not isinstance(state, Running) or draft.is_going_down:
        return
    if draft.has_round:
        draft.deferred = (*draft.deferred, event)
        return
    word = REQUESTED if event.counts else RECYCLED
    then = Then.RESTART if event.counts else Then.RECYCLE
    draft.effects.append(StateFact(child.id, child.generation, word, event.why))
    is_over = child.spec.restart is _TEMPORARY
    stop(draft, child, Then.DOWN if is_over else then, reason=ExitReason.shutdown(f"{word}: {event.why}"))


def _replace(draft: Draft, child: Child, state: Stopping, reason: ExitReason, is_cut_off: bool) -> None:
    """An instance that was to be replaced is gone: start the next one, unless the supervisor ends."""
    if draft.is_going_down:
        settle_down(draft, child, Then.DOWN, None, is_cut_off)
    elif state.then is Then.RECYCLE or draft.has_round:  # what began meanwhile has no part in it
        launch(draft, child, Origin.RESTART)
    else:
        ready_at = state.ready_at or draft.now
        was_quiet = draft.now - ready_at >= child.spec.backoff.reset_after
        restart(draft, draft.become(child, Down(DownWhy.WAITING)), reason, was_quiet=was_quiet, was_ready=True)


def _start_again(draft: Draft, child: Child, state: Stopping) -> None:
    """A call stopped the child in order to start it again."""
    start = state.start
    is_new = start is not None and start.is_new
    if draft.is_going_down:
        for waiting in state.requests:
            draft.refuse(waiting, child.id, Refusal.SHUTTING_DOWN, SHUTTING_DOWN)
        settle_down(draft, child, Then.DROP if is_new else Then.DOWN)
        return
    child = replace(child, attempt=0, parked=False)
    request = state.requests[0] if state.requests else None
    if start is None:
        begin_hand(draft, child, request, is_new)
    else:
        launch(draft, child, start.origin, request, is_new)


def timer_fired(draft: Draft, event: TimerFired) -> None:
    """A timer fired. One whose serial is not that of an armed timer is fenced here."""
    timer = event.timer
    match timer.kind:
        case TimerKind.START:
            if timer.serial == draft.start_serial:
                _expire_starts(draft)
        case TimerKind.STOP_ALL:
            time_over(draft, timer.serial)
        case TimerKind.STOP:
            child = draft.children.get(timer.id)
            if child is not None and isinstance(child.state, Stopping) and child.state.serial == timer.serial:
                kill(draft, replace(child, state=replace(child.state, serial=0)))
        case TimerKind.RETRY:
            child = draft.children.get(timer.id)
            if child is not None and isinstance(child.state, Restarting) and child.state.serial == timer.serial:
                if draft.has_round:  # it is due from now on, with no timer left to cancel
                    draft.become(child, replace(child.state, serial=0))
                    draft.deferred = (*draft.deferred, replace(event, timer=replace(timer, serial=0)))
                else:
                    retry(draft, child)
        case _:
            assert_never(timer.kind)


def _expire_starts(draft: Draft) -> None:
    """End the starts whose deadline has come, and arm the timer for the next deadline."""
    draft.start_serial = 0
    next_due = inf
    for child in draft.in_order():
        state = child.state
        if isinstance(state, Starting) and state.due is not None:
            if state.due <= draft.now:
                expire(draft, child, state)
            else:
                next_due = min(next_due, state.due)
    if next_due < inf:
        draft.start_serial = draft.arm(TimerKind.START, "", next_due - draft.now)
        draft.start_due = next_due


def resume_deferred(draft: Draft, event: ChildExited | ChildStartFailed | ChildAbandoned | ChildAsksRestart) -> None:
    """Decide about an end, or a wish, that waited for a round, unless the round took care of it."""
    child = draft.children.get(event.id)
    if isinstance(event, ChildAsksRestart):
        if child is not None and child.generation == event.generation:
            asks_restart(draft, child, event)
    elif child is not None and child.generation == event.generation and isinstance(child.state, Ended):
        conclude(draft, child, child.state.since, child.state.reason)
