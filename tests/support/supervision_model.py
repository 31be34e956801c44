"""A second supervisor, written from the semantics alone and in another style: one blocking loop over a mailbox, mutable
records, children that start and stop inside the call. It is what OTP's looks like, plus the rules that go beyond OTP;
tests run it beside the core and compare. It shares nothing with the core but the specs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actors.exits import ExitKind, ExitReason
from supervisors.specs import AutoShutdown, ChildSpec, ChildType, OnLimit, Restart, Strategy, SupervisorSpec

NONE, RESTARTING, HELD, QUARANTINED = "none", "restarting", "held", "quarantined"


class Record:
    def __init__(self, spec: ChildSpec, id: str) -> None:
        self.spec = spec
        self.id = id
        self.pid: int | str = NONE
        self.ready_at = 0.0
        self.attempt = 0
        self.due = 0.0
        self.ticket = 0
        self.times: list[float] = []
        self.parked = False

    @property
    def runs(self) -> bool:
        return isinstance(self.pid, int)

    @property
    def stays_away(self) -> bool:
        return self.pid in {HELD, QUARANTINED}


class GaveUp(Exception):
    """Leaves the loop: the supervisor has to end."""

    def __init__(self, word: str) -> None:
        self.word = word


class BlockingSupervisor:
    """The model. `fate(id)` tells how the next start of `id` goes: `ok`, `fail` or `ignore`.

    Attributes:
        log: ("start" | "stop", id) in the order in which it happened.
        alive: Instances that are alive, by number; one that crashed is gone although nobody has looked yet.
        ended: The word of its own end: the stop reason's, `gave-up`, `auto-shutdown`, `failed-to-start`.
    """

    def __init__(self, spec: SupervisorSpec, fate: Callable[[str], str], now: float) -> None:
        self.spec = spec
        self.fate = fate
        self.now = now
        self.log: list[tuple[str, str]] = []
        self.alive: dict[int, str] = {}
        self.ended: str | None = None
        self.times: list[float] = []
        self.mailbox: deque[tuple[Any, ...]] = deque()
        self.timers: list[tuple[float, int, str]] = []
        self.answers: dict[int, str] = {}
        self.records: list[Record] = []
        self._numbers = 0
        self._tickets = 0
        self.spawned = 0
        if not self.dynamic:
            self.records = [Record(child, child.id) for child in spec.children]
            try:
                self._start_all()
            except GaveUp as end:
                self._end(end.word)

    @property
    def dynamic(self) -> bool:
        return self.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE

    def _start_all(self) -> None:
        """Start each child in turn; one that fails ends the supervisor, unless it parks and binds nobody."""
        starts_without = self.spec.on_limit is OnLimit.PARK and self.spec.strategy is Strategy.ONE_FOR_ONE
        for record in list(self.records):
            outcome = self._start(record)
            temporary = record.spec.restart is Restart.TEMPORARY
            if outcome == "fail":
                if temporary or not starts_without:
                    raise GaveUp("failed-to-start")
                self._restart(record, failed=True)
            elif outcome == "ignore" and temporary:
                self.records.remove(record)

    # the loop

    def run(self) -> None:
        """Handle every message there is, and every timer that is due, until nothing is left."""
        while self.ended is None:
            if self.mailbox:
                message = self.mailbox.popleft()
                try:
                    self._handle(message)
                except GaveUp as end:
                    self._end(end.word)
                continue
            due = sorted(timer for timer in self.timers if timer[0] <= self.now)
            if not due:
                return
            self.timers.remove(due[0])
            self.mailbox.append(("again", due[0][2], due[0][1]))
        for message in self.mailbox:
            if message[0] not in {"exit", "again", "down"}:
                self.answers[message[-1]] = "shutting_down"
        self.mailbox.clear()

    def _handle(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("exit", int(pid), reason):
                for record in self.records:
                    if record.pid == pid:
                        self._exited(record, reason)
                        break
            case ("again", id, ticket):
                record = self._find(id)
                if record is not None and record.pid == RESTARTING and record.ticket == ticket:
                    self._try_again(record)
            case ("down", word):
                self._end(word)
            case (call, *args, number):
                self.answers[number] = getattr(self, f"call_{call}")(*args)

    # ends and restarts

    def _exited(self, record: Record, reason: ExitReason) -> None:
        abnormal = reason.kind in {ExitKind.CRASHED, ExitKind.KILLED}
        spec = record.spec
        wants = spec.restart is Restart.PERMANENT or (
            spec.restart is Restart.TRANSIENT and (abnormal or (spec.restart_on_gave_up and reason.detail == "gave-up"))
        )
        if wants:
            if self.now - record.ready_at >= spec.backoff.reset_after:
                record.attempt = 0
                record.parked = False
            record.pid = NONE
            self._restart(record, failed=False)
            return
        record.pid = NONE
        if spec.restart is Restart.TEMPORARY or self.dynamic:
            self.records.remove(record)
        self._significant_end(record)

    def _significant_end(self, record: Record) -> None:
        if not record.spec.significant or self.spec.auto_shutdown is AutoShutdown.NEVER:
            return
        others = [r for r in self.records if r is not record and r.spec.significant and (r.runs or r.pid == RESTARTING)]
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or not others:
            raise GaveUp("auto-shutdown")

    def _restart(self, record: Record, *, failed: bool) -> None:
        record.attempt += 1
        if not record.parked:
            budget = record.spec.budget
            if budget is not None:
                record.times = [t for t in record.times if t >= self.now - budget.period] + [self.now]
                if len(record.times) > budget.intensity:
                    record.pid = QUARANTINED
                    self._significant_end(record)
                    return
            self.times = [t for t in self.times if t >= self.now - self.spec.period] + [self.now]
            if len(self.times) > self.spec.intensity:
                if self.spec.on_limit is OnLimit.ESCALATE:
                    raise GaveUp("gave-up")
                record.parked = True
        rule = record.spec.backoff
        delay = min(rule.max, rule.first * rule.factor ** (record.attempt - 1)) if rule.first else 0.0
        if record.parked:
            delay = max(delay, self.spec.park_every)
        group = self._group(record)
        delay = max([delay, *(r.due - self.now for r in group if r.pid == RESTARTING)])
        if failed or delay > 0:
            if not failed:
                self._stop_group(group, record)
            self._later(record, delay)
        else:
            self._bring_back(record)

    def _group(self, record: Record) -> list[Record]:
        match self.spec.strategy:
            case Strategy.ONE_FOR_ALL:
                return list(self.records)
            case Strategy.REST_FOR_ONE:
                return self.records[self.records.index(record) :]
            case _:
                return [record]

    def _later(self, record: Record, delay: float) -> None:
        self._tickets += 1
        record.pid, record.due, record.ticket = RESTARTING, self.now + delay, self._tickets
        self.timers.append((record.due, record.ticket, record.id))

    def _try_again(self, record: Record) -> None:
        still = max([0.0, *(r.due - self.now for r in self._group(record) if r is not record and r.pid == RESTARTING)])
        if still > 0:
            self._later(record, still)
            return
        self._bring_back(record)

    def _stop_group(self, group: list[Record], pivot: Record) -> None:
        for record in reversed(group):
            if record is pivot:
                continue
            if record.runs:
                self._kill(record)
            if record.pid == RESTARTING:
                record.pid = NONE
            if record.spec.restart is Restart.TEMPORARY:
                self.records.remove(record)

    def _bring_back(self, pivot: Record) -> None:
        """Stop what the strategy binds, start all of it again; a failing start makes the next try its own."""
        if self.spec.strategy in {Strategy.ONE_FOR_ONE, Strategy.SIMPLE_ONE_FOR_ONE}:
            group = [pivot]
        else:
            self._stop_group(self._group(pivot), pivot)
            group = self._group(pivot)
        pivot.pid = NONE
        for record in list(group):
            if record.stays_away:
                continue
            outcome = self._start(record)
            if outcome == "fail":
                self._restart(record, failed=True)
                if record.pid != QUARANTINED:
                    return
            elif outcome == "ignore" and self.dynamic:
                self.records.remove(record)

    # instances

    def _start(self, record: Record) -> str:
        self.log.append(("start", record.id))
        outcome = self.fate(record.id)
        record.pid = NONE
        if outcome == "ok":
            self._numbers += 1
            record.pid = self._numbers
            record.ready_at = self.now
            self.alive[self._numbers] = record.id
        return outcome

    def _kill(self, record: Record) -> None:
        """Stop one child and swallow its notice, should it have ended already."""
        self.log.append(("stop", record.id))
        self.alive.pop(record.pid, None)  # type: ignore[arg-type]  # a running record's pid is a number
        self.mailbox = deque(m for m in self.mailbox if not (m[0] == "exit" and m[1] == record.pid))
        record.pid = NONE

    def _end(self, word: str) -> None:
        for record in reversed(self.records):
            if record.runs:
                self._kill(record)
        self.ended = word

    def _find(self, id: str) -> Record | None:
        return next((record for record in self.records if record.id == id), None)

    # management calls: each returns the word of its answer

    def call_start_child(self, spec: ChildSpec) -> str:
        if self.dynamic:
            return "not_supported"
        if spec.significant and self.spec.auto_shutdown is AutoShutdown.NEVER:
            return "invalid"
        found = self._find(spec.id)
        if found is not None:
            return "already_started" if found.runs else "already_present"
        record = Record(spec, spec.id)
        outcome = self._start(record)
        if outcome == "fail":
            return "start_failed"
        if outcome == "ok" or spec.restart is not Restart.TEMPORARY:
            self.records.append(record)
        return "ok"

    def call_spawn(self) -> str:
        if not self.dynamic:
            return "not_supported"
        if self.spec.max_children is not None and len(self.records) >= self.spec.max_children:
            return "max_children"
        self.spawned += 1
        template = self.spec.children[0]
        record = Record(template, f"{template.id}#{self.spawned}")
        outcome = self._start(record)
        if outcome == "ok":
            self.records.append(record)
        return "start_failed" if outcome == "fail" else "ok"

    def _cancel(self, record: Record) -> None:
        if record.runs:
            self._kill(record)
            if record.spec.restart is Restart.TEMPORARY or self.dynamic:
                self.records.remove(record)
        elif record.pid == RESTARTING or self.dynamic:
            record.pid = NONE
            if self.dynamic:
                self.records.remove(record)

    def call_terminate(self, id: str) -> str:
        record = self._find(id)
        if record is None:
            stem, _, number = id.rpartition("#")
            was = self.dynamic and stem == self.spec.children[0].id and 1 <= int(number) <= self.spawned
            return "ok" if was else "not_found"
        self._cancel(record)
        return "ok"

    def call_stop(self, id: str) -> str:
        answer = self.call_terminate(id)
        record = self._find(id)
        if record is not None:
            record.pid = HELD
        return answer

    def call_restart_child(self, id: str) -> str:
        if self.dynamic:
            return "not_supported"
        record = self._find(id)
        if record is None:
            return "not_found"
        if record.runs:
            return "running"
        if record.pid == RESTARTING:
            return "restarting"
        return self._by_hand(record)

    def _by_hand(self, record: Record) -> str:
        if record.pid == QUARANTINED:
            record.times = []
        record.attempt, record.parked = 0, False
        outcome = self._start(record)
        if outcome == "fail" and self.dynamic:
            self.records.remove(record)
        if outcome == "ignore" and (self.dynamic or record.spec.restart is Restart.TEMPORARY):
            self.records.remove(record)
        return "start_failed" if outcome == "fail" else "ok"

    def call_start_stopped(self, id: str) -> str:
        record = self._find(id)
        if record is None:
            return "not_found"
        if record.runs:
            return "running"
        if record.pid == RESTARTING:
            return self._hurry(record)
        return self._by_hand(record)

    def _hurry(self, record: Record) -> str:
        """The answer does not wait for the outcome of the try."""
        self.mailbox.appendleft(("again", record.id, record.ticket))
        return "ok"

    def call_reset(self, id: str) -> str:
        record = self._find(id)
        if record is None:
            return "not_found"
        if record.pid == QUARANTINED:
            return self._by_hand(record)
        record.attempt, record.parked, record.times = 0, False, []
        return self._hurry(record) if record.pid == RESTARTING else "ok"

    def call_delete(self, id: str) -> str:
        if self.dynamic:
            return "not_supported"
        record = self._find(id)
        if record is None:
            return "not_found"
        if record.runs:
            return "running"
        if record.pid == RESTARTING:
            return "restarting"
        self.records.remove(record)
        return "ok"

    def call_reconfigure(self, spec: SupervisorSpec) -> str:
        """OTP's code change: flags and known specs replaced, new ones added and not started, the others last."""
        if (spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE) is not self.dynamic:
            return "invalid"
        self.spec = spec
        if self.dynamic:
            return "ok"
        old = {record.id: record for record in self.records}
        listed = []
        for child in spec.children:
            record = old.pop(child.id, None) or Record(child, child.id)
            record.spec = child
            if record.pid == RESTARTING and child.restart is Restart.TEMPORARY:
                record.pid = NONE
            listed.append(record)
        self.records = listed + [record for record in self.records if record.id in old]
        return "ok"

    # questions

    def which_children(self) -> list[tuple[str, str]]:
        def shown(record: Record) -> str:
            return "running" if record.runs else RESTARTING if record.pid == RESTARTING else NONE

        return [(record.id, shown(record)) for record in reversed(self.records)]

    def count_children(self) -> tuple[int, int, int, int]:
        supervisors = sum(record.spec.type is ChildType.SUPERVISOR for record in self.records)
        specs = 1 if self.dynamic else len(self.records)
        active = sum(record.runs for record in self.records)
        return specs, active, supervisors, len(self.records) - supervisors
