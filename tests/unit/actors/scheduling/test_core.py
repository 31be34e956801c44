"""What becomes of the slots of one schedule: the rules, a case each. Runs against a ledger are in `properties`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.policies.overlap import Overlap, Policy
from actors.policies.retry import Retry, Strategy, failure_of
from actors.scheduling import core
from actors.scheduling.engine import Engine
from actors.scheduling.plans import Missed, MissedPolicy, Schedule, ScheduleError, plan_of
from actors.scheduling.states import (
    Begin,
    Cancelled,
    Changed,
    Ended,
    Hold,
    Keep,
    Looked,
    Now,
    Paused,
    Resumed,
    Run,
    Settle,
    Standing,
    Stop,
    Tell,
)
from actors.scheduling.usual import made_ready, usual_end, usual_step

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


class Bench:
    """One schedule, and clocks that move together from noon on."""

    def __init__(self, **fields) -> None:
        fields = {"cron": "* * * * *", "handler": "m:f", **fields}
        self.engine = Engine()
        self.wall, self.mono = NOON, 50.0
        self.engine.put(plan_of(Schedule(id="s", **fields)), self.now, Standing(since=NOON))

    @property
    def now(self) -> Now:
        return Now(self.wall, self.mono)

    @property
    def entry(self):
        return self.engine.entries["s"]

    def at(self, seconds: float) -> list[object]:
        """Look at the clock so many seconds after noon."""
        self.mono += NOON + seconds - self.wall
        self.wall = NOON + seconds
        return [effect for _, effect in self.engine.look(self.now)]

    def feed(self, event) -> list[object]:
        return [effect for _, effect in self.engine.feed("s", event, self.now)]

    def end(self, slot: float, outcome: str = "succeeded", **more) -> list[object]:
        return self.feed(Ended(NOON + slot, 0, outcome, **more))


def begun(effects) -> list[float]:
    return [effect.run.slot_at - NOON for effect in effects if isinstance(effect, Begin)]


def ends(effects) -> list[tuple[float, str, int]]:
    return [(e.run.slot_at - NOON, e.state, e.count) for e in effects if isinstance(e, Settle)]


def test_a_slot_begins_at_its_instant_and_not_before():
    bench = Bench()

    assert bench.at(59.9) == []
    assert begun(bench.at(60.0)) == [60.0]
    assert bench.entry.due_at == NOON + 120


@pytest.mark.parametrize("policy", [Policy.SKIP, Policy.CONCURRENT], ids=lambda p: p.value)
def test_an_overlap_is_skipped_with_its_reason(policy):
    bench = Bench(overlap=Overlap(policy))
    bench.at(60)

    effects = bench.at(120)

    assert ends(effects) == [(120.0, "skipped", 1)]
    assert "overlap" in effects[0].why
    assert bench.entry.due_at == NOON + 180


def test_a_queued_slot_begins_when_the_run_before_it_ends():
    bench = Bench(overlap=Overlap(Policy.QUEUE))
    bench.at(60)

    assert [type(effect) for effect in bench.at(120)] == [Hold]
    assert ends(bench.at(180)) == [(180.0, "skipped", 1)]
    effects = bench.end(60)

    assert (ends(effects), begun(effects)) == ([(60.0, "succeeded", 1)], [120.0])


def test_a_delayed_slot_is_decided_when_its_delay_is_over():
    bench = Bench(overlap=Overlap(Policy.DELAY, delay=5.0))
    bench.at(60)
    bench.at(120)
    assert bench.engine.wait(bench.now) == 5.0
    assert ends(bench.at(125)) == [(120.0, "skipped", 1)]

    bench.at(180)
    bench.end(60)
    assert begun(bench.at(185)) == [180.0]


def test_the_third_overlap_in_a_row_ends_the_old_run_and_begins_when_it_has_ended():
    bench = Bench(overlap=Overlap(Policy.TIMEOUT))
    bench.at(60)
    assert ends(bench.at(120)) == [(120.0, "skipped", 1)]
    assert ends(bench.at(180)) == [(180.0, "skipped", 1)]

    effects = bench.at(240)
    assert [type(effect) for effect in effects] == [Hold, Stop]
    assert begun(effects) == []
    effects = bench.end(60, "failed")

    assert ends(effects) == [(60.0, "cancelled", 1)]
    assert begun(effects) == [240.0]


def test_cancel_other_lets_the_latest_win():
    bench = Bench(overlap=Overlap(Policy.CANCEL_OTHER))
    bench.at(60)
    bench.at(120)

    effects = bench.at(180)
    assert ends(effects) == [(120.0, "skipped", 1)]
    assert not any(isinstance(effect, Stop) for effect in effects)  # it was told once
    assert begun(bench.end(60, "cancelled")) == [180.0]


def test_allow_all_runs_beside_the_others():
    bench = Bench(overlap=Overlap(Policy.ALLOW_ALL))

    assert begun(bench.at(60)) + begun(bench.at(120)) + begun(bench.at(180)) == [60.0, 120.0, 180.0]
    assert len(bench.entry.live) == 3


def test_a_failed_run_is_tried_again_within_its_slot_and_wins_over_the_next_one():
    bench = Bench(retry=Retry(2, Strategy.FIXED, first=70.0, max=70.0))
    bench.at(60)

    (hold,) = bench.end(60, "failed", detail="gone")
    assert (hold.state, hold.delay, hold.run.attempt) == ("retrying", 70.0, 2)
    assert ends(bench.at(120)) == [(120.0, "skipped", 1)]
    assert begun(bench.at(130)) == [60.0]
    effects = bench.end(60, "failed", detail="gone")

    assert effects[0].why == "gone (after 2 attempts)"
    assert bench.entry.live == ()


def test_an_error_that_is_never_retried_fails_at_once():
    bench = Bench(retry=Retry(5, never=("ValueError",)))
    bench.at(60)

    assert ends(bench.end(60, "failed", failure=failure_of(ValueError("bad")))) == [(60.0, "failed", 1)]


@pytest.mark.parametrize(
    ("rule", "expected", "run"),
    [
        (Missed(), [(60.0, "merged", 4)], [300.0]),
        (Missed(MissedPolicy.SKIP), [(60.0, "missed", 4)], [300.0]),
        (Missed(MissedPolicy.ALL, most=2), [(60.0, "missed", 3)], [240.0]),
        (Missed(window=100.0), [(60.0, "missed", 3), (240.0, "merged", 1)], [300.0]),
    ],
    ids=["once", "skip", "all", "window"],
)
def test_slots_found_past_go_the_way_of_their_policy(rule, expected, run):
    bench = Bench(missed=rule)

    effects = bench.at(310)

    assert ends(effects) == expected
    assert begun(effects) == run
    assert bench.entry.due_at == NOON + 360


def test_with_all_the_missed_ones_run_one_after_another_oldest_first():
    bench = Bench(missed=Missed(MissedPolicy.ALL, most=3))
    bench.at(310)

    assert [begun(bench.end(slot)) for slot in (180, 240, 300)] == [[240.0], [300.0], []]


def test_slots_that_are_skipped_when_missed_are_not_run_even_the_latest_where_it_is_late():
    bench = Bench(cron="0 * * * *", missed=Missed(MissedPolicy.SKIP))

    assert ends(bench.at(3_600 + 61)) == [(3_600.0, "missed", 1)]


def test_a_long_sleep_is_worked_off_in_pieces_and_counted_to_the_unit():
    bench = Bench(cron="*/5 * * * * *", missed=Missed(window=1e9))
    effects = bench.at(20_000)
    looks = 1
    while bench.engine.wait(bench.now) == 0.0:
        effects += bench.at(20_000)
        looks += 1

    assert sum(count for _, _, count in ends(effects)) + len(begun(effects)) == 4_000
    assert begun(effects) == [20_000.0]
    assert looks > 1


def test_an_interval_follows_the_monotonic_clock():
    bench = Bench(cron="", every=60.0)
    bench.wall -= 7_200.0
    bench.mono += 60.0

    (effect,) = bench.engine.look(bench.now)
    assert effect[1] == Begin(Run(NOON - 7_200.0))


def test_an_interval_never_gives_an_instant_twice_when_the_clock_is_set_back():
    bench = Bench(cron="", every=60.0, overlap=Overlap(Policy.ALLOW_ALL))
    first = begun(bench.at(60))
    bench.wall -= 60.0
    second = begun(bench.at(60))

    assert first == [60.0]
    assert 60.0 < second[0] < 60.1


def test_pausing_makes_no_slot_and_resuming_misses_none():
    bench = Bench()
    assert [type(e) for e in bench.feed(Paused("for a while", "ada"))] == [Keep, Tell]
    assert bench.at(600) == []

    bench.feed(Resumed())
    assert bench.entry.due_at == NOON + 660
    assert bench.at(630) == []


def test_failed_runs_in_a_row_pause_it():
    bench = Bench(pause_after=2)
    bench.at(60)
    bench.end(60, "failed")
    bench.at(120)
    effects = bench.end(120, "failed")

    assert bench.entry.standing.paused == "2 failed runs in a row"
    assert Tell("paused", "2 failed runs in a row (by itself)") in effects
    assert bench.entry.due_at is None


def test_it_ends_after_its_runs():
    bench = Bench(max_runs=2)
    bench.at(60)
    bench.end(60)
    effects = bench.at(120)

    assert begun(effects) == [120.0]
    assert bench.entry.standing.ended == "it has had its 2 runs"
    assert bench.at(600) == []


def test_a_one_shot_fires_once_and_ends():
    bench = Bench(cron="", at=NOON + 90)

    assert begun(bench.at(90)) == [90.0]
    assert bench.entry.standing.ended == "no further slot"


def test_no_slot_before_its_start_after_its_end_and_on_excluded_days():
    bench = Bench(
        cron="0 12 * * *", start_at=NOON + 86_400, end_at=NOON + 5 * 86_400, exclude=("2026-03-04..2026-03-05",)
    )
    slots = []
    while bench.entry.due_at is not None:
        slots.append((bench.entry.due_at - NOON) / 86_400)
        bench.at(bench.entry.due_at - NOON)
        bench.end(slots[-1] * 86_400)

    assert slots == [1.0, 4.0, 5.0]


def test_jitter_moves_the_firing_and_not_the_slot():
    bench = Bench(jitter=600.0)

    fire_at = bench.entry.fire_at - NOON
    assert 60.0 <= fire_at < 120.0  # before the next one
    assert begun(bench.at(fire_at)) == [60.0]


def test_another_definition_goes_on_with_what_runs_and_counts_its_slots_anew():
    bench = Bench()
    bench.at(60)
    bench.at(90)
    bench.feed(Changed(plan_of(Schedule(id="s", cron="30 * * * *", handler="m:f"))))

    assert bench.entry.due_at == NOON + 1_800
    assert len(bench.entry.live) == 1


def test_cancelling_ends_what_runs_and_what_waits():
    bench = Bench(overlap=Overlap(Policy.QUEUE))
    bench.at(60)
    bench.at(120)

    effects = bench.feed(Cancelled("enough"))

    assert ends(effects) == [(120.0, "cancelled", 1)]
    assert [effect.why for effect in effects if isinstance(effect, Stop)] == ["enough"]
    assert ends(bench.end(60, "failed")) == [(60.0, "cancelled", 1)]


def test_the_end_of_a_run_that_is_not_under_way_changes_nothing():
    bench = Bench()

    assert bench.end(60) == []


def test_the_usual_way_says_what_the_whole_rules_say():
    bench = Bench()
    bench.mono += 60.5
    bench.wall += 60.5

    begun, effects = core.step(bench.entry, Looked(), bench.now)
    ready = made_ready(bench.entry)
    ended = Ended(bench.entry.due_at, 0, "succeeded", "fine", 2.0)
    quick = usual_end(begun, ended)

    assert usual_step(bench.entry, bench.now) == (begun, effects)
    assert ready is not None
    assert (ready.begun, [Begin(ready.run)]) == (begun, effects)
    assert quick is not None
    assert (quick[0], [quick[1]]) == core.step(begun, ended, bench.now)


@pytest.mark.parametrize("outcome", ["failed", "timed-out", "cancelled", "skipped"])
def test_ends_that_are_no_plain_success_go_the_long_way(outcome):
    bench = Bench()
    begun, _ = core.step(bench.entry, Looked(), Now(bench.wall + 60.5, bench.mono + 60.5))

    assert usual_end(begun, Ended(bench.entry.due_at, 0, outcome)) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"every": 5.0}, ""),
        ({"cron": ""}, ""),
        ({"priority": "urgent"}, "priority"),
        ({"tags": ("a b",)}, "tags"),
        ({"handler": "nothing"}, "handler"),
        ({"to": "/x"}, ""),
        ({"timeout": 0.0}, "timeout"),
        ({"jitter": float("nan")}, "jitter"),
        ({"exclude": ("yesterday",)}, "exclude"),
        ({"exclude": ("2026-03-05..2026-03-04",)}, "exclude"),
        ({"payload": "{"}, "payload"),
        ({"payload": "[" * 100_000}, "payload"),
        ({"start_at": 9.0, "end_at": 8.0}, "end_at"),
        ({"id": "x" * 300}, "id"),
        ({"id": "../x"}, "id"),
        ({"id": ""}, "id"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_refused_with_its_field(fields, field):
    with pytest.raises(ScheduleError) as caught:
        plan_of(Schedule(**{"id": "s", "cron": "* * * * *", "handler": "m:f", **fields}))

    assert caught.value.field == field
