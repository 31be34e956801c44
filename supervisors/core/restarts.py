"""What follows when a child ended by itself, or its restart failed: restart it, quarantine it, park it, or give up.

Source: Erlang/OTP `supervisor`, `do_restart/2` and `restart/2`; back-off, budgets and parking are ours. The order is:
the child's own budget, then the supervisor's window, then the delay. The check comes before the restart, and a restart
that turns out to be one too many is recorded all the same.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from actors.exits import ExitKind, ExitReason
from actors.policies.backoff import delay_of
from supervisors.core.draft import Draft, has_instance
from supervisors.core.effects import LimitFact, RestartFact, StateFact
from supervisors.core.ending import go_down
from supervisors.core.events import TimerKind
from supervisors.core.instances import AUTO_SHUTDOWN, GAVE_UP, begin, launch, starting
from supervisors.core.rounds import begin_group, longest_wait, plan_group
from supervisors.core.states import (
    IDLE,
    Child,
    ChildState,
    Down,
    DownWhy,
    Origin,
    Quarantined,
    Restarting,
)
from supervisors.specs import AutoShutdown, ChildSpec, OnLimit, Restart, Strategy
from supervisors.strategies import binds_siblings

_PERMANENT, _TEMPORARY = Restart.PERMANENT, Restart.TEMPORARY  # members of an Enum are slow to look up
_ONE_FOR_ONE, _RESTART = Strategy.ONE_FOR_ONE, Origin.RESTART


def needs_restart(spec: ChildSpec, reason: ExitReason) -> bool:
    """Whether a child that ended by itself with `reason` is restarted."""
    restart = spec.restart
    if restart is _PERMANENT:
        return True
    if restart is _TEMPORARY:
        return False
    return reason.is_abnormal or (spec.restart_on_gave_up and reason.detail == GAVE_UP)


def conclude(draft: Draft, child: Child, ready_at: float, reason: ExitReason) -> None:
    """Decide what follows the end of an instance by itself. No round is in progress."""
    spec = child.spec
    if spec.restart is _PERMANENT or needs_restart(spec, reason):
        restart(draft, child, reason, was_quiet=draft.now - ready_at >= spec.backoff.reset_after, was_ready=True)
        return
    if spec.restart is _TEMPORARY or draft.is_dynamic:
        draft.drop(child)
    else:
        draft.become(replace(child, last_exit=reason), Down(DownWhy.FINISHED))
    if spec.significant:
        auto_shutdown(draft, child, reason)


def auto_shutdown(draft: Draft, child: Child, reason: ExitReason) -> None:
    """End the supervisor if the end of this significant child, which is not restarted, asks for it."""
    match draft.spec.auto_shutdown:
        case AutoShutdown.NEVER:
            return
        case AutoShutdown.ANY_SIGNIFICANT:
            pass
        case AutoShutdown.ALL_SIGNIFICANT:
            for other in draft.children.values():
                if other.id != child.id and other.spec.significant and _is_present(other):
                    return
        case _:
            assert_never(draft.spec.auto_shutdown)
    go_down(draft, ExitReason(ExitKind.SHUTDOWN, AUTO_SHUTDOWN, cause=draft.cause(child, reason)))


def _is_present(child: Child) -> bool:
    """Whether a significant child still counts: with an instance, or waiting for its next try."""
    return has_instance(child.state) or isinstance(child.state, Restarting)


def restart(draft: Draft, child: Child, reason: ExitReason, *, was_quiet: bool, was_ready: bool) -> None:
    """Decide on the restart of a child that has no instance.

    Args:
        draft: The step's draft.
        child: The child.
        reason: Why it ended, or why its restart failed.
        was_quiet: Whether it had run quietly, so that attempts count from 1 again.
        was_ready: Whether it ended (its group is stopped now, and restarted at once where there is no delay) rather
            than failed to start (a retry goes to the end of the mailbox, and the group is stopped again then).
    """
    spec, supervisor, now = child.spec, draft.spec, draft.now
    attempt = 1 if was_quiet else child.attempt + 1
    parked = child.parked and not was_quiet
    window = child.window
    if parked:
        restarts = draft.window.count(now, supervisor.period)
    else:
        if spec.budget is not None:
            window = window.record(now, spec.budget.period)
            if window.size > spec.budget.intensity:
                child = replace(child, window=window, last_exit=reason)
                _quarantine(draft, child, reason)
                return
        draft.window = recorded = draft.window.record(now, supervisor.period)
        restarts = recorded.size
    if restarts > supervisor.intensity and not parked:
        escalates = supervisor.on_limit is OnLimit.ESCALATE
        draft.effects.append(
            LimitFact(
                child.id,
                child.generation,
                "supervisor",
                "escalate" if escalates else "park",
                restarts,
                supervisor.intensity,
                supervisor.period,
                reason,
            )
        )
        if escalates:
            draft.become(replace(child, last_exit=reason), Down(DownWhy.FAILED))
            go_down(draft, ExitReason(ExitKind.SHUTDOWN, GAVE_UP, cause=draft.cause(child, reason)))
            return
        parked = True
    delay = delay_of(spec.backoff, attempt, draft.chance) if spec.backoff.first else 0.0
    if parked:
        delay = max(delay, supervisor.park_every * (1 + spec.backoff.jitter * (2 * draft.chance - 1)))
    is_alone = supervisor.strategy is _ONE_FOR_ONE or not binds_siblings(supervisor.strategy)
    id, generation = child.id, child.generation
    state: ChildState = child.state
    if is_alone:
        draft.effects.append(RestartFact(id, generation, attempt, delay, (id,), restarts, parked, reason))
    launches = is_alone and was_ready and delay == 0
    if launches:
        generation, state = generation + 1, starting(draft, spec, _RESTART)
    child = Child(id, spec, child.position, generation, state, attempt, child.restarts + 1, parked, reason, window)
    if launches:
        begin(draft, child)
    elif is_alone:
        wait(draft, child, delay)
    else:
        _restart_group(draft, child, reason, delay, restarts, was_ready)


def _restart_group(
    draft: Draft, child: Child, reason: ExitReason, delay: float, restarts: int, was_ready: bool
) -> None:
    """Restart what the strategy binds to `child`: stop it now; start it now or after the delay that all share."""
    child = draft.become(child, Down(DownWhy.WAITING))
    plan = plan_group(draft, child)
    delay = longest_wait(draft, plan, child, delay)
    draft.effects.append(
        RestartFact(child.id, child.generation, child.attempt, delay, plan.start, restarts, child.parked, reason)
    )
    if not was_ready:
        wait(draft, child, delay)
        draft.phase = IDLE  # those that came up stay up until the retry
        return
    if delay > 0:
        wait(draft, child, delay)
    begin_group(draft, plan, delay > 0, child.id)


def wait(draft: Draft, child: Child, delay: float) -> None:
    """Let a child wait for its next try."""
    serial = draft.arm(TimerKind.RETRY, child.id, delay)
    draft.become(child, Restarting(draft.now + delay, serial, child.parked))


def retry(draft: Draft, child: Child) -> None:
    """The wait of a child is over: try it again. No round is in progress."""
    if not binds_siblings(draft.spec.strategy):
        launch(draft, child, Origin.RESTART)
        return
    plan = plan_group(draft, child)
    delay = longest_wait(draft, plan, child, 0.0)
    if delay > 0:
        wait(draft, child, delay)
        return
    child = draft.become(child, Down(DownWhy.WAITING))
    begin_group(draft, plan, False, child.id)


def _quarantine(draft: Draft, child: Child, reason: ExitReason) -> None:
    """The child used up its own budget: it stays away, its siblings live on."""
    budget = child.spec.budget
    assert budget is not None
    draft.effects.append(
        LimitFact(
            child.id,
            child.generation,
            "child",
            "quarantine",
            child.window.size,
            budget.intensity,
            budget.period,
            reason,
        )
    )
    draft.effects.append(StateFact(child.id, child.generation, "quarantined", str(reason.kind.value)))
    draft.become(child, Quarantined(reason))
    if child.spec.significant:
        auto_shutdown(draft, child, reason)
