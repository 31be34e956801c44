"""What is wrong with a configuration as a whole: paths, parents, needs, schedules, secrets, folders.

Each check yields faults at the place the value came from. A check says nothing about what validation has already cut
out as damaged. What needs the actors' own code, importing every `use`, is `importing`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.addresses import ROOT, check_segment, is_within
from actors.errors import AddressError
from supervisors.errors import Fault
from supervisors.node.building import programs_of
from supervisors.node.config import ChildDefaults, ChildOptions, Config, SecretConfig, SupervisorConfig
from supervisors.node.counting import Machine
from supervisors.node.credentials import SecretError, find_secret, secret_source
from supervisors.node.entries import Entry, Role, entries_of, is_path
from supervisors.node.faults import MESSAGE_LIMIT, cut, hints
from supervisors.node.fields import path_hint, suggestion
from supervisors.node.layers import Layered
from supervisors.node.options import SYSTEM, options_of
from supervisors.node.ordering import check_needs
from supervisors.node.positions import KeyPath
from supervisors.node.programs import ProgramConfig
from supervisors.node.schedules import schedule_faults
from supervisors.node.shapes import show_path
from supervisors.programs import program_faults
from supervisors.specs import Restart

SERVICES: Final = {
    "gmail": "actors.services.mail:MailService",
    "browser": "actors.services.browser:BrowserService",
    "twilio": "actors.services.telephony:TelephonyService",
    "tts": "actors.services.speech_out:SpeechOutService",
    "stt": "actors.services.speech_in:SpeechInService",
}
"""The class of each service that has settings under `[io]`."""


class Subject(Struct, frozen=True):
    """What is checked, and against what.

    Attributes:
        config: The configuration, or the sound part of it.
        layered: Where its values came from.
        damaged: Paths that validation cut out.
        machine: What counts depend on.
        directory: Folder that relative paths start from.
        environ: Environment that secrets are looked up in.
    """

    config: Config
    layered: Layered
    damaged: frozenset[KeyPath]
    machine: Machine
    directory: Path
    environ: Mapping[str, str]

    def fault(self, path: KeyPath, message: str, hint: str = "") -> Fault:
        """Return a fault about the key at `path`."""
        origin = self.layered.origin(path)
        return Fault(cut(show_path(path)), message, hint, file=origin.source, line=origin.line)

    def is_damaged(self, path: KeyPath) -> bool:
        """Whether something at, above or below `path` was cut out."""
        return any(path[: len(cut_out)] == cut_out or cut_out[: len(path)] == path for cut_out in self.damaged)


def check(subject: Subject) -> Iterator[Fault]:
    """Yield everything that is wrong across the tables of a configuration."""
    entries = list(entries_of(subject.config, subject.machine))
    yield from _paths(subject)
    yield from _doubles(subject, entries)
    yield from _parents(subject, entries)
    for path, message, hint in check_needs(entries, _written(subject.config)):
        if not subject.is_damaged(path):
            yield subject.fault(path, message, hint)
    yield from _children(subject, entries)
    for supervisor, settings in subject.config.supervisors.items():
        yield from _placement(subject, supervisor, settings)
    yield from _backoffs(subject, entries)
    yield from _loops(subject)
    yield from _schedules(subject)
    yield from _io(subject)
    yield from _secrets(subject)
    yield from _programs(subject)
    yield from _runtime(subject)


def _written(config: Config) -> list[str]:
    return [path for path in (*config.actors, *config.programs) if is_path(path)]


def _tables(config: Config) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the tables whose keys are paths."""
    yield "supervisors", config.supervisors
    yield "actors", config.actors
    yield "programs", config.programs


def _paths(subject: Subject) -> Iterator[Fault]:
    for table, paths in _tables(subject.config):
        for path in paths:
            if not is_path(path):
                yield subject.fault((table, path), f"{cut(path)!r} is no actor path", path_hint(path))
    for table in {"actors", "programs"} & {table for table, paths in _tables(subject.config) if ROOT in paths}:
        yield subject.fault((table, ROOT), "/ is the root supervisor", f"[supervisors.{ROOT!r}]".replace("'", '"'))
    for name in subject.config.loops.list if subject.config.loops is not None else ():
        try:
            check_segment(name)
        except AddressError:
            hint = "1 to 64 letters, digits, _ - . #"
            yield subject.fault(("loops", "list", name), f"{cut(name)!r} is no id of a loop", hint)


def _doubles(subject: Subject, entries: list[Entry]) -> Iterator[Fault]:
    first: dict[str, Entry] = {}
    for entry in entries:
        for path in entry.paths:
            earlier = first.setdefault(path, entry)
            if earlier is not entry:
                where = f"{show_path(earlier.at)} ({subject.layered.origin(earlier.at)})"
                yield subject.fault(entry.at, f"there are two of {path}: the other is {where}", "ids are unique")
                break


