"""Taking a new spec while running: OTP's rule, or the difference carried out."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from supervisors.core.draft import Draft, is_waiting
from supervisors.core.effects import Done, Refusal, Refused, Reply
from supervisors.core.events import Reconfigure, TimerKind
from supervisors.core.instances import cancel_retry
from supervisors.core.rounds import plan_group
from supervisors.core.states import (
    UP,
    Active,
    Child,
    Down,
    DownWhy,
    Quarantined,
    Restarting,
    Round,
    RoundKind,
    Running,
    Starting,
    State,
    Stopping,
    Then,
)
from supervisors.core.validation import arrange, validate_tree
from supervisors.errors import Fault
from supervisors.intensity import EMPTY
from supervisors.specs import ChildSpec, Restart, Strategy, SupervisorSpec

_FLAGS = tuple(field for field in SupervisorSpec.__struct_fields__ if field != "children")


class Change(Struct, frozen=True):
    """The difference between what a supervisor has and what a new spec says, as ids.

    Attributes:
        flags: Names of the supervisor's own fields that change.
        add: To be started, in start order. Not those whose record went (a temporary child that ended, one that was
            deleted) while their spec stayed the same.
        replace: To be stopped and started with their new spec, in start order.
        update: Not running: their spec is replaced, nothing is started.
        remove: To be stopped and dropped, in start order.
        keep: Untouched, in start order. Children added at run time are always kept.
    """

    flags: tuple[str, ...]
    add: tuple[str, ...]
    replace: tuple[str, ...]
    update: tuple[str, ...]
    remove: tuple[str, ...]
    keep: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes at all."""
        return not (self.flags or self.add or self.replace or self.update or self.remove)


def plan_change(state: State, spec: SupervisorSpec) -> Change:
    """Return what `Reconfigure(spec, apply=True)` would do now. `spec` must have no faults."""
    return _plan(state.spec, {child.id: child for child in state.children.values()}, arrange(spec, state.path))


def _plan(old: SupervisorSpec, children: dict[str, Child], new: SupervisorSpec) -> Change:
    flags = tuple(name for name in _FLAGS if getattr(old, name) != getattr(new, name))
    if new.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
        template = tuple(child.id for child in new.children)
        is_same = old.children == new.children
        return Change(flags, (), (), () if is_same else template, (), template if is_same else ())
    listed = {child.id for child in new.children}
    configured = {child.id: child for child in old.children}
    present = [child for child in new.children if child.id in children]
    changed = [child.id for child in present if children[child.id].spec != child]
    live = Running | Starting | Restarting | Quarantined
    gone = [child for child in sorted(children.values(), key=lambda c: c.position) if child.id not in listed]
    return Change(
        flags,
        add=tuple(c.id for c in new.children if c.id not in children and configured.get(c.id) != c),
        replace=tuple(id for id in changed if isinstance(children[id].state, live)),
        update=tuple(id for id in changed if not isinstance(children[id].state, live)),
        remove=tuple(child.id for child in gone if child.id in configured),
        keep=tuple(child.id for child in present if child.id not in changed)
        + tuple(child.id for child in gone if child.id not in configured),
    )


def reconfigure(draft: Draft, event: Reconfigure) -> None:
    """Take a new spec, or refuse it whole."""
    spec = event.spec
    if spec is None:
        draft.effects.append(Reply(event.request, Done("")))
        return
    faults = validate_tree(spec, draft.path)
    if not faults and (spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE) is not draft.is_dynamic:
        faults = [Fault("strategy", "a running supervisor cannot become dynamic or cease to be so", path=draft.path)]
    if faults:
        message = "; ".join(str(fault) for fault in faults)
        draft.effects.append(Reply(event.request, Refused("", Refusal.INVALID, message, faults=tuple(faults))))
        return
    if draft.has_round:
        draft.deferred = (*draft.deferred, event)
        return
    spec = arrange(spec, draft.path)
    change = _plan(draft.spec, {child.id: child for child in draft.children.values()}, spec)
    bereft = _bereft(draft, {*change.replace, *change.remove}) - set(change.remove)
    draft.spec = spec
    if draft.is_dynamic:
        draft.effects.append(Reply(event.request, Done("")))
        return
    _renumber(draft, spec.children, set(change.add) if event.apply else {child.id for child in spec.children})
    _release(draft)
    if event.apply:
        _carry_out(draft, change, bereft, event.request)
    else:
        draft.effects.append(Reply(event.request, Done("")))


