"""What a step changed in a supervisor and its children that no fact tells, put on the bus as `TreeChanged`.

With it the events of a node say all that the tree shows, so that the tree of any instant can be rebuilt from them
(`supervisors.past.folding`). What facts do tell is not told again: an instance that became ready, a restart without a
delay, a record that is gone. So a restart storm and the start of a large tree cost little here.

Now and then the whole list of children is told (`keyframe`), so that a reader need not begin at the node's start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from actors.core.system import ActorSystem
from actors.events import TreeChanged
from actors.exits import ExitReason
from actors.treeevents import ChildRecord
from supervisors.core import (
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    Fresh,
    Held,
    Quarantined,
    Restarting,
    Running,
    Starting,
    State,
    Stopping,
)
from supervisors.core import events as ev
from supervisors.core.effects import Effect, Launch, RestartFact
from supervisors.core.states import IDLE, GoingDown, Over, StartingUp
from supervisors.specs import ChildType, Strategy, SupervisorSpec
from supervisors.strategies import binds_siblings
from supervisors.views import NodeState

PAGE: Final = 200
"""Children in one event."""

KEYFRAME_AFTER: Final = 2_000
"""Changes told after which the whole list is told again; ten times the number of children where that is more."""

KEYFRAME_EVERY: Final = 3_600.0
"""Seconds after which each supervisor tells the whole list of its children, whatever has happened."""

LINE_LIMIT: Final = 500
"""Characters of a reason that a tree shows."""

STATE_OF_DOWN: Final = {
    DownWhy.WAITING: NodeState.WAITING,
    DownWhy.NOT_STARTED: NodeState.STOPPED,
    DownWhy.FINISHED: NodeState.FINISHED,
    DownWhy.IGNORED: NodeState.NOT_CONFIGURED,
    DownWhy.TERMINATED: NodeState.STOPPED,
    DownWhy.FAILED: NodeState.FAILED,
    DownWhy.ABANDONED: NodeState.ABANDONED,
}
"""The word that a tree shows for a child without an instance."""


class Teller:
    """Tells for one supervisor; used on that supervisor's turns alone.

    Attributes:
        generation: Which instance of the supervisor.
    """

    def __init__(
        self, path: str, system: ActorSystem, own_pid: int, process_of: Callable[[str, int], int | None]
    ) -> None:
        """Make the teller.

        Args:
            path: The supervisor's.
            system: Its bus and clock.
            own_pid: This process.
            process_of: Gives the process of a child's instance (id, generation); 0: it has none, None: this one.
        """
        self.generation = 1
        self._path = path
        self._publish = system.bus.publish
        self._clock = system.clock
        self._own_pid = own_pid
        self._process_of = process_of
        self._told = 0

    def tell(self, before: State, state: State, event: ev.Event, effects: tuple[Effect, ...]) -> None:
        """Tell what the step from `before` to `state` changed, its effects performed already."""
        phase, earlier = state.phase, before.phase
        if phase is IDLE and earlier is IDLE and _is_told_by_facts(before, event, effects):
            self._told += 1
            if self._told > KEYFRAME_AFTER:
                self._renew(state)
            return
        wall = self._clock.time() - self._clock.monotonic()
        if type(earlier) is Fresh:
            self._list(state, wall)
            return
        if _is_round_the_same(earlier, phase, state.spec.strategy) and not isinstance(event, ev.Reconfigure):
            ids = {effect.id for effect in effects if hasattr(effect, "id")}
            if (own := getattr(event, "id", "")) or (own := getattr(getattr(event, "timer", None), "id", "")):
                ids.add(own)
            changed = [child for id in ids if (child := state.children.get(id)) is not None]
        else:
            changed = list(state.children.values())
        found = [child for child in changed if before.children.get(child.id) is not child]
        found = [child for child in found if not _is_as_told(before, child, event)]
        is_reset = isinstance(event, ev.ResetChild) and not event.id
        is_other = type(phase) is not type(earlier) or state.spec is not before.spec or is_reset
        if not found and not is_other:
            return
        found.sort(key=_position)
        window = _instants(state, wall) if is_reset else None
        for at in range(0, max(1, len(found)), PAGE):
            self._say(state, wall, found[at : at + PAGE], window=window)
        self._told += 1 + len(found)
        if self._told > KEYFRAME_AFTER:
            self._renew(state)

    def keyframe(self, state: State) -> None:
        """Tell the supervisor whole."""
        if not isinstance(state.phase, (Fresh, Over)):
            self._list(state, self._clock.time() - self._clock.monotonic())

    def ended(self, state: State) -> None:
        """Tell that the supervisor crashed: nothing below it runs any more."""
        self._say(state, 0.0, (), word="ended")

    def _renew(self, state: State) -> None:
        if self._told > max(KEYFRAME_AFTER, 10 * len(state.children)):
            self.keyframe(state)

    def _list(self, state: State, wall: float) -> None:
        children = sorted(state.children.values(), key=_position)
        self._say(state, wall, children[:PAGE], whole=True, window=_instants(state, wall))
        for at in range(PAGE, len(children), PAGE):
            self._say(state, wall, children[at : at + PAGE])
        self._told = 0

    def _say(
        self,
        state: State,
        wall: float,
        children: list[Child] | tuple[Child, ...],
        *,
        whole: bool = False,
        window: tuple[float, ...] | None = None,
        word: str = "",
    ) -> None:
        spec = state.spec
        records = tuple([self._record(child, wall) for child in children])
        self._publish(
            TreeChanged(
                self._clock.time(), self._path, word or _word(state), self.generation, self._own_pid,
                spec.strategy.value, spec.intensity, float(spec.period), records, whole, window,
            )
        )  # fmt: skip

    def _record(self, child: Child, wall: float) -> ChildRecord:
        pid = self._process_of(child.id, child.generation)
        return record_of(child, wall, self._own_pid if pid is None else pid)


def record_of(child: Child, wall: float, pid: int) -> ChildRecord:
    """Return a child's record in plain data.

    Args:
        child: The core's record.
        wall: What to add to a monotonic instant for seconds since the epoch.
        pid: Its process, 0 where it has no instance.
    """
    spec, state = child.spec, child.state
    since = next_at = 0.0
    why = stopped_by = stopped_why = ""
    attempt = 0
    match state:
        case Running():
            word, since = NodeState.SUSPENDED if state.suspended else NodeState.READY, wall + state.since
        case Starting():
            word, since, attempt = NodeState.STARTING, wall + state.since, child.attempt
        case Restarting():
            word, next_at = NodeState.PARKED if state.parked else NodeState.RESTARTING, wall + state.next_at
            attempt = child.attempt
        case Ended():
            word, attempt, why = NodeState.RESTARTING, child.attempt, "its group is being restarted"
        case Stopping():
            word, why = NodeState.STOPPING, "killed" if state.killed else ""
        case Held():
            hold = state.hold
            word, since, stopped_by, stopped_why = NodeState.STOPPED, hold.at, hold.author, hold.why
        case Quarantined():
            word, why = NodeState.QUARANTINED, f"restarted too often: {one_line(state.reason)}"
        case Down():
            word, why = STATE_OF_DOWN[state.why], state.detail
        case _:
            assert_never(state)
    budget = spec.budget
    has_run = child.generation > 0
    is_supervisor = spec.type is ChildType.SUPERVISOR
    return ChildRecord(
        id=child.id,
        position=child.position,
        state=word.value,
        generation=child.generation,
        kind="supervisor" if is_supervisor else "worker",
        restart=spec.restart.value,
        placement=spec.placement if has_run else "",
        strategy=spec.start.strategy.value if isinstance(spec.start, SupervisorSpec) else "",
        significant=spec.significant,
        pid=pid,
        since=since,
        why=why,
        attempt=attempt,
        restarts=child.restarts if has_run else 0,
        next_at=next_at,
        last_reason=one_line(child.last_exit) if child.last_exit is not None else "",
        stopped_by=stopped_by,
        stopped_why=stopped_why,
        intensity=budget.intensity if budget is not None else -1,
        period=float(budget.period) if budget is not None else 0.0,
        window=tuple([wall + at for at in child.window.instants()]) if budget is not None else (),
    )


def one_line(reason: ExitReason) -> str:
    """Return a reason as a tree shows it."""
    line = str(reason).split("\n", 1)[0]
    return line if len(line) <= LINE_LIMIT else line[:LINE_LIMIT] + "…"


def _is_told_by_facts(before: State, event: ev.Event, effects: tuple[Effect, ...]) -> bool:
    """Whether facts tell all of a step that began and ended with no round: a child that became ready, or that ended
    and is started again at once. Then nothing else changed, as no sibling is bound to it."""
    if type(event) is ev.ChildStarted:
        child = before.children.get(event.id)
        return child is None or type(child.state) is Starting
    if type(event) is ev.ChildExited and len(effects) > 2 and type(effects[-1]) is Launch:
        fact = effects[1]
        return type(fact) is RestartFact and len(fact.group) == 1 and fact.delay == 0
    return False


def _is_as_told(before: State, child: Child, event: ev.Event) -> bool:
    """Whether `ActorStarted` tells all of what became of a child: not where a new specification came into force too."""
    if type(event) is not ev.ChildStarted or event.id != child.id or type(child.state) is not Running:
        return False
    old = before.children.get(child.id)
    if old is None or old.spec is not child.spec:
        return False
    return type(old.state) is Starting and old.generation == child.generation


def _is_round_the_same(earlier: Any, phase: Any, strategy: Strategy) -> bool:
    """Whether a step only went on with what was being done, so that it touched no child beside those it names."""
    if earlier is phase:
        return not binds_siblings(strategy)  # a round of a group can be over within one step
    if type(earlier) is not type(phase):
        return False
    if isinstance(phase, GoingDown):
        return phase.stops is earlier.stops
    if isinstance(phase, (StartingUp, Active)):
        new, old = phase.round, earlier.round
        return new is not None and old is not None and new.stops is old.stops and new.starts is old.starts
    return True


def _word(state: State) -> str:
    match state.phase:
        case Active():
            return "ready"
        case Fresh() | StartingUp():
            return "starting"
        case GoingDown():
            return "stopping"
        case Over():
            return "ended"
        case _:
            assert_never(state.phase)


def _instants(state: State, wall: float) -> tuple[float, ...]:
    return tuple([wall + at for at in state.window.instants()])


def _position(child: Child) -> int:
    return child.position


Processes = Mapping[str, tuple[int, Any]]
"""The launched instance of each child by id, as `Supervisor.handles`."""


def process_finder(handles: Processes) -> Callable[[str, int], int | None]:
    """Return what finds the process of a child's instance: 0 where it has none, None where it is this one."""

    def find(id: str, generation: int) -> int | None:
        held = handles.get(id)
        if held is None or held[0] != generation:
            return 0
        pid: int | None = held[1].pid
        return pid

    return find
