"""Slots claimed ahead of their instant: begun at it without a further write, withdrawn where they are none any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from actors.scheduling.books import Books, row_ahead
from actors.scheduling.engine import Engine
from actors.scheduling.ledger import Batch, DiskLedger, Ledger, MemoryLedger, Wanted
from actors.scheduling.plans import Schedule, plan_of
from actors.scheduling.states import Begin, Changed, Ended, Hold, Now, Paused, Resumed, Run, Settle, Standing
from actors.scheduling.states import Wanted as Asked

BEGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
SLOT = BEGIN + 60.0


def minutely(**fields: object) -> Schedule:
    return Schedule(id="s", cron="* * * * *", handler="os:getpid", **fields)  # type: ignore[arg-type]


def at(seconds: float) -> Now:
    return Now(BEGIN + seconds, 1_000.0 + seconds)


def engine_with(schedule: Schedule) -> Engine:
    engine = Engine()
    engine.put(plan_of(schedule), at(0.0), Standing(since=BEGIN))
    return engine


def ready(schedule: Schedule | None = None) -> tuple[Engine, list[tuple[str, Run]]]:
    """Return an engine whose next slot is claimed ahead, with the claim."""
    engine = engine_with(schedule or minutely())
    claims = engine.make_ready(at(59.8), 0.5)
    engine.kept(claims, is_kept=True)
    return engine, claims


def test_slot_claimed_ahead_begins_at_its_instant_once_and_not_before():
    engine, claims = ready()

    assert claims == [("s", Run(SLOT))]
    assert engine.wait(at(59.8), 0.5) == pytest.approx(0.2)
    assert engine.begin_ready(at(59.9)) == []
    assert engine.begin_ready(at(60.001)) == claims
    assert engine.look(at(60.001)) == []
    assert engine.entries["s"].live == (Run(SLOT),)
    assert engine.entries["s"].due_at == SLOT + 60.0
    assert engine.feed("s", Ended(SLOT, 0, "succeeded"), at(61.0)) == [("s", Settle(Run(SLOT), "succeeded", ""))]
    assert engine.withdrawn == []


def test_what_is_due_after_slots_that_have_just_begun_is_known_before_they_are_entered():
    engine, _ = ready()
    assert engine.begin_ready(at(60.0)) != []
    assert engine.soon(at(60.0)) == 60.0

    engine.put(plan_of(Schedule(id="t", every=5.0, handler="os:getpid")), at(60.0), Standing(since=BEGIN + 60.0))

    assert engine.soon(at(60.0)) <= 5.0
    assert engine.entries["s"].live == (Run(SLOT),)
    assert engine.soon(at(61.0)) <= 4.0


def test_slot_whose_claim_is_not_on_disk_is_claimed_at_its_instant():
    engine = engine_with(minutely())
    claims = engine.make_ready(at(59.8), 0.5)

    assert engine.begin_ready(at(60.0)) == []
    assert engine.look(at(60.0)) == [("s", Begin(Run(SLOT)))]
    engine.kept(claims, is_kept=True)  # the answer comes late
    assert engine.begin_ready(at(60.1)) == []


def test_slot_whose_claim_was_refused_is_claimed_at_its_instant():
    engine = engine_with(minutely())
    engine.kept(engine.make_ready(at(59.8), 0.5), is_kept=False)

    assert engine.begin_ready(at(60.0)) == []
    assert engine.look(at(60.0)) == [("s", Begin(Run(SLOT)))]


@pytest.mark.parametrize(
    "event", [Paused("note"), Changed(plan_of(Schedule(id="s", cron="0 5 * * *", handler="os:getpid")))]
)
def test_pause_or_change_before_the_instant_withdraws_the_claim(event):
    engine, claims = ready()

    engine.feed("s", event, at(59.9))

    assert engine.withdrawn == claims
    assert engine.begin_ready(at(60.0)) == []
    assert engine.look(at(60.0)) == []


def test_removal_before_the_instant_withdraws_the_claim():
    engine, claims = ready()

    engine.remove("s")

    assert engine.withdrawn == claims
    assert engine.begin_ready(at(60.0)) == []
    assert engine.look(at(60.0)) == []


def test_pause_and_resume_before_the_instant_leave_one_run_of_it():
    engine, _ = ready()

    engine.feed("s", Paused("note"), at(59.85))
    engine.feed("s", Resumed(), at(59.9))

    assert engine.begin_ready(at(60.0)) == []
    assert engine.look(at(60.0)) == [("s", Begin(Run(SLOT)))]
    assert engine.look(at(60.1)) == []


def test_run_by_hand_in_between_makes_the_slot_obey_the_overlap_policy():
    engine, _ = ready()

    engine.feed("s", Asked((Run(BEGIN + 59.9, kind="manual"),)), at(59.9))

    assert engine.begin_ready(at(60.0)) == []
    [(_, effect)] = engine.look(at(60.0))
    assert isinstance(effect, Settle)
    assert (effect.run.slot_at, effect.state) == (SLOT, "skipped")
    assert engine.withdrawn == []  # its row has its end


def test_clock_set_back_begins_a_claimed_slot_when_its_instant_comes_again():
    engine, claims = ready()

    assert engine.begin_ready(Now(BEGIN - 3_540.0, 1_060.0)) == []
    assert engine.look(Now(BEGIN - 3_540.0, 1_060.0)) == []
    assert engine.begin_ready(Now(SLOT + 0.1, 4_660.0)) == claims


def test_clock_set_forward_leaves_a_claimed_slot_to_the_policy_of_missed_ones():
    engine, _ = ready()

    assert engine.begin_ready(at(60.0 + 3 * 3600.0)) == []
    effects = engine.look(at(60.0 + 3 * 3600.0))
    spans = [effect for _, effect in effects if isinstance(effect, Settle)]
    assert [(span.run.slot_at, span.state, span.count) for span in spans] == [(SLOT, "merged", 180)]
    assert [effect.run.slot_at for _, effect in effects if isinstance(effect, Begin)] == [SLOT + 3 * 3600.0]
    assert engine.withdrawn == []


@pytest.mark.parametrize(
    "fields",
    [{"repeat": False}, {"max_runs": 3}, {"jitter": 5.0}, {"origin": "actor"}],
    ids=["at most once", "a number of runs", "jitter", "of an actor"],
)
def test_slots_that_may_not_be_known_yet_or_not_be_repeated_are_not_claimed_ahead(fields):
    engine = engine_with(minutely(**fields))

    assert engine.make_ready(at(59.8), 0.5) == []
    assert [type(effect) for _, effect in engine.look(at(65.0))][:1] == [Begin]


@pytest.fixture(params=["disk", "memory"])
def ledger(request, tmp_path) -> Iterator[Ledger]:
    made = DiskLedger(tmp_path / "state.db") if request.param == "disk" else MemoryLedger()
    yield made
    made.close()


def write(ledger: Ledger, batch: Batch) -> None:
    told = threading.Event()
    why: list[str] = []
    ledger.write(batch, lambda error: (why.append(error), told.set()))  # type: ignore[func-returns-value]
    assert told.wait(60)
    assert why == [""]


def test_withdrawn_claim_leaves_no_row_and_a_slot_that_began_keeps_its(ledger):
    run = Run(SLOT)
    write(ledger, Batch(slots=[row_ahead("s", run)]))
    write(ledger, Batch(withdrawn=[("s", SLOT, 0)]))
    assert ledger.slots(Wanted()) == []

    write(ledger, Batch(slots=[row_ahead("s", run)]))
    books = Books()
    books.begun([("s", run)], SLOT)
    write(ledger, books.take().batch)
    write(ledger, Batch(withdrawn=[("s", SLOT, 0)]))

    [slot] = ledger.slots(Wanted())
    assert (slot.state, slot.began_at) == ("claimed", SLOT)


def test_end_of_a_slot_claimed_ahead_keeps_when_it_began_and_how_many_share_it(ledger):
    write(ledger, Batch(slots=[row_ahead("s", Run(SLOT))]))
    books = Books()
    books.begun([("s", Run(SLOT))], SLOT + 0.25)
    books.note([("s", Hold(Run(SLOT), "retrying", "no", 1.0))], at(61.0))
    books.note([("s", Settle(Run(SLOT), "succeeded", "", 0.5))], at(62.0))
    write(ledger, books.take().batch)

    [slot] = ledger.slots(Wanted())
    assert (slot.state, slot.began_at, slot.ended_at) == ("succeeded", SLOT + 0.25, BEGIN + 62.0)


@pytest.mark.parametrize("back_at", [30.0, 61.0], ids=["before its instant", "after it"])
def test_runtime_that_ends_with_a_claim_ahead_loses_no_slot_and_marks_a_repeat(tmp_path, back_at):
    disk = DiskLedger(tmp_path / "state.db")
    engine, claims = ready()
    rows = [row_ahead(id, run) for id, run in claims]
    write(disk, Batch(slots=rows, schedules=[(minutely(), Standing(since=BEGIN))]))
    disk.close()

    disk = DiskLedger(tmp_path / "state.db")
    stored = disk.load()
    disk.close()
    books, engine = Books(), Engine()
    now = at(back_at)
    plan = plan_of(minutely())
    cursor = stored.cursors.get("s", 0.0)
    books.restore(engine, plan, now, stored.schedules[0][1], cursor, stored.unsettled, frozenset())
    begun = [effect.run for _, effect in engine.feed("s", Asked(()), now) if isinstance(effect, Begin)]
    for seconds in (60.0, 62.0, 119.0):
        if seconds > back_at:
            begun += [effect.run for _, effect in engine.look(at(seconds)) if isinstance(effect, Begin)]

    assert [(run.slot_at, run.is_repeat) for run in begun] == [(SLOT, back_at > 60.0)]
    assert engine.withdrawn == []
