"""What the history holds: its tables, column by column, with units.

This is the description that rows are made for, comments in the file are written from and `docs/reference/history.md` is
checked against. The statements that make the tables are in `migrations`; a test holds the two together.

Every row made from an event carries the event's `(epoch, seq)`, so that any table joins `events` and any two tables
join each other. Instants are `TIMESTAMP WITH TIME ZONE`, durations `DOUBLE` seconds.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Keep(Enum):
    """How long rows of a table are kept."""

    EVENTS = "events"
    """As long as events."""
    METRICS = "metrics"
    """As long as metrics."""
    ALWAYS = "always"
    """For ever; such tables grow by a row a start or a schema change, or are merged (`batches`)."""


class Column(Struct, frozen=True):
    """One column: its name, DuckDB type and what it says. `about` names the unit where there is one."""

    name: str
    type: str
    about: str


class Table(Struct, frozen=True):
    """One table.

    Attributes:
        name: Its name.
        about: What one row is.
        columns: In the order of the file.
        keep: How long rows are kept.
        instant: The column that retention goes by, or "" for `Keep.ALWAYS`.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    keep: Keep = Keep.EVENTS
    instant: str = "happened_at"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


INSTANT = "TIMESTAMP WITH TIME ZONE"

_EVENT = (
    Column("seq", "BIGINT", "number of the event on the node's bus, from 1 in each epoch"),
    Column("epoch", "BIGINT", "which run of the node, see runs_of_node"),
    Column("happened_at", INSTANT, "when, by the node's wall clock"),
    Column("path", "VARCHAR", "path of the actor it is about"),
)
_GENERATION = Column("generation", "BIGINT", "which instance at this path, from 1; 0 where none is meant")
_REASON = (
    Column("kind", "VARCHAR", "kind of the exit: normal, shutdown, killed, crashed"),
    Column("detail", "VARCHAR", "what narrows the kind: signal SIGSEGV, exit code 3, memory-limit, gave-up"),
    Column("error_type", "VARCHAR", "class of the error that ended it, builtins.ValueError; NULL without one"),
    Column("error_message", "VARCHAR", "text of that error"),
)
_CAUSES = Column(
    "causes",
    "VARCHAR",
    "JSON list of the exits that led to this one, nearest child first: path, kind, detail, error_type, "
    "error_message, and traceback for the last; NULL where there are none",
)

SEGMENT = Column("seg", "BIGINT", "in which publication the row leaves the file; the recorder's own")
"""A column of every table in the file that no view shows."""

