"""From a configuration to the tree: supervisor and child specs, as values. Nothing starts and nothing is imported.

Every child becomes an `ImportStart`, so one configuration serves whichever process it runs in. Where the product's own
classes take facts about the node (its home, its time zone), they are filled in here unless `args` says otherwise. A
child with secrets starts through `secretive`: its spec holds the places, never the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.addresses import ROOT, is_within, join, name_of
from supervisors.node.config import (
    ActorConfig,
    ChildOptions,
    Config,
    LoopConfig,
    SecretConfig,
    SupervisorConfig,
    WorkConfig,
)
from supervisors.node.counting import Machine
from supervisors.node.credentials import SecretSource, secret_source
from supervisors.node.entries import Entry, Role, entries_of
from supervisors.node.options import branch_heartbeat, options_of
from supervisors.node.ordering import in_start_order
from supervisors.node.positions import KeyPath
from supervisors.node.programs import ProgramConfig, start_of
from supervisors.node.queueing import QueueConfig, rules_of
from supervisors.node.schedules import CatchUpConfig, catch_up_of, schedules_of
from supervisors.node.secretive import secretive_start
from supervisors.node.sparepool import with_pool
from supervisors.programs import ProgramStart
from supervisors.specs import (
    AutoShutdown,
    ChildSpec,
    ImportStart,
    OnLimit,
    Restart,
    Strategy,
    SupervisorSpec,
)

AGENT_LOOP: Final = "actors.agents.loop:AgentLoop"
INDEX: Final = "actors.jobs.indexkeeper:IndexKeeper"
INDEXING: Final = "actors.jobs.indexing"
INDEX_QUEUE: Final = "task"
JOBS: Final = "actors.jobs.queues:JobQueues"
SLOTS: Final = "actors.scheduling.recurrence:next_slot"
JOB_WORKER: Final = "actors.jobs.running:JobWorker"
JOB_PROCESS: Final = "actors.jobs.running:JobProcess"
RECORDER: Final = "actors.history.recorder:Recorder"
INDEX_BYTES: Final = 8 << 20
"""Largest payload and largest result of a job of the index: a hundred paths as long as paths get, and their records."""
SCHEDULER: Final = "actors.scheduling.scheduler:SchedulerTick"
RESOURCES: Final = "actors.telemetry.monitor:ResourceMonitor"


class Start(Struct, frozen=True):
    """How one child is made.

    Attributes:
        at: The key that names its class.
        settings: The table that its arguments come from.
        use: Its class.
        kwargs: Its arguments but for the secrets.
        secrets: Where each argument that is a secret is found.
        is_process: Whether it runs in another process than the node.
    """

    at: KeyPath
    settings: KeyPath
    use: str
    kwargs: dict[str, Any]
    secrets: dict[str, SecretSource] = {}
    is_process: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """Every argument, the places of secrets standing in for them."""
        return {**self.kwargs, **self.secrets}

    def spec(self) -> ImportStart:
        """Return it as a child spec has it."""
        if not self.secrets:
            return ImportStart(self.use, self.kwargs)
        return secretive_start(self.use, self.kwargs, self.secrets)


def build_tree(config: Config, machine: Machine, directory: Path) -> SupervisorSpec:
    """Return the root of the tree that `config` describes.

    Args:
        config: A configuration without faults.
        machine: What counts depend on.
        directory: Folder that relative paths start from.
    """
    return with_pool(_Builder(config, machine, directory).supervisor(ROOT))


def starts_of(config: Config, machine: Machine, directory: Path) -> Iterator[Start]:
    """Yield how each child is made, one for the instances of an entry together; without those that name no class."""
    builder = _Builder(config, machine, directory)
    for entry in builder.entries:
        if entry.role not in {Role.SUPERVISOR, Role.PROGRAM} and not (
            isinstance(entry.settings, ActorConfig) and not entry.settings.use
        ):
            start = builder.start(entry, 1)
            yield msgspec.structs.replace(start, is_process=builder.is_process(entry))


def programs_of(config: Config, machine: Machine, directory: Path) -> Iterator[tuple[KeyPath, ProgramStart]]:
    """Yield where each program is written and how it is started."""
    builder = _Builder(config, machine, directory)
    for entry in builder.entries:
        if entry.role is Role.PROGRAM:
            yield entry.at, builder.program(entry)


def graft(app: SupervisorSpec, system: SupervisorSpec) -> SupervisorSpec:
    """Return the tree `app`, written in Python, with those children of `system` before it that it has not itself."""
    own = {spec.id for spec in app.children}
    return with_pool(
        msgspec.structs.replace(app, children=(*(s for s in system.children if s.id not in own), *app.children))
    )


class _Builder:
    """Builds one tree; the folders are absolute from here on."""

    def __init__(self, config: Config, machine: Machine, directory: Path) -> None:
        self.entries = tuple(entries_of(config, machine))
        self._config = config
        self._directory = directory.absolute()
        self._home = self._directory / Path(config.runtime.home).expanduser()
        self._root = self._directory / Path(config.runtime.directory).expanduser()

    def supervisor(self, path: str) -> SupervisorSpec:
        settings = self._config.supervisors.get(path) or SupervisorConfig()
        family = [entry for entry in self.entries if entry.parent == path]
        return SupervisorSpec(
            strategy=Strategy(settings.strategy),
            intensity=settings.limit.restarts,
            period=settings.limit.within,
            auto_shutdown=AutoShutdown(settings.auto_shutdown),
            on_limit=OnLimit(settings.on_limit),
            children=tuple(spec for entry in in_start_order(family, self.entries) for spec in self._specs(entry)),
        )

    def start(self, entry: Entry, number: int) -> Start:
        """Return how instance `number` of `entry`, counted from 1, is made."""
        settings = entry.settings
        match settings:
            case ActorConfig():
                return self._actor(entry, settings)
            case LoopConfig():
                return self._loop(entry, settings)
            case QueueConfig(handlers=handlers, places=places, options=options):
                return self._job_worker(entry, name_of(entry.path), handlers, places, options)
            case ChildOptions() if entry.role is Role.JOBS:
                queues = [rules_of(name, queue) for name, queue in self._config.queues.items()]
                if self._config.work is not None:
                    queues.append(self._index_rules(self._config.work))
                zone = self._config.runtime.timezone
                known = {"home": str(self._home), "queues": queues, "slots": SLOTS, "timezone": zone}
                return Start(entry.at, entry.at, JOBS, known)
            case WorkConfig() if entry.role is Role.INDEX:
                return Start(entry.at, entry.at, INDEX, {"home": str(self._home)})
            case WorkConfig(chunk=chunk, max_file=max_file):
                options = {"chunk_bytes": chunk, "max_file_bytes": max_file}
                return self._job_worker(entry, INDEX_QUEUE, (INDEXING,), 1, options)
            case _:
                raise AssertionError(f"{entry.path} is a supervisor or a program")

    def program(self, entry: Entry) -> ProgramStart:
        """Return how the program that `entry` describes is started."""
        program = entry.settings
        assert isinstance(program, ProgramConfig)
        return start_of(program, self._directory, self._places(program.secrets))

    def is_process(self, entry: Entry) -> bool:
        """Whether an entry that is no supervisor runs in another process than the node."""
        if options_of(self._config, entry).is_process:
            return True
        above = [found for path, found in self._config.supervisors.items() if is_within(entry.path, path)]
        return any(supervisor.runs_in == "process" for supervisor in above)

    def _specs(self, entry: Entry) -> Iterator[ChildSpec]:
        settings = entry.settings
        needs = tuple(path for need in entry.needs for path in self._instances_of(need))
        if isinstance(settings, SupervisorConfig):
            yield ChildSpec(
                id=name_of(entry.path),
                start=self.supervisor(entry.path),
                restart=Restart(settings.restart),
                significant=settings.significant,
                runs_in="process" if settings.runs_in == "process" else "pool",
                heartbeat=branch_heartbeat(self._config, settings),
                memory_max_bytes=settings.memory_max,
                spares=settings.spares,
                when_down="hold" if settings.when_down == "hold" else "refuse",
                held_max=settings.held_max,
                needs=needs,
            )
            return
        for number, path in enumerate(entry.paths, start=1):
            start = self.program(entry) if entry.role is Role.PROGRAM else self.start(entry, number).spec()
            yield self._child(name_of(path), start, entry, needs)

    def _instances_of(self, need: str) -> tuple[str, ...]:
        return next((entry.paths for entry in self.entries if entry.path == need), (need,))

    def _child(self, name: str, start: ImportStart | ProgramStart, entry: Entry, needs: tuple[str, ...]) -> ChildSpec:
        options = options_of(self._config, entry)
        return ChildSpec(
            id=name,
            start=start,
            restart=options.restart,
            shutdown=options.shutdown,
            significant=getattr(entry.settings, "significant", False),
            runs_in=options.runs_in,
            start_timeout=options.start_timeout,
            backoff=options.backoff,
            budget=options.budget,
            mailbox=options.mailbox,
            heartbeat=options.heartbeat,
            memory_max_bytes=options.memory_max_bytes,
            spares=options.spares,
            bounds=options.bounds,
            when_down=options.when_down,
            held_max=options.held_max,
            needs=needs,
            flight=options.flight,
        )

    def _actor(self, entry: Entry, actor: ActorConfig) -> Start:
        use = actor.use or ""
        kwargs: dict[str, Any] = dict(self._facts(use))
        secrets = self._places(actor.secrets)
        service = getattr(self._config.io, name_of(entry.path), None) if entry.parent == "/io" else None
        if service is not None:
            for name in type(service).model_fields:
                value = getattr(service, name)
                if isinstance(value, SecretConfig):
                    secrets[name] = self._place(value)
                elif value is not None:
                    kwargs[name] = list(value) if isinstance(value, tuple) else value
        if entry.path == "/io/tts":
            kwargs["directory"] = str(self._home / Path(kwargs.get("directory", "speech")).expanduser())
        kwargs.update(actor.args)
        return Start((*entry.at, "use"), (*entry.at, "args"), use, kwargs, secrets)

    def _loop(self, entry: Entry, loop: LoopConfig) -> Start:
        loops = self._config.loops
        assert loops is not None  # it has this loop
        number = list(loops.list).index(name_of(entry.path))
        kwargs: dict[str, Any] = {
            "index": int(name_of(entry.path)) if name_of(entry.path).isdecimal() else number,
            "name": loop.name or f"loop-{name_of(entry.path)}",
            "title": loop.title or "",
            "caps": list(loop.caps),
            "priority": loop.priority,
            "tags": list(loop.tags),
            "requires": list(loop.requires),
            "timeout": loop.timeout or loops.timeout,
            "run_at_start": loop.run_at_start,
            "options": loop.options,
            "home": str(self._home),
            "root": str(self._root),
        }
        if loop.overlap != "skip":
            kwargs["overlap"] = loop.overlap
        if loop.missed != "once":
            kwargs["missed"] = loop.missed
        if loop.task is not None:
            kwargs["task"] = loop.task
        if loop.cron is not None:
            kwargs["schedule"] = loop.cron
            kwargs["timezone"] = loop.timezone or self._config.runtime.timezone
        else:
            kwargs["every"] = loop.every
        if self._config.work is not None:
            kwargs["keeper"] = join(self._config.work.under, "index")
        at = (*entry.at, "use") if loop.use is not None else ("loops", "use")
        return Start(at, entry.at, loop.use or loops.use, kwargs)

    def _index_rules(self, work: WorkConfig) -> dict[str, Any]:
        """Return the rules of the queue of the index as plain data."""
        return {
            "name": INDEX_QUEUE,
            "attempts": work.attempts,
            "timeout": work.job_timeout,
            "capacity": work.capacity,
            "payload_max_bytes": INDEX_BYTES,
            "handlers": [INDEXING],
            "workers": [f"{join(work.under, 'task')}#*"],
        }

    def _job_worker(
        self, entry: Entry, queue: str, handlers: Sequence[str], places: int, options: Mapping[str, Any]
    ) -> Start:
        kwargs: dict[str, Any] = {"queue": queue}
        use = JOB_WORKER
        if self.is_process(entry):
            use = JOB_PROCESS
            kwargs |= {"handlers": list(handlers), "places": places}
        if options:
            kwargs["options"] = dict(options)
        return Start(entry.at, entry.at, use, kwargs)

    def _facts(self, use: str) -> Mapping[str, Any]:
        """Return what one of the product's own classes is told of the node."""
        if use == RECORDER:
            history = self._config.history
            return {
                "path": str(self._home / Path(history.path).expanduser()),
                "events_age": history.retain.events,
                "metrics_age": history.retain.metrics,
                "max_bytes": history.max_size or 0,
                "memory_bytes": history.memory_max,
                "publish_every": history.publish_every,
                "query_timeout": history.query_timeout,
                "query_rows": history.query_rows,
                "query_bytes": history.query_size,
            }
        if use == SCHEDULER:
            facts: dict[str, Any] = {"timezone": self._config.runtime.timezone, "home": str(self._home)}
            if self._config.catch_up != CatchUpConfig():
                facts["catch_up"] = catch_up_of(self._config.catch_up)
            if self._config.schedules:
                facts["schedules"] = schedules_of(self._config.schedules, self._config.runtime.timezone)
            return facts
        if use == RESOURCES:
            return {"disks": [str(self._root)]}
        return {}

    def _places(self, names: Mapping[str, str]) -> dict[str, SecretSource]:
        known = self._config.secrets
        return {argument: self._place(known[name]) for argument, name in names.items() if name in known}

    def _place(self, secret: SecretConfig) -> SecretSource:
        return secret_source(secret.env, secret.file, self._directory, secret.keyring)