def _parents(subject: Subject, entries: list[Entry]) -> Iterator[Fault]:
    supervisors = {ROOT, *(path for path in subject.config.supervisors if is_path(path))}
    supervisors |= {entry.path for entry in entries if entry.role is Role.SUPERVISOR}
    children = {entry.path for entry in entries}
    for entry in entries:
        parent = entry.parent
        at = entry.at if entry.role in {Role.SUPERVISOR, Role.ACTOR, Role.PROGRAM} else (entry.at[0], "under")
        if parent in supervisors or subject.is_damaged(("supervisors", parent)):
            continue
        if parent in children:
            yield subject.fault(at, f"{parent} is an actor: only supervisors have children", "move it elsewhere")
            continue
        near = suggestion(parent, supervisors)
        add = f'add [supervisors."{parent}"]'
        yield subject.fault(at, f"it has no parent: there is no supervisor {parent}", hints(add, near))


def _children(subject: Subject, entries: list[Entry]) -> Iterator[Fault]:
    for entry in entries:
        settings = entry.settings
        if getattr(settings, "significant", False):
            at = (*entry.at, "significant")
            is_supervisor = isinstance(settings, SupervisorConfig)
            restart = Restart(settings.restart) if is_supervisor else options_of(subject.config, entry).restart
            if restart is Restart.PERMANENT and not subject.is_damaged((*entry.at, "restart")):
                yield subject.fault(at, "a permanent child cannot be significant", 'restart = "transient"')
            parent = subject.config.supervisors.get(entry.parent)
            auto = ("supervisors", entry.parent, "auto_shutdown")
            is_known = parent is not None or entry.parent == ROOT
            if is_known and (parent is None or parent.auto_shutdown == "never") and not subject.is_damaged(auto):
                hint = f'auto_shutdown = "any_significant" in [supervisors."{entry.parent}"]'
                yield subject.fault(at, "its supervisor never shuts itself down", hint)
        if isinstance(settings, ChildOptions) and entry.role is not Role.INDEX:
            yield from _options(subject, entry, settings)
        if isinstance(settings, ProgramConfig):
            yield from _budget(subject, entry, settings)
        at = (*entry.at, "use")
        if entry.role is Role.ACTOR and getattr(settings, "use", None) is None and not subject.is_damaged(at):
            yield subject.fault(at, "it names no class", 'use = "package.module:Class"')


def _placement(subject: Subject, path: str, settings: SupervisorConfig) -> Iterator[Fault]:
    at: KeyPath = ("supervisors", path)
    if settings.runs_in == "process":
        if path == ROOT or is_within(path, SYSTEM):
            what = "the root is the node itself" if path == ROOT else "what holds the node together runs in its process"
            yield subject.fault((*at, "runs_in"), what, "leave it out")
        return
    for name in ("memory_max", "heartbeat"):
        if getattr(settings, name) is not None and not subject.is_damaged((*at, "runs_in")):
            hint = 'runs_in = "process", or leave it out'
            yield subject.fault((*at, name), "only a process of its own can have it", hint)
    if settings.spares and not subject.is_damaged((*at, "runs_in")):
        hint = 'runs_in = "process", or leave it out'
        yield subject.fault((*at, "spares"), "only a process of its own can have it", hint)


def _options(subject: Subject, entry: Entry, settings: ChildOptions) -> Iterator[Fault]:
    options = options_of(subject.config, entry)
    if not options.is_process and not subject.is_damaged((*entry.at, "runs_in")):
        for name in ("memory_max", "heartbeat", "spares", "bounds"):
            if getattr(settings, name) is not None:
                hint = 'runs_in = "process", or leave it out'
                yield subject.fault((*entry.at, name), "only a process of its own can have it", hint)
    yield from _budget(subject, entry, settings)


def _budget(subject: Subject, entry: Entry, settings: ChildOptions | ProgramConfig) -> Iterator[Fault]:
    options = options_of(subject.config, entry)
    is_temporary = options.restart is Restart.TEMPORARY and not subject.is_damaged((*entry.at, "restart"))
    if settings.budget is not None and is_temporary:
        yield subject.fault((*entry.at, "budget"), "a temporary child is never restarted", "leave it out")
    bounds = settings.bounds
    for name in ("max_age", "max_messages") if bounds is not None else ():
        at: KeyPath = (*entry.at, "bounds", name)
        if getattr(bounds, name) is not None and is_temporary:
            yield subject.fault(at, "a temporary child is not replaced", "leave it out")
        elif getattr(bounds, name) is not None and name == "max_messages" and entry.role is Role.PROGRAM:
            yield subject.fault(at, "a program takes no messages", "leave it out")


def _backoffs(subject: Subject, entries: list[Entry]) -> Iterator[Fault]:
    """Check each table that says how children are run for a back-off that ends before it begins."""
    tables: dict[KeyPath, ChildDefaults | ChildOptions | ProgramConfig | None] = {
        ("defaults", "child"): subject.config.defaults.child,
        ("loops",): subject.config.loops,
        **{entry.at: entry.settings for entry in entries if isinstance(entry.settings, ChildOptions | ProgramConfig)},
    }
    for at, table in tables.items():
        backoff = table.backoff if table is not None else None
        if backoff is None or not {"first", "max"} <= backoff.model_fields_set:
            continue
        if backoff.first is not None and backoff.max is not None and backoff.max < backoff.first:
            yield subject.fault((*at, "backoff"), "max is shorter than first", "make max the longer one")


