"""Having a program read its configuration again: by a signal, or by a command that runs beside it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from supervisors.processes.programs.probing import ask
from supervisors.programs import Probe, ProgramStart, signal_number

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

TIMEOUT = 30.0
"""Seconds that a command may take."""


def reread(
    path: str,
    start: ProgramStart,
    main: int,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    note: Callable[[str], None],
) -> None:
    """Do what `start` says; a command runs on a thread of its own, so that one that hangs holds up nobody.

    Args:
        path: The child's.
        start: Its spec.
        main: Its main process.
        environment: Its variables.
        say: Says a line to its keeper.
        note: Gets a line for people where a command failed; called on that thread.
    """
    number = signal_number(start.reload_signal) if start.reload_signal else None
    if number is not None:
        say(f"signal {number}")
        return
    probe = Probe(command=start.reload_command, timeout=TIMEOUT)
    variables = {**environment, "MAINPID": str(main)}

    def run() -> None:
        problem = ask(probe, variables, start.directory)
        if problem:
            logger.error("its configuration was not read again: %s", problem, extra={"path": path})
            note(f"configuration not read again: {problem}")

    threading.Thread(target=run, name="program-reread", daemon=True).start()
