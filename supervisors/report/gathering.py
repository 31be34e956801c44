"""What a report says: figures of a span of the history, by SQL through whoever answers it.

A span is cut into at most `BUCKETS` equal pieces of a length that people know. Availability counts from instants: the
node's from its runs, an actor's from ends nobody asked for to the next start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from supervisors.past.reading import History, rows_of, text_of

BUCKETS: Final = 72
TOP: Final = 12
"""Rows of a table."""

LENGTHS: Final = (
    10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800,
)  # fmt: skip
"""Seconds that a piece may have; beyond the last one, multiples of it."""


class Span(Struct, frozen=True):
    """What is reported on: instants in seconds since the epoch, and the length of a piece."""

    since: float
    until: float
    piece: float

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return max(1, math.ceil((self.until - self.since) / self.piece))

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.until - self.since


class Outage(Struct, frozen=True):
    """A time in which no node ran; `why` says how the run before ended."""

    since: float
    until: float
    why: str


class Waits(Struct, frozen=True):
    """How long things that were due waited for their start, in seconds.

    Attributes:
        p50: Median of each piece.
        p99: 99th percentile of each piece.
        rows: (what waited, how often, median, 99th percentile, longest), the slowest first.
    """

    p50: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    rows: tuple[tuple[str, int, float, float, float], ...] = ()


class Report(Struct, frozen=True):
    """The figures. Series have a value for each piece; None where nothing was measured.

    Attributes:
        node: Its name.
        version: Of the last run.
        starts: Runs of the node that began within the span.
        outages: When no node ran, from the first run on.
        up: Seconds in which a node ran.
        known: Seconds of the span that the history knows of: from the first run's start.
        restarts: Restarts decided.
        crashes: Ends nobody asked for.
        by_path: (path, restarts, crashes, availability, median recovery, longest recovery, last error).
        runs: Runs by outcome: a series each.
        run_rows: (run, runs, failed, skipped, median, 95th percentile, longest).
        lateness: Of runs by a schedule after their slots, by schedule.
        queues: Of jobs for a worker, by queue and kind.
        load: Of the host, one minute's average.
        cpu: Processors that the node's own process used.
        memory: Resident bytes of the node's processes together.
        host_memory: Share of the host's memory in use.
        totals: Counts by name: commands, dead letters, failed asks, lost rows.
    """

    span: Span
    node: str
    version: str
    starts: int
    outages: tuple[Outage, ...]
    up: float
    known: float
    restarts: tuple[int, ...]
    crashes: tuple[int, ...]
    by_path: tuple[tuple[str, int, int, float, float | None, float | None, str], ...]
    runs: dict[str, tuple[int, ...]]
    run_rows: tuple[tuple[str, int, int, int, float, float, float], ...]
    lateness: Waits
    queues: Waits
    load: tuple[float | None, ...]
    cpu: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    host_memory: tuple[float | None, ...]
    totals: dict[str, int]

    @property
    def availability(self) -> float | None:
        """Share of the known time in which a node ran; None where nothing is known."""
        return min(1.0, self.up / self.known) if self.known > 0 else None


def span_of(since: float, until: float) -> Span:
    """Return the span with pieces of a length that people know.

    Raises:
        ValueError: It has no length.
    """
    if until <= since:
        raise ValueError("a report is on a span of time: --since comes before --until")
    wanted = (until - since) / BUCKETS
    piece = next((float(length) for length in LENGTHS if length >= wanted), 0.0)
    return Span(since, until, piece or math.ceil(wanted / LENGTHS[-1]) * float(LENGTHS[-1]))


def gather(history: History, span: Span, *, running_epoch: int | None) -> Report:
    """Return the report on `span`.

    Args:
        history: Whom to ask.
        span: What about.
        running_epoch: The run that runs now, None where none does.
    """
    wanted: dict[str, Any] = {"since": text_of(span.since), "until": text_of(span.until)}
    pieces = {**wanted, "start": span.since, "piece": span.piece}
    runs = [(str(n), int(e), float(s), str(v), float(w)) for n, e, s, v, w in rows_of(history, _RUNS, wanted, 10_000)]
    outages, up, known = _lifetimes(span, runs, running_epoch)
    outcomes: dict[str, tuple[int, ...]] = {}
    ran = rows_of(history, _OUTCOMES, pieces, 10_000)
    for name in _unique(row[0] for row in ran):
        outcomes[name] = _counts(span, [(at, n) for outcome, at, n in ran if outcome == name])
    totals = {name: int(rows_of(history, sql, wanted, 1)[0][0]) for name, sql in _TOTALS.items()}
    return Report(
        span=span,
        node=runs[-1][0] if runs else "",
        version=runs[-1][3] if runs else "",
        starts=sum(span.since <= run[2] < span.until for run in runs),
        outages=outages,
        up=up,
        known=known,
        restarts=_counts(span, rows_of(history, _RESTARTS, pieces, 10_000)),
        crashes=_counts(span, rows_of(history, _CRASHES, pieces, 10_000)),
        by_path=tuple(_path_row(row, up) for row in rows_of(history, _BY_PATH, wanted, TOP)),
        runs=outcomes,
        run_rows=tuple((str(r), int(n), int(f), int(s), *map(float, rest))  # type: ignore[misc]  # three of them
                       for r, n, f, s, *rest in rows_of(history, _RUN_ROWS, wanted, TOP)),
        lateness=_waits(history, span, pieces, "schedule", "schedule IS NOT NULL"),
        queues=_waits(history, span, pieces, "concat_ws(' ', queue, job_kind)", "queue IS NOT NULL"),
        load=_means(span, rows_of(history, _METRIC, {**pieces, "name": "host.load_1m"}, 10_000)),
        cpu=_means(span, rows_of(history, _OWN, {**pieces, "name": "process.cpu_ratio"}, 10_000)),
        memory=_means(span, rows_of(history, _MEMORY, pieces, 10_000)),
        host_memory=_means(span, rows_of(history, _METRIC, {**pieces, "name": "host.memory_used_ratio"}, 10_000)),
        totals=totals,
    )  # fmt: skip


def _lifetimes(
    span: Span, runs: Sequence[tuple[str, int, float, str, float]], running_epoch: int | None
) -> tuple[tuple[Outage, ...], float, float]:
    """Return when no node ran within the span, for how long one did, and for how long that is known."""
    if not runs:
        return (), 0.0, 0.0
    outages: list[Outage] = []
    up = 0.0
    known_from = max(span.since, min(runs[0][2], span.until))
    for number, (_name, epoch, started, _version, last) in enumerate(runs):
        following = runs[number + 1][2] if number + 1 < len(runs) else math.inf
        ended = span.until if epoch == running_epoch else min(last, following)
        up += max(0.0, min(ended, span.until) - max(started, span.since))
        begins, ends = max(ended, span.since), min(following, span.until)
        if epoch != running_epoch and ends - begins > _SHORT:
            outages.append(Outage(begins, ends, "no word of a node"))
    return tuple(outages), up, span.until - known_from


_SHORT: Final = 1.0
"""Seconds below which a time without a node is not listed."""


def _waits(history: History, span: Span, pieces: dict[str, Any], name: str, which: str) -> Waits:
    """Return the waits of those runs that the condition `which` names, by the SQL expression `name`."""
    where = f"{_WITHIN} AND waited IS NOT NULL AND {which}"
    over_time = rows_of(
        history,
        f"SELECT {_PIECE} AS piece, median(waited), quantile_cont(waited, 0.99) FROM runs WHERE {where} GROUP BY piece",
        pieces,
        10_000,
    )
    by_name = rows_of(
        history,
        f"SELECT {name} AS name, count(*), median(waited), quantile_cont(waited, 0.99) AS slow, max(waited) FROM runs "
        f"WHERE {where} GROUP BY name ORDER BY slow DESC, name",
        {key: pieces[key] for key in ("since", "until")},
        TOP,
    )
    return Waits(
        _means(span, [(at, middle) for at, middle, _ in over_time]),
        _means(span, [(at, slow) for at, _, slow in over_time]),
        tuple((str(what), int(n), float(p50), float(p99), float(most)) for what, n, p50, p99, most in by_name),
    )


def _path_row(row: tuple[Any, ...], up: float) -> tuple[str, int, int, float, float | None, float | None, str]:
    path, restarts, crashes, down, median, longest, error = row
    share = 1.0 - min(1.0, float(down or 0.0) / up) if up > 0 else 1.0
    return (
        str(path), int(restarts), int(crashes), share, None if median is None else float(median),
        None if longest is None else float(longest), str(error or "").split("\n", 1)[0],
    )  # fmt: skip


def _counts(span: Span, rows: Iterable[Sequence[Any]]) -> tuple[int, ...]:
    found = [0] * span.count
    for at, count in rows:
        if 0 <= int(at) < span.count:
            found[int(at)] += int(count)
    return tuple(found)


def _means(span: Span, rows: Iterable[Sequence[Any]]) -> tuple[float | None, ...]:
    found: list[float | None] = [None] * span.count
    for at, value in rows:
        if 0 <= int(at) < span.count and value is not None and math.isfinite(float(value)):
            found[int(at)] = float(value)
    return tuple(found)


def _unique(names: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names))


_WITHIN: Final = "happened_at >= CAST($since AS TIMESTAMPTZ) AND happened_at < CAST($until AS TIMESTAMPTZ)"
_PIECE: Final = "CAST(floor((epoch(happened_at) - CAST($start AS DOUBLE)) / CAST($piece AS DOUBLE)) AS BIGINT)"
_RUNS: Final = """
SELECT r.node, r.epoch, epoch(r.started_at), r.version,
       greatest(epoch(r.started_at), coalesce(e.word, 0), coalesce(m.word, 0))
