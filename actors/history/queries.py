"""Named analyses: the questions people ask of a history again and again, with arguments.

    statement = bind("restarts", {"since": "24h", "path": "/io/**"}, now)
    recorder.ask(Query(statement.sql, statement.parameters))

Arguments are texts, as a command line has them; they reach the database as parameters, never as SQL. This module does
not import DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

from msgspec import Struct

from actors.addresses import PATH_LIMIT
from actors.history import workload
from actors.history.schema import REASON


class Kind(Enum):
    """What an argument says."""

    SINCE = "since"
    """How far back: a duration (`90s`, `15m`, `24h`, `7d`, `1h30m`) or an instant (`2026-11-21T14:02`, UTC)."""
    PATH = "path"
    """Which actors: a path or a glob, `/io/*`, `/agents/**`."""
    COUNT = "count"
    """A whole number, 1 or more."""
    TEXT = "text"
    """A text; `%` matches any run of characters."""


class Parameter(Struct, frozen=True):
    """One argument of an analysis; `default` is what it is without being given."""

    name: str
    kind: Kind
    default: str
    about: str


class Analysis(Struct, frozen=True):
    """One named analysis: `sql` takes its parameters and, where it wants it, `$now`."""

    name: str
    about: str
    sql: str
    parameters: tuple[Parameter, ...]


class Statement(Struct, frozen=True):
    """An analysis with its arguments: what a `Query` takes."""

    sql: str
    parameters: dict[str, str | int | float | bool | None]


def bind(name: str, arguments: Mapping[str, str], now: float) -> Statement:
    """Return the statement of the analysis `name`.

    Args:
        name: One of `ANALYSES`.
        arguments: Texts by parameter name; those left out have their default.
        now: Seconds since the epoch; what "24h ago" is counted from.

    Raises:
        ValueError: There is no such analysis or parameter, or a text does not say what its parameter wants.
    """
    analysis = ANALYSES.get(name)
    if analysis is None:
        raise ValueError(f"no analysis {name!r}; there are {', '.join(ANALYSES)}")
    known = {parameter.name: parameter for parameter in analysis.parameters}
    for given in arguments:
        if given not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"{name} has no argument {given!r}; {takes}")
    values: dict[str, str | int | float | bool | None] = {
        parameter.name: _value(parameter, arguments.get(parameter.name, parameter.default), now)
        for parameter in analysis.parameters
    }
    if "$now" in analysis.sql:
        values["now"] = _instant(now)
    return Statement(analysis.sql, values)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `15m`, `24h`, `7d`, `1h30m`, `250ms`.

    Raises:
        ValueError: It is none.
    """
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no duration: write 90s, 15m, 24h, 7d or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def pattern_of(glob: str) -> str:
    """Return the regular expression for a path glob: `*` inside a segment, `**` any number of segments.

    Raises:
        ValueError: It is no glob of paths.
    """
    if not glob.startswith("/") and glob != "**":
        raise ValueError(f"{glob!r} is no path: it starts with /")
    if len(glob) > PATH_LIMIT:
        raise ValueError(f"a path has at most {PATH_LIMIT} characters, this one {len(glob)}")
    if glob == "/":
        return "/"
    if glob in {"**", "/**"}:
        return _EVERY_PATH
    parts: list[str] = []
    for segment in glob.strip("/").split("/"):
        if segment == "**":
            parts.append("(?:/[^/]+)*")
        else:
            parts.append("/" + "".join("[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c) for c in segment))
    return "".join(parts)


def _value(parameter: Parameter, text: str, now: float) -> str | int:
    try:
        match parameter.kind:
            case Kind.SINCE:
                return _instant(_since(text, now))
            case Kind.PATH:
                return pattern_of(text)
            case Kind.COUNT:
                if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
                    raise ValueError(f"{text!r} is no whole number from 1 to 1000000")
                return int(text)
            case Kind.TEXT:
                return text
    except ValueError as error:
        raise ValueError(f"{parameter.name}: {error}") from None


def _since(text: str, now: float) -> float:
    if _DURATION.fullmatch(text) is not None:
        return max(now - seconds_of(text), 0.0)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a duration (24h) nor an instant (2026-11-21T14:02)") from None
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).timestamp()


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d|w))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)

