"""One step of an agent loop: observe, decide, act, rest. Pure.

    Resting --Due, nothing against it--> Working --Finished--> Resting
       |                                    |
       +-- Due, something against it:       +-- Due: the slot is skipped (overlap)
           the slot is skipped, with why

What can stand against a run, in this order: a service it needs is not there; it failed lately and rests (the pause
doubles with each failure in a row, to a cap that its priority sets); it found nothing to do many times and stretches
its pace (never where the priority is high). A run asked for by hand passes over all three.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from actors.policies.backoff import Backoff, delay_of


class Priority(Enum):
    """How much a loop matters: which goes first, how long it rests after failures, how far it stretches when idle."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Outcome(Enum):
    """How a run ended. `IDLE` is a success that found nothing to do."""

    SUCCEEDED = "succeeded"
    IDLE = "idle"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"


_REST: Final = {
    Priority.HIGH: Backoff(first=5.0, factor=2.0, max=60.0, jitter=0.1),
    Priority.NORMAL: Backoff(first=5.0, factor=2.0, max=300.0, jitter=0.1),
    Priority.LOW: Backoff(first=5.0, factor=2.0, max=900.0, jitter=0.1),
}
_STRETCH: Final = {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 7}
"""Most slots passed over between two runs of an idle loop."""
_IDLE_BEFORE_STRETCH: Final = 20


class Resting(Struct, frozen=True):
    """Between runs.

    Attributes:
        failures: Failed runs in a row.
        rest_until: Monotonic instant until which slots are skipped because of them.
        idle: Runs in a row that found nothing to do.
        pass_over: Slots still to be skipped because of that.
    """

    failures: int = 0
    rest_until: float = 0.0
    idle: int = 0
    pass_over: int = 0


class Working(Struct, frozen=True):
    """A run is under way: for the slot at `slot_at`, since the monotonic instant `began`."""

    slot_at: float
    began: float
    failures: int
    idle: int


State = Resting | Working


class Due(Struct, frozen=True):
    """A slot has come.

    Attributes:
        absent: Services it needs that are not there now.
    """

    slot_at: float
    now: float
    by_hand: bool = False
    absent: tuple[str, ...] = ()


class Finished(Struct, frozen=True):
    """The run ended. `chance` is a random number in [0, 1) for the pause after a failure."""

    outcome: Outcome
    now: float
    detail: str
    chance: float = 0.5


Event = Due | Finished


class Act(Struct, frozen=True):
    """Run the task for this slot."""

    slot_at: float


class Report(Struct, frozen=True):
    """Tell how the slot ended: `outcome` is a word of `RunFinished`."""

    outcome: str
    seconds: float
    detail: str


class Done(Struct, frozen=True):
    """Tell the scheduler that the slot is settled."""

    slot_at: float


Effect = Act | Report | Done
Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, priority: Priority) -> Step:
    """Return the state after `event` and what is to be done, in order."""
    match state:
        case Resting():
            return _resting(state, event)
        case Working():
            return _working(state, event, priority)
        case _:
            assert_never(state)


def _resting(state: Resting, event: Event) -> Step:
    match event:
        case Due(slot_at, now, by_hand, absent):
            why = "" if by_hand else _against(state, now, absent)
            if not why:
                return Working(slot_at, now, state.failures, state.idle), (Act(slot_at),)
            if state.pass_over and not absent and now >= state.rest_until:
                state = replace(state, pass_over=state.pass_over - 1)
            return state, (Report("skipped", 0.0, why), Done(slot_at))
        case Finished():
            return state, ()  # of a run that was cancelled before
        case _:
            assert_never(event)


def _working(state: Working, event: Event, priority: Priority) -> Step:
    match event:
        case Due(slot_at):
            if slot_at == state.slot_at:
                return state, ()  # the same slot once more
            why = "overlap: the run before it is still under way"
            return state, (Report("skipped", 0.0, why), Done(slot_at))
        case Finished(outcome, now, detail, chance):
            word = Outcome.SUCCEEDED.value if outcome is Outcome.IDLE else outcome.value
            effects = (Report(word, max(0.0, now - state.began), detail), Done(state.slot_at))
            return _rested(state, outcome, now, chance, priority), effects
        case _:
            assert_never(event)


def _rested(state: Working, outcome: Outcome, now: float, chance: float, priority: Priority) -> Resting:
    match outcome:
        case Outcome.SUCCEEDED:
            return Resting()
        case Outcome.IDLE:
            idle = state.idle + 1
            stretch = min(_STRETCH[priority], idle // _IDLE_BEFORE_STRETCH)
            return Resting(idle=idle, pass_over=stretch)
        case Outcome.FAILED | Outcome.TIMED_OUT:
            failures = state.failures + 1
            return Resting(failures, now + delay_of(_REST[priority], failures, chance))
        case Outcome.CANCELLED:
            return Resting(state.failures, idle=state.idle)
        case _:
            assert_never(outcome)


def _against(state: Resting, now: float, absent: tuple[str, ...]) -> str:
    if absent:
        return f"waiting for {', '.join(absent)}"
    if now < state.rest_until:
        return f"resting {state.rest_until - now:.0f} s more after {state.failures} failures in a row"
    if state.pass_over:
        return f"idle: nothing to do in the last {state.idle} runs"
    return ""
