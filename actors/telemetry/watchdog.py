"""The watchdog: looks at every actor's figures through the registry, tells of the stuck and the overrun.

Findings are events (`ActorStateChanged` with state `stuck`, `growing`, `recovered`) and warnings in the log; how many
messages wait in the fullest mailboxes is the metric `actor.mailbox`. For the
paths it may restart, it asks the supervisor of a stuck actor through the port it was given, once for each time the
actor gets stuck; without a port it only tells. The figures are read without a message to the actor, so a stuck one is
seen as well as any.
"""

from __future__ import annotations

import heapq
import logging
import time
from operator import attrgetter

from actors import Actor, ActorStatistics, on
from actors.addresses import ROOT, matches
from actors.core.system import Restarter
from actors.events import ActorStateChanged, MetricSampled
from actors.messages import Message
from actors.telemetry.stalls import Figures, Finding, Limits, Memory, Verdict, judge

logger = logging.getLogger(__name__)

FULLEST = 20
"""Mailboxes whose depth each look puts into the history."""


class Look(Message[None], frozen=True):
    """Look at the actors now."""


class Watchdog(Actor):
    """Looks at the actors of its system; see the module.

    Args:
        every: Seconds between two looks.
        stuck_after: Seconds with one message after which an actor is stuck.
        mailbox_limit: Waiting messages above which a growing mailbox is told of.
        watch: Globs of the paths looked at.
        restart: Globs of the paths whose restart is asked for when they are stuck.
        restarter: The port for that; None takes the system's, where a node has given it one.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        every: float = 5.0,
        stuck_after: float = 60.0,
        mailbox_limit: int = 1000,
        watch: list[str] | None = None,
        restart: list[str] | None = None,
        restarter: Restarter | None = None,
    ) -> None:
        super().__init__()
        if every <= 0 or stuck_after <= 0 or mailbox_limit < 1:
            raise ValueError("every and stuck_after are positive seconds, mailbox_limit is 1 or more")
        self._every = every
        self._limits = Limits(stuck_after, mailbox_limit)
        self._watch = tuple(watch) if watch is not None else ("/**",)
        self._restart = tuple(restart or ())
        self._restarter = restarter
        self._memories: dict[str, Memory] = {}
        self._told: dict[str, tuple[ActorStatistics, float]] = {}
        self._looks = self._findings = self._requests = 0
        self._looked_at: float | None = None

    def on_start(self) -> None:
        self._restarter = self._restarter or self.system.restarter
        if self._restart and self._restarter is None:
            logger.warning("the watchdog was given paths to restart and no way to ask for it")
        self.every(self._every, Look())

    def state_view(self) -> dict[str, object]:
        return {
            "watched": len(self._memories),
            "looks": self._looks,
            "findings": self._findings,
            "restarts_asked": self._requests,
            "stuck": sorted(path for path, memory in self._memories.items() if memory.stuck_since is not None),
            "growing": sorted(path for path, memory in self._memories.items() if memory.growing),
            "last_look_at": self._looked_at,
        }

    @on(Look)
    def look(self, _: Look) -> None:
        figures = self._figures()
        self._memories, findings = judge(self._memories, figures, self._limits)
        self._looks += 1
        self._looked_at = self.system.clock.time()
        for finding in findings:
            self._tell(finding)
        for actor in heapq.nlargest(FULLEST, (actor for actor in figures if actor.depth), key=attrgetter("depth")):
            depth = float(actor.depth)
            self.system.bus.publish(MetricSampled(self._looked_at, actor.path, "actor.mailbox", depth, "count"))

    def _figures(self) -> tuple[Figures, ...]:
        """Read everybody's figures; those of a process are the ones of its last heartbeat, and no younger."""
        found = []
        told: dict[str, tuple[ActorStatistics, float]] = {}
        for ref in self.system.registry.below(ROOT):
            if ref.path == self.path or not any(matches(ref.path, glob) for glob in self._watch):
                continue
            figures = ref.statistics()  # its instants are the machine's monotonic clock, whatever the system's is
            before = self._told.get(ref.path)
            at = before[1] if before is not None and before[0] is figures else time.monotonic()
            told[ref.path] = (figures, at)
            since = figures.handling_since or 0.0
            found.append(Figures(ref.path, ref.generation, figures.depth, figures.handling or "", since, at))
        self._told = told
        return tuple(found)

    def _tell(self, finding: Finding) -> None:
        self._findings += 1
        path, verdict = finding.path, finding.verdict
        level = logging.INFO if verdict is Verdict.RECOVERED else logging.WARNING
        logger.log(level, "%s is %s: %s", path, verdict.value, finding.detail)
        at = self.system.clock.time()
        self.system.bus.publish(ActorStateChanged(at, path, finding.generation, verdict.value, finding.detail))
        if verdict is Verdict.STUCK and self._restarter is not None and any(matches(path, g) for g in self._restart):
            self._requests += 1
            self._restarter(path, f"watchdog: stuck, {finding.detail}")
