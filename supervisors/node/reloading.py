"""Reload: the configuration is read again, compared with the running tree, and only what differs is touched.

    read and check whole --faults--> refused, nothing has changed
        |
    plan (`reloadplan`) --dry run--> shown
        |
    supervisor by supervisor, from the root down: add, remove, replace, then instances one after another

A worker that is replaced gets no new messages from the moment on in which its turn comes: they are held, and it works
off what it has, for as long as its `shutdown` allows. Then it is replaced, and what was held is delivered to the new
instance. So an ask under way is answered, by the old one or by the new one. For several instances of one worker, one
more with the new spec is started beside them and must be ready before the first of the old ones leaves; where it does
not get ready, none is touched.

Workers of a subtree that runs in another process are replaced without that: their messages are not this process's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import join
from actors.core.holding import Holding
from supervisors import core
from supervisors.branches import post_call
from supervisors.children import LocalHandle
from supervisors.node.facts import NodeFacts
from supervisors.node.faults import ConfigurationError
from supervisors.node.loading import Loaded
from supervisors.node.reloadplan import (
    Action,
    ReloadPlan,
    is_same_place,
    plan_reload,
    rolling_groups,
)
from supervisors.processes.handle import ProcessChild
from supervisors.selectors import SelectorError
from supervisors.specs import ChildSpec, SupervisorSpec
from supervisors.supervisor import Services
from supervisors.tree import find
from supervisors.views import ReloadItem, ReloadView

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 600.0
"""Longest wait for a supervisor to carry out one change, in seconds: its children have start and stop times."""
LOOK_EVERY: Final = 0.01
LIVE_SETTINGS: Final = ("log.level", "runtime.drain")
"""Settings of the node that count at once; others count from its next start on."""
SETTINGS: Final = ("runtime.", "log.", "health.")
HELD_MAX: Final = 100_000
"""Most messages held for one worker while it is replaced."""

Load = Callable[[], tuple[Loaded, SupervisorSpec]]
"""Reads the configuration again, checks it whole, and returns it with its tree."""


class Current(Struct, frozen=True):
    """The configuration that runs: as it was loaded, its tree, and the files it was read from as they were then."""

    loaded: Loaded
    tree: SupervisorSpec
    signature: tuple[Any, ...]


class Reloads:
    """Reloads of one node, one at a time. Methods may be called on any thread.

    Args:
        node: The node.
        loaded: What it was started with.
        tree: The tree that came of it.
        load: Reads the configuration again.
        on_drain: Gets a changed `runtime.drain`.
    """

    def __init__(
        self, node: NodeFacts, loaded: Loaded, tree: SupervisorSpec, load: Load, on_drain: Callable[[float], object]
    ) -> None:
        self._node = node
        self._load = load
        self._on_drain = on_drain
        self._busy = threading.Lock()
        self._started = loaded
        self._current = Current(loaded, tree, _signature(loaded))
        self._seen: tuple[tuple[Any, ...], Loaded, SupervisorSpec] | None = None

    def begin(self, author: str, why: str, answer: Callable[[ReloadView], object], *, dry_run: bool = False) -> None:
        """Reload on a thread of its own; `answer` gets what became of it, once.

        Raises:
            SelectorError: `conflict`: one is under way.
        """
        if not self._busy.acquire(blocking=False):
            raise SelectorError("conflict", "a reload is under way", "actorctl events --topic daemon")

        def run() -> None:
            try:
                view = self._reload(author, why, dry_run)
            except Exception as error:
                logger.exception("the reload failed")
                view = ReloadView(faults=(f"the reload failed: {type(error).__name__}: {error}",))
            finally:
                self._busy.release()
            answer(view)

        threading.Thread(target=run, name="reload", daemon=True).start()

    def drift(self, path: str) -> tuple[str, ...]:
        """Return in what the child at `path` differs from what the files say; reads them where they have changed."""
        signature = _signature(self._current.loaded)
        if signature == self._current.signature:
            return ()
        if self._seen is None or self._seen[0] != signature:
            try:
                loaded, tree = self._load()
            except ConfigurationError as error:
                first = error.faults[0]
                return (f"the configuration has {len(error.faults)} faults now, the first: {first}",)
            self._seen = (signature, loaded, tree)
        plan = plan_reload(self._current.tree, self._seen[2])
        for step in plan.steps:
            if step.path == path:
                return (f"a reload: {step.action.value}", *step.changes)
        return ()

    def _reload(self, author: str, why: str, dry_run: bool) -> ReloadView:
        began = time.monotonic()
        current = self._current
        signature = _signature(current.loaded)
        try:
            loaded, tree = self._load()
        except ConfigurationError as error:
            if not dry_run:
                logger.error("reload refused, nothing was changed: %s", "; ".join(map(str, error.faults)))
            return ReloadView(faults=tuple(map(str, error.faults)), seconds=time.monotonic() - began)
        plan = plan_reload(current.tree, tree)
        settings = _settings(current.loaded, loaded, LIVE_SETTINGS) | _settings(self._started, loaded, SETTINGS)
        failed: dict[str, str] = {}
        if not dry_run:
            done = _Carrying(self._node.services, failed).carry_out("/", current.tree, tree)
            self._current = Current(loaded, done, () if failed else signature)
            self._node.config_rows = loaded.rows()
            self._apply(loaded)
        items = (*_items(plan, failed, dry_run), *_setting_items(settings, dry_run))
        if not dry_run:
            self._say(author, why, plan, failed)
        return ReloadView(items=items, unchanged=plan.unchanged, seconds=time.monotonic() - began)

    def _apply(self, loaded: Loaded) -> None:
        self._node.leveling.set_base(loaded.config.log.level)
        self._on_drain(float(loaded.config.runtime.drain))

    def _say(self, author: str, why: str, plan: ReloadPlan, failed: dict[str, str]) -> None:
        counts = {action: sum(step.action is action for step in plan.steps) for action in Action}
        words = [f"{count} {action.value}" for action, count in counts.items() if count]
        detail = f"reloaded by {author}: {', '.join([*words, f'{plan.unchanged} unchanged'])}"
        if failed:
            detail += f"; failed: {', '.join(failed)}"
        self._node.change(self._node.state, f"{detail}{f'; {why}' if why else ''}")


class _Carrying:
    """Carries out one plan, on the reload's thread; `failed` gets the paths that did not come up, and why."""

    def __init__(self, services: Services, failed: dict[str, str]) -> None:
        self._services = services
        self._failed = failed

    def carry_out(self, path: str, old: SupervisorSpec, new: SupervisorSpec) -> SupervisorSpec:
        """Make the supervisor at `path` from `old` to `new`, and what is below; return the spec that it has then."""
        if old == new:
            return new
        before = {child.id: child for child in old.children}
        kept = {spec.id: before[spec.id] for spec in new.children if spec.id in before}
        nested = {spec.id for spec in new.children if spec.id in kept and is_same_place(kept[spec.id], spec)}
        rolling = rolling_groups(old, new)
        later = nested | {spec.id for group in rolling.values() for spec in group}
        children = tuple(kept[spec.id] if spec.id in later else spec for spec in new.children)
        at_once = replace(new, children=children)
        if at_once != old:
            changed = [
                s for s in children if s.id in kept and kept[s.id] != s and not isinstance(s.start, SupervisorSpec)
            ]
            with _Gates(self._services, path, changed):
                self._reconfigure(path, at_once, {spec.id for spec in children if kept.get(spec.id) != spec})
        done = at_once
        for stem, group in rolling.items():
            done = self._roll(path, done, stem, group)
        for spec in new.children:
            if spec.id in nested:
                was, wanted = kept[spec.id].start, spec.start
                assert isinstance(was, SupervisorSpec)
                assert isinstance(wanted, SupervisorSpec)
                done = _with(done, replace(spec, start=self.carry_out(join(path, spec.id), was, wanted)))
        if nested:
            self._call(path, core.Reconfigure(request=0, now=0.0, spec=done, apply=False))
        return done

    def _roll(self, path: str, spec: SupervisorSpec, stem: str, group: Sequence[ChildSpec]) -> SupervisorSpec:
        """Replace the instances of one worker one after another; return the spec that `path` has then."""
        numbers = [int(child.id.rpartition("#")[2]) for child in spec.children if child.id.startswith(f"{stem}#")]
        extra = replace(group[0], id=f"{stem}#{max(numbers) + 1}")
        result = self._call(path, core.StartChild(request=0, now=0.0, spec=extra))
        if isinstance(result, core.Refused):
            self._call(path, core.DeleteChild(request=0, now=0.0, id=extra.id))
            for child in group:
                self._failed[join(path, child.id)] = (
                    f"not replaced, since a new instance did not get ready: {_why(result)}"
                )
            return spec
        try:
            for number, child in enumerate(group):
                with _Gates(self._services, path, [child]):
                    wanted = _with(spec, child)
                    if not self._reconfigure(path, wanted, {child.id}):
                        for left in group[number + 1 :]:
                            self._failed[join(path, left.id)] = f"not replaced, since {child.id} did not get ready"
                        return wanted
                    spec = wanted
        finally:
            with _Gates(self._services, path, [extra]):
                self._call(path, core.TerminateChild(request=0, now=0.0, id=extra.id))
            self._call(path, core.DeleteChild(request=0, now=0.0, id=extra.id))
        return spec

    def _reconfigure(self, path: str, spec: SupervisorSpec, concerned: set[str]) -> bool:
        result = self._call(path, core.Reconfigure(request=0, now=0.0, spec=spec, apply=True))
        if isinstance(result, core.Refused):
            names = [result.id] if result.id in concerned else sorted(concerned)
            for name in names or [""]:
                self._failed[join(path, name) if name else path] = _why(result)
            return False
        return True

    def _call(self, path: str, request: core.Request) -> core.Done | core.Refused:
        answers: SimpleQueue[core.Done | core.Refused] = SimpleQueue()
        if not post_call(self._services, path, request, answers.put):
            return core.Refused("", core.Refusal.NOT_FOUND, f"the supervisor {path} is not running")
        try:
            return answers.get(timeout=ANSWER_TIMEOUT)
        except Empty:
            return core.Refused("", core.Refusal.STOPPING, f"{path} gave no answer within {ANSWER_TIMEOUT:g} s")


