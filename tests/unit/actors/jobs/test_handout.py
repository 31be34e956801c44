"""Hand-out: order, one job a worker, and that a job is neither lost nor tried for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.jobs.handout import (
    Assign,
    Done,
    Failed,
    GiveUp,
    Refuse,
    Refused,
    Retry,
    Rules,
    State,
    Submitted,
    Ticket,
    WorkerLost,
    WorkerSeen,
    step,
)
from actors.jobs.kinds import HashFile

RULES = Rules(capacity=3, attempts=2)


def ticket(number: int, attempt: int = 0) -> Ticket:
    return Ticket(f"j{number}", HashFile(f"/f{number}"), "test", attempt)


def after(*events: object, rules: Rules = RULES) -> tuple[State, tuple[object, ...]]:
    state, effects = State(), ()
    for event in events:
        state, effects = step(state, event, rules)
    return state, effects


def test_a_job_waits_until_a_worker_is_seen():
    state, effects = after(Submitted((ticket(1),)))
    assert effects == ()

    _, effects = step(state, WorkerSeen("/w1"), RULES)

    assert effects == (Assign("/w1", ticket(1, attempt=1)),)


def test_jobs_go_out_in_order_to_the_longest_idle_worker():
    _, effects = after(WorkerSeen("/w1"), WorkerSeen("/w2"), Submitted((ticket(1), ticket(2), ticket(3))))

    assert effects == (Assign("/w1", ticket(1, 1)), Assign("/w2", ticket(2, 1)))


def test_a_worker_that_is_done_gets_the_next_job():
    _, effects = after(WorkerSeen("/w1"), Submitted((ticket(1), ticket(2))), Done("/w1", "j1"))

    assert effects == (Assign("/w1", ticket(2, 1)),)


def test_a_full_queue_refuses_the_last_ones():
    state, effects = after(Submitted(tuple(ticket(n) for n in range(5))))

    assert effects == (Refuse((ticket(3), ticket(4))),)
    assert [t.id for t in state.waiting] == ["j0", "j1", "j2"]


def test_a_job_whose_worker_died_goes_first_to_another():
    _, effects = after(
        WorkerSeen("/w1"), Submitted((ticket(1), ticket(2))), WorkerLost("/w1", "killed"), WorkerSeen("/w2")
    )

    assert effects == (Assign("/w2", ticket(1, 2)),)


def test_a_job_fails_for_good_after_its_last_try():
    _, effects = after(
        WorkerSeen("/w1"),
        Submitted((ticket(1),)),
        WorkerLost("/w1", "killed"),
        WorkerSeen("/w1"),
        WorkerLost("/w1", "killed again"),
    )

    assert effects == (GiveUp(ticket(1, 2), "/w1", "killed again"),)


def test_a_failure_that_no_try_can_mend_is_not_tried_again():
    _, effects = after(WorkerSeen("/w1"), Submitted((ticket(1),)), Failed("/w1", "j1", "no such job", False))

    assert effects == (GiveUp(ticket(1, 1), "/w1", "no such job"),)


def test_a_failed_job_is_tried_again_at_once_where_a_worker_is_free():
    _, effects = after(WorkerSeen("/w1"), Submitted((ticket(1),)), Failed("/w1", "j1", "timed out", True))

    assert effects == (Retry(ticket(1, 1), "/w1", "timed out"), Assign("/w1", ticket(1, 2)))


def test_a_job_a_worker_refused_costs_no_try_and_the_worker_gets_none_until_it_is_seen_again():
    state, effects = after(WorkerSeen("/w1"), Submitted((ticket(1), ticket(2))), Refused("/w1", "j1"))

    assert effects == ()
    assert state == State(waiting=(ticket(1), ticket(2)))
    assert step(state, WorkerSeen("/w1"), RULES)[1] == (Assign("/w1", ticket(1, 1)),)


def test_a_late_answer_to_a_job_taken_away_changes_nothing():
    state, _ = after(
        WorkerSeen("/w1"), Submitted((ticket(1), ticket(2))), WorkerLost("/w1", "silent"), WorkerSeen("/w2")
    )

    assert step(state, Done("/w1", "j1"), RULES) == (state, ())
    assert step(state, Failed("/w2", "j2", "stale", True), RULES) == (state, ())


def test_a_worker_seen_twice_counts_once():
    state, _ = after(WorkerSeen("/w1"), WorkerSeen("/w1"))

    assert state.idle == ("/w1",)


@given(st.lists(st.tuples(st.sampled_from(["submit", "seen", "lost", "done", "failed", "refused"]), st.integers(0, 2))))
def test_every_job_is_in_one_place_and_tried_no_more_than_allowed(happenings):
    rules = Rules(capacity=4, attempts=3)
    state, ended, count = State(), [], 0
    for kind, number in happenings:
        path = f"/w{number}"
        held = state.busy.get(path)
        match kind:
            case "submit":
                event, count = Submitted((ticket(count),)), count + 1
            case "seen":
                event = WorkerSeen(path)
            case "lost":
                event = WorkerLost(path, "gone")
            case "done":
                event = Done(path, held.id if held else "none")
                ended.extend([held.id] if held else [])
            case "refused":
                event = Refused(path, held.id if held else "none")
            case _:
                event = Failed(path, held.id if held else "none", "bad", True)
        state, effects = step(state, event, rules)
        for effect in effects:
            match effect:
                case GiveUp(given_up):
                    assert given_up.attempt == rules.attempts
                    ended.append(given_up.id)
                case Refuse(refused):
                    ended.extend(t.id for t in refused)
                case Assign(_, assigned):
                    assert assigned.attempt <= rules.attempts

    places = [t.id for t in state.waiting] + [t.id for t in state.busy.values()] + ended
    assert sorted(places) == sorted(f"j{n}" for n in range(count))
    assert not (state.waiting and state.idle)
    assert not set(state.idle) & set(state.busy)