FROM runs_of_node r
LEFT JOIN (SELECT epoch, max(epoch(happened_at)) AS word FROM events GROUP BY epoch) e ON e.epoch = r.epoch
LEFT JOIN (SELECT epoch, max(epoch(happened_at)) AS word FROM metrics GROUP BY epoch) m ON m.epoch = r.epoch
WHERE r.started_at < CAST($until AS TIMESTAMPTZ)
  AND greatest(r.started_at, to_timestamp(greatest(coalesce(e.word, 0), coalesce(m.word, 0))))
      >= CAST($since AS TIMESTAMPTZ)
ORDER BY r.epoch
"""
_RESTARTS: Final = f"SELECT {_PIECE} AS piece, count(*) FROM restarts WHERE {_WITHIN} GROUP BY piece"
_CRASHES: Final = f"SELECT {_PIECE} AS piece, count(*) FROM exits WHERE {_WITHIN} AND NOT expected GROUP BY piece"
_OUTCOMES: Final = f"""
SELECT outcome, {_PIECE} AS piece, count(*) FROM runs WHERE {_WITHIN} GROUP BY outcome, piece ORDER BY outcome
"""
_RUN_ROWS: Final = f"""
SELECT run, count(*) AS runs, count(*) FILTER (WHERE outcome IN ('failed', 'timed-out')),
       count(*) FILTER (WHERE outcome = 'skipped'), median(seconds), quantile_cont(seconds, 0.95), max(seconds)
