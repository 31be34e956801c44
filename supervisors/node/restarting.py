"""The watchdog's arm: end an actor that is stuck, and leave what follows to the rules of its supervisor.

The end counts as any other abnormal one: restart type, back-off, budget and limit decide what comes of it. What was
asked for is kept like a person's command, with `watchdog` as who gave it.
"""

from __future__ import annotations

from actors.addresses import name_of, parent_of
from actors.events import CommandDone
from supervisors.branches import post_call
from supervisors.core import effects as fx
from supervisors.core import events as ev
from supervisors.supervisor import Services

CALLER = "watchdog"


class Restarts:
    """Meets `actors.core.system.Restarter`; any thread may call it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, path: str, why: str) -> None:
        """Have the instance at `path` killed: a process ends, a thread that is busy in it is cut off."""
        since = self._services.system.clock.monotonic()
        id = name_of(path)

        def answered(result: fx.Done | fx.Refused) -> None:
            system = self._services.system
            code = "ok" if isinstance(result, fx.Done) else result.code.value
            seconds = system.clock.monotonic() - since
            system.bus.publish(CommandDone(system.clock.time(), path, "kill", CALLER, why, code, seconds))

        if not post_call(self._services, parent_of(path) or "", ev.KillChild(request=0, now=0.0, id=id), answered):
            answered(fx.Refused(id, fx.Refusal.NOT_FOUND, f"the supervisor of {path} is not running"))