_PATH = Parameter("path", Kind.PATH, "/**", "which actors")
_LIMIT = Parameter("limit", Kind.COUNT, "50", "most rows")


def _back(default: str) -> Parameter:
    return Parameter("since", Kind.SINCE, default, "how far back")


_EVERY_PATH = "(?s:.*)"
_WHERE = f"happened_at >= $since::TIMESTAMPTZ AND ($path = '{_EVERY_PATH}' OR regexp_full_match(path, $path))"

_MARKS = """
    node_ends AS (
        SELECT epoch, coalesce(last_at, started_at) AS ended_at,
               CASE WHEN last_state IN ('draining', 'stopping', 'stopped') THEN 'off' ELSE 'down' END AS state
        FROM runs_of_node LEFT JOIN (
            SELECT epoch, max(happened_at) AS last_at,
                   arg_max(payload->>'state', seq) FILTER (type = 'NodeChanged') AS last_state
            FROM events GROUP BY epoch) USING (epoch)
        WHERE epoch < (SELECT max(epoch) FROM runs_of_node)
    ),
    marks AS (
        SELECT path, happened_at, epoch, seq, 'up' AS state FROM starts
        UNION ALL
        SELECT path, happened_at, epoch, seq, CASE WHEN expected THEN 'off' ELSE 'down' END FROM exits
        UNION ALL
        SELECT path, ended_at, epoch, 9223372036854775807, state
        FROM (SELECT DISTINCT path, epoch FROM starts) JOIN node_ends USING (epoch)
    ),
    spans AS (
        SELECT path, state, lag(state) OVER mine AS before, happened_at AS began,
               lead(happened_at, 1, $now::TIMESTAMPTZ) OVER mine AS ended
        FROM marks
        WHERE regexp_full_match(path, $path)
        WINDOW mine AS (PARTITION BY path ORDER BY epoch, seq)
    ),
    clipped AS (
        SELECT path, state, before, began,
               greatest(0, epoch(least(ended, $now::TIMESTAMPTZ))
                           - epoch(greatest(began, $since::TIMESTAMPTZ))) AS seconds
        FROM spans
        WHERE ended >= $since::TIMESTAMPTZ
    )
"""

