"""SQL of the analyses about load: handlers that hold an actor, mailboxes that fill, work that waits, what actors cost.

Their rows come from the watchdog (states `stuck`, `growing`, `recovered`, and the metric `actor.mailbox` of the fullest
mailboxes at each look), from runs, and from the figures of processes.
"""

from __future__ import annotations

SLOW_RUNS = """
    SELECT path, run, count(*) AS runs, median(seconds) AS p50, quantile_cont(seconds, 0.95) AS p95,
           quantile_cont(seconds, 0.99) AS p99, max(seconds) AS longest, arg_max(happened_at, seconds) AS longest_at
    FROM runs WHERE {where} AND outcome <> 'skipped'
    GROUP BY path, run
    ORDER BY p95 DESC, path, run LIMIT $limit
"""

SLOW_HANDLERS = """
    WITH said AS (
        SELECT path, happened_at, payload->>'state' AS state, payload->>'detail' AS detail,
               lead(happened_at, 1, $now::TIMESTAMPTZ) OVER (PARTITION BY path ORDER BY epoch, seq) AS ended
        FROM events
        WHERE {where} AND type = 'ActorStateChanged' AND payload->>'state' IN ('stuck', 'growing', 'recovered'))
    SELECT path, regexp_extract(detail, 'handling (\\S+) for', 1) AS message_type, count(*) AS times,
           max(epoch(ended) - epoch(happened_at) + regexp_extract(detail, 'for (\\d+) s', 1)::DOUBLE) AS longest,
           max(happened_at) AS last_at
    FROM said WHERE state = 'stuck'
    GROUP BY ALL ORDER BY longest DESC, path, message_type LIMIT $limit
"""

MAILBOX_GROWTH = """
    SELECT path, count(*) AS looks, avg(value) AS mean_depth, max(value) AS most,
           arg_max(happened_at, value) AS most_at, arg_max(value, (epoch, seq)) AS newest,
           coalesce(3600 * regr_slope(value, epoch(happened_at)), 0) AS growth_an_hour
    FROM metrics WHERE {where} AND name = 'actor.mailbox'
    GROUP BY path ORDER BY growth_an_hour DESC, most DESC, path LIMIT $limit
"""

LATENESS = """
    SELECT schedule, count(*) FILTER (waited IS NOT NULL) AS runs, median(waited) AS p50,
           quantile_cont(waited, 0.95) AS p95, quantile_cont(waited, 0.99) AS p99, max(waited) AS longest,
           arg_max(slot_at, waited) AS longest_at,
           coalesce(sum(slots) FILTER (outcome = 'skipped'), 0)::BIGINT AS skipped,
           coalesce(sum(slots) FILTER (outcome = 'missed'), 0)::BIGINT AS missed,
           coalesce(sum(slots) FILTER (outcome = 'merged'), 0)::BIGINT AS merged
    FROM runs WHERE {where} AND schedule IS NOT NULL AND schedule LIKE $schedule
    GROUP BY schedule ORDER BY p99 DESC NULLS LAST, schedule LIMIT $limit
"""

QUEUE_LATENCY = """
    SELECT queue, job_kind, count(*) AS jobs, median(waited) AS p50, quantile_cont(waited, 0.95) AS p95,
           quantile_cont(waited, 0.99) AS p99, max(waited) AS longest, arg_max(happened_at, waited) AS longest_at,
           median(seconds) AS median_run
    FROM runs WHERE {where} AND waited IS NOT NULL AND queue IS NOT NULL AND queue LIKE $queue
    GROUP BY queue, job_kind ORDER BY p99 DESC, queue, job_kind LIMIT $limit
"""

COST = """
    WITH ran AS (
        SELECT path, count(*) AS runs, count(*) FILTER (outcome IN ('failed', 'timed-out')) AS failed_runs,
               sum(seconds) AS run_seconds
        FROM runs WHERE {where} AND outcome <> 'skipped' GROUP BY path),
    used AS (
        SELECT path, avg(value) FILTER (name = 'process.cpu') AS mean_cpu,
               max(value) FILTER (name = 'process.memory') AS peak_memory_bytes
        FROM metrics WHERE {where} AND isfinite(value) GROUP BY path),
    again AS (SELECT path, count(*) AS restarts FROM restarts WHERE {where} GROUP BY path)
    SELECT path, coalesce(runs, 0) AS runs, coalesce(failed_runs, 0) AS failed_runs,
           coalesce(run_seconds, 0) AS run_seconds, mean_cpu, peak_memory_bytes, coalesce(restarts, 0) AS restarts
    FROM ran FULL JOIN used USING (path) FULL JOIN again USING (path)
    WHERE coalesce(runs, restarts, mean_cpu, peak_memory_bytes) IS NOT NULL
    ORDER BY run_seconds DESC, mean_cpu DESC NULLS LAST, path LIMIT $limit
"""