TABLES: tuple[Table, ...] = (
    Table(
        "schema_version",
        "One migration carried out on this file.",
        (
            Column("version", "INTEGER", "version of the schema after it"),
            Column("applied_at", INSTANT, "when"),
            Column("about", "VARCHAR", "what it changed"),
        ),
        Keep.ALWAYS,
        "",
    ),
    Table(
        "runs_of_node",
        "One run of the node, from start to end.",
        (
            Column("node", "VARCHAR", "name of the node"),
            Column("epoch", "BIGINT", "number of the run; later runs have greater ones"),
            Column("started_at", INSTANT, "when the run began"),
            Column("pid", "BIGINT", "process of the node"),
            Column("version", "VARCHAR", "version of the program"),
        ),
        Keep.ALWAYS,
        "",
    ),
    Table(
        "events",
        "One event of the node, except sampled metrics, which are in metrics alone.",
        (
            *_EVENT[:3],
            Column("type", "VARCHAR", "class of the event, ActorExited"),
            Column("topic", "VARCHAR", "class in tap topics, actor.exit"),
            Column("severity", "VARCHAR", "info, warning or error"),
            _EVENT[3],
            _GENERATION,
            Column("summary", "VARCHAR", "the event in one line"),
            Column("payload", "VARCHAR", "JSON of its other fields; tracebacks are in exits; NULL without fields"),
        ),
    ),
    Table(
        "starts",
        "One instance of an actor became ready.",
        (
            *_EVENT,
            _GENERATION,
            Column("placement", "VARCHAR", "where it runs: pool, thread, process"),
            Column("pid", "BIGINT", "process it runs in"),
            Column("seconds", "DOUBLE", "seconds from the start request to ready"),
        ),
    ),
    Table(
        "exits",
        "One instance of an actor ended, or its start failed.",
        (
            *_EVENT,
            _GENERATION,
            *_REASON,
            Column("traceback", "VARCHAR", "traceback of that error, as Python prints it"),
            _CAUSES,
            Column("uptime", "DOUBLE", "seconds since it was ready; 0 for a failed start"),
            Column("phase", "VARCHAR", "starting, running, or stopping when its supervisor had asked for the end"),
            Column("expected", "BOOLEAN", "false where the end is reported as an error"),
            Column("attempt", "BIGINT", "failed start: 0 for a first start, else which try of the restart; else NULL"),
        ),
    ),
    Table(
        "restarts",
        "A supervisor decided to restart a child.",
        (
            *_EVENT,
            Column("generation", "BIGINT", "the instance that ended"),
            Column("supervisor", "VARCHAR", "path of the supervisor that decided"),
            Column("strategy", "VARCHAR", "its strategy"),
            Column("attempt", "BIGINT", "which try of this restart, from 1"),
            Column("delay", "DOUBLE", "seconds until it is carried out"),
            Column("group_paths", "VARCHAR[]", "paths restarted together, in start order"),
            Column("restarts", "BIGINT", "restarts inside the supervisor's window, this one included"),
            Column("intensity", "BIGINT", "restarts its window allows"),
            *_REASON,
        ),
    ),
    Table(
        "limits",
        "A restart budget was exceeded.",
        (
            *_EVENT,
            Column("scope", "VARCHAR", "whose budget: supervisor or child"),
            Column("action", "VARCHAR", "what follows: escalate, quarantine, park"),
            Column("restarts", "BIGINT", "restarts counted"),
            Column("intensity", "BIGINT", "restarts allowed"),
            Column("period", "DOUBLE", "seconds of the window they were counted in"),
            *_REASON,
            _CAUSES,
        ),
    ),
    Table(
        "commands",
        "One control command, whoever gave it: the audit.",
        (
            *_EVENT,
            Column("command", "VARCHAR", "its name"),
            Column("caller", "VARCHAR", "who gave it"),
            Column("why", "VARCHAR", "the reason the caller gave"),
            Column("code", "VARCHAR", "ok, or the code of the error"),
            Column("seconds", "DOUBLE", "seconds it took"),
            Column("idempotency_key", "VARCHAR", "the caller's key: the same command again is carried out once"),
        ),
    ),
    Table(
        "failed_asks",
        "One ask that ended without its answer.",
        (
            *_EVENT,
            Column("message_type", "VARCHAR", "class of the message"),
            Column("error", "VARCHAR", "class and text of the error"),
            Column("seconds", "DOUBLE", "seconds it waited"),
        ),
    ),
    Table(
        "dead_letters",
        "One message nobody took.",
        (
            *_EVENT,
            Column("message_type", "VARCHAR", "class of the message"),
            Column("why", "VARCHAR", "why nobody took it"),
            Column("sender", "VARCHAR", "path of the sender, or empty"),
        ),
    ),
    Table(
        "runs",
        "One execution of a loop cycle, a scheduled slot or a job.",
        (
            *_EVENT,
            Column("run", "VARCHAR", "name of what ran"),
            Column("outcome", "VARCHAR", "succeeded, failed, skipped, timed-out, cancelled"),
            Column("seconds", "DOUBLE", "seconds it took"),
            Column("detail", "VARCHAR", "one line: the result, or the error"),
            Column("schedule", "VARCHAR", "schedule it was for; NULL for none"),
            Column("slot_at", INSTANT, "the scheduled instant; NULL outside a schedule"),
            Column("slots", "BIGINT", "how many slots in a row it tells of, from slot_at on"),
            Column(
                "waited",
                "DOUBLE",
                "seconds from when it was due (slot with jitter; a job's time to run, of its last try) to its start; "
                "NULL where it did not start or was not due at a time",
            ),
            Column("queue", "VARCHAR", "queue of the job; NULL for no job"),
            Column("job_kind", "VARCHAR", "kind of the job; NULL for no job"),
        ),
    ),
    Table(
        "metrics",
        "One measured value.",
        (
            *_EVENT,
            Column("name", "VARCHAR", "what was measured"),
            Column("value", "DOUBLE", "the value, NaN and infinities included"),
            Column("unit", "VARCHAR", "bytes, ratio, seconds, count, per_second"),
        ),
        Keep.METRICS,
    ),
    Table(
        "lost",
        "Rows that never got here, and where they went.",
        (
            *_EVENT,
            Column("rows", "BIGINT", "how many; 0 where nobody can know"),
            Column("why", "VARCHAR", "where they were dropped, and why"),
        ),
    ),
    Table(
        "batches",
        "One stored batch: what makes a batch that is sent twice count once, and a missing one noticed.",
        (
            Column("source", "VARCHAR", "who numbered it: one run of one feed"),
            Column(
                "first_batch", "BIGINT", "as batch; less where pruning merged rows: first of the batches it stands for"
            ),
            Column("batch", "BIGINT", "its number, from 1 per source, without gaps"),
            Column("rows", "BIGINT", "rows stored with it, rejected ones not counted"),
            Column("stored_at", INSTANT, "when the recorder stored it, by its wall clock"),
        ),
        Keep.ALWAYS,
        "",
    ),
    Table(
        "rejects",
        "One row that its table could not take, kept as text.",
        (
            Column("rejected_at", INSTANT, "when"),
            Column("source", "VARCHAR", "source of its batch"),
            Column("batch", "BIGINT", "number of its batch"),
            Column("table_name", "VARCHAR", "table it was for"),
            Column("error", "VARCHAR", "what stood in the way"),
            Column("content", "VARCHAR", "the row as text"),
        ),
        instant="rejected_at",
    ),
)

