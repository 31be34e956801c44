"""Events of the history in the form of CloudEvents 1.0: what other systems take, one JSON object an event.

`id`, `source`, `type`, `subject`, `dataschema` and `severity` are those of the taps; `data` has the event's fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

COLUMNS: Final = (
    ("specversion", "VARCHAR"),
    ("id", "VARCHAR"),
    ("source", "VARCHAR"),
    ("type", "VARCHAR"),
    ("subject", "VARCHAR"),
    ("time", "TIMESTAMP WITH TIME ZONE"),
    ("datacontenttype", "VARCHAR"),
    ("dataschema", "VARCHAR"),
    ("severity", "VARCHAR"),
    ("data", "VARCHAR"),
)
"""What a table of such events has, with DuckDB's types; `data` is JSON text."""

_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ALL: Final = """
    SELECT epoch, seq, happened_at, type, topic, severity, path, generation, summary, payload,
           NULL AS name, NULL AS value, NULL AS unit FROM events
"""
_METRICS: Final = """
    UNION ALL
    SELECT epoch, seq, happened_at, 'MetricSampled', 'metric', 'info', path, NULL, NULL, NULL, name, value, unit
    FROM metrics
"""


def plan_sql(*, has_metrics: bool) -> str:
    """Return the statement for the runs of the node that have events in the span, and their first and last numbers.

    Its parameters are `$since` and `$until`, ISO 8601 or None.
    """
    return f"""
        SELECT e.epoch, min(e.seq), max(e.seq), coalesce(any_value(r.node), 'node')
        FROM ({_source(has_metrics)}) e LEFT JOIN runs_of_node r USING (epoch)
        WHERE {_WITHIN} GROUP BY e.epoch ORDER BY e.epoch
    """


def page_sql(*, has_metrics: bool) -> str:
    """Return the statement for the events of the run `$epoch` from number `$first` to `$last` within the span."""
    window = "epoch = $epoch AND seq >= $first AND seq <= $last"
    return f"""
        SELECT e.epoch, e.seq, strftime(e.happened_at, '%Y-%m-%dT%H:%M:%S.%fZ'), e.type, e.topic, e.severity, e.path,
               e.generation, e.summary, e.payload, x.traceback, e.name, e.value, e.unit
        FROM (SELECT * FROM ({_source(has_metrics)}) WHERE {window}) e
        LEFT JOIN (SELECT seq, traceback FROM exits WHERE {window}) x ON x.seq = e.seq
        WHERE {_WITHIN} ORDER BY e.seq
    """


_SINCE: Final = "($since IS NULL OR e.happened_at >= $since::TIMESTAMPTZ)"
_WITHIN: Final = f"{_SINCE} AND ($until IS NULL OR e.happened_at < $until::TIMESTAMPTZ)"


def cloud_event(node: str, row: Sequence[Any]) -> dict[str, Any]:
    """Return the event of one row of `page_sql`."""
    epoch, seq, at, kind, _, severity, path, generation, summary, payload, traceback, name, value, unit = row
    word = _WORD.sub("_", kind).lower()
    data: dict[str, Any] = {"path": path}
    if name is not None:
        data |= {"name": name, "value": value if value is None or math.isfinite(value) else str(value), "unit": unit}
    else:
        data |= {"generation": generation, "summary": summary}
        data |= msgspec.json.decode(payload) if payload else {}
    if traceback:
        data["traceback"] = traceback
    return {
        "specversion": "1.0",
        "id": f"{epoch}-{seq}",
        "source": f"/{node}",
        "type": f"actors.{word}",
        "subject": path,
        "time": at,
        "datacontenttype": "application/json",
        "dataschema": f"actors:v1/{word}",
        "severity": severity,
        "data": data,
    }


def _source(has_metrics: bool) -> str:
    return _ALL + _METRICS if has_metrics else _ALL
