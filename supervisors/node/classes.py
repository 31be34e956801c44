"""What the classes and programs a configuration names lack: imports, fitting arguments, tasks, executables.

Looking imports the modules, from the configuration's own folder too, which runs their code; so it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from supervisors.errors import Fault
from supervisors.node.building import AGENT_LOOP, Start, programs_of, starts_of
from supervisors.node.checking import Subject
from supervisors.node.faults import MESSAGE_LIMIT, cut
from supervisors.node.importing import (
    ImportTargetError,
    add_import_root,
    check_actor,
    check_arguments,
    find_module,
    import_target,
)
from supervisors.node.programs import missing


def check_imports(subject: Subject, *, spare_processes: bool = False) -> Iterator[Fault]:
    """Yield what is wrong with the classes of `subject`.

    Args:
        subject: What is checked.
        spare_processes: Whether classes that run in processes of their own are only looked for: this process would
            keep what they import.
    """
    add_import_root(subject.directory)
    yield from _handlers(subject)
    for start in starts_of(subject.config, subject.machine, subject.directory):
        if subject.is_damaged(start.at):
            continue
        try:
            if spare_processes and start.is_process:
                find_module(start.use)
                continue
            made_by = import_target(start.use)
            check_actor(start.use, made_by)
        except ImportTargetError as error:
            yield subject.fault(start.at, cut(str(error), MESSAGE_LIMIT), error.hint)
            continue
        if subject.is_damaged(start.settings):
            continue
        try:
            check_arguments(start.use, made_by, start.arguments)
        except ImportTargetError as error:
            yield subject.fault(start.settings, cut(str(error), MESSAGE_LIMIT), error.hint)
        else:
            yield from _task(subject, start)


def check_programs(subject: Subject) -> Iterator[Fault]:
    """Yield what the programs of `subject` need and this machine has not: executables, folders, users."""
    for at, start in programs_of(subject.config, subject.machine, subject.directory):
        for key, message, hint in missing(start):
            if not subject.is_damaged((*at, key)):
                yield subject.fault((*at, key), message, hint)


def _handlers(subject: Subject) -> Iterator[Fault]:
    """Check that the modules of handlers are there, without running them."""
    for name, queue in subject.config.queues.items():
        for number, module in enumerate(queue.handlers):
            at = ("queues", name, "handlers", number)
            try:
                find_module(module)
            except ImportTargetError as error:
                if not subject.is_damaged(at):
                    yield subject.fault(at, cut(str(error), MESSAGE_LIMIT), error.hint)


def _task(subject: Subject, start: Start) -> Iterator[Fault]:
    """Check what a loop of the built-in class is told to do."""
    if start.use != AGENT_LOOP:
        return
    from actors.agents.context import check_options
    from actors.agents.tasks import task_of

    name = start.kwargs["task"]
    try:
        task = task_of(name)
    except ValueError as error:
        yield subject.fault((*start.settings, "task"), cut(str(error), MESSAGE_LIMIT))
        return
    try:
        check_options(name, task.options, start.kwargs["options"])
    except ValueError as error:
        yield subject.fault((*start.settings, "options"), cut(str(error), MESSAGE_LIMIT))
