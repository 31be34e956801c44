"""The supervisor as a machine: `new` makes its state, `step` takes it from one event to the next.

    Fresh --Begin--> StartingUp --last child started--> Active --StopAsked, limit, auto-shutdown--> GoingDown --> Over
                         |                               ^  |
                         '--a start failed--> GoingDown  '--' a group restart, a change of spec: Active with a round

`step` never raises for any event in any state, knows no clock and no chance but the event's, and changes nothing but
what it returns: the same events on the same state give the same effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from actors.addresses import ROOT
from supervisors.core.changes import reconfigure
from supervisors.core.draft import Draft, draft_of
from supervisors.core.effects import Effect, End, Ready, Refusal, Refused, Reply, StateFact
from supervisors.core.ending import SHUTTING_DOWN, advance_end, go_down, kill_down
from supervisors.core.events import (
    BaseRequest,
    Begin,
    ChildAbandoned,
    ChildAsksRestart,
    ChildExited,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    DeleteChild,
    Event,
    KillAsked,
    KillChild,
    Notice,
    Reconfigure,
    Request,
    RereadChild,
    ResetChild,
    RestartChild,
    ResumeChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopAsked,
    StopChild,
    SuspendChild,
    TerminateChild,
    TimerFired,
)
from supervisors.core.management import (
    delete_child,
    kill_child,
    reread_child,
    reset_child,
    restart_child,
    spawn_child,
    start_child,
    start_stopped,
    suspend_or_resume,
    terminate,
)
from supervisors.core.notices import abandoned, asks_restart, ended, ignored, resume_deferred, started, timer_fired
from supervisors.core.rounds import advance
from supervisors.core.states import (
    IDLE,
    Active,
    Down,
    DownWhy,
    Fresh,
    GoingDown,
    Held,
    Over,
    Round,
    RoundKind,
    Running,
    Starting,
    StartingUp,
    State,
    Stopping,
)
from supervisors.core.validation import arrange, validate_tree
from supervisors.errors import SpecError
from supervisors.specs import SupervisorSpec

Step = tuple[State, tuple[Effect, ...]]
_ALIVE = (Running, Starting, Stopping)


def new(spec: SupervisorSpec, path: str = ROOT) -> State:
    """Return the state of a supervisor that has not begun.

    Args:
        spec: What it supervises; its children are put in start order (`needs`).
        path: Where it stands.

    Raises:
        SpecError: The spec has faults; all of them are named. Nothing was started.
    """
    faults = validate_tree(spec, path)
    if faults:
        raise SpecError(faults)
    return State(path, arrange(spec, path))


def step(state: State, event: Event) -> Step:
    """Return the state after `event`, and what the shell has to do, in order."""
    match event:
        case (
            ChildExited() | ChildStarted() | ChildStartFailed() | ChildIgnored() | ChildAbandoned() | ChildAsksRestart()
        ):
            child = state.children.get(event.id)
            if child is None or child.generation != event.generation or not isinstance(child.state, _ALIVE):
                return _fenced(state, event)
            draft = draft_of(state, event.now, event.chance)
            match event:
                case ChildExited() | ChildStartFailed():
                    ended(draft, child, event, event.reason)
                case ChildStarted():
                    started(draft, child, event)
                case ChildIgnored():
                    ignored(draft, child, event)
                case ChildAbandoned():
                    abandoned(draft, child, event)
                case ChildAsksRestart():
                    asks_restart(draft, child, event)
                case _:
                    assert_never(event)
        case TimerFired():
            draft = draft_of(state, event.now, event.chance)
            timer_fired(draft, event)
        case Begin():
            draft = draft_of(state, event.now, event.chance)
            _begin(draft, event)
        case StopAsked():
            draft = draft_of(state, event.now, event.chance)
            _stop_asked(draft, event)
        case KillAsked():
            draft = draft_of(state, event.now, event.chance)
            if not isinstance(draft.phase, Over):
                kill_down(draft)
        case BaseRequest():
            draft = draft_of(state, event.now, event.chance)
            _requested(draft, event)
        case _:
            assert_never(event)
    if draft.phase is not IDLE or draft.deferred:
        _settle(draft)
    return draft.freeze(), tuple(draft.effects)


def replay(state: State, events: Iterable[Event]) -> Iterator[Step]:
    """Yield the step of each event in turn, from `state` on: a recorded sequence gives again what it gave."""
    for event in events:
        state, effects = step(state, event)
        yield state, effects


def _fenced(state: State, event: Notice) -> Step:
    """A notice of an instance that counts no more: nothing, unless an abandoned one has ended after all."""
    key = (event.id, event.generation)
    if key not in state.ledger.abandoned or isinstance(event, (ChildStarted, ChildAbandoned, ChildAsksRestart)):
        return state, ()
    draft = draft_of(state, event.now, event.chance)
    draft.note(abandoned=draft.ledger.abandoned - {key})
    return draft.freeze(), (StateFact(event.id, event.generation, "abandoned-ended"),)


def _begin(draft: Draft, event: Begin) -> None:
    if not isinstance(draft.phase, Fresh):
        return
    if draft.is_dynamic:
        draft.phase = IDLE
        draft.effects.append(Ready())
        return
    for spec in draft.spec.children:
        hold = event.holds.get(spec.id)
        draft.new_child(spec.id, spec, Down(DownWhy.WAITING) if hold is None else Held(hold))
    ids = tuple(spec.id for spec in draft.spec.children)
    draft.phase = StartingUp(Round(RoundKind.INITIAL, (), ids))


def _stop_asked(draft: Draft, event: StopAsked) -> None:
    phase = draft.phase
    match phase:
        case Fresh():
            draft.phase = Over(event.reason)
            draft.effects.append(End(event.reason))
        case StartingUp() | Active():
            go_down(draft, event.reason)
        case GoingDown() | Over():
            pass
        case _:
            assert_never(phase)


def _requested(draft: Draft, event: Request) -> None:
    phase = draft.phase
    match phase:
        case StartingUp() | Active():
            _carry_out(draft, event)
        case GoingDown() if isinstance(event, KillChild):
            kill_child(draft, event)
        case GoingDown() | Over():
            draft.effects.append(Reply(event.request, Refused("", Refusal.SHUTTING_DOWN, SHUTTING_DOWN)))
        case Fresh():
            message = "the supervisor has not begun"
            draft.effects.append(Reply(event.request, Refused("", Refusal.NOT_RUNNING, message)))
        case _:
            assert_never(phase)


def _carry_out(draft: Draft, event: Request) -> None:
    match event:
        case StartChild():
            start_child(draft, event)
        case SpawnChild():
            spawn_child(draft, event)
        case TerminateChild() | StopChild():
            terminate(draft, event)
        case RestartChild():
            restart_child(draft, event)
        case StartStopped():
            start_stopped(draft, event)
        case DeleteChild():
            delete_child(draft, event)
        case SuspendChild() | ResumeChild():
            suspend_or_resume(draft, event)
        case RereadChild():
            reread_child(draft, event)
        case KillChild():
            kill_child(draft, event)
        case ResetChild():
            reset_child(draft, event)
        case Reconfigure():
            reconfigure(draft, event)
        case _:
            assert_never(event)


def _settle(draft: Draft) -> None:
    """Go as far as nothing has to be waited for: the round in progress, then what waited for it, or the end."""
    while True:
        phase = draft.phase
        match phase:
            case GoingDown():
                advance_end(draft)
                return
            case Over() | Fresh():
                return
            case StartingUp():
                if not advance(draft):
                    return
            case Active():
                if phase.round is not None:
                    if not advance(draft):
                        return
                elif draft.deferred:
                    event, draft.deferred = draft.deferred[0], draft.deferred[1:]
                    _resume(draft, event)
                else:
                    return
            case _:
                assert_never(phase)


def _resume(draft: Draft, event: Event) -> None:
    """Handle what waited for a round."""
    match event:
        case ChildExited() | ChildStartFailed() | ChildAbandoned() | ChildAsksRestart():
            resume_deferred(draft, event)
        case TimerFired():
            timer_fired(draft, event)
        case BaseRequest():
            _carry_out(draft, event)
        case ChildStarted() | ChildIgnored() | Begin() | StopAsked() | KillAsked():
            raise AssertionError(f"{type(event).__name__} never waits")
        case _:
            assert_never(event)
