"""Reload: the configuration is read again, compared with the running tree, and only what differs is touched.

    read and check whole --faults--> refused, nothing has changed
        |
    plan (`reloadplan`) --dry run--> shown
        |
    supervisor by supervisor, from the root down: add, remove, replace, then instances one after another

A worker that is replaced fails nobody who asks it (`gates`). For several instances of one worker, one more with the new
spec is started beside them and must be ready before the first of the old ones leaves; where it does not get ready, none
is touched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import join
from supervisors import core
from supervisors.errors import Fault
from supervisors.node.facts import NodeFacts
from supervisors.node.faults import ConfigurationError
from supervisors.node.gates import Gates, call, why_refused
from supervisors.node.loading import FILE_NAME, Loaded
from supervisors.node.reloadplan import (
    Action,
    ReloadPlan,
    chosen_part,
    is_same_place,
    plan_reload,
    rolling_groups,
)
from supervisors.requests import ReloadArguments
from supervisors.selectors import SelectorError, check_selector
from supervisors.specs import ChildSpec, SupervisorSpec
from supervisors.supervisor import Services
from supervisors.views import ReloadItem, ReloadView

logger = logging.getLogger(__name__)

LIVE_SETTINGS: Final = ("log.level", "runtime.drain")
"""Settings of the node that count at once; others count from its next start on."""
SETTINGS: Final = ("runtime.", "log.", "health.")

Load = Callable[[], tuple[Loaded, SupervisorSpec]]
"""Reads the configuration again, checks it whole, and returns it with its tree."""


EVERYTHING: Final = ReloadArguments()


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
        self._started = loaded
        self._current = Current(loaded, tree, _signature(loaded))
        self._seen: tuple[tuple[Any, ...], Loaded, SupervisorSpec] | None = None

    def begin(
        self,
        author: str,
        why: str,
        answer: Callable[[ReloadView], object],
        wanted: ReloadArguments = EVERYTHING,
    ) -> None:
        """Reload on a thread of its own; `answer` gets what became of it, once.

        Args:
            author: Who wants it.
            why: The reason given.
            answer: Called on that thread.
            wanted: Whether anything is changed, and of what; settings of the node only with everything.

        Raises:
            SelectorError: `conflict`: one, or a rolling restart, is under way, or the node starts or ends. `usage`: a
                selector is malformed.
        """
        only = tuple(_checked(selector) for selector in wanted.only)
        if not wanted.dry_run:
            self._node.check_up()
        if not self._node.changing.acquire(blocking=False):
            raise SelectorError(
                "conflict", "a reload or rolling restart is under way", "actorctl events --topic daemon"
            )

        def run() -> None:
            try:
                view = self._reload(author, why, wanted.dry_run, only)
            except SelectorError as error:
                view = ReloadView(faults=(str(error),), code=error.code)
            except Exception as error:
                logger.exception("the reload failed")
                view = ReloadView(faults=(f"the reload failed: {type(error).__name__}: {error}",))
            finally:
                self._node.changing.release()
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

    def _reload(self, author: str, why: str, dry_run: bool, only: tuple[str, ...]) -> ReloadView:
        began = time.monotonic()
        current = self._current
        signature = _signature(current.loaded)
        try:
            loaded, tree = self._load()
        except ConfigurationError as error:
            if not dry_run:
                logger.error("reload refused, nothing was changed: %s", "; ".join(map(str, error.faults)))
            return ReloadView(faults=tuple(map(str, error.faults)), seconds=time.monotonic() - began)
        if only:
            tree = chosen_part(current.tree, tree, only)
            if faults := core.validate_tree(tree):
                return ReloadView(faults=tuple(map(str, faults)), seconds=time.monotonic() - began)
        plan = plan_reload(current.tree, tree)
        settings = (
            {}
            if only
            else _settings(current.loaded, loaded, LIVE_SETTINGS) | _settings(self._started, loaded, SETTINGS)
        )
        failed: dict[str, str] = {}
        if not dry_run:
            done = _Carrying(self._node.services, failed).carry_out("/", current.tree, tree)
            self._current = Current(current.loaded if only else loaded, done, () if failed or only else signature)
            if not only:
                self._node.config_rows = loaded.rows()
                self._apply(loaded)
        items = (*_items(plan, failed, dry_run), *_setting_items(settings, dry_run))
        if not dry_run:
            self._say(author, why, plan, failed, only)
        return ReloadView(items=items, unchanged=plan.unchanged, seconds=time.monotonic() - began)

    def _apply(self, loaded: Loaded) -> None:
        self._node.leveling.set_base(loaded.config.log.level)
        self._on_drain(float(loaded.config.runtime.drain))

    def _say(self, author: str, why: str, plan: ReloadPlan, failed: dict[str, str], only: tuple[str, ...]) -> None:
        counts = {action: sum(step.action is action for step in plan.steps) for action in Action}
        words = [f"{count} {action.value}" for action, count in counts.items() if count]
        what = f", only {' '.join(only)}" if only else ""
        detail = f"reloaded by {author}{what}: {', '.join([*words, f'{plan.unchanged} unchanged'])}"
        if failed:
            detail += f"; failed: {', '.join(failed)}"
        self._node.note(f"{detail}{f'; {why}' if why else ''}")


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
            with Gates(self._services, path, changed):
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
            call(self._services, path, core.Reconfigure(request=0, now=0.0, spec=done, apply=False))
        return done

    def _roll(self, path: str, spec: SupervisorSpec, stem: str, group: Sequence[ChildSpec]) -> SupervisorSpec:
        """Replace the instances of one worker one after another; return the spec that `path` has then."""
        numbers = [int(child.id.rpartition("#")[2]) for child in spec.children if child.id.startswith(f"{stem}#")]
        extra = replace(group[0], id=f"{stem}#{max(numbers) + 1}")
        result = call(self._services, path, core.StartChild(request=0, now=0.0, spec=extra))
        if isinstance(result, core.Refused):
            call(self._services, path, core.DeleteChild(request=0, now=0.0, id=extra.id))
            for child in group:
                self._failed[join(path, child.id)] = (
                    f"not replaced, since a new instance did not get ready: {why_refused(result)}"
                )
            return spec
        try:
            for number, child in enumerate(group):
                with Gates(self._services, path, [child]):
                    wanted = _with(spec, child)
                    if not self._reconfigure(path, wanted, {child.id}):
                        for left in group[number + 1 :]:
                            self._failed[join(path, left.id)] = f"not replaced, since {child.id} did not get ready"
                        return wanted
                    spec = wanted
        finally:
            with Gates(self._services, path, [extra]):
                call(self._services, path, core.TerminateChild(request=0, now=0.0, id=extra.id))
            call(self._services, path, core.DeleteChild(request=0, now=0.0, id=extra.id))
        return spec

    def _reconfigure(self, path: str, spec: SupervisorSpec, concerned: set[str]) -> bool:
        result = call(self._services, path, core.Reconfigure(request=0, now=0.0, spec=spec, apply=True))
        if isinstance(result, core.Refused):
            names = [result.id] if result.id in concerned else sorted(concerned)
            for name in names or [""]:
                self._failed[join(path, name) if name else path] = why_refused(result)
            return False
        return True


def _checked(selector: str) -> str:
    found = check_selector(selector)
    if found.startswith("@"):
        raise SelectorError("usage", f"{found}: a file knows no states", "name a path or a glob")
    return found


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


def check_takeable(loaded: Loaded, tree: SupervisorSpec, running: Loaded) -> None:
    """See that a node that was started with `running` can go over to `loaded` and its `tree`.

    Raises:
        ConfigurationError: It cannot.
    """
    file = str(loaded.file or FILE_NAME)
    if loaded.home != running.home:
        hint = "end the node and start it again"
        raise ConfigurationError([Fault("runtime.home", "a running node keeps its home", hint, file=file)])
    if loaded.is_blank and not running.is_blank:  # as in the middle of a careless save
        hint = "version = 1 alone is a node without workers"
        raise ConfigurationError([Fault("", "it says nothing any more", hint, file=file)])
    if faults := core.validate_tree(tree):
        raise ConfigurationError(faults)


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
