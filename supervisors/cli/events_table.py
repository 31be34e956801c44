"""Events as a table; shared by `events`, `tap`, `describe` and `why`."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

from supervisors.cli.rendering import Column
from supervisors.cli.terminal import Style
from supervisors.cli.texts import instant, printable
from supervisors.views import EventRow

SEVERITY_STYLES = {"warning": Style.WARNING, "error": Style.BAD}


def event_columns(zone: tzinfo | None = None) -> tuple[Column, ...]:
    """Return the columns of an event, times in `zone` (None is the machine's own)."""
    return (
        Column("seq", lambda e: e.seq, is_right=True),
        Column("at", lambda e: e.at, lambda e: instant(e.at, datetime.now(UTC), zone, fine=True)),
        Column("severity", lambda e: e.severity, style=_style),
        Column("topic", lambda e: e.topic),
        Column("type", lambda e: e.type, is_wide=True),
        Column("path", lambda e: e.path),
        Column("text", event_text),
    )


def event_text(event: Any) -> str:
    """Return one line about `event`: its own text, or its fields."""
    text = event.text if isinstance(event, EventRow) else ""
    return printable(
        text
        or " ".join(f"{key}={_shown(value)}" for key, value in event.data.items() if value is not None and value != "")
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        crash = value.get("crash") or {}
        kind = value.get("kind", "")
        return f"{kind}:{crash.get('type_name', '')}" if crash else str(kind or value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _style(event: Any) -> Style | None:
    return SEVERITY_STYLES.get(event.severity)
