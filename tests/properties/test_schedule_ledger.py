"""A scheduler's rules and books against a model, killed and started again anywhere: each slot has exactly one end.

The model knows the schedule's slots by brute force and what people did. The ledger refuses a second end of a slot. At
the end everything is let finish, and the rows must add up to the slots, to the unit.
"""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.policies.breaker import Breaker
from actors.policies.overlap import Overlap, Policy
from actors.policies.retry import Retry, Strategy
from actors.scheduling.books import Books
from actors.scheduling.engine import Engine
from actors.scheduling.ledger import ENDS, Batch, Slot
from actors.scheduling.plans import Missed, MissedPolicy, Schedule, plan_of
from actors.scheduling.states import Cancelled, Ended, Hold, Now, Paused, Resumed, Run, Settle, Standing, Stop, Wanted

BEGIN = 1_700_000_000.0
ID = "it"

SCHEDULES = st.builds(
    lambda cron, policy, limit, missed, most, window, attempts, breaker, repeat: Schedule(
        id=ID,
        cron=cron,
        handler="m:f",
        overlap=Overlap(policy, limit, 7.0),
        missed=Missed(missed, window, most),
        retry=Retry(attempts, Strategy.FIXED, first=4.0),
        breaker=breaker,
        repeat=repeat,
    ),
    st.sampled_from(["*/5 * * * * *", "*/20 * * * * *", "* * * * *", "0,7,9 * * * * *"]),
    st.sampled_from(Policy),
    st.integers(1, 3),
    st.sampled_from(MissedPolicy),
    st.integers(1, 4),
    st.sampled_from([90.0, 3_600.0]),
    st.integers(1, 3),
    st.sampled_from([None, Breaker(2, 0.0, 15.0, 1)]),
    st.booleans(),
)


class OneEnd:
    """A ledger that refuses a second end."""

    def __init__(self) -> None:
        self.rows: dict[tuple[float, int], Slot] = {}
        self.standing: Standing | None = None
        self.breakers = {}

    def write(self, batch: Batch) -> None:
        for row in batch.slots:
            slot = Slot(*row)
            known = self.rows.get((slot.slot_at, slot.round))
            assert known is None or known.ended_at is None, f"{known} has its end already; now {slot}"
            assert (slot.ended_at is not None) == (slot.state in ENDS), slot
            self.rows[slot.slot_at, slot.round] = slot
        for _, standing in batch.standings:
            self.standing = standing
        self.breakers.update(batch.breakers)

    def counted(self) -> int:
        return sum(slot.count for slot in self.rows.values() if slot.kind == "schedule")


