"""The management calls, one function each: every cell of call by state.

None of them counts toward intensity, applies the strategy or triggers auto-shutdown. Calls that would start something
wait while a round is in progress; stops, kills and answers do not.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from supervisors.core.draft import Draft, has_instance, is_waiting
from supervisors.core.effects import Done, Refusal, Refused, Reply, Reread, Resume, StateFact, Suspend
from supervisors.core.events import (
    DeleteChild,
    Hold,
    KillChild,
    Request,
    RereadChild,
    ResetChild,
    RestartChild,
    ResumeChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopChild,
    SuspendChild,
    TerminateChild,
    TimerKind,
)
from supervisors.core.instances import cancel_retry, consume, kill, launch, settle_down, stop
from supervisors.core.restarts import retry
from supervisors.core.rounds import begin_hand, leave_group
from supervisors.core.states import (
    Child,
    Down,
    DownWhy,
    Ended,
    Held,
    Origin,
    Quarantined,
    Restarting,
    Running,
    Starting,
    Stopping,
    Then,
)
from supervisors.core.validation import faults_of_child
from supervisors.intensity import EMPTY
from supervisors.programs import ProgramStart
from supervisors.specs import ImportStart, LocalStart, SupervisorSpec


def start_child(draft: Draft, event: StartChild) -> None:
    """Add a child at the end and start it."""
    spec = event.spec
    if draft.is_dynamic:
        _refuse(draft, event, spec.id, Refusal.NOT_SUPPORTED, "a dynamic supervisor takes arguments, not specs")
        return
    faults = faults_of_child(spec, draft.path, draft.spec.auto_shutdown)
    if faults:
        message = "; ".join(str(fault) for fault in faults)
        draft.effects.append(Reply(event.request, Refused(spec.id, Refusal.INVALID, message, faults=tuple(faults))))
        return
    present = draft.children.get(spec.id)
    if present is not None:
        if has_instance(present.state):
            _refuse(draft, event, spec.id, Refusal.ALREADY_STARTED, f"{spec.id} runs already")
        else:
            _refuse(draft, event, spec.id, Refusal.ALREADY_PRESENT, f"{spec.id} is there already, not running")
        return
    if _defers(draft, event):
        return
    child = draft.new_child(spec.id, spec, Down(DownWhy.NOT_STARTED))
    begin_hand(draft, child, event.request, is_new=True)


def spawn_child(draft: Draft, event: SpawnChild) -> None:
    """Start another child of a dynamic supervisor."""
    if not draft.is_dynamic:
        _refuse(draft, event, "", Refusal.NOT_SUPPORTED, "only a dynamic supervisor makes children from a template")
        return
    limit = draft.spec.max_children
    if limit is not None and len(draft.children) >= limit:
        _refuse(draft, event, "", Refusal.MAX_CHILDREN, f"it has {limit} children already, which is its limit")
        return
    spec = draft.spec.children[0]
    if event.args or event.kwargs:
        start = spec.start
        if isinstance(start, LocalStart):
            start = LocalStart(start.make, (*start.args, *event.args), {**start.kwargs, **event.kwargs})
        elif event.args or not isinstance(start, ImportStart):
            kinds = {SupervisorSpec: "a supervisor spec", ProgramStart: "a program"}
            kind = kinds.get(type(start), "an import path")
            _refuse(draft, event, "", Refusal.INVALID, f"a template that starts {kind} takes no such arguments")
            return
        else:
            start = ImportStart(start.target, {**start.kwargs, **event.kwargs})
        spec = replace(spec, start=start)
    draft.note(spawned=draft.ledger.spawned + 1)
    child = draft.new_child(f"{spec.id}#{draft.ledger.spawned}", spec, Down(DownWhy.NOT_STARTED))
    launch(draft, child, Origin.HAND, event.request, is_new=True)


def terminate(draft: Draft, event: TerminateChild | StopChild) -> None:
    """Stop a child and keep its record; with a hold it stays stopped until somebody starts it."""
    hold = event.hold if isinstance(event, StopChild) else None
    child = draft.children.get(event.id)
    if child is None:
        if draft.is_dynamic and _was_spawned(draft, event.id):
            draft.effects.append(Reply(event.request, Done(event.id)))  # it ended meanwhile
        else:
            _not_found(draft, event, event.id)
        return
    then = Then.DOWN if hold is None else Then.HOLD
    state = child.state
    match state:
        case Running() | Starting():
            stop(draft, child, then, (event.request,), hold)
            return
        case Stopping():
            _stop_instead(draft, child, state, then, event.request, hold)
            return
        case Restarting():
            cancel_retry(draft, child, then, hold)
            leave_group(draft, child)
        case Ended():
            consume(draft, child, then, hold)
        case Down() | Held() | Quarantined():
            if draft.is_dynamic or (is_waiting(state) and draft.has_round and hold is None):
                settle_down(draft, child, then)
            elif hold is not None:
                draft.become(child, Held(hold))
                draft.effects.append(StateFact(child.id, child.generation, "stopped", hold.why))
        case _:
            assert_never(state)
    draft.done(event.request, child)


def _stop_instead(draft: Draft, child: Child, state: Stopping, then: Then, request: int, hold: Hold | None) -> None:
    """A child that is being stopped already: it stays down, whatever was to follow."""
    requests = state.requests
    if state.then is Then.START:
        for waiting in requests:
            draft.refuse(waiting, child.id, Refusal.STOPPING, f"{child.id} was stopped by another call")
        requests = ()
    if state.then is Then.DROP or (state.then is Then.HOLD and hold is None):
        then, hold = state.then, state.hold
    draft.become(
        child,
        Stopping(state.ready_at, then, state.serial, state.killed, (*requests, request), hold, state.start),
    )


def restart_child(draft: Draft, event: RestartChild) -> None:
    """Start a child that does not run; with `stop_first`, also one that does."""
    child = draft.children.get(event.id)
    if draft.is_dynamic and not event.stop_first:
        _refuse(draft, event, event.id, Refusal.NOT_SUPPORTED, "a dynamic supervisor has no restart_child")
        return
    if child is None:
        _not_found(draft, event, event.id)
        return
    state = child.state
    match state:
        case Running() | Starting() | Ended() | Restarting() if not event.stop_first:
            code = Refusal.RESTARTING if isinstance(state, Restarting) else Refusal.RUNNING
            _refuse(draft, event, child.id, code, f"{child.id} is {code.value}")
        case Starting():
            stop(draft, child, Then.START, (event.request,))
        case Running():
            if not _defers(draft, event):
                stop(draft, child, Then.START, (event.request,))
        case Restarting():
            _retry_now(draft, child, state)
            draft.done(event.request, child)
        case Stopping():
            _refuse(draft, event, child.id, Refusal.STOPPING, f"{child.id} is being stopped")
        case Ended() | Down() | Held() | Quarantined():
            _start_by_hand(draft, child, event)
        case _:
            assert_never(state)


def start_stopped(draft: Draft, event: StartStopped) -> None:
    """Start a child that is stopped, held, quarantined or down; end its back-off wait."""
    child = draft.children.get(event.id)
    if child is None:
        _not_found(draft, event, event.id)
        return
    state = child.state
    match state:
        case Running() | Starting() | Ended():
            _refuse(draft, event, child.id, Refusal.RUNNING, f"{child.id} is running")
        case Stopping():
            _refuse(draft, event, child.id, Refusal.STOPPING, f"{child.id} is being stopped")
        case Restarting():
            _retry_now(draft, child, state)
            draft.done(event.request, child)
        case Down() | Held() | Quarantined():
            _start_by_hand(draft, child, event)
        case _:
            assert_never(state)


def delete_child(draft: Draft, event: DeleteChild) -> None:
    """Drop the record of a child that does not run."""
    child = draft.children.get(event.id)
    if draft.is_dynamic:
        _refuse(draft, event, event.id, Refusal.NOT_SUPPORTED, "a dynamic supervisor has no delete_child")
        return
    if child is None:
        _not_found(draft, event, event.id)
        return
    state = child.state
    match state:
        case Running() | Starting() | Stopping() | Ended():
            _refuse(draft, event, child.id, Refusal.RUNNING, f"{child.id} is running")
        case Restarting():
            _refuse(draft, event, child.id, Refusal.RESTARTING, f"{child.id} is restarting")
        case Down() if is_waiting(state) and draft.has_round:
            _refuse(draft, event, child.id, Refusal.RESTARTING, f"{child.id} is about to be started")
        case Down() | Held() | Quarantined():
            draft.drop(child)
            draft.done(event.request, child)
        case _:
            assert_never(state)


def suspend_or_resume(draft: Draft, event: SuspendChild | ResumeChild) -> None:
    """Hold back the messages of a running child, or let them through again; either may be asked twice."""
    child = draft.children.get(event.id)
    if child is None:
        _not_found(draft, event, event.id)
        return
    state = child.state
    suspends = isinstance(event, SuspendChild)
    if not isinstance(state, Running):
        _refuse(draft, event, child.id, Refusal.NOT_RUNNING, f"{child.id} is not running")
        return
    if state.suspended is not suspends:
        draft.become(child, Running(state.since, suspends))
        effect = Suspend(child.id, child.generation) if suspends else Resume(child.id, child.generation)
        draft.effects.append(effect)
        draft.effects.append(StateFact(child.id, child.generation, "suspended" if suspends else "resumed"))
    draft.done(event.request, child, child.generation)


def reread_child(draft: Draft, event: RereadChild) -> None:
    """Have a running program read its configuration again; one that does not say how is refused."""
    child = draft.children.get(event.id)
    if child is None:
        _not_found(draft, event, event.id)
    elif not (isinstance(child.spec.start, ProgramStart) and child.spec.start.rereads):
        message = f"{child.id} says no way to read its configuration again: reload_signal, or reload_command"
        _refuse(draft, event, child.id, Refusal.INVALID, message)
    elif not isinstance(child.state, Running):
        _refuse(draft, event, child.id, Refusal.NOT_RUNNING, f"{child.id} is not running")
    else:
        draft.effects.append(Reread(child.id, child.generation))
        draft.effects.append(StateFact(child.id, child.generation, "reread"))
        draft.done(event.request, child, child.generation)


def kill_child(draft: Draft, event: KillChild) -> None:
    """Kill the instance of a child."""
    child = draft.children.get(event.id)
    if child is None:
        _not_found(draft, event, event.id)
        return
    if not isinstance(child.state, (Running, Starting, Stopping)):
        _refuse(draft, event, child.id, Refusal.NOT_RUNNING, f"{child.id} is not running")
        return
    kill(draft, child)
    draft.done(event.request, child, child.generation)


def reset_child(draft: Draft, event: ResetChild) -> None:
    """Forget what counts against a child, or the supervisor's own restarts."""
    if not event.id:
        draft.window = EMPTY
        draft.effects.append(Reply(event.request, Done("")))
        return
    child = draft.children.get(event.id)
    if child is None:
        _not_found(draft, event, event.id)
        return
    child = replace(child, attempt=0, restarts=0, parked=False, window=EMPTY)
    draft.put(child)
    if isinstance(child.state, Quarantined):
        _start_by_hand(draft, child, event)
        return
    if isinstance(child.state, Restarting):
        _retry_now(draft, child, child.state)
    draft.done(event.request, child)


