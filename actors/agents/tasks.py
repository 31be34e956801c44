"""What a loop can do, by name. The names are those of `task` in a loop's configuration."""

from __future__ import annotations

from typing import Final

from actors.agents import minds, notices, pulse, relays, upkeep
from actors.agents.context import Task

TASKS: Final = {
    "heartbeat": Task(pulse.heartbeat),
    "resources": Task(pulse.resources),
    "presence": Task(pulse.presence, {"idle_after": 300.0}),
    "mail-sync": Task(relays.mail_sync),
    "browser-health": Task(relays.browser_health),
    "telephony-status": Task(relays.telephony_status),
    "voice-queue": Task(relays.voice_queue, any_service=True),
    "identity-sync": Task(minds.identity_sync, {"file": None}),
    "soul-update": Task(minds.soul_update, {"model_command": None}),
    "rate-limit": Task(minds.rate_limit, {"urls": None}),
    "notification-digest": Task(notices.notification_digest, {"command": None}),
    "context-cleanup": Task(upkeep.context_cleanup, {"max_age": 86_400.0}),
    "log-inventory": Task(upkeep.log_inventory, {"max_files": 200_000}),
    "backup-check": Task(upkeep.backup_check),
    "daily-maintenance": Task(upkeep.daily_maintenance, {"max_files": 20_000}),
}


def task_of(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        ValueError: There is none.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise ValueError(f"there is no task {name!r}; there are: {', '.join(sorted(TASKS))}") from None