def _renumber(draft: Draft, specs: tuple[ChildSpec, ...], new: set[str]) -> None:
    """Give every child its new spec and place: those listed first, in order, then the others as they stood.

    Of those without a record, `new` get one.
    """
    listed = {spec.id for spec in specs}
    others = [child for child in draft.in_order() if child.id not in listed]
    position = 0
    for spec in specs:
        child = draft.children.get(spec.id)
        if child is None and spec.id not in new:
            continue
        if child is None:
            child = draft.new_child(spec.id, spec, Down(DownWhy.NOT_STARTED))
        position += 1
        draft.put(replace(child, spec=spec, position=position))
    for child in others:
        position += 1
        draft.put(replace(child, position=position))
    draft.note(last_position=position)


def _release(draft: Draft) -> None:
    """End the waits that the new spec leaves without a sense: of what has become temporary, and behind such a one."""
    for child in draft.in_order():
        if isinstance(child.state, Restarting) and child.spec.restart is Restart.TEMPORARY:
            draft.disarm(TimerKind.RETRY, child.id, child.state.serial)
            draft.become(child, Down(DownWhy.TERMINATED, "it has become temporary"))
    expected: set[str] = set()
    for child in draft.in_order():
        if isinstance(child.state, Restarting):
            expected.update(plan_group(draft, child).start)
    for child in draft.in_order():
        if is_waiting(child.state) and child.id not in expected:
            draft.become(child, Down(DownWhy.TERMINATED, "what it waited for is not restarted any more"))


def _bereft(draft: Draft, cancelled: set[str]) -> set[str]:
    """Return the children that wait for the retry of one of `cancelled`: nothing else would bring them back."""
    expected: set[str] = set()
    for child in draft.in_order():
        if isinstance(child.state, Restarting) and child.id in cancelled:
            expected.update(plan_group(draft, child).start)
    return {child.id for child in draft.in_order() if is_waiting(child.state) and child.id in expected}


def _carry_out(draft: Draft, change: Change, bereft: set[str], request: int) -> None:
    """Begin the round that stops, drops and starts what the change says; a new spec comes with a clean slate."""
    stops: list[str] = []
    waits = {*change.add, *change.replace}
    waits |= bereft
    for child in reversed(draft.in_order()):
        if child.id not in waits and child.id not in change.remove:
            continue
        child = replace(child, window=EMPTY, attempt=0, parked=False)
        draft.put(child)
        state = child.state
        if isinstance(state, UP):
            stops.append(child.id)
        elif isinstance(state, Stopping):  # only of those to be removed
            requests = state.requests
            if state.then is Then.START:
                for waiting in requests:
                    draft.refuse(waiting, child.id, Refusal.STOPPING, f"{child.id} is not in the new spec")
                requests = ()
            draft.become(child, replace(state, then=Then.DROP, requests=requests, hold=None))
            stops.append(child.id)
        elif child.id in change.remove:
            if isinstance(state, Restarting):
                cancel_retry(draft, child, Then.DROP)
            else:
                draft.drop(child)
        elif isinstance(state, Restarting):
            cancel_retry(draft, child, Then.WAIT)
        else:
            draft.become(child, Down(DownWhy.WAITING))
    starts = tuple(child.id for child in draft.in_order() if child.id in waits)
    draft.phase = Active(Round(RoundKind.CHANGE, tuple(stops), starts, request=request))