class _Gates:
    """Holds messages for workers of one supervisor while they are replaced; entered, they have nothing left to do."""

    def __init__(self, services: Services, parent: str, specs: Sequence[ChildSpec]) -> None:
        self._services = services
        self._system = services.system
        self._patience = max((_patience(spec) for spec in specs), default=0.0)
        self._specs = {join(parent, spec.id): spec for spec in specs}
        self._held: dict[str, Holding] = {}
        self._own: set[str] = set()

    def __enter__(self) -> None:
        registry = self._system.registry
        for path in self._specs:
            if find(self._services, path) is None or registry.reach(path) is None:
                continue  # in another process, or not there
            holding = registry.holding(path)
            if holding is None:
                holding = Holding(self._system, path, HELD_MAX)
                self._own.add(path)
                registry.hold(path, holding)
            holding.close()
            self._held[path] = holding
        until = time.monotonic() + self._patience
        looks = 0
        while self._held and looks < 3 and time.monotonic() < until:
            looks = looks + 1 if all(self._is_idle(path) for path in self._held) else 0
            time.sleep(LOOK_EVERY)

    def __exit__(self, *_error: object) -> None:
        registry = self._system.registry
        for path, holding in self._held.items():
            is_there = registry.reach(path) is not None
            if path in self._own:
                if is_there:
                    holding.open()
                else:
                    holding.end(registry.why_absent(path))
                registry.hold(path, None)
            elif is_there:
                holding.open()

    def _is_idle(self, path: str) -> bool:
        found = find(self._services, path)
        held = found[0].handles.get(found[1].id) if found is not None else None
        if held is None:
            return True
        if isinstance(held[1], ProcessChild):
            return held[1].gateway.statistics().asking == 0
        if isinstance(held[1], LocalHandle) and held[1].is_awaiting:
            return False
        figures = held[1].figures()
        return figures is None or (figures.depth == 0 and figures.handling is None)


