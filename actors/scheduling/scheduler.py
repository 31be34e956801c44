"""The scheduler: keeps schedules, claims each slot on disk before anything is run for it, never waits for a run.

    clocks --> Engine (the rules) --> Books --> ledger: claimed, on disk --> Runner --> Finished --> Engine --> ledger

The wait for the next slot is a timer of the monotonic clock, but never a longer one than `wall_check` seconds, after
which the wall clock is read again: a clock that was set, or a machine that slept, is noticed by then.

Schedules come from the configuration, from whoever sends `PutSchedule`, and from actors that register themselves
(loops). The last are in force while their actor is there; what became of their slots is kept like that of the others.
A claim that cannot be written (a full disk) is tried again each second; until then nothing is run for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from actors import Actor, Down, MailboxSpec, on
from actors.core.timers import ActorTimer
from actors.events import BreakerChanged, RunFinished, ScheduleChanged
from actors.jobs.cycles import CycleDone, Register, Registration, RunAnswer, RunNow, Unregister
from actors.messages import Message
from actors.policies.overlap import Overlap, Policy
from actors.scheduling import desk
from actors.scheduling.beginning import begin_with
from actors.scheduling.books import Books
from actors.scheduling.calling import Key
from actors.scheduling.catchup import CatchUpRule
from actors.scheduling.engine import Engine
from actors.scheduling.figures import next_at
from actors.scheduling.ledger import DiskLedger, Ledger, MemoryLedger, Slot
from actors.scheduling.owners import Owners
from actors.scheduling.performing import Flush, Performer, Written
from actors.scheduling.plans import Missed, MissedPolicy, Plan, Schedule, plan_of
from actors.scheduling.requests import (
    Backfill,
    BackfillAnswer,
    CancelRuns,
    GetSchedule,
    ListSchedules,
    ListSlots,
    PauseSchedules,
    PutSchedule,
    RemoveSchedules,
    ResumeSchedules,
    RunSchedules,
    ScheduleDetail,
    ScheduleView,
    Touched,
    WhySchedule,
)
from actors.scheduling.running import Heard, Runner
from actors.scheduling.states import Ended, Event, Now, Standing, Wanted
from actors.scheduling.zones import zone_of

logger = logging.getLogger(__name__)

_SHORTEST, _AGAIN, _PRUNE = 0.001, 1.0, 3600.0
_HELD = 0.2
"""Longest time for which ends wait to be taken in while calls wait for a thread, in seconds."""
_LEAD, _LEAD_EACH, _LONGEST_LEAD = 0.1, 50e-6, 0.5
"""How long ahead of its instant a slot is claimed, in seconds: more with many schedules, since many may be due."""


class Wake(Message[None], frozen=True):
    """Read the clocks."""


class SchedulerTick(Actor):
    """Keeps time; see the module.

    Args:
        timezone: Zone of schedules that name none.
        wall_check: Longest wait between two looks at the wall clock, in seconds.
        forget_after: Seconds an actor may be down by failure before its schedule is out of force.
        home: The runtime's directory, which has the file of state; "" keeps everything in memory.
        schedules: Schedules of the configuration: the fields of `Schedule`. Those it had before and not any more go.
        keep: Seconds that the ends of slots are kept.
        threads: Handlers run at once.
        catch_up: Bounds of missed slots over all schedules: fields of `CatchUpRule`.

    Raises:
        ZoneError: `timezone` is no time zone.
        ValueError: A number is not positive, or a schedule cannot be.
    """

    mailbox = MailboxSpec(capacity=100_000, full="reject")  # it must never make a loop wait

    def __init__(
        self,
        timezone: str = "UTC",
        wall_check: float = 30.0,
        forget_after: float = 600.0,
        home: str = "",
        schedules: list[dict[str, Any]] | None = None,
        keep: float = 172_800.0,
        threads: int = 16,
        catch_up: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if wall_check <= 0 or forget_after <= 0 or keep <= 0:
            raise ValueError("wall_check, forget_after and keep are positive seconds")
        if threads < 1:
            raise ValueError(f"threads is 1 or more, got {threads}")
        zone_of(timezone)
        self._timezone = timezone
        self._wall_check = wall_check
        self._forget_after = forget_after
        self._home = home
        self._keep = keep
        self._threads = threads
        try:
            self._configured = msgspec.convert(schedules or [], list[Schedule])
            rule = msgspec.convert(catch_up or {}, CatchUpRule)
        except msgspec.ValidationError as error:
            raise ValueError(f"schedules, or catch_up: {error}") from None
        self._plans = {s.id: plan_of(replace(s, origin="config"), timezone) for s in self._configured}
        self.engine = Engine(rule)
        self.books = Books()
        self.removed: set[Key] = set()
        """Runs whose schedule was removed; their end is still noted."""
        self._timer: ActorTimer | None = None
        self._armed_for = 0.0
        self._looks = 0
        self._clock_steps = 0
        self._read: Now | None = None
        self._pruned = 0.0
        self._heard = 0.0
        self._lead = 0.0
        self._ledger: Ledger = MemoryLedger()

    # -- life ---------------------------------------------------------------------------------------

    def on_start(self) -> None:
        self.runner = Runner(self.system, self.path, self._threads)
        self.owners = Owners(self)
        if self._home:
            disk = DiskLedger(Path(self._home) / "state.db")
            if disk.damaged is not None:
                logger.error(
                    "the file of state was damaged; it is %s now, and its schedules are not known", disk.damaged
                )
            self._ledger = disk
        self.hands = Performer(self, self._ledger)
        now = self.now()
        begin_with(self, self._ledger.load(), self._plans, now)
        self.commit()
        self.runner.take()  # they are among those that follow, and what ends from now on is told
        for finished in self.runner.underway.of(self.path).values():
            if finished is not None:
                self.hands.finished(finished)
        self._pruned = now.mono
        self.arm()

    def on_stop(self) -> None:
        self.hands.flush()  # what runs goes on: the next scheduler hears of its end, or finds it cut short
        self._ledger.close()

    def on_failure(self, *_: object) -> None:
        self._ledger.close()

    def state_view(self) -> dict[str, object]:
        soonest = desk.views(self, ())[:5]
        catch_up = self.engine.catch_up
        return {
            "schedules": len(self.engine.entries),
            "next": [
                {"id": view.id, "when": view.when, "next_at": desk.stamp_or_none(view.next_at)} for view in soonest
            ],
            "looks": self._looks,
            "clock_steps": self._clock_steps,
            "catch_up": {
                "waiting": len(catch_up.held),
                "running": len(catch_up.running),
                "begun": catch_up.begun,
                "given_up": catch_up.dropped,
            },
            "unwritten": sum(len(claim.batch.slots) for claim in self.hands.refused),
        }

    # -- time ---------------------------------------------------------------------------------------

    @on(Wake)
    def wake(self, _: Wake) -> None:
        self._looks += 1
        now = self.now()
        has_begun = self.hands.begin_ready(now)
        if moment := self.hands.lets_run(now, _HELD):
            self._wait(moment, now.mono)
            return
        if not has_begun or self.engine.wait(now) == 0.0:  # else the books wait until what began has the interpreter
            self._take_in()
            if not self.hands.outage:
                self.hands.do(self.engine.look(now), now)
                self._tell_catch_up(now)
        if self._lead and not self.hands.outage:
            self.hands.make_ready(now, self._lead)
        if not has_begun:
            self.owners.forget(now, self._forget_after)
            self.hands.flush()
        if now.mono - self._pruned >= _PRUNE:
            self._pruned = now.mono
            self._ledger.prune(now.wall - self._keep)
        if self.hands.refused:
            self.hands.write_again()
        self.arm()

    @on(Written)
    def written(self, message: Written) -> None:
        self.hands.written(message.claim, message.why)

    @on(Flush)
    def flush(self, _: Flush) -> None:
        self.hands.flush()

    @on(Heard)
    def heard(self, _: Heard) -> None:
        now = self.system.clock.monotonic()
        if not self._heard:
            self._heard = now
        if self.runner.has_waiting and now - self._heard < _HELD:
            self.after(_HELD / 20, Heard())  # what is due goes before the books about what is done
        else:
            self._take_in()
            self.arm()

    def _tell_catch_up(self, now: Now) -> None:
        told, self.engine.catch_up.told = self.engine.catch_up.told, []
        for state, detail in told:
            logger.log(logging.WARNING if state == "given-up" else logging.INFO, "%s: %s", state, detail)
            self.publish(ScheduleChanged(now.wall, self.path, "", state, detail))

    def _take_in(self) -> None:
        self._heard = 0.0
        for finished in self.runner.take():
            self.hands.finished(finished)

    # -- loops --------------------------------------------------------------------------------------

    @on(Register)
    def register(self, message: Register) -> Registration:
        schedule = Schedule(
            id=message.path.strip("/"),
            cron=message.cron,
            every=message.every,
            timezone=message.timezone,
            to=message.path,
            title=message.name,
            tags=message.tags,
            priority=message.priority,
            origin="actor",
        )
        try:
            if message.overlap:
                schedule = replace(schedule, overlap=Overlap(Policy(message.overlap)))
            if message.missed:
                schedule = replace(schedule, missed=Missed(MissedPolicy(message.missed)))
            plan = plan_of(schedule, self._timezone)
        except ValueError as error:
            return Registration(False, why=str(error))
        now = self.now()
        self.owners.registered(plan, message, now)
        self.arm()
        return Registration(True, next_at(self.engine.entries[schedule.id], now))

    @on(Unregister)
    def unregister(self, message: Unregister) -> None:
        self.owners.gone(message.path)

    @on(CycleDone)
    def cycle_done(self, message: CycleDone) -> None:
        id = message.path.strip("/")
        self.runner.heard((id, message.slot_at, 0))
        self.feed(id, Ended(message.slot_at, 0, message.outcome, message.detail, message.seconds), is_told=True)

    @on(Down)
    def owner_down(self, down: Down) -> None:
        self.owners.down(down, self.now())

    @on(RunNow)
    def run_now(self, message: RunNow) -> RunAnswer:
        id = message.path.strip("/")
        if id not in self.engine.entries:
            return RunAnswer(False, f"nothing is scheduled for {message.path}")
        touched = desk.run_once(self, id, None, self.now())
        return RunAnswer(touched.state == "started", touched.why)

    # -- people ---------------------------------------------------------------------------------------

    @on(PutSchedule)
    def put_schedule(self, message: PutSchedule) -> Touched:
        return desk.put(self, message)

    @on(RemoveSchedules)
    def remove_schedules(self, message: RemoveSchedules) -> tuple[Touched, ...]:
        return desk.remove(self, message)

    @on(PauseSchedules)
    def pause_schedules(self, message: PauseSchedules) -> tuple[Touched, ...]:
        return desk.pause(self, message)

    @on(ResumeSchedules)
    def resume_schedules(self, message: ResumeSchedules) -> tuple[Touched, ...]:
        return desk.resume(self, message)

    @on(CancelRuns)
    def cancel_runs(self, message: CancelRuns) -> tuple[Touched, ...]:
        return desk.cancel(self, message)

    @on(RunSchedules)
    def run_schedules(self, message: RunSchedules) -> tuple[Touched, ...]:
        return desk.run(self, message)

    @on(Backfill)
    def backfill(self, message: Backfill) -> BackfillAnswer:
        return desk.backfill(self, self._ledger, message)

    @on(ListSchedules)
    def list_schedules(self, message: ListSchedules) -> tuple[ScheduleView, ...]:
        return desk.views(self, message.tags)

    @on(GetSchedule)
    def get_schedule(self, message: GetSchedule) -> ScheduleDetail | None:
        return desk.detail(self, message.id)

    @on(ListSlots)
    def list_slots(self, message: ListSlots) -> tuple[Slot, ...]:
        self.hands.flush()
        return desk.slots(self, self._ledger, message)

    @on(WhySchedule)
    def why_schedule(self, message: WhySchedule) -> tuple[str, ...]:
        return desk.why(self, message.id)

    # -- for the modules beside ---------------------------------------------------------------------

    @property
    def timezone(self) -> str:
        """Zone of schedules that name none."""
        return self._timezone

    def feed(self, id: str, event: Event, *, is_told: bool = False, now: Now | None = None) -> None:
        """Tell a schedule what happened and do what follows; `is_told` where its actor tells of a run's end itself."""
        now = now or self.now()
        self.hands.do(self.engine.feed(id, event, now), now, is_told=is_told)
        self.arm()

    def arm(self) -> None:
        """Wait for the next slot, or `wall_check` seconds, whichever is sooner."""
        clock = self.system.clock
        now = Now(clock.time(), clock.monotonic())
        if self._home:
            self._lead = min(_LEAD + len(self.engine.entries) * _LEAD_EACH, _LONGEST_LEAD)
        due = self.engine.wait(now, self._lead) if not self.hands.outage else min(self._wall_check, _AGAIN)
        delay = self._wall_check if due is None else min(self._wall_check, max(due, _SHORTEST))
        if self._timer is not None and self._timer.is_active and self._armed_for <= now.mono + delay:
            return  # it looks before that anyway
        self._wait(delay, now.mono)

    def _wait(self, delay: float, mono: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = mono + delay
        self._timer = self.after(delay, Wake())

    def restore(self, plan: Plan, now: Now, standing: Standing, cursor: float, slots: Iterable[Slot]) -> None:
        """Put a schedule in force with what was left of it, and begin what waits."""
        schedule = plan.schedule
        why = self.runner.why_not(schedule)
        if why:
            logger.warning("schedule %s is disabled: %s", schedule.id, why)
            self.publish(ScheduleChanged(now.wall, self.path, schedule.id, "disabled", why))
        underway = frozenset(self.runner.underway.of(self.path))
        self.books.restore(self.engine, plan, now, standing, cursor, tuple(slots), underway, why)
        self.hands.do(self.engine.feed(schedule.id, Wanted(()), now), now)

    def commit(self) -> str:
        """Write what has gathered and wait until it is on disk; return why it is not, or ""."""
        return self.hands.commit()

    def publish(self, event: RunFinished | ScheduleChanged | BreakerChanged) -> None:
        """Publish `event` on the bus."""
        self.system.bus.publish(event)

    def now(self) -> Now:
        """Read both clocks; a step of the wall clock against the monotonic one is counted and logged."""
        clock = self.system.clock
        now, before = Now(clock.time(), clock.monotonic()), self._read
        self._read = now
        if before is not None:
            step = (now.wall - before.wall) - (now.mono - before.mono)
            if abs(step) > 1.0:
                self._clock_steps += 1
                logger.warning("the wall clock stepped by %+.1f s", step)
        return now
