"""The nodes of the tree as a configuration names them, with their paths: supervisors, actors, programs, loops, work.

One walk over the tables, shared by the checks and by the builder, so that both mean the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from actors.addresses import ROOT, check_path, join, parent_of
from actors.errors import AddressError
from supervisors.node.config import ActorConfig, ChildOptions, Config, LoopConfig, SupervisorConfig, WorkConfig
from supervisors.node.counting import Machine, evaluate_count
from supervisors.node.positions import KeyPath
from supervisors.node.programs import ProgramConfig

JOBS_UNDER = "/work"
"""Supervisor of the queues and their workers; where it is not written, it is one like any other."""


class Role(Enum):
    """What an entry becomes."""

    SUPERVISOR = "supervisor"
    ACTOR = "actor"
    PROGRAM = "program"
    LOOP = "loop"
    INDEX = "index"
    WORKER = "worker"
    JOBS = "jobs"
    JOB_WORKER = "job worker"


class Entry(Struct, frozen=True):
    """One entry of the configuration that becomes a child, or `instances` of them.

    Attributes:
        path: Its path; the stem of `path#1` and on where there are instances.
        at: The keys where it is written.
        role: What it becomes.
        settings: Its table.
        instances: How many; None for the one child called `path`.
        needs: Paths that must be ready first.
        start_order: Its place among its siblings.
    """

    path: str
    at: KeyPath
    role: Role
    settings: SupervisorConfig | ChildOptions | ProgramConfig
    instances: int | None = None
    needs: tuple[str, ...] = ()
    start_order: int = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of its children."""
        if self.instances is None:
            return (self.path,)
        return tuple(f"{self.path}#{number}" for number in range(1, self.instances + 1))

    @property
    def parent(self) -> str:
        """The path of its supervisor."""
        return parent_of(self.path) or ROOT


def is_path(text: str) -> bool:
    """Whether `text` is an actor path."""
    try:
        check_path(text)
    except AddressError:
        return False
    return True


def entries_of(config: Config, machine: Machine) -> Iterator[Entry]:
    """Yield the entries of `config` in the order they are written; those with a faulty path or disabled are left out.

    The root is left out too: it is nobody's child.
    """
    for path, supervisor in config.supervisors.items():
        if path != ROOT and is_path(path):
            at: KeyPath = ("supervisors", path)
            needs, order = supervisor.needs, supervisor.start_order
            yield Entry(path, at, Role.SUPERVISOR, supervisor, None, needs, order)
    for path, actor in config.actors.items():
        if path != ROOT and is_path(path) and actor.enabled:
            yield _actor(path, actor, machine)
    for path, program in config.programs.items():
        if path != ROOT and is_path(path) and program.enabled:
            yield Entry(path, ("programs", path), Role.PROGRAM, program, None, program.needs, program.start_order)
    if config.loops is not None:
        for name, loop in config.loops.list.items():
            path = join(config.loops.under, name)
            if is_path(path) and "/" not in name and loop.enabled:
                yield _loop(path, name, loop)
    if config.work is not None or config.queues:
        yield from _jobs(config)
    if config.work is not None:
        yield from _work(config.work, machine)
    yield from _queues(config, machine)


def _actor(path: str, actor: ActorConfig, machine: Machine) -> Entry:
    instances = _instances(actor.count, machine) if actor.count is not None else None
    return Entry(path, ("actors", path), Role.ACTOR, actor, instances, actor.needs, actor.start_order)


def _loop(path: str, name: str, loop: LoopConfig) -> Entry:
    return Entry(path, ("loops", "list", name), Role.LOOP, loop)


def _jobs(config: Config) -> Iterator[Entry]:
    at: KeyPath = ("queues",) if config.queues else ("work",)
    if JOBS_UNDER not in config.supervisors:
        yield Entry(JOBS_UNDER, at, Role.SUPERVISOR, SupervisorConfig())
    yield Entry(join(JOBS_UNDER, "jobs"), at, Role.JOBS, ChildOptions())


def _work(work: WorkConfig, machine: Machine) -> Iterator[Entry]:
    index, task = join(work.under, "index"), join(work.under, "task")
    yield Entry(index, ("work",), Role.INDEX, work)
    yield Entry(task, ("work",), Role.WORKER, work, _instances(work.count, machine), (), 1)


def _queues(config: Config, machine: Machine) -> Iterator[Entry]:
    for name, queue in config.queues.items():
        path = join(JOBS_UNDER, name)
        if is_path(path) and "/" not in name:
            yield Entry(path, ("queues", name), Role.JOB_WORKER, queue, _instances(queue.workers, machine), (), 1)


def _instances(count: str, machine: Machine) -> int:
    return evaluate_count(count, machine)
