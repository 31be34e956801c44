"""The life of one process child as a pure machine: what to do when it greets, falls silent, grows, is stopped, or ends.

    Spawning --> Starting --> Running --> Ending ----.      Ending: the actor ended and said why; the process follows
        |           |            |                    \
        |           |            +--> Stopping --> Terminating --.
        |           |            |        |                       \
        '-----------'------------'--------'---> Killing ----------> Ended

    Starting --> Spawning: a spare that was handed over went away before it said hello; another process takes its place

`step(state, event, limits)` returns the next state and the effects to perform, in order. Exactly one outcome is
reported before the process is ready (`ReportIgnored`, `ReportStartFailed`) or one `ReportStarted` and, after it, one
`ReportExited`. An outcome that ends the child is reported only when its process is gone, so what follows never meets
the old instance.

The machine knows no clock and no process: instants arrive with the events, as monotonic seconds. Silence is counted
only while somebody looked: `Tick`s come at least as often as `next_look` says, and when the host itself was late
(stopped, asleep, starved), the gap counts as one heartbeat at most: a sleeping laptop does not kill its children.

Reasons the machine makes itself: `killed (heartbeat-missed)`, `killed (memory-limit)`, `killed (start-timeout)`,
`killed (stop-timeout)`, `killed (linger-timeout)`; plain `killed` is a kill that was asked for. How a status becomes a
reason is in `statuses`.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from actors.exits import KILLED, ExitReason
from supervisors.processes.states import (
    DUMP_GRACE,
    HANDOVER_TIMEOUT,
    LINGER,
    TERM_GRACE,
    ActorEnded,
    Beat,
    Declined,
    DumpStacks,
    Effect,
    Ended,
    Ending,
    Event,
    Greeted,
    KillAsked,
    Killing,
    KillTree,
    Limits,
    ProcessEnded,
    Ready,
    ReportExited,
    ReportIgnored,
    ReportStarted,
    ReportStartFailed,
    Running,
    Sampled,
    SendBye,
    SendStart,
    SendStop,
    SpawnAgain,
    Spawned,
    SpawnFailed,
    Spawning,
    Starting,
    State,
    Step,
    StopAsked,
    Stopping,
    Terminate,
    Terminating,
    Tick,
    Unhealthy,
)
from supervisors.processes.statuses import (
    heartbeat_missed,
    memory_limit,
    no_hello,
    reason_of_status,
    start_timeout,
    with_evidence,
)

_ENDED = Ended()


def launch(now: float, limits: Limits) -> Spawning:
    """Return the first state of a child launched at `now`."""
    return Spawning(now + limits.start_timeout)


def is_started(state: State) -> bool:
    """Whether `ReportStarted` was reported and `ReportExited` was not."""
    match state:
        case Running():
            return True
        case Stopping(started=started) | Terminating(started=started) | Ending(started=started):
            return started
        case Killing(started=started):
            return started
        case Spawning() | Starting() | Ended():
            return False
        case _:
            assert_never(state)


def next_look(state: State, limits: Limits) -> float:
    """Return the instant by which a `Tick` is due, `inf` when none is."""
    match state:
        case Starting(deadline, False, greet_by, hello_by):
            return min(deadline, hello_by, inf if greet_by is None else greet_by)
        case Starting(deadline, True) if limits.beats_early:
            return min(deadline, _next_beat(state, limits))
        case Spawning(deadline=deadline) | Starting(deadline=deadline) | Terminating(deadline=deadline):
            return deadline
        case Ending(deadline=deadline) | Killing(deadline=deadline):
            return deadline
        case Running():
            return _next_beat(state, limits)
        case Stopping() if limits.beats_early:
            return _next_beat(state, limits)
        case Stopping() | Ended():
            return inf
        case _:
            assert_never(state)


def step(state: State, event: Event, limits: Limits) -> Step:
    """Return the state after `event` and the effects to perform, in order."""
    match state:
        case Spawning():
            return _spawning(state, event, limits)
        case Starting():
            return _starting(state, event, limits)
        case Running():
            return _running(state, event, limits)
        case Stopping():
            return _stopping(state, event, limits)
        case Terminating():
            return _terminating(state, event)
        case Ending():
            return _ending(state, event)
        case Killing():
            return _killing(state, event)
        case Ended():
            return state, ()
        case _:
            assert_never(state)


def _spawning(state: Spawning, event: Event, limits: Limits) -> Step:
    """No process yet: whoever wants it gone is remembered."""
    match event:
        case Spawned() if state.doomed is not None:
            return Killing(state.doomed, inf, False), (KillTree(),)
        case Spawned(now, spare_at):
            greet_by = None if spare_at is None else spare_at + HANDOVER_TIMEOUT
            return Starting(state.deadline, False, greet_by, now + limits.hello_timeout), ()
        case SpawnFailed(reason):
            return _ENDED, (ReportStartFailed(state.doomed or reason),)
        case StopAsked(reason):
            return Spawning(state.deadline, state.doomed or reason), ()
        case KillAsked():
            return Spawning(state.deadline, KILLED), ()
        case Tick(now) if now >= state.deadline and state.doomed is None:
            return Spawning(inf, start_timeout()), ()
        case ProcessEnded(returncode, stderr):  # not reached: the shell reports Spawned first
            return _ENDED, (ReportStartFailed(reason_of_status(returncode, stderr)),)
        case Tick() | Greeted() | Ready() | Declined() | ActorEnded() | Beat() | Sampled() | Unhealthy():
            return state, ()
        case _:
            assert_never(event)


def _starting(state: Starting, event: Event, limits: Limits) -> Step:
    """The actor is being made: it answers ready, ignore or an error, or it runs out of time."""
    match event:
        case Greeted(now) if not state.greeted and state.greet_by != inf:
            return Starting(state.deadline, True, state.greet_by, looked_at=now), (SendStart(),)
        case Ready(now) if state.greeted:
            return Running(0.0, now), (ReportStarted(),)
        case Declined(now, why) if state.greeted:
            return Ending(why, now + LINGER, False), (SendBye(),)
        case ActorEnded(now, reason) if state.greeted:
            return Ending(reason, now + LINGER, False), (SendBye(),)
        case Tick(now) if now >= state.deadline:
            return Killing(start_timeout(), now + DUMP_GRACE, False), (DumpStacks(),)
        case Tick(now) if state.greet_by is not None and now >= state.greet_by and not state.greeted:
            return Starting(state.deadline, False, inf, state.hello_by), (KillTree(),)
        case Tick(now) if not state.greeted and now >= state.hello_by:
            return Killing(no_hello(limits), inf, False), (KillTree(),)
        case Tick(now) if state.greeted and limits.beats_early:
            silent = _silent(state, now, limits)
            if silent >= limits.silence:
                return Killing(heartbeat_missed(silent, limits), now + DUMP_GRACE, False), (DumpStacks(),)
            return Starting(state.deadline, True, state.greet_by, inf, silent, max(now, state.looked_at)), ()
        case Beat(now) if state.greeted:
            return Starting(state.deadline, True, state.greet_by, inf, 0.0, max(now, state.looked_at)), ()
        case StopAsked(reason) if state.greeted:
            return Stopping(reason, False, state.silent, state.looked_at), (SendStop(reason),)
        case StopAsked(reason):  # nothing of the user's runs yet: no need to ask
            return Killing(reason, inf, False), (KillTree(),)
        case KillAsked():
            return Killing(KILLED, inf, False), (KillTree(),)
        case Sampled(rss_bytes) if _exceeds(rss_bytes, limits):
            return Killing(memory_limit(rss_bytes, limits), inf, False), (KillTree(),)
        case ProcessEnded() if state.greet_by is not None and not state.greeted:
            return Spawning(state.deadline), (SpawnAgain(),)
        case ProcessEnded(returncode, stderr):
            return _ENDED, (ReportStartFailed(reason_of_status(returncode, stderr)),)
        case (
            Tick()
            | Greeted()
            | Ready()
            | Declined()
            | ActorEnded()
            | Beat()
            | Sampled()
            | Spawned()
            | SpawnFailed()
            | Unhealthy()
        ):
            return state, ()
        case _:
            assert_never(event)


def _running(state: Running, event: Event, limits: Limits) -> Step:
    """The actor works: it must keep answering and stay within its memory."""
    match event:
        case Beat(now):
            return Running(0.0, max(now, state.looked_at)), ()
        case Tick(now):
            silent = _silent(state, now, limits)
            if silent >= limits.silence:
                return Killing(heartbeat_missed(silent, limits), now + DUMP_GRACE, True), (DumpStacks(),)
            return Running(silent, max(now, state.looked_at)), ()
        case Sampled(rss_bytes) if _exceeds(rss_bytes, limits):
            return Killing(memory_limit(rss_bytes, limits), inf, True), (KillTree(),)
        case Unhealthy(now, reason):
            return Killing(reason, now + TERM_GRACE, True), (Terminate(),)
        case StopAsked(reason):
            return Stopping(reason, True, state.silent, state.looked_at), (SendStop(reason),)
        case KillAsked():
            return Killing(KILLED, inf, True), (KillTree(),)
        case ActorEnded(now, reason):
            return Ending(reason, now + LINGER, True), (SendBye(),)
        case ProcessEnded(returncode, stderr):
            return _ENDED, (ReportExited(reason_of_status(returncode, stderr)),)
        case Sampled() | Greeted() | Ready() | Declined() | Spawned() | SpawnFailed():
            return state, ()
        case _:
            assert_never(event)


def _stopping(state: Stopping, event: Event, limits: Limits) -> Step:
    """Asked to end. How long that may take is the supervisor's to say (`KillAsked`).

    Silence is a fault of a subtree alone, which answers while it stops; an actor may be busy in its `on_stop`.
    """
    match event:
        case Ready() if not state.started:  # it was already under way
            return Stopping(state.reason, True, state.silent, state.looked_at), (ReportStarted(),)
        case Beat(now):
            return Stopping(state.reason, state.started, 0.0, max(now, state.looked_at)), ()
        case Tick(now) if limits.beats_early:
            silent = _silent(state, now, limits)
            if silent >= limits.silence:
                return Killing(heartbeat_missed(silent, limits), now + DUMP_GRACE, state.started), (DumpStacks(),)
            return Stopping(state.reason, state.started, silent, max(now, state.looked_at)), ()
        case Declined(now, why) if not state.started:
            return Ending(why, now + LINGER, False), (SendBye(),)
        case ActorEnded(now, reason):
            return Ending(reason, now + LINGER, state.started), (SendBye(),)
        case KillAsked(now):
            return Terminating(now + TERM_GRACE, state.started), (Terminate(),)
        case Sampled(rss_bytes) if _exceeds(rss_bytes, limits):
            return Killing(memory_limit(rss_bytes, limits), inf, state.started), (KillTree(),)
        case ProcessEnded(returncode, stderr):
            return _ENDED, (_end(reason_of_status(returncode, stderr), state.started),)
        case (
            Ready()
            | Declined()
            | Sampled()
            | Beat()
            | Tick()
            | StopAsked()
            | Greeted()
            | Spawned()
            | SpawnFailed()
            | Unhealthy()
        ):
            return state, ()
        case _:
            assert_never(event)


def _terminating(state: Terminating, event: Event) -> Step:
    """TERM was sent: a last chance for what the child itself started."""
    why = ExitReason.killed("stop-timeout")
    match event:
        case Tick(now) if now >= state.deadline:
            return Killing(why, inf, state.started), (KillTree(),)
        case KillAsked():
            return Killing(why, inf, state.started), (KillTree(),)
        case ActorEnded(now, reason):
            return Ending(reason, now + LINGER, state.started), (SendBye(),)
        case ProcessEnded():
            return _ENDED, (_end(why, state.started),)
        case (
            Tick()
            | Ready()
            | Declined()
            | Sampled()
            | Beat()
            | StopAsked()
            | Greeted()
            | Spawned()
            | SpawnFailed()
            | Unhealthy()
        ):
            return state, ()
        case _:
            assert_never(event)


def _ending(state: Ending, event: Event) -> Step:
    """The actor is gone and said why: that stands, whatever the emptied process does on its way out."""
    match event:
        case Tick(now) if now >= state.deadline:
            return Ending(state.ended, inf, state.started), (KillTree(),)
        case KillAsked():
            return Ending(state.ended, inf, state.started), (KillTree(),)
        case ProcessEnded():
            if isinstance(state.ended, str):
                return _ENDED, (ReportIgnored(state.ended),)
            return _ENDED, (_end(state.ended, state.started),)
        case (
            Tick()
            | Ready()
            | Declined()
            | ActorEnded()
            | Sampled()
            | Beat()
            | StopAsked()
            | Greeted()
            | Spawned()
            | SpawnFailed()
            | Unhealthy()
        ):
            return state, ()
        case _:
            assert_never(event)


def _killing(state: Killing, event: Event) -> Step:
    """Only the end is awaited: a kill is never taken back, and no later word changes why."""
    match event:
        case Tick(now) if now >= state.deadline:
            return Killing(state.why, inf, state.started), (KillTree(),)
        case KillAsked():
            return Killing(state.why, inf, state.started), (KillTree(),)
        case ProcessEnded(_, stderr):
            return _ENDED, (_end(with_evidence(state.why, stderr), state.started),)
        case (
            Tick()
            | Ready()
            | Declined()
            | ActorEnded()
            | Sampled()
            | Beat()
            | StopAsked()
            | Greeted()
            | Spawned()
            | SpawnFailed()
            | Unhealthy()
        ):
            return state, ()
        case _:
            assert_never(event)


def _end(reason: ExitReason, started: bool) -> Effect:
    return ReportExited(reason) if started else ReportStartFailed(reason)


def _exceeds(rss_bytes: int, limits: Limits) -> bool:
    return limits.memory_max_bytes is not None and rss_bytes > limits.memory_max_bytes


def _silent(state: Starting | Running | Stopping, now: float, limits: Limits) -> float:
    """The silence counted so far; a host that looked late counts one heartbeat at most."""
    return state.silent + min(max(now - state.looked_at, 0.0), limits.heartbeat)


def _next_beat(state: Starting | Running | Stopping, limits: Limits) -> float:
    return state.looked_at + min(limits.heartbeat, max(limits.silence - state.silent, 0.0))
