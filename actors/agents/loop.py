"""An agent loop: runs its task once a cycle, when the scheduler says so, and tells how each slot ended.

    scheduler -- Cycle --> loop -- the task: files, services, workers --> RunFinished on the bus
        ^                   |
        +---- CycleDone ----+

Whether a slot is run or skipped is decided by `core`; here are messages, the task, its time limit. A task that fails
for a reason outside itself (a file, a service, no answer) makes the run fail and the loop rest; any other error is
reported and then ends the loop, for its supervisor to judge. The loop stays answerable while its task runs, and a stop
cancels the task.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from msgspec import Struct

from actors import Actor, Down, Ignore, MailboxSpec, on
from actors.addresses import ROOT, check_path, name_of
from actors.agents import core
from actors.agents.context import Context, Result, Task, check_options, missing_options
from actors.agents.core import Act, Done, Due, Finished, Outcome, Priority, Report, Resting, Working
from actors.agents.tasks import task_of
from actors.errors import ActorRuntimeError
from actors.events import MetricSampled, RunFinished
from actors.exits import said
from actors.jobs.cycles import CancelCycle, Cycle, CycleDone, Register, Registration, Unregister
from actors.jobs.requests import SETTINGS
from actors.messages import Message

logger = logging.getLogger(__name__)

R = TypeVar("R")

_ASK = 10.0
_AGAIN = 1.0


class Announce(Message[None], frozen=True):
    """Register with the scheduler, once more."""


class LoopView(Struct, frozen=True):
    """How a loop is.

    Attributes:
        state: `working`, `resting`, or `waiting` (for the scheduler to take its schedule).
        next_at: Wall instant of the next slot, as far as it is known; 0 where it is not.
        last_at, last_outcome, last_detail, last_seconds: Of the latest slot; "" and 0 before the first.
        runs: Runs that ended, by outcome.
        failures: Failed runs in a row.
    """

    index: int
    name: str
    title: str
    caps: tuple[str, ...]
    priority: str
    schedule: str
    tags: tuple[str, ...]
    task: str
    state: str
    next_at: float
    last_at: float
    last_outcome: str
    last_detail: str
    last_seconds: float
    runs: dict[str, int]
    failures: int


class GetLoop(Message[LoopView], frozen=True):
    """Ask a loop how it is."""


class AgentLoop(Actor):
    """One agent loop; see the module.

    Args:
        index: Its number among the loops.
        name: Its name in events.
        task: What it does, one of `actors.agents.tasks.TASKS`.
        title: Its name for people.
        caps: Capabilities, as labels.
        priority: `high`, `normal` or `low`.
        schedule: Cron expression of 5 or 6 fields; or `every`.
        every: Seconds between runs.
        timezone: Zone of `schedule`; "" for the scheduler's.
        tags: Labels to select it by.
        requires: Paths of services it cannot work without.
        timeout: Seconds one run may take.
        run_at_start: Whether the first instance runs once at its start, beside its schedule.
        home: The runtime's directory.
        root: The directory the user named.
        options: Settings of the task.
        scheduler: Path of the scheduler.
        queue: Path of the queues of jobs.
        keeper: Path of the keeper of the index.
        overlap: Policy of slots that come during a run: `skip`, `queue`, `delay`, `timeout`, `cancel-other`; "" for
            `skip`.
        missed: Policy of slots from a time when nothing ran: `skip`, `once`, `all`; "" for `once`.

    Raises:
        ValueError: An argument is out of range; the task or one of its options is unknown; not exactly one of
            `schedule` and `every` is given.
    """

    # Every handler is a coroutine, so that all of them run on the event loop's one thread and share the state.
    reentrant = True
    mailbox = MailboxSpec(capacity=1000, full="reject")

    def __init__(
        self,
        index: int,
        name: str,
        task: str,
        title: str = "",
        caps: list[str] | None = None,
        priority: str = "normal",
        schedule: str = "",
        every: float = 0.0,
        timezone: str = "",
        tags: list[str] | None = None,
        requires: list[str] | None = None,
        timeout: float = 60.0,
        run_at_start: bool = False,
        home: str = ".actors",
        root: str = ".",
        options: dict[str, Any] | None = None,
        scheduler: str = "/sys/scheduler",
        queue: str = "/work/jobs",
        keeper: str = "/work/index",
        overlap: str = "",
        missed: str = "",
    ) -> None:
        super().__init__()
        if bool(schedule) == (every > 0):
            raise ValueError(f"loop {name}: give schedule (cron), or every (positive seconds), one of the two")
        if timeout <= 0:
            raise ValueError(f"loop {name}: timeout is positive seconds, got {timeout}")
        self._task: Task = task_of(task)
        self._options = check_options(task, self._task.options, options or {})
        self._priority = Priority(priority)
        self._index, self._name, self._title, self._task_name = index, name, title, task
        self._caps, self._tags = tuple(caps or ()), tuple(tags or ())
        self._requires = tuple(check_path(path) for path in requires or ())
        self._schedule, self._every, self._timezone = schedule, every, timezone
        self._timeout = timeout
        self._run_at_start = run_at_start
        self._overlap, self._missed = overlap, missed
        self._home, self._root = Path(home), Path(root)
        self._scheduler, self._queue, self._keeper = map(check_path, (scheduler, queue, keeper))
        self._state: core.State = Resting()
        self._registered = False
        self._next_at = 0.0
        self._last: RunFinished | None = None
        self._waited: float | None = None
        self._acting: asyncio.Future[Result] | None = None
        self._cancelling = ""
        self._runs: dict[str, int] = {}

    # -- life ---------------------------------------------------------------------------------------

    async def on_start(self) -> Ignore | None:  # type: ignore[override] # a hook may be a coroutine
        missing = self._missing()
        if missing:
            return Ignore(f"not configured: set {', '.join(missing)}")
        self._context = Context(
            name=self._name,
            home=self._home,
            root=self._root,
            options=self._options,
            queue=self._queue,
            keeper=self._keeper,
            timeout=self._timeout,
            outside=_Outside(self),
        )
        await self._register()
        return None

    def on_stop(self) -> None:
        self._end_run("the loop was stopped")
        scheduler = self.system.ref(self._scheduler)
        if self._registered and scheduler.is_alive():
            scheduler.tell(Unregister(self.path))

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_run(f"the loop crashed: {exception_type.__name__ if exception_type is not None else 'unknown'}")

    def state_view(self) -> dict[str, object]:
        view = self._view()
        return {name: getattr(view, name) for name in view.__struct_fields__}

    # -- messages -----------------------------------------------------------------------------------

    @on(Cycle)
    async def cycle(self, message: Cycle) -> None:
        self._next_at = message.next_at or self._next_at
        due = Due(message.slot_at, self.system.clock.monotonic(), message.by_hand, self._absent())
        if isinstance(self._state, Resting):
            self._waited = max(0.0, self.system.clock.time() - message.due_at) if message.due_at else None
        if self._feed(due):
            await self._act()

    @on(CancelCycle)
    async def cancel_cycle(self, message: CancelCycle) -> None:
        state, acting = self._state, self._acting
        if isinstance(state, Working) and state.slot_at == message.slot_at and acting is not None:
            self._cancelling = message.why or "cancelled"
            acting.cancel()

    @on(Announce)
    async def announce(self, _: Announce) -> None:
        if not self._registered:
            await self._register()

    @on(Down)
    async def scheduler_down(self, _: Down) -> None:
        """The scheduler ended: register again with the next one."""
        self._registered = False
        self.after(_AGAIN, Announce())

    @on(GetLoop)
    async def get_loop(self, _: GetLoop) -> LoopView:
        return self._view()

    # -- work ---------------------------------------------------------------------------------------

    async def _act(self) -> None:
        """Run the task within its time and feed the rules how it ended."""
        crash: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout) as limit:
                self._acting = asyncio.ensure_future(self._task.run(self._context))
                result = await self._acting
        except asyncio.CancelledError:
            if not self._cancelling:
                raise  # the loop is stopped, not its run
            outcome, detail = Outcome.CANCELLED, self._cancelling
        except (OSError, ActorRuntimeError) as error:  # TimeoutError is an OSError
            if isinstance(error, TimeoutError) and limit.expired():
                outcome, detail = Outcome.TIMED_OUT, f"not done within {self._timeout:g} s"
            else:
                outcome, detail = Outcome.FAILED, said(error)
        except Exception as error:
            crash = error
            outcome, detail = Outcome.FAILED, said(error)
        else:
            outcome, detail = _outcome(result)
        finally:
            self._acting = None
        self._cancelling = ""
        self._feed(Finished(outcome, self.system.clock.monotonic(), _one_line(detail), self.system.chance.random()))
        if crash is not None:
            raise crash

    def _feed(self, event: core.Event) -> bool:
        """Feed `event` to the rules and perform what they say; return whether the task is to run now."""
        self._state, effects = core.step(self._state, event, self._priority)
        acts = False
        for effect in effects:
            match effect:
                case Act():
                    acts = True
                case Report(outcome, seconds, detail):
                    slot_at = next((told.slot_at for told in effects if isinstance(told, Done)), 0.0)
                    waited = None if outcome == "skipped" else self._waited
                    self._last = RunFinished(
                        self.system.clock.time(), self.path, self._name, outcome, seconds, detail, slot_at,
                        waited=waited, schedule=self.path.strip("/"),
                    )  # fmt: skip
                    self._runs[outcome] = self._runs.get(outcome, 0) + 1
                    self.system.bus.publish(self._last)
                case Done(slot_at):
                    scheduler, last = self.system.ref(self._scheduler), self._last
                    assert last is not None  # a slot is reported before it is done
                    if scheduler.is_alive():  # one that comes later asks at the registration what this loop is at
                        scheduler.tell(CycleDone(self.path, slot_at, last.outcome, last.detail, last.seconds))
        return acts

    def _end_run(self, why: str) -> None:
        if isinstance(self._state, Working):
            self._feed(Finished(Outcome.CANCELLED, self.system.clock.monotonic(), why))

    async def _register(self) -> None:
        """Put the schedule in force, or try again in a while where the scheduler is not there.

        Raises:
            ValueError: The scheduler refuses the schedule.
        """
        first = self.incarnation.generation == 1 and not self._runs
        request = Register(
            path=self.path,
            name=self._name,
            cron=self._schedule,
            every=self._every,
            timezone=self._timezone,
            priority=self._priority.value,
            tags=self._tags,
            run_now=self._run_at_start and first,
            generation=self.incarnation.generation,
            busy_with=self._state.slot_at if isinstance(self._state, Working) else 0.0,
            overlap=self._overlap,
            missed=self._missed,
        )
        scheduler = self.system.ref(self._scheduler)
        watched = scheduler.target
        try:
            answer: Registration = await scheduler.ask_async(request, timeout=_ASK)
        except Exception as error:  # not there, or ended by whatever: its supervisor's matter
            logger.debug("%s is not registered yet: %s", self.path, error)
            self.after(_AGAIN, Announce())
            return
        if not answer.accepted:
            raise ValueError(answer.why)
        self._registered = True
        self._next_at = answer.next_at
        self.monitor(watched if watched is not None else scheduler)

    def _missing(self) -> list[str]:
        """Return the settings this loop would need and that are not set, as a person would write them."""
        options = [f'loops.list."{name_of(self.path)}".options.{name}' for name in missing_options(self._options)]
        absent = self._absent(at_start=True)
        return options + [f"{path.strip('/').replace('/', '.')}.{SETTINGS.get(path, ('…',))[0]}" for path in absent]

    def _absent(self, *, at_start: bool = False) -> tuple[str, ...]:
        """Return the services that are needed and not there; at the start one being restarted counts as there."""
        absent = tuple(path for path in self._requires if not self._is_there(path, at_start))
        return () if self._task.any_service and len(absent) < len(self._requires) else absent

    def _is_there(self, path: str, or_restarting: bool) -> bool:
        if self.system.ref(path).is_alive():
            return True
        return or_restarting and self.system.registry.why_absent(path) == "restarting"

    def _view(self) -> LoopView:
        state, last = self._state, self._last
        return LoopView(
            index=self._index,
            name=self._name,
            title=self._title,
            caps=self._caps,
            priority=self._priority.value,
            schedule=self._schedule or f"every {self._every:g} s",
            tags=self._tags,
            task=self._task_name,
            state="working" if isinstance(state, Working) else "resting" if self._registered else "waiting",
            next_at=self._next_at,
            last_at=last.at if last is not None else 0.0,
            last_outcome=last.outcome if last is not None else "",
            last_detail=last.detail if last is not None else "",
            last_seconds=last.seconds if last is not None else 0.0,
            runs=dict(self._runs),
            failures=state.failures,
        )


class _Outside:
    """What a task may do through its loop; see `context.Outside`."""

    def __init__(self, loop: AgentLoop) -> None:
        self._loop = loop

    def publish_metric(self, name: str, value: float, unit: str) -> None:
        system = self._loop.system
        system.bus.publish(MetricSampled(system.clock.time(), self._loop.path, name, value, unit))

    def wall(self) -> float:
        return self._loop.system.clock.time()

    def is_there(self, path: str) -> bool:
        return self._loop.system.ref(path).is_alive()

    def actors(self) -> int:
        return len(self._loop.system.registry.below(ROOT))

    async def ask(self, path: str, message: Message[R], timeout: float) -> R:
        return await self._loop.system.ref(path).ask_async(message, timeout=timeout)


def _outcome(result: Result) -> tuple[Outcome, str]:
    return (Outcome.IDLE if result.idle else Outcome.SUCCEEDED), result.summary


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 500 else line[:499] + "…"
