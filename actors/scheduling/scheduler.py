"""The scheduler's tick: sends `Cycle` to whoever has a schedule, at the slot's instant, and never waits for a handler.

Actors register by message and are monitored; one that comes back after a crash registers again. The rules are
`core`'s; here are clocks, timers and messages. The wait for the next slot is a timer of the monotonic clock, but never
a longer one than `wall_check` seconds, after which the wall clock is read again: a clock that was set, or a machine
that slept, is noticed by then.

Schedules are in memory: after this actor restarts they come back as the actors register again, and slots that fell
into the gap are neither run nor recorded.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from msgspec.structs import replace

from actors import Actor, Down, MailboxSpec, on
from actors.core.timers import ActorTimer
from actors.events import RunFinished
from actors.jobs.cycles import (
    Cycle,
    CycleDone,
    ListSchedules,
    Register,
    Registration,
    RunAnswer,
    RunNow,
    ScheduleView,
    Unregister,
)
from actors.messages import Message
from actors.scheduling import core
from actors.scheduling.core import Cron, Dispatch, Every, Forget, Miss, Now, Skip
from actors.scheduling.cron import check
from actors.scheduling.expression import CronError
from actors.scheduling.zones import ZoneError, zone_of

logger = logging.getLogger(__name__)

_SHORTEST = 0.001


class Wake(Message[None], frozen=True):
    """Read the clocks."""


class SchedulerTick(Actor):
    """Keeps time for every loop; see the module.

    Args:
        timezone: Zone of cron expressions that name none.
        wall_check: Longest wait between two looks at the wall clock, in seconds.
        forget_after: Seconds an actor may be down by failure before its schedule is dropped.

    Raises:
        ZoneError: `timezone` is no time zone.
        ValueError: A number is not positive.
    """

    mailbox = MailboxSpec(capacity=100_000, full="reject")  # it must never make a loop wait

    def __init__(self, timezone: str = "UTC", wall_check: float = 30.0, forget_after: float = 600.0) -> None:
        super().__init__()
        if wall_check <= 0 or forget_after <= 0:
            raise ValueError("wall_check and forget_after are positive seconds")
        zone_of(timezone)
        self._timezone = timezone
        self._wall_check = wall_check
        self._forget_after = forget_after
        self._state = core.State()
        self._zones: dict[str, str] = {}
        self._generations: dict[str, int] = {}
        self._watched: dict[int, str] = {}
        self._timer: ActorTimer | None = None
        self._looks = 0
        self._clock_steps = 0
        self._read: Now | None = None

    def on_start(self) -> None:
        self._arm()

    def state_view(self) -> dict[str, object]:
        return {
            "schedules": len(self._state.entries),
            "next": [
                {"path": view.path, "when": view.when, "next_at": _stamp(view.next_at)} for view in self._views()[:5]
            ],
            "looks": self._looks,
            "clock_steps": self._clock_steps,
        }

    @on(Register)
    def register(self, message: Register) -> Registration:
        try:
            plan = self._plan(message)
        except (CronError, ZoneError, ValueError) as error:
            return Registration(False, why=str(error))
        path = plan.path
        if self._generations.get(path) not in (None, message.generation):
            self._step(core.OwnerDown(path, expected=False))  # its `Down` may still be on its way
        self._watch(path, message.generation)
        self._zones[path] = message.timezone or self._timezone
        self._step(core.Registered(plan, message.run_now))
        self._arm()
        return Registration(True, self._state.entries[path].due_at)

    @on(Unregister)
    def unregister(self, message: Unregister) -> None:
        self._step(core.Unregistered(message.path))

    @on(CycleDone)
    def cycle_done(self, message: CycleDone) -> None:
        self._step(core.Ended(message.path, message.slot_at))

    @on(RunNow)
    def run_now(self, message: RunNow) -> RunAnswer:
        why = core.why_not_now(self._state, message.path)
        if why:
            return RunAnswer(False, why)
        self._step(core.Requested(message.path))
        return RunAnswer(True)

    @on(ListSchedules)
    def list_schedules(self, _: ListSchedules) -> tuple[ScheduleView, ...]:
        return self._views()

    @on(Down)
    def owner_down(self, down: Down) -> None:
        path = self._watched.pop(down.monitor, None)
        if path is not None:
            self._step(core.OwnerDown(path, expected=not down.reason.is_abnormal))

    @on(Wake)
    def wake(self, _: Wake) -> None:
        self._looks += 1
        self._step(core.Looked())
        self._arm()

    def _plan(self, message: Register) -> core.Plan:
        if bool(message.cron) == (message.every > 0):
            raise ValueError(f"{message.path}: give cron, or every in positive seconds, one of the two")
        if message.priority not in core.PRIORITIES:
            raise ValueError(f"{message.path}: priority is one of {', '.join(core.PRIORITIES)}")
        when: Cron | Every
        if message.cron:
            when = Cron(check(message.cron), zone_of(message.timezone or self._timezone))
        else:
            when = Every(message.every)
        return core.Plan(message.path, message.name, when, message.priority, message.tags)

    def _watch(self, path: str, generation: int) -> None:
        """Monitor the instance that is at `path` now, in place of the one before."""
        if self._generations.get(path) == generation and path in self._watched.values():
            return
        self._generations[path] = generation
        self._watched = {number: p for number, p in self._watched.items() if p != path}
        self._watched[self.monitor(self.system.ref(path)).number] = path

    def _step(self, event: core.Event) -> None:
        """Feed `event` to the rules and perform what they say, in order."""
        now = self._now()
        self._state, effects = core.step(self._state, event, now, forget_after=self._forget_after)
        for effect in effects:
            match effect:
                case Dispatch(path, slot_at, by_hand):
                    self.system.ref(path).tell(Cycle(slot_at, by_hand, self._state.entries[path].due_at))
                case Skip(path, name, slot_at, why):
                    self._record(path, name, f"slot {_stamp(slot_at)}: {why}", now)
                case Miss(path, name, first_at, last_at, count, at_least):
                    more = "at least " if at_least else ""
                    span = _stamp(first_at) + (f" to {_stamp(last_at)}" if count > 1 else "")
                    self._record(path, name, f"missed {more}{count} slots, {span}: the clock was past them", now)
                case Forget(path, name):
                    self._generations.pop(path, None)
                    self._record(path, name, f"schedule dropped: away for {self._forget_after:g} s", now)
                    logger.warning("the schedule of %s was dropped: it stayed away", path)

    def _record(self, path: str, name: str, detail: str, now: Now) -> None:
        self.system.bus.publish(RunFinished(now.wall, path, name, "skipped", 0.0, detail))

    def _now(self) -> Now:
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

    def _arm(self) -> None:
        """Wait for the next slot, or `wall_check` seconds, whichever is sooner."""
        if self._timer is not None:
            self._timer.cancel()
        due = core.next_due(self._state, self._now())
        delay = self._wall_check if due is None else min(self._wall_check, max(due, _SHORTEST))
        self._timer = self.after(delay, Wake())

    def _views(self) -> tuple[ScheduleView, ...]:
        now = self._now()
        views = []
        for entry in self._state.entries.values():
            plan, when = entry.plan, entry.plan.when
            if isinstance(when, Every):
                entry = replace(entry, due_at=now.wall + entry.due_mono - now.mono)
            views.append(
                ScheduleView(
                    path=plan.path,
                    name=plan.name,
                    when=f"every {when.seconds:g} s" if isinstance(when, Every) else when.expression.text,
                    timezone="" if isinstance(when, Every) else self._zones[plan.path],
                    priority=plan.priority,
                    tags=plan.tags,
                    next_at=entry.due_at,
                    running_since=entry.running,
                    away=entry.away_since is not None,
                    runs=entry.runs,
                    skipped=entry.skipped,
                    missed=entry.missed,
                )
            )
        return tuple(sorted(views, key=lambda view: view.next_at))


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
