"""The rules of a process child's life, tried without a process."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitKind, ExitReason
from supervisors.processes import core
from supervisors.processes.core import is_started, next_look, step
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
    StopAsked,
    Stopping,
    Terminate,
    Terminating,
    Tick,
)

LIMITS = Limits(start_timeout=10.0, heartbeat=1.0, misses=3, memory_max_bytes=1000)
CRASHED = ExitReason.crashed(ValueError("boom"))


def run(state: State, *events: Event, limits: Limits = LIMITS) -> tuple[State, list[Effect]]:
    done: list[Effect] = []
    for event in events:
        state, effects = step(state, event, limits)
        done.extend(effects)
    return state, done


def test_a_child_greets_is_told_what_to_run_and_is_reported_once_it_is_ready():
    state, effects = run(core.launch(0.0, LIMITS), Spawned(0.0), Greeted(0.0), Ready(1.0))

    assert state == Running(0.0, 1.0)
    assert effects == [SendStart(), ReportStarted()]


def test_ready_before_a_greeting_is_not_believed():
    state, effects = run(
        core.launch(0.0, LIMITS), Spawned(0.0), Ready(1.0), Declined(1.0, "no"), ActorEnded(1.0, NORMAL)
    )

    assert (state, effects) == (Starting(10.0, False), [])


def test_a_second_greeting_does_not_start_the_actor_twice():
    _, effects = run(core.launch(0.0, LIMITS), Spawned(0.0), Greeted(0.0), Greeted(0.0))

    assert effects == [SendStart()]


def test_an_ignore_is_reported_when_its_process_is_gone():
    state, before = run(Starting(10.0, True), Declined(1.0, "set io.gmail.host"))
    after = run(state, ProcessEnded(0))

    assert (state, before) == (Ending("set io.gmail.host", 1.0 + LINGER, False), [SendBye()])
    assert after == (Ended(), [ReportIgnored("set io.gmail.host")])


def test_a_process_that_ends_before_ready_is_a_failed_start_and_nothing_else():
    state, effects = run(Starting(10.0, True), ProcessEnded(-9), Ready(2.0), ProcessEnded(-9))

    assert state == Ended()
    assert effects == [ReportStartFailed(ExitReason.killed("signal SIGKILL"))]


def test_an_error_of_the_start_is_reported_as_the_child_told_it():
    _, effects = run(Starting(10.0, True), ActorEnded(1.0, CRASHED), ProcessEnded(1))

    assert effects == [SendBye(), ReportStartFailed(CRASHED)]


def test_a_start_past_its_deadline_shows_its_stacks_and_is_killed():
    state, effects = run(Starting(10.0, True), Tick(9.9), Tick(10.0))
    assert effects == [DumpStacks()]
    assert next_look(state, LIMITS) == 10.0 + DUMP_GRACE

    state, effects = run(state, Tick(10.0 + DUMP_GRACE), ProcessEnded(-9, "File sleepy.py line 3"))

    assert effects[0] == KillTree()
    (report,) = effects[1:]
    assert isinstance(report, ReportStartFailed)
    assert report.reason.kind is ExitKind.KILLED
    assert report.reason.detail == "start-timeout"
    assert report.reason.crash is not None
    assert report.reason.crash.traceback == "File sleepy.py line 3"


def test_a_spare_that_is_gone_before_it_said_hello_is_replaced_by_another_process():
    state, effects = run(core.launch(0.0, LIMITS), Spawned(1.0, 1.0), ProcessEnded(-9))
    _, after = run(state, Spawned(0.0), Greeted(0.0), Ready(3.0))

    assert (state, effects) == (Spawning(10.0), [SpawnAgain()])
    assert after == [SendStart(), ReportStarted()]


def test_a_spare_that_does_not_say_hello_in_time_is_killed_and_replaced():
    state, early = run(core.launch(0.0, LIMITS), Spawned(1.0, 1.0), Tick(2.9))
    assert next_look(state, LIMITS) == 1.0 + HANDOVER_TIMEOUT

    state, effects = run(state, Tick(1.0 + HANDOVER_TIMEOUT), Tick(3.5), Greeted(0.0))
    _, after = run(state, ProcessEnded(-9))

    assert early == []
    assert effects == [KillTree()]  # its hello came too late to be believed
    assert after == [SpawnAgain()]


def test_a_spare_that_said_hello_is_a_child_like_any_other():
    state, effects = run(core.launch(0.0, LIMITS), Spawned(1.0, 1.0), Greeted(0.0), Tick(9.0), ProcessEnded(-9))

    assert state == Ended()
    assert effects == [SendStart(), ReportStartFailed(ExitReason.killed("signal SIGKILL"))]


def test_a_spare_that_is_not_wanted_any_more_is_not_replaced():
    _, effects = run(core.launch(0.0, LIMITS), Spawned(1.0, 1.0), StopAsked(SHUTDOWN), ProcessEnded(-9))

    assert effects == [KillTree(), ReportStartFailed(SHUTDOWN)]


def test_a_spare_does_not_outlast_the_start_deadline_either():
    _, effects = run(Starting(2.0, False, 9.0), Tick(2.0))

    assert effects == [DumpStacks()]


def test_a_process_that_could_not_be_made_is_a_failed_start():
    reason = ExitReason.crashed(FileNotFoundError("python"))

    assert run(core.launch(0.0, LIMITS), SpawnFailed(reason)) == (Ended(), [ReportStartFailed(reason)])


@pytest.mark.parametrize(
    ("event", "reason"),
    [(StopAsked(SHUTDOWN), SHUTDOWN), (KillAsked(1.0), KILLED)],
    ids=["stop", "kill"],
)
def test_a_child_unwanted_while_it_is_spawned_is_killed_as_soon_as_it_exists(event, reason):
    state, effects = run(core.launch(0.0, LIMITS), event, Spawned(0.0))
    assert (state, effects) == (Killing(reason, inf, False), [KillTree()])

    assert run(state, ProcessEnded(-9)) == (Ended(), [ReportStartFailed(reason)])


def test_a_spawn_past_the_start_deadline_is_killed_as_soon_as_it_exists():
    state, effects = run(core.launch(0.0, LIMITS), Tick(10.0), Spawned(0.0), ProcessEnded(-9))

    assert state == Ended()
    assert effects[0] == KillTree()
    assert effects[1].reason.detail == "start-timeout"


def test_silence_for_all_its_misses_shows_the_stacks_then_kills():
    state, effects = run(Running(0.0, 0.0), Tick(1.0), Tick(2.0), Tick(2.9))
    assert effects == []

    state, effects = run(state, Tick(3.0))
    assert effects == [DumpStacks()]
    state, effects = run(state, Tick(3.0 + DUMP_GRACE), ProcessEnded(-9, "Thread 0x1"))

    assert effects[0] == KillTree()
    reason = effects[1].reason
    assert (reason.kind, reason.detail, reason.crash.traceback) == (ExitKind.KILLED, "heartbeat-missed", "Thread 0x1")
    assert "one every 1 s, 3 may be missed" in reason.crash.message


def test_a_heartbeat_ends_the_silence():
    _, effects = run(Running(0.0, 0.0), Tick(2.0), Tick(2.9), Beat(2.95), Tick(3.5), Tick(4.5), Tick(5.0))

    assert effects == []


def test_time_in_which_the_host_did_not_look_counts_as_one_heartbeat_at_most():
    state, effects = run(Running(0.0, 0.0), Tick(1.0), Tick(500.0))

    assert (state, effects) == (Running(2.0, 500.0), [])
    assert next_look(state, LIMITS) == 501.0


def test_a_child_without_heartbeat_is_never_too_silent():
    limits = Limits()

    state, effects = run(Running(0.0, 0.0), Tick(1e9), limits=limits)

    assert effects == []
    assert next_look(state, limits) == inf


@pytest.mark.parametrize("state", [Starting(10.0, True), Running(0.0, 0.0), Stopping(SHUTDOWN, True)])
def test_a_child_over_its_memory_limit_is_killed_with_the_figures(state):
    after, effects = run(state, Sampled(1000), Sampled(1001))

    assert effects == [KillTree()]
    _, effects = run(after, ProcessEnded(-9))
    (report,) = effects
    assert report.reason.detail == "memory-limit"
    assert "1001 bytes is over the limit of 1000 bytes" in report.reason.crash.message


def test_without_a_memory_limit_no_size_kills():
    assert run(Running(0.0, 0.0), Sampled(10**15), limits=Limits())[1] == []


def test_a_stop_is_a_message_and_ends_with_the_reason_the_child_acknowledged():
    state, effects = run(Running(0.0, 0.0), StopAsked(SHUTDOWN), Tick(1e6), ActorEnded(1e6, SHUTDOWN))
    assert effects == [SendStop(SHUTDOWN), SendBye()]

    assert run(state, ProcessEnded(0)) == (Ended(), [ReportExited(SHUTDOWN)])


def test_a_stop_not_obeyed_is_followed_by_term_then_kill_of_the_whole_tree():
    state, effects = run(Running(0.0, 0.0), StopAsked(SHUTDOWN), KillAsked(5.0))
    assert effects == [SendStop(SHUTDOWN), Terminate()]
    assert isinstance(state, Terminating)
    assert next_look(state, LIMITS) == 5.0 + TERM_GRACE

    state, effects = run(state, Tick(5.0 + TERM_GRACE), ProcessEnded(-9))

    assert effects == [KillTree(), ReportExited(ExitReason.killed("stop-timeout"))]


def test_a_second_kill_does_not_wait_for_term():
    assert run(Stopping(SHUTDOWN, True), KillAsked(5.0), KillAsked(5.0))[1] == [Terminate(), KillTree()]


def test_a_child_that_obeys_after_term_ended_as_it_was_asked():
    _, effects = run(Terminating(6.0, True), ActorEnded(5.5, SHUTDOWN), ProcessEnded(0))

    assert effects == [SendBye(), ReportExited(SHUTDOWN)]


def test_a_kill_without_a_stop_before_it_is_immediate_and_reported_as_killed():
    _, effects = run(Running(0.0, 0.0), KillAsked(5.0), ActorEnded(5.0, NORMAL), ProcessEnded(-9))

    assert effects == [KillTree(), ReportExited(KILLED)]


def test_a_crash_while_stopping_is_reported_as_the_crash_it_is():
    _, effects = run(Stopping(SHUTDOWN, True), ProcessEnded(-11))

    assert effects == [ReportExited(ExitReason.killed("signal SIGSEGV"))]


def test_ready_that_crossed_the_stop_on_the_wire_is_still_reported_before_the_exit():
    _, effects = run(Starting(10.0, True), StopAsked(SHUTDOWN), Ready(1.0), ActorEnded(2.0, SHUTDOWN), ProcessEnded(0))

    assert effects == [SendStop(SHUTDOWN), ReportStarted(), SendBye(), ReportExited(SHUTDOWN)]


def test_a_child_that_said_its_last_word_keeps_it_whatever_its_process_does_then():
    state, _ = run(Running(0.0, 0.0), ActorEnded(1.0, CRASHED))
    assert run(state, Beat(2.0), ActorEnded(2.0, NORMAL), ProcessEnded(-11))[1] == [ReportExited(CRASHED)]


def test_a_process_that_outlives_its_actor_is_killed_and_the_reason_stays():
    state, _ = run(Running(0.0, 0.0), ActorEnded(1.0, NORMAL))
    assert next_look(state, LIMITS) == 1.0 + LINGER

    _, effects = run(state, Tick(1.0 + LINGER), ProcessEnded(-9))

    assert effects == [KillTree(), ReportExited(NORMAL)]


@pytest.mark.parametrize(
    ("returncode", "expected"),
    [
        (0, NORMAL),
        (3, ExitReason(ExitKind.CRASHED, "exit code 3")),
        (-11, ExitReason.killed("signal SIGSEGV")),
        (-9, ExitReason.killed("signal SIGKILL")),
        (-40, ExitReason.killed("signal SIG40")),
    ],
)
def test_the_status_of_a_process_that_said_nothing_becomes_its_reason(returncode, expected):
    assert run(Running(0.0, 0.0), ProcessEnded(returncode))[1] == [ReportExited(expected)]


NOW = st.floats(0.0, 100.0)
REASONS = st.sampled_from([NORMAL, SHUTDOWN, KILLED, CRASHED])
EVENTS = st.one_of(
    st.just(Greeted(0.0)),
    st.builds(Ready, NOW),
    st.builds(Declined, NOW, st.just("why")),
    st.builds(ActorEnded, NOW, REASONS),
    st.builds(Beat, NOW),
    st.builds(Sampled, st.integers(0, 2000)),
    st.builds(Tick, NOW),
    st.builds(StopAsked, REASONS),
    st.builds(KillAsked, NOW),
)
ENDS = st.builds(ProcessEnded, st.integers(-64, 255), st.sampled_from(["", "last words"]))


@given(st.lists(EVENTS, max_size=5), st.lists(EVENTS, max_size=20), ENDS, st.lists(EVENTS, max_size=5))
def test_whatever_happens_one_start_and_one_end_are_reported_and_only_when_the_process_is_gone(
    before, living, end, late
):
    state: State = Spawning(10.0)
    reports: list[Effect] = []
    for event in [*before, Spawned(0.0), *living]:
        was_started = is_started(state)
        state, effects = step(state, event, LIMITS)
        found = [e for e in effects if isinstance(e, ReportIgnored | ReportStartFailed | ReportExited | ReportStarted)]
        reports += found
        assert all(isinstance(effect, ReportStarted) for effect in found)
        assert is_started(state) == (was_started or ReportStarted() in found)
    started = is_started(state)
    state, effects = step(state, end, LIMITS)
    _, afterwards = run(state, *late)

    assert state == Ended()
    assert reports == ([ReportStarted()] if started else [])
    assert len(effects) == 1
    assert isinstance(effects[0], ReportExited if started else ReportStartFailed | ReportIgnored)
    assert afterwards == []


@given(st.lists(EVENTS, max_size=20))
def test_a_killed_child_stays_killed_and_is_not_reported_before_its_end(events):
    _, effects = run(Killing(KILLED, inf, True), *events)

    assert set(map(type, effects)) <= {KillTree}


@given(st.sampled_from([Spawned(0.0), Spawned(1.0, 1.0)]), st.lists(EVENTS, max_size=30))
def test_every_deadline_is_answered_by_the_tick_that_meets_it(spawned, events):
    state, _ = run(Spawning(10.0), spawned, *events)
    due = next_look(state, LIMITS)

    if due != inf:
        after, _ = step(state, Tick(due), LIMITS)
        assert next_look(after, LIMITS) > due


SUBTREE = Limits(heartbeat=1.0, misses=3, hello_timeout=30.0, beats_early=True)


def test_a_process_that_never_says_hello_is_killed_though_its_start_has_no_deadline():
    state, before = run(core.launch(0.0, SUBTREE), Spawned(5.0), Tick(34.9), limits=SUBTREE)
    assert (before, next_look(state, SUBTREE)) == ([], 35.0)

    state, effects = run(state, Tick(35.0), ProcessEnded(-9), limits=SUBTREE)

    (failed,) = effects[1:]
    assert (state, effects[0]) == (Ended(), KillTree())
    assert isinstance(failed, ReportStartFailed)
    assert failed.reason.detail == "start-timeout"
    assert failed.reason.crash is not None
    assert "hello" in failed.reason.crash.message


def test_a_subtree_that_falls_silent_while_it_starts_is_killed_after_the_heartbeats_it_may_miss():
    state, effects = run(core.launch(0.0, SUBTREE), Spawned(0.0), Greeted(1.0), Beat(2.0), Tick(3.0), limits=SUBTREE)
    assert (effects, next_look(state, SUBTREE)) == ([SendStart()], 4.0)

    state, effects = run(state, Tick(4.0), Tick(5.0), limits=SUBTREE)

    assert effects == [DumpStacks()]
    assert isinstance(state, Killing)
    assert state.why.detail == "heartbeat-missed"


def test_a_subtree_that_beats_may_take_as_long_to_start_as_it_likes():
    state, _ = run(core.launch(0.0, SUBTREE), Spawned(0.0), Greeted(1.0), limits=SUBTREE)

    state, effects = run(state, *(event for n in range(2, 500) for event in (Tick(n), Beat(n))), limits=SUBTREE)
    state, ready = run(state, Ready(500.0), limits=SUBTREE)

    assert (effects, ready) == ([], [ReportStarted()])


def test_a_worker_does_not_beat_before_it_is_ready():
    state, effects = run(core.launch(0.0, LIMITS), Spawned(0.0), Greeted(0.0), Tick(9.9))

    assert (effects, next_look(state, LIMITS)) == ([SendStart()], 10.0)


def test_a_subtree_that_falls_silent_while_it_stops_is_killed_though_its_stop_has_no_deadline():
    asked = (Spawned(0.0), Greeted(1.0), Ready(2.0), StopAsked(SHUTDOWN), Beat(3.0))
    state, _ = run(core.launch(0.0, SUBTREE), *asked, limits=SUBTREE)
    assert next_look(state, SUBTREE) == 4.0

    state, effects = run(state, Tick(4.0), Tick(5.0), Tick(6.0), limits=SUBTREE)

    assert effects == [DumpStacks()]
    assert isinstance(state, Killing)
    assert state.why.detail == "heartbeat-missed"
