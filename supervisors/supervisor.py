"""The supervisor: an actor that performs what the pure core decides and tells it what came of it.

It decides nothing. An outcome of a child, a timer, a management call, an order from above: each becomes an event, the
core answers with effects, they are performed in order, and the new state is published for readers. Nothing here waits:
starting and stopping are effects whose outcomes come back as messages, and a back-off is a timer. So a supervisor in a
restart storm still obeys `stop` and answers management calls, and `tree` reads the published state without asking it.

A nested supervisor counts as started when its whole subtree is up, and as ended when its last child is gone.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from actors.core.actor import Actor
from actors.core.mailbox import UNBOUNDED, ActorStatistics, MailboxSpec
from actors.core.outcomes import Exited, Incarnation, Outcome, RestartAsked, Started, StartFailed
from actors.core.system import ActorSystem, Launch
from actors.exits import ExitReason
from actors.messages import on
from supervisors import core
from supervisors.announcing import Announcer
from supervisors.children import ChildHandle, Launchers, LaunchRequest, Report
from supervisors.core import effects as fx
from supervisors.core import events as ev
from supervisors.inbox import Abandoned, Call, KeyframeOrder, KillOrder, MakeRequest, Notice, StopOrder, TimeOver
from supervisors.lines import Lines
from supervisors.specs import SupervisorSpec
from supervisors.telling import Teller, process_finder
from supervisors.trunk import BranchTable

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

Answer = Callable[[fx.Done | fx.Refused], None]
"""Gets the one result of a management call, on the supervisor's thread or the caller's; it must only post."""


class Services:
    """What all supervisors of one node share; the node makes it once.

    Attributes:
        system: Names, bus, dispatchers and clock.
        launchers: How to start a child, for each `runs_in`.
        supervisors: Every running supervisor by its path. Written by each supervisor for itself, read by anybody.
        holds: Children that a person stopped, by path; kept when a supervisor above them is restarted.
        trunk: The subtrees in other processes that hang on supervisors of this one.
        pid: This process.
    """

    def __init__(self, system: ActorSystem, launchers: Launchers, *, seed: int | None = None) -> None:
        self.system = system
        self.launchers = launchers
        self.supervisors: dict[str, Supervisor] = {}
        self.holds: dict[str, ev.Hold] = {}
        self.trunk = BranchTable(self.holds)
        self.chance = Random(seed).random
        self.pid = os.getpid()

    def order_keyframes(self) -> None:
        """Have every supervisor of this process tell its children whole, for readers of the history."""
        for supervisor in list(self.supervisors.values()):
            supervisor.actor_ref.tell_system(KeyframeOrder())

    def holds_below(self, path: str) -> dict[str, ev.Hold]:
        """Return the holds on the direct children of the supervisor at `path`, by child id."""
        found = {}
        for held, hold in list(self.holds.items()):
            parent, _, name = held.rpartition("/")
            if (parent or "/") == path:
                found[name] = hold
        return found


class Subtree:
    """One launched supervisor, as its parent (or the node) holds it: a `ChildHandle`.

    Between the kernel and the parent it translates what an outcome means: the actor of a supervisor is up at once, its
    subtree only when the core said `Ready`; and an end before that is a failed start.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._launch: Launch | None = None
        self._orders: list[StopOrder | KillOrder] = []
        self._ended: ExitReason | None = None
        self._is_ready = False
        self.ref: Any = None
        self.pid, self.note, self.usage = None, "", None

    def run(self, spec: SupervisorSpec, path: str, services: Services, incarnation: Incarnation) -> None:
        """Launch the supervisor's actor; never blocks."""
        launch = services.system.spawn(
            lambda: Supervisor(spec, path, services, self),
            path=path,
            placement="pool",
            incarnation=incarnation,
            mailbox=MailboxSpec(capacity=UNBOUNDED),
            on_outcome=self._on_outcome,
        )
        with self._lock:
            self._launch = launch
            ended = self._ended
        if ended is not None:  # it was over before this thread came back from launching it
            launch.stop(ended)

    def figures(self) -> ActorStatistics | None:
        """None: a supervisor's mailbox holds nothing a person could act on."""
        return None

    def stop(self, reason: ExitReason) -> None:
        """Ask the supervisor to stop its children in order and end with `reason`."""
        self._order(StopOrder(reason))

    def kill(self) -> bool:
        """Kill everything below it, then it ends; never abandoned."""
        self._order(KillOrder())
        return True

    def suspend(self) -> None:
        """Nothing: a supervisor has no messages of its own to hold back, and its duty does not pause."""

    def resume(self) -> None:
        """Nothing, as `suspend`."""

    def reread(self) -> None:
        """Nothing: a supervisor is no program; its node reads its configuration again."""

    def became_ready(self) -> None:
        """The whole subtree is up; called by the supervisor itself."""
        self._is_ready = True
        self._report(Started(self.ref, None, None))

    def end(self, reason: ExitReason) -> None:
        """End the supervisor's actor with `reason`; called by the supervisor itself, when no child is left."""
        with self._lock:
            launch = self._launch
            self._ended = reason
        if launch is not None:
            launch.stop(reason)

    def _order(self, order: StopOrder | KillOrder) -> None:
        with self._lock:
            if self.ref is None:
                self._orders.append(order)
                return
        self.ref.tell_system(order)

    def _on_outcome(self, outcome: Outcome) -> None:
        if isinstance(outcome, Started):
            with self._lock:
                self.ref = outcome.ref
                orders, self._orders = self._orders, []
            for order in orders:
                outcome.ref.tell_system(order)
        elif isinstance(outcome, Exited) and not self._is_ready:
            self._report(StartFailed(outcome.reason))
        else:
            self._report(outcome)


