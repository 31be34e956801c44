"""What a log record says beside its text: the fields given with `extra`, as plain data without secrets."""

from __future__ import annotations

import logging
from typing import Any, Final

from actors.core.redacting import Plainer

BUDGET: Final = 8_000
"""Characters of all fields of a record together."""
FIELDS: Final = "structured"
"""Attribute of a record that has the fields of a line of structlog."""
OWN: Final = frozenset({"at", "level", "logger", "text", "traceback", "path", "pid", "stream", "trace", "run", "job"})
"""What a line says by itself: a field of structlog with such a name is shown with an underscore after it."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of `record`, small and plain: values of other classes are named by their class."""
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    structured = given.pop(FIELDS, None)
    if isinstance(structured, dict):
        given.update({f"{key}_" if key in OWN else str(key): value for key, value in structured.items()})
    return Plainer(BUDGET).variables(given) if given else given
