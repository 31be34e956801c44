"""Named schedules: the nicknames every cron knows and the twelve that the built-in system is written with.

A name stands for a whole expression. Nicknames are written in lower case after `@`; the others in capitals.
`@reboot` is none: it names an event, not a time.
"""

from __future__ import annotations

from typing import Final

NAMED: Final[dict[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "AGENT_LOOP_FAST": "*/30 * * * * *",
    "AGENT_LOOP_NORMAL": "*/2 * * * *",
    "AGENT_LOOP_SLOW": "*/5 * * * *",
    "AGENT_LOOP_HOURLY": "0 * * * *",
    "HEARTBEAT_CRITICAL": "*/5 * * * * *",
    "HEARTBEAT_NORMAL": "*/30 * * * * *",
    "HEARTBEAT_RELAXED": "* * * * *",
    "DAILY_MAINTENANCE": "0 2 * * *",
    "WEEKLY_CLEANUP": "0 3 * * 0",
    "HOURLY_SYNC": "0 * * * *",
    "USER_PRESENCE_CHECK": "*/10 * * * *",
    "NOTIFICATION_DIGEST": "0 9,17 * * *",
}
"""Expression by name."""