class Supervisor(Actor):
    """Runs one supervisor; made by `Subtree.run`, not by hand.

    Attributes:
        published: The core's state after the last step; immutable, so any thread may read it at any time.
        handles: The launched instance of each child, by id: (generation, handle). Read-only for others.
        lines: What readers of the tree keep of the children; written by them alone.
    """

    dispatcher = "pool"

    def __init__(self, spec: SupervisorSpec, path: str, services: Services, parent: Subtree) -> None:
        super().__init__()
        self._services = services
        self._system = services.system
        self._supervisor_path = path
        self._parent = parent
        self._calls: dict[int, Answer] = {}
        self._numbers = itertools.count(1)
        self._gate = threading.Lock()  # before it closes a call is kept and answered by the end; after, by the caller
        self._has_ended = False
        self._overtaken = fx.Refused("", fx.Refusal.SHUTTING_DOWN, f"the supervisor {path} has ended")
        self._timers: dict[ev.Timer, Any] = {}
        self.published = core.State(path, core.arrange(spec, path))  # checked whole by whoever starts the tree
        self._announcer = Announcer(path, services.system, services.pid, self.published)
        self._paths = self._announcer.paths
        self._launchers = services.launchers
        self._performers: dict[type, Callable[[Any], None]] = {
            fx.Launch: self._launch,
            fx.AskStop: self._ask_stop,
            fx.Kill: self._kill,
            fx.Suspend: self._passing(lambda handle: handle.suspend()),
            fx.Reread: self._passing(lambda handle: handle.reread()),
            fx.Resume: self._passing(lambda handle: handle.resume()),
            fx.ArmTimer: self._arm,
            fx.CancelTimer: self._cancel,
            fx.Ready: self._ready,
            fx.End: self._end,
            fx.Reply: self._reply,
            **self._announcer.announcements(),
        }
        self.handles: dict[str, tuple[int, ChildHandle]] = {}
        self._teller = Teller(path, services.system, services.pid, process_finder(self.handles))
        self.lines = Lines()
        self._monotonic = services.system.clock.monotonic
        self._chance = services.chance
        self._tell = self.actor_ref.tell_system
        self._tell_here = self.actor_ref.tell_system_here

    def on_start(self) -> None:
        """Begin to start the children; their outcomes come later."""
        services = self._services
        services.supervisors[self._supervisor_path] = self
        self._teller.generation = self.incarnation.generation
        holds = services.holds_below(self._supervisor_path)
        self._feed(ev.Begin(now=self._monotonic(), chance=self._chance(), holds=holds))

    # What the mailbox holds becomes the core's events.

    @on(Notice)
    def _take_notice(self, notice: Notice) -> None:
        id, generation, outcome = notice.id, notice.generation, notice.outcome
        now, chance = self._monotonic(), self._chance()
        if isinstance(outcome, Exited):
            self._let_go(id, generation)
            self._feed(ev.ChildExited(id, generation, outcome.reason, now=now, chance=chance))
            return
        if isinstance(outcome, Started):
            self._announcer.pids[id] = outcome.pid
            self._feed(ev.ChildStarted(id, generation, outcome.info, now=now, chance=chance))
            return
        if isinstance(outcome, RestartAsked):
            self._feed(ev.ChildAsksRestart(id, generation, outcome.why, outcome.counts, now=now, chance=chance))
            return
        self._let_go(id, generation)
        if isinstance(outcome, StartFailed):
            self._feed(ev.ChildStartFailed(id, generation, outcome.reason, now=now, chance=chance))
        else:
            self._feed(ev.ChildIgnored(id, generation, outcome.why, now=now, chance=chance))

    def _let_go(self, id: str, generation: int) -> None:
        held = self.handles.get(id)
        if held is not None and held[0] == generation:
            del self.handles[id]

    @on(TimeOver)
    def _take_timer(self, over: TimeOver) -> None:
        self._timers.pop(over.timer, None)
        self._feed(ev.TimerFired(over.timer, now=self._monotonic(), chance=self._chance()))

    @on(Abandoned)
    def _take_abandoned(self, cut: Abandoned) -> None:
        self._feed(ev.ChildAbandoned(cut.id, cut.generation, now=self._monotonic(), chance=self._chance()))

    @on(Call)
    def _take_call(self, call: Call) -> None:
        self._feed(call.make(call.request, self._monotonic(), self._chance()))

    @on(StopOrder)
    def _take_stop(self, order: StopOrder) -> None:
        self._feed(ev.StopAsked(order.reason, now=self._monotonic(), chance=self._chance()))

    @on(KeyframeOrder)
    def _take_keyframe(self, _order: KeyframeOrder) -> None:
        self._teller.keyframe(self.published)

    @on(KillOrder)
    def _take_kill(self, _order: KillOrder) -> None:
        self._feed(ev.KillAsked(now=self._monotonic(), chance=self._chance()))

    def call(self, make: MakeRequest, answer: Answer) -> None:
        """Make a management call; may be called on any thread, at any moment of the supervisor's life and after it.

        `answer` gets exactly one result. A call that the supervisor's end overtakes is refused as `shutting_down`.
        """
        with self._gate:
            request = None if self._has_ended else next(self._numbers)
            if request is not None:
                self._calls[request] = answer
        if request is None:
            answer(self._overtaken)
        else:
            self._tell(Call(request, make))

    def on_failure(self, *_: Any) -> None:
        """A supervisor that crashed takes its children with it, as OTP's links do."""
        for _generation, handle in list(self.handles.values()):
            handle.kill()
        self._forget()
        self._teller.ended(self.published)

    def _feed(self, event: ev.Event) -> None:
        before = self.published
        state, effects = core.step(before, event)
        self.published = self._announcer.state = state
        performers = self._performers
        for effect in effects:
            performers[type(effect)](effect)
        if state is not before:
            self._teller.tell(before, state, event, effects)

    # Effects. Each performs one and decides nothing.

    def _launch(self, effect: fx.Launch) -> None:
        spec = effect.spec
        id, generation, path, runs_in = effect.id, effect.generation, self._paths[effect.id], spec.runs_in
        incarnation = Incarnation(generation, effect.attempt, effect.last_exit)
        report = partial(self._report_here if runs_in == "thread" else self._report, id, generation)
        try:
            if runs_in != "process" and isinstance(spec.start, SupervisorSpec):
                subtree = Subtree(report)
                handle: ChildHandle = subtree
                self.handles[id] = (generation, handle)
                subtree.run(spec.start, path, self._services, incarnation)
            else:
                request = LaunchRequest(path, spec, incarnation, self._services.trunk)
                handle = self._launchers[runs_in].launch(request, report)
        except Exception as error:  # a launcher that cannot even begin is a failed start, which the core judges
            report(StartFailed(ExitReason.crashed(error, "launch-failed")))
            return
        self.handles[id] = (generation, handle)

    def _report(self, id: str, generation: int, outcome: Outcome) -> None:
        """Post an outcome; called on any thread."""
        self._tell(Notice(id, generation, outcome))

    def _report_here(self, id: str, generation: int, outcome: Outcome) -> None:
        """Take an outcome on the child's own thread, which has nothing else to do and may run this supervisor."""
        self._tell_here(Notice(id, generation, outcome))

    def _handle(self, id: str, generation: int) -> ChildHandle | None:
        held = self.handles.get(id)
        return held[1] if held is not None and held[0] == generation else None

    def _ask_stop(self, effect: fx.AskStop) -> None:
        handle = self._handle(effect.id, effect.generation)
        if handle is not None:
            handle.stop(effect.reason)

    def _kill(self, effect: fx.Kill) -> None:
        handle = self._handle(effect.id, effect.generation)
        if handle is not None and not handle.kill():
            del self.handles[effect.id]
            self._tell(Abandoned(effect.id, effect.generation))

    def _passing(self, order: Callable[[ChildHandle], None]) -> Callable[[fx.Suspend | fx.Resume | fx.Reread], None]:
        def perform(effect: fx.Suspend | fx.Resume | fx.Reread) -> None:
            handle = self._handle(effect.id, effect.generation)
            if handle is not None:
                order(handle)

        return perform

    def _arm(self, effect: fx.ArmTimer) -> None:
        post = partial(self._tell, TimeOver(effect.timer))
        if effect.delay <= 0:
            post()
        else:
            self._timers[effect.timer] = self._system.schedule(effect.delay, post)

    def _cancel(self, effect: fx.CancelTimer) -> None:
        if (armed := self._timers.pop(effect.timer, None)) is not None:
            armed.cancel()

    def _reply(self, effect: fx.Reply) -> None:
        if (answer := self._calls.pop(effect.request, None)) is not None:
            answer(effect.result)

    def _ready(self, _effect: fx.Ready) -> None:
        self._parent.became_ready()

    def _end(self, effect: fx.End) -> None:
        self._forget()
        self._parent.end(effect.reason)

    def _forget(self) -> None:
        self._announcer.holdings.close()
        if self._services.supervisors.get(self._supervisor_path) is self:
            del self._services.supervisors[self._supervisor_path]
        with self._gate:
            self._has_ended = True
            calls, self._calls = self._calls, {}
        for answer in calls.values():
            answer(self._overtaken)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