class Scheduling(RuleBasedStateMachine):
    @initialize(schedule=SCHEDULES)
    def begin(self, schedule: Schedule) -> None:
        self.plan = plan_of(schedule)
        self.wall, self.mono = BEGIN, 100.0
        self.ledger = OneEnd()
        self.ledger.standing = Standing(since=BEGIN)
        self.gaps: list[tuple[float, float]] = []
        self.paused_at: float | None = None
        self.running: list[Run] = []
        self.begun: dict[tuple[float, int, int], int] = {}
        self.rounds = 0
        self.manual = 0
        self.up()

    @property
    def now(self) -> Now:
        return Now(self.wall, self.mono)

    def up(self) -> None:
        """Start from what the ledger has, as a node that comes up does."""
        self.engine, self.books = Engine(), Books()
        self.engine.breakers = dict(self.ledger.breakers)
        self.running = []
        open_slots = sorted(
            (slot for slot in self.ledger.rows.values() if slot.ended_at is None), key=lambda s: (s.slot_at, s.round)
        )
        cursor = max((s.last_at for s in self.ledger.rows.values() if s.kind == "schedule"), default=0.0)
        assert self.ledger.standing is not None
        now = self.now
        self.books.restore(self.engine, self.plan, now, self.ledger.standing, cursor, open_slots, frozenset())
        self.do(self.engine.feed(ID, Wanted(()), now))

    def do(self, effects, *, die: str = "") -> None:
        """Perform effects; `die` ends the runtime before or after they are written."""
        self.books.note(effects, self.now)
        self.books.breakers(self.engine)
        if die == "before":
            self.up()
            return
        claim = self.books.take()
        self.ledger.write(claim.batch)
        if die == "after":
            self.up()
            return
        unbegun: list[Run] = []  # to be ended before they could begin: a retry, and the slot that replaces it, at once
        for _, run in claim.begins:
            key = (run.slot_at, run.round, run.attempt)
            current = next(r for r in self.engine.entries[ID].live if (r.slot_at, r.round) == key[:2])
            if current.ending:
                unbegun.append(current)
            else:
                self.begun[key] = self.begun.get(key, 0) + 1
                self.running.append(run)
        for _, effect in effects:
            if isinstance(effect, Stop):
                to_end = [(r.slot_at, r.round) for r in (*self.running, *unbegun)]
                assert (effect.run.slot_at, effect.run.round) in to_end
            if isinstance(effect, Settle) or (isinstance(effect, Hold) and effect.state == "retrying"):
                gone = (effect.run.slot_at, effect.run.round)
                self.running = [r for r in self.running if (r.slot_at, r.round) != gone]
        for run in unbegun:
            self.do(self.engine.feed(ID, Ended(run.slot_at, run.round, "cancelled", run.ending), self.now))

    @rule(
        seconds=st.sampled_from([0.5, 1.0, 3.0, 5.0, 21.0, 61.0]), die=st.sampled_from(["", "", "", "before", "after"])
    )
    def look(self, seconds: float, die: str) -> None:
        self.wall += seconds
        self.mono += seconds
        self.do(self.engine.look(self.now), die=die)

    @rule(seconds=st.sampled_from([100.0, 1_000.0, 9_000.0]))
    def sleep(self, seconds: float) -> None:
        """The machine is suspended, or its clock is set forward: the monotonic clock stands still."""
        self.wall += seconds
        self.do(self.engine.look(self.now))

    @rule(seconds=st.sampled_from([30.0, 2_000.0]))
    def clock_is_set_back(self, seconds: float) -> None:
        if self.paused_at is None:
            before = self.wall
            self.wall -= seconds
            self.do(self.engine.look(self.now))
            self.wall = before  # set right again: the slots in between are those of before

    @precondition(lambda self: self.running)
    @rule(outcome=st.sampled_from(["succeeded", "failed", "timed-out"]), data=st.data())
    def ends(self, outcome: str, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.running))
        self.do(self.engine.feed(ID, Ended(run.slot_at, run.round, outcome), self.now))

    @rule()
    def killed(self) -> None:
        self.up()

    @rule(seconds=st.sampled_from([1.0, 400.0]))
    def down_for_a_while(self, seconds: float) -> None:
        self.wall += seconds
        self.mono = 5.0
        self.up()

    @rule()
    def paused(self) -> None:
        if self.paused_at is None:
            self.do(self.engine.look(self.now))
            self.work_off()
            self.do(self.engine.feed(ID, Paused("x"), self.now))
            self.paused_at = self.wall

    @rule()
    def resumed(self) -> None:
        if self.paused_at is not None:
            self.do(self.engine.feed(ID, Resumed(), self.now))
            self.gaps.append((self.paused_at, self.wall))
            self.paused_at = None

    @rule()
    def by_hand(self) -> None:
        self.manual += 1
        wanted = Run(self.wall + self.manual * 1e-3, kind="manual")
        self.do(self.engine.feed(ID, Wanted((wanted,)), self.now))

    @rule(back=st.sampled_from([20.0, 60.0]))
    def backfilled(self, back: float) -> None:
        self.rounds += 1
        first = self.plan.after(self.wall - back)
        assert first is not None
        wanted = Run(first, self.rounds, "backfill")
        if first < self.wall:
            self.do(self.engine.feed(ID, Wanted((wanted,)), self.now))

    @rule()
    def cancelled(self) -> None:
        self.do(self.engine.feed(ID, Cancelled("enough"), self.now))

    @invariant()
    def no_attempt_is_begun_twice_but_after_a_kill(self) -> None:
        for (slot_at, round, attempt), times in self.begun.items():
            row = self.ledger.rows[slot_at, round]
            assert times <= 1 + row.is_repeat, (slot_at, round, attempt, times, row)

    @invariant()
    def what_the_rules_hold_is_open_in_the_ledger(self) -> None:
        entry = self.engine.entries[ID]
        held = {(run.slot_at, run.round) for run in (*entry.live, *entry.waiting)}
        assert held == {key for key, slot in self.ledger.rows.items() if slot.ended_at is None}

    def work_off(self) -> None:
        while self.engine.wait(self.now) == 0.0:
            self.do(self.engine.look(self.now))

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.work_off()
        self.do(self.engine.feed(ID, Cancelled("the end"), self.now))
        for run in list(self.running):
            self.do(self.engine.feed(ID, Ended(run.slot_at, run.round, "succeeded"), self.now))
        assert all(slot.ended_at is not None for slot in self.ledger.rows.values())
        if self.paused_at is not None:
            self.gaps.append((self.paused_at, math.inf))
        expected, at = 0, self.plan.after(BEGIN)
        while at is not None and at <= self.wall:
            expected += not any(low < at <= high for low, high in self.gaps)
            at = self.plan.after(at)
        assert self.ledger.counted() == expected


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