FROM runs WHERE {_WITHIN} GROUP BY run ORDER BY runs DESC, run
"""
_METRIC: Final = f"""
SELECT {_PIECE} AS piece, avg(value) FROM metrics WHERE {_WITHIN} AND name = $name GROUP BY piece
"""
_OWN: Final = f"""
SELECT {_PIECE} AS piece, avg(value) FROM metrics WHERE {_WITHIN} AND name = $name AND path = '/' GROUP BY piece
"""
_MEMORY: Final = f"""
SELECT piece, sum(used) FROM (
    SELECT {_PIECE} AS piece, path, avg(value) AS used FROM metrics
    WHERE {_WITHIN} AND name = 'process.rss_bytes' GROUP BY piece, path)
GROUP BY piece
"""
_BY_PATH: Final = f"""
WITH restarted AS (SELECT path, count(*) AS n FROM restarts WHERE {_WITHIN} GROUP BY path),
crashed AS (
    SELECT path, count(*) AS n, arg_max(error, happened_at) AS error FROM crashes WHERE {_WITHIN} GROUP BY path),
back AS (
    SELECT path, sum(seconds) AS down, median(seconds) AS middle, max(seconds) AS longest FROM recoveries
    WHERE down_at >= CAST($since AS TIMESTAMPTZ) AND down_at < CAST($until AS TIMESTAMPTZ) GROUP BY path)
SELECT coalesce(r.path, c.path) AS path, coalesce(r.n, 0) AS restarts, coalesce(c.n, 0) AS crashes, b.down, b.middle,
       b.longest, c.error
FROM restarted r FULL JOIN crashed c ON c.path = r.path LEFT JOIN back b ON b.path = coalesce(r.path, c.path)
ORDER BY restarts DESC, crashes DESC, path
"""
_TOTALS: Final = {
    "events": f"SELECT count(*) FROM events WHERE {_WITHIN}",
    "commands": f"SELECT count(*) FROM commands WHERE {_WITHIN}",
    "dead letters": f"SELECT count(*) FROM dead_letters WHERE {_WITHIN}",
    "failed asks": f"SELECT count(*) FROM failed_asks WHERE {_WITHIN}",
    "lost rows": f"SELECT coalesce(sum(rows), 0) FROM lost WHERE {_WITHIN}",
}