_LISTED = (
    Analysis(
        "restarts",
        "How often each path was restarted, why the last time, how long instances lived and outages lasted (seconds).",
        f"""
        SELECT r.path, r.restarts, r.last_reason, r.last_at, x.median_uptime, o.mttr
        FROM (SELECT path, count(*) AS restarts, max(happened_at) AS last_at,
                     arg_max({REASON}, (epoch, seq)) AS last_reason
              FROM restarts WHERE {_WHERE} GROUP BY path) r
        LEFT JOIN (SELECT path, median(uptime) AS median_uptime
                   FROM exits WHERE {_WHERE} AND phase <> 'starting' GROUP BY path) x USING (path)
        LEFT JOIN (SELECT path, avg(seconds) AS mttr
                   FROM recoveries WHERE down_at >= $since::TIMESTAMPTZ GROUP BY path) o USING (path)
        ORDER BY r.restarts DESC, r.path
        """,
        (_back("24h"), _PATH),
    ),
    Analysis(
        "crashes",
        "Ends nobody asked for, the newest first.",
        f"""
        SELECT happened_at, path, generation, error, uptime, phase
        FROM crashes WHERE {_WHERE}
        ORDER BY epoch DESC, seq DESC LIMIT $limit
        """,
        (_back("24h"), _PATH, _LIMIT),
    ),
    Analysis(
        "crash_loops",
        "Paths that crashed again and again: how often, how long they lived (seconds), which error came most.",
        f"""
        SELECT path, count(*) AS crashes, median(uptime) AS median_uptime, mode(error) AS most_common_error,
               count(DISTINCT error) AS errors, min(happened_at) AS first_at, max(happened_at) AS last_at
        FROM crashes WHERE {_WHERE}
        GROUP BY path HAVING count(*) >= $at_least
        ORDER BY crashes DESC, path
        """,
        (_back("1h"), _PATH, Parameter("at_least", Kind.COUNT, "3", "crashes that make a loop")),
    ),
    Analysis(
        "slow_runs",
        "Runs by how long they take (seconds): median, 95th and 99th percentile, the longest and when it was.",
        workload.SLOW_RUNS.format(where=_WHERE),
        (_back("24h"), _PATH, _LIMIT),
    ),
    Analysis(
        "lateness",
        "How late runs of each schedule began after their slots (seconds), and slots that had no run.",
        workload.LATENESS.format(where=_WHERE),
        (_back("24h"), _PATH, _LIMIT, Parameter("schedule", Kind.TEXT, "%", "which schedules")),
    ),
    Analysis(
        "queue_latency",
        "How long jobs waited in their queue for a worker, by queue and kind (seconds).",
        workload.QUEUE_LATENCY.format(where=_WHERE),
        (_back("24h"), _PATH, _LIMIT, Parameter("queue", Kind.TEXT, "%", "which queues")),
    ),
    Analysis(
        "slow_handlers",
        "Messages that held an actor until the watchdog called it stuck: which, how often, how long (seconds).",
        workload.SLOW_HANDLERS.format(where=_WHERE),
        (_back("24h"), _PATH, _LIMIT),
    ),
    Analysis(
        "mailbox_growth",
        "Waiting messages of the fullest mailboxes: mean, most, and growth in messages an hour.",
        workload.MAILBOX_GROWTH.format(where=_WHERE),
        (_back("1h"), _PATH, _LIMIT),
    ),
    Analysis(
        "cost",
        "What each actor costs: runs and their seconds, mean processors, most memory (bytes), restarts.",
        workload.COST.format(where=_WHERE),
        (_back("24h"), _PATH, _LIMIT),
    ),
    Analysis(
        "failures",
        "Everything that did not succeed, the newest first: runs, asks, messages nobody took, commands, crashes.",
        f"""
        SELECT happened_at, what, path, subject, why FROM (
            SELECT happened_at, epoch, seq, 'run ' || outcome AS what, path, run AS subject, detail AS why
            FROM runs WHERE outcome NOT IN ('succeeded', 'skipped')
            UNION ALL
            SELECT happened_at, epoch, seq, 'ask', path, message_type, error FROM failed_asks
            UNION ALL
            SELECT happened_at, epoch, seq, 'dead letter', path, message_type, why FROM dead_letters
            UNION ALL
            SELECT happened_at, epoch, seq, 'command', path, command, code FROM commands WHERE code <> 'ok'
            UNION ALL
            SELECT happened_at, epoch, seq, CASE WHEN phase = 'starting' THEN 'start' ELSE 'crash' END, path,
                   'generation ' || generation, error FROM crashes)
        WHERE {_WHERE}
        ORDER BY epoch DESC, seq DESC LIMIT $limit
        """,
        (_back("24h"), _PATH, _LIMIT),
    ),
    Analysis(
        "availability",
        "Share of the time each path was up while it was meant to be, its outages, and how long they took (seconds).",
        f"""
        WITH {_MARKS}
        SELECT path,
               round(sum(seconds) FILTER (state = 'up') / nullif(sum(seconds) FILTER (state <> 'off'), 0), 6)
                   AS availability,
               coalesce(sum(seconds) FILTER (state = 'up'), 0) AS up,
               coalesce(sum(seconds) FILTER (state = 'down'), 0) AS down,
               count(*) FILTER (state = 'down' AND before = 'up') AS outages,
               sum(seconds) FILTER (state = 'down')
                   / nullif(count(*) FILTER (state = 'down' AND before = 'up'), 0) AS mttr,
               sum(seconds) FILTER (state = 'up')
                   / nullif(count(*) FILTER (state = 'down' AND before = 'up'), 0) AS mtbf
        FROM clipped
        GROUP BY path
        HAVING sum(seconds) FILTER (state <> 'off') > 0
        ORDER BY availability, path
        """,
        (_back("7d"), _PATH),
    ),
    Analysis(
        "commands",
        "What was commanded, by whom and why, the newest first.",
        f"""
        SELECT happened_at, command, path, caller, why, code, seconds
        FROM commands WHERE {_WHERE}
        ORDER BY epoch DESC, seq DESC LIMIT $limit
        """,
        (_back("7d"), _PATH, _LIMIT),
    ),
    Analysis(
        "metrics",
        "Measured values by path and name: how many samples, least, mean, greatest, newest.",
        f"""
        SELECT path, name, unit, count(*) AS samples, min(value) AS least, avg(value) AS mean, max(value) AS greatest,
               arg_max(value, (epoch, seq)) AS newest, max(happened_at) AS newest_at
        FROM metrics WHERE {_WHERE} AND name LIKE $name AND isfinite(value)
        GROUP BY path, name, unit
        ORDER BY path, name, unit
        """,
        (_back("1h"), _PATH, Parameter("name", Kind.TEXT, "%", "which metrics")),
    ),
    Analysis(
        "events",
        "What happened, the newest first.",
        f"""
        WITH newest AS MATERIALIZED (
            SELECT epoch, seq FROM events WHERE {_WHERE} AND type LIKE $type ORDER BY epoch DESC, seq DESC LIMIT $limit)
        SELECT happened_at, type, severity, path, summary
        FROM events SEMI JOIN newest USING (epoch, seq)
        ORDER BY epoch DESC, seq DESC
        """,
        (_back("1h"), _PATH, _LIMIT, Parameter("type", Kind.TEXT, "%", "which class of events")),
    ),
    Analysis(
        "limits",
        "Restart budgets that were exceeded, the newest first.",
        f"""
        SELECT happened_at, path, scope, action, restarts, intensity, period, {REASON} AS reason
        FROM limits WHERE {_WHERE}
        ORDER BY epoch DESC, seq DESC LIMIT $limit
        """,
        (_back("7d"), _PATH, _LIMIT),
    ),
    Analysis(
        "lost",
        "What the history itself is missing: rows dropped on the way, batches gone, rows its tables could not take.",
        """
        SELECT * FROM (
            SELECT happened_at, 'dropped' AS what, rows, why FROM lost
            UNION ALL
            SELECT noticed_at, 'missing', NULL, source || ': batches ' || first_missing || ' to ' || last_missing
            FROM gaps
            UNION ALL
            SELECT rejected_at, 'rejected', 1, table_name || ': ' || error FROM rejects)
        WHERE happened_at >= $since::TIMESTAMPTZ
        ORDER BY happened_at DESC LIMIT $limit
        """,
        (_back("7d"), _LIMIT),
    ),
    Analysis(
        "node_runs",
        "Runs of the node, the newest first: when it began and was last heard of, and what happened in it.",
        """
        SELECT r.node, r.epoch, r.started_at, e.last_at, r.pid, r.version, e.events, e.crashes
        FROM runs_of_node r LEFT JOIN (
            SELECT epoch, max(happened_at) AS last_at, count(*) AS events,
                   count(*) FILTER (type = 'ActorExited' AND severity = 'error') AS crashes
            FROM events GROUP BY epoch) e USING (epoch)
        WHERE r.started_at >= $since::TIMESTAMPTZ
        ORDER BY r.epoch DESC LIMIT $limit
        """,
        (_back("30d"), _LIMIT),
    ),
)

ANALYSES: dict[str, Analysis] = {analysis.name: analysis for analysis in _LISTED}
"""The named analyses, by name."""
