"""`restart --rolling`: workers are replaced one after another, and whoever asks them meanwhile is answered.

    several instances of one worker    one more is started beside them; once it is ready, each of them in its turn
                                       is gated (`gates`) and restarted; then the one more is stopped
    any other worker                   gated and restarted

The next is not touched before the last is ready again. Where one does not get ready, those after it are left as they
are. What a person stopped stays stopped.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from actors.addresses import is_within, join, name_of, parent_of
from supervisors import core
from supervisors.node.facts import NodeFacts
from supervisors.node.gates import Gates, call, why_refused
from supervisors.node.operations import Answer, Gathering
from supervisors.node.reloadplan import stem_of
from supervisors.requests import TargetArguments
from supervisors.selectors import SelectorError, select
from supervisors.specs import ChildSpec
from supervisors.supervisor import Services
from supervisors.tree import find, nodes
from supervisors.views import CommandView, NodeKind, NodeState, NodeView, TargetOutcome, TargetView

logger = logging.getLogger(__name__)

_RUNNING = frozenset({NodeState.READY, NodeState.SUSPENDED})


class Rolling:
    """Rolling restarts of one node, one at a time, and none beside a reload. Methods may be called on any thread."""

    def __init__(self, node: NodeFacts) -> None:
        self._node = node
        self._services: Services = node.services

    def run(self, _verb: str, wanted: TargetArguments, author: str, why: str, answer: Answer) -> None:
        """Restart the workers that `wanted` selects on a thread of its own; `answer` gets the outcome, once.

        Raises:
            SelectorError: The selectors are malformed or select no worker; `conflict`: a reload, or another rolling
                restart, is under way.
        """
        targets = _workers(nodes(self._services), wanted.selectors)
        groups = list(_groups([node.path for node in targets if node.state in _RUNNING]))
        if wanted.dry_run:
            answer(CommandView(command="restart", items=tuple(_planned(targets, groups))))
            return
        if not self._node.changing.acquire(blocking=False):
            raise SelectorError(
                "conflict", "a reload or rolling restart is under way", "actorctl events --topic daemon"
            )
        change = f"rolling restart of {' '.join(wanted.selectors)} by {author}"
        self._node.change(self._node.state, f"{change}{f'; {why}' if why else ''}")
        gathering = Gathering("rolling", targets, self._services, answer)
        for node in targets:
            if node.state not in _RUNNING:
                gathering.settle(node.path, core.Refused("", core.Refusal.NOT_RUNNING, f"it is {node.state.value}"))

        def roll() -> None:
            try:
                self._roll_all(groups, gathering.settle)
            except Exception:
                logger.exception("the rolling restart failed")
                gathering.close(TargetOutcome.FAILED)
            finally:
                self._node.changing.release()

        threading.Thread(target=roll, name="rolling-restart", daemon=True).start()
        if wanted.wait:
            gathering.arm(wanted.timeout)
        else:
            gathering.close(TargetOutcome.ACCEPTED)

    def _roll_all(self, groups: Sequence[list[str]], settle: Callable[[str, core.Done | core.Refused], None]) -> None:
        failed = ""
        for group in groups:
            for path, result in self._roll(group, failed):
                if isinstance(result, core.Refused) and not failed:
                    failed = path
                settle(path, result)

    def _roll(self, group: list[str], failed: str) -> Iterator[tuple[str, core.Done | core.Refused]]:
        """Restart the workers of one group; yield what became of each."""
        parent = parent_of(group[0]) or "/"
        specs = {path: found[1].spec for path in group if (found := find(self._services, path)) is not None}
        extra: ChildSpec | None = None
        known = find(self._services, group[0])
        if len(group) > 1 and not failed and known is not None:
            extra = replace(
                known[1].spec, id=_next_id(known[1].spec.id, [name for name, _ in known[0].published.children.items()])
            )
            result = call(self._services, parent, core.StartChild(request=0, now=0.0, spec=extra))
            if isinstance(result, core.Refused):
                call(self._services, parent, core.DeleteChild(request=0, now=0.0, id=extra.id))
                why = f"not restarted, since one more instance did not get ready: {why_refused(result)}"
                yield from ((path, core.Refused(name_of(path), core.Refusal.START_FAILED, why)) for path in group)
                return
        try:
            for path in group:
                if failed:
                    why = f"not restarted, since {failed} did not get ready"
                    yield path, core.Refused(name_of(path), core.Refusal.START_FAILED, why)
                    continue
                with Gates(self._services, parent, [specs[path]] if path in specs else []):
                    request = core.RestartChild(request=0, now=0.0, id=name_of(path), stop_first=True)
                    result = call(self._services, parent, request)
                if isinstance(result, core.Refused):
                    failed = path
                yield path, result
        finally:
            if extra is not None:
                with Gates(self._services, parent, [extra]):
                    call(self._services, parent, core.TerminateChild(request=0, now=0.0, id=extra.id))
                call(self._services, parent, core.DeleteChild(request=0, now=0.0, id=extra.id))


def _next_id(id: str, siblings: Iterable[str]) -> str:
    """Return an id that no sibling has, for one more instance of the worker `id`."""
    stem = stem_of(id)
    numbers = [int(name.rpartition("#")[2]) for name in siblings if stem_of(name) == stem]
    return f"{stem}#{max(numbers, default=0) + 1}"


def _workers(tree: Sequence[NodeView], selectors: Sequence[str]) -> list[NodeView]:
    """Return the workers that the selectors choose, those below a chosen supervisor included.

    Raises:
        SelectorError: There is none.
    """
    chosen = [node.path for node in select(tree, selectors)]
    found = [node for node in tree if node.kind is NodeKind.WORKER and any(is_within(node.path, at) for at in chosen)]
    if not found:
        raise SelectorError("not_found", f"{' '.join(selectors)}: no worker is there", "actorctl ps")
    return found


def _groups(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths, instances of one worker together, in order of the first of each."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        stem = stem_of(name_of(path))
        groups[join(parent_of(path) or "/", f"{stem}#") if stem else path].append(path)
    yield from groups.values()


def _planned(targets: Sequence[NodeView], groups: Sequence[list[str]]) -> Iterator[TargetView]:
    sizes = {path: len(group) for group in groups for path in group}
    for node in targets:
        size = sizes.get(node.path, 0)
        how = "one more is started first" if size > 1 else "its messages are held meanwhile"
        yield TargetView(
            path=node.path,
            outcome=TargetOutcome.PLANNED if size else TargetOutcome.UNCHANGED,
            state=node.state,
            message=how if size else f"it is {node.state.value}",
        )