def _patience(spec: ChildSpec) -> float:
    return spec.shutdown if isinstance(spec.shutdown, int | float) else 0.0 if spec.shutdown == "brutal_kill" else 60.0


def _why(result: core.Refused) -> str:
    return f"{result.message}: {result.reason}" if result.reason is not None else result.message


def _with(spec: SupervisorSpec, child: ChildSpec) -> SupervisorSpec:
    return replace(spec, children=tuple(child if known.id == child.id else known for known in spec.children))


def _items(plan: ReloadPlan, failed: dict[str, str], dry_run: bool) -> tuple[ReloadItem, ...]:
    items = []
    for step in plan.steps:
        why = failed.get(step.path, "")
        outcome = "planned" if dry_run else "failed" if why else "done"
        items.append(
            ReloadItem(path=step.path, action=step.action.value, changes=step.changes, outcome=outcome, message=why)
        )
    return tuple(items)


def _settings(old: Loaded, new: Loaded, prefixes: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Return the settings under `prefixes` that differ, with their old and new values."""
    before = {row.key: row.value for row in old.rows() if row.key.startswith(prefixes)}
    after = {row.key: row.value for row in new.rows() if row.key.startswith(prefixes)}
    is_live = prefixes == LIVE_SETTINGS
    return {
        key: (before.get(key, "-"), after.get(key, "-"))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and (key in LIVE_SETTINGS) is is_live
    }


def _setting_items(settings: dict[str, tuple[str, str]], dry_run: bool) -> tuple[ReloadItem, ...]:
    return tuple(
        ReloadItem(
            path=key,
            action="setting" if key in LIVE_SETTINGS else "needs-restart",
            changes=(f"{before} → {after}",),
            outcome="done" if key in LIVE_SETTINGS and not dry_run else "planned",
        )
        for key, (before, after) in settings.items()
    )


def _signature(loaded: Loaded) -> tuple[Any, ...]:
    """Return what changes when a file of the configuration does, or one more is there."""
    folder = loaded.directory
    names = {str(folder / source) for source in loaded.sources} | {str(path) for path in folder.glob("conf.d/*.toml")}
    if loaded.file is not None:
        names.add(str(loaded.file))
    found = []
    for name in sorted(names):
        try:
            stat = Path(name).stat()
        except OSError:
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