def _loops(subject: Subject) -> Iterator[Fault]:
    loops = subject.config.loops
    for name, loop in loops.list.items() if loops is not None else ():
        at: KeyPath = ("loops", "list", name)
        if subject.is_damaged((*at, "cron")) or subject.is_damaged((*at, "every")):
            continue
        if (loop.cron is None) == (loop.every is None):
            what = "it has no schedule" if loop.cron is None else "it has two schedules"
            yield subject.fault(at, what, 'cron = "*/5 * * * *", or every = "5m"')
        if loop.timezone is not None and loop.cron is None:
            yield subject.fault((*at, "timezone"), "only a cron schedule has a time zone", "leave it out")


def _schedules(subject: Subject) -> Iterator[Fault]:
    for id, schedule in subject.config.schedules.items():
        at: KeyPath = ("schedules", id)
        if not subject.is_damaged(at):
            for below, message, hint in schedule_faults(id, schedule, subject.config.runtime.timezone):
                yield subject.fault((*at, *below), cut(message, MESSAGE_LIMIT), hint)


def _io(subject: Subject) -> Iterator[Fault]:
    for name, use in SERVICES.items():
        if getattr(subject.config.io, name) is not None and f"/io/{name}" not in subject.config.actors:
            hint = f'add [actors."/io/{name}"] with use = "{use}"'
            yield subject.fault(("io", name), f"there is no actor /io/{name} to take these settings", hint)


def _secrets(subject: Subject) -> Iterator[Fault]:
    known = subject.config.secrets
    for name, secret in known.items():
        yield from _secret(subject, ("secrets", name), secret)
    for path, actor in subject.config.actors.items():
        if actor.secrets and "." in (actor.use or "").partition(":")[2]:
            hint = "move the class to the top of its module"
            yield subject.fault(("actors", path, "use"), "a class with secrets stands inside no other", hint)
        yield from _known_secrets(subject, ("actors", path, "secrets"), actor.secrets)
        for argument in actor.secrets:
            if argument in actor.args:
                at: KeyPath = ("actors", path, "secrets")
                yield subject.fault(at, f"{cut(argument)} stands in args too", "keep the secret")
    for path, program in subject.config.programs.items():
        yield from _known_secrets(subject, ("programs", path, "secrets"), program.secrets)
    for service in SERVICES:
        settings = getattr(subject.config.io, service)
        for key in type(settings).model_fields if settings is not None else ():
            if isinstance(secret := getattr(settings, key), SecretConfig):
                yield from _secret(subject, ("io", service, key), secret)


def _known_secrets(subject: Subject, at: KeyPath, names: Mapping[str, str]) -> Iterator[Fault]:
    known = subject.config.secrets
    for name in names.values():
        if name not in known and not subject.is_damaged(("secrets", name)):
            hint = f'add {cut(name)} = {{ env = "…" }} to [secrets]'
            yield subject.fault(at, f"there is no secret {cut(name)!r}", hints(suggestion(name, known), hint))


def _programs(subject: Subject) -> Iterator[Fault]:
    for at, start in programs_of(subject.config, subject.machine, subject.directory):
        for key, message, hint in program_faults(start):
            here = (*at, *key.split("."))
            if not subject.is_damaged(here):
                yield subject.fault(here, message, hint)


def _secret(subject: Subject, at: KeyPath, secret: SecretConfig) -> Iterator[Fault]:
    try:
        find_secret(secret_source(secret.env, secret.file, subject.directory, secret.keyring), subject.environ)
    except SecretError as error:
        yield subject.fault(at, str(error), error.hint)


def _runtime(subject: Subject) -> Iterator[Fault]:
    runtime = subject.config.runtime
    inventory = subject.directory / Path(runtime.directory).expanduser()
    if not inventory.is_dir():
        what = "is no folder" if inventory.exists() else "does not exist"
        yield subject.fault(("runtime", "directory"), f"{inventory} {what}", "name a folder that exists")
    elif not os.access(inventory, os.R_OK | os.X_OK):
        yield subject.fault(("runtime", "directory"), f"{inventory} may not be read", "change its permissions")
    home = subject.directory / Path(runtime.home).expanduser()
    standing = next((place for place in (home, *home.parents) if place.exists()), home)
    if not standing.is_dir():
        yield subject.fault(("runtime", "home"), f"{standing} is no folder", "name a folder, or one to be made")
    elif not os.access(standing, os.W_OK | os.X_OK):
        yield subject.fault(("runtime", "home"), f"{standing} may not be written", "name a folder of your own")
    for name in ("control", "taps"):
        if getattr(runtime, name) != "auto" and runtime.transport != "tcp" and not subject.is_damaged(("runtime",)):
            yield subject.fault(("runtime", name), "an address is used with tcp alone", 'transport = "tcp"')