BY_NAME: dict[str, Table] = {table.name: table for table in TABLES}


class View(Struct, frozen=True):
    """One view: a question people ask, as a table."""

    name: str
    about: str
    sql: str


REASON = "coalesce(error_type || ': ' || error_message, concat_ws(' ', kind, nullif(detail, '')))"
"""SQL for why something ended, in one text, from the columns of a reason."""

VIEWS: tuple[View, ...] = (
    View(
        "crashes",
        "Ends nobody asked for: crashes, kills and failed starts, with the error in one line.",
        f"""
        SELECT happened_at, path, generation, phase, uptime,
               {REASON} AS error,
               detail, error_type, traceback, causes, epoch, seq
        FROM exits
        WHERE NOT expected
        """,
    ),
    View(
        "restarts_by_path",
        "How often each path was restarted, and why the last time.",
        f"""
        SELECT path, count(*) AS restarts, max(happened_at) AS last_at, min(happened_at) AS first_at,
               arg_max({REASON},
                       (epoch, seq)) AS last_reason,
               max(attempt) AS most_attempts, max(delay) AS longest_delay
        FROM restarts
        GROUP BY path
        """,
    ),
    View(
        "last_exit",
        "The newest end of each path.",
        """
        SELECT * FROM exits
        QUALIFY row_number() OVER (PARTITION BY path ORDER BY epoch DESC, seq DESC) = 1
        """,
    ),
    View(
        "recoveries",
        "Ends nobody asked for, each with the start that ended the outage; NULL while it lasts.",
        f"""
        SELECT x.path, x.generation, x.happened_at AS down_at, s.happened_at AS up_at,
               epoch(s.happened_at) - epoch(x.happened_at) AS seconds,
               {REASON} AS error
        FROM exits x ASOF LEFT JOIN starts s ON s.path = x.path AND s.happened_at >= x.happened_at
        WHERE NOT x.expected AND x.phase <> 'starting'
        """,
    ),
    View(
        "flight_records",
        "What each crashed instance did last: messages, figures, and by its rule state, variables, stacks (JSON); the "
        "records are the payloads of CrashRecorded in events, kept once.",
        """
        SELECT happened_at, path, generation, payload->>'reason' AS reason,
               coalesce(payload->>'$.record.source', 'actor') AS source,
               payload->>'$.record.messages[#-1].type' AS last_message,
               payload->>'$.record.handler' AS handler,
               coalesce(CAST(payload->>'$.record.seconds' AS DOUBLE), 0) AS seconds_in_hand,
               coalesce(CAST(payload->>'$.record.handled' AS BIGINT), 0) AS handled,
               coalesce(CAST(payload->>'$.record.waiting' AS BIGINT), 0) AS waiting,
               payload->'$.record.messages' AS messages, payload->'$.record.state' AS state,
               payload->'$.record.frames' AS frames, payload->'$.record.stacks' AS stacks,
               payload->'$.record.log' AS log,
               coalesce(CAST(payload->>'$.record.suppressed' AS BIGINT), 0) AS suppressed,
               epoch, seq
        FROM events WHERE type = 'CrashRecorded'
        """,
    ),
    View(
        "timeline",
        "Every event in one list, sampled metrics included.",
        """
        SELECT seq, epoch, happened_at, type, topic, severity, path, generation, summary, payload FROM events
        UNION ALL
        SELECT seq, epoch, happened_at, 'MetricSampled', 'metric', 'info', path, 0,
               name || ' ' || value || ' ' || unit, NULL
        FROM metrics
        """,
    ),
    View(
        "gaps",
        "Batches that were numbered and are not here, by source.",
        """
        SELECT source, previous + 1 AS first_missing, first_batch - 1 AS last_missing,
               first_batch - previous - 1 AS missing, stored_at AS noticed_at
        FROM (SELECT source, first_batch, stored_at,
                     coalesce(lag(batch) OVER (PARTITION BY source ORDER BY batch), 0) AS previous
              FROM batches)
        WHERE first_batch - previous > 1
        """,
    ),
)