def _start_by_hand(draft: Draft, child: Child, event: RestartChild | StartStopped | ResetChild) -> None:
    """Start a child without an instance, with a clean slate."""
    if _defers(draft, event):
        return
    child = replace(child, attempt=0, parked=False)
    if isinstance(child.state, Quarantined):
        child = replace(child, window=EMPTY)
    begin_hand(draft, child, event.request)


def _retry_now(draft: Draft, child: Child, state: Restarting) -> None:
    """End a back-off wait: the next try is due."""
    draft.disarm(TimerKind.RETRY, child.id, state.serial)
    if draft.has_round:  # as soon as the round is done
        serial = draft.arm(TimerKind.RETRY, child.id, 0.0)
        draft.become(child, Restarting(draft.now, serial, state.parked))
    else:
        retry(draft, child)


def _defers(draft: Draft, event: Request) -> bool:
    """Whether a round is in progress, so that this call, which would start something, waits for its end."""
    if draft.has_round:
        draft.deferred = (*draft.deferred, event)
        return True
    return False


def _was_spawned(draft: Draft, id: str) -> bool:
    """Whether this dynamic supervisor once generated `id`."""
    stem, _, number = id.rpartition("#")
    return stem == draft.spec.children[0].id and number.isdecimal() and 1 <= int(number) <= draft.ledger.spawned


def _refuse(draft: Draft, event: Request, id: str, code: Refusal, message: str) -> None:
    draft.refuse(event.request, id, code, message)


def _not_found(draft: Draft, event: Request, id: str) -> None:
    _refuse(draft, event, id, Refusal.NOT_FOUND, f"{draft.path} has no child {id!r}")
