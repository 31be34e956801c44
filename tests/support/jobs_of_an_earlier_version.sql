-- state.db as an earlier version left it on kill -9: a dead letter, a job that a worker had, two that waited.
BEGIN TRANSACTION;
CREATE TABLE jobs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'failed')),
            job BLOB NOT NULL,
            source TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            why TEXT NOT NULL,
            created_at REAL NOT NULL,
            changed_at REAL NOT NULL
        ) STRICT;
INSERT INTO "jobs" VALUES(1,'failed',X'82A474797065A9686173682D66696C65A470617468AC2F6E657665722F7468657265','loop-daily-maintenance',2,'OSError: /never/there: FileNotFoundError: No such file or directory',1.79527707337948465348e+09,1.79527707338301754005e+09);
INSERT INTO "jobs" VALUES(3,'running',X'82A474797065A9686173682D66696C65A470617468AF2F7372762F6C617267652D66696C65','loop-daily-maintenance',1,'',1.79527707338660883905e+09,1.79527707338696146006e+09);
INSERT INTO "jobs" VALUES(4,'waiting',X'82A474797065AB696E6465782D66696C6573A5706174687393A62F7372762F61A82F7372762F622063A72F7372762FC3BC','loop-daily-maintenance',0,'',1.79527707338660883905e+09,1.79527707338660883905e+09);
INSERT INTO "jobs" VALUES(5,'waiting',X'82A474797065A9686173682D66696C65A470617468A62F7372762F64','loop-daily-maintenance',0,'',1.79527707338660883905e+09,1.79527707338660883905e+09);
CREATE TABLE jobs_all (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    timeout REAL NOT NULL,
    backoff TEXT,
    key TEXT NOT NULL,
    window_at REAL NOT NULL,
    even_if INTEGER NOT NULL,
    every REAL NOT NULL,
    slot_at REAL NOT NULL,
    batch TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at REAL NOT NULL,
    run_at REAL NOT NULL,
    attempt INTEGER NOT NULL,
    after TEXT NOT NULL,
    begun_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    progress REAL NOT NULL,
    note TEXT NOT NULL,
    why TEXT NOT NULL,
    worker TEXT NOT NULL,
    repeats INTEGER NOT NULL,
    ending TEXT NOT NULL,
    result TEXT
, cron TEXT NOT NULL DEFAULT '', timezone TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE jobs_last (number INTEGER NOT NULL) STRICT;
INSERT INTO "jobs_last" VALUES(0);
CREATE TABLE jobs_lines (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE jobs_queues (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,
    draining INTEGER NOT NULL,
    note TEXT NOT NULL,
    rate TEXT
) STRICT;
CREATE TABLE migrations (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
INSERT INTO "migrations" VALUES('jobs',4);
CREATE INDEX jobs_failed ON jobs (number) WHERE state = 'failed';
CREATE INDEX jobs_windows ON jobs_all (window_at) WHERE window_at > 0;
CREATE INDEX jobs_lines_number ON jobs_lines (number);
CREATE TRIGGER jobs_lines_forget AFTER DELETE ON jobs_all BEGIN DELETE FROM jobs_lines WHERE number = old.number; END;
CREATE VIEW jobs_view AS SELECT
    'job-' || number AS id, number, queue, kind, state, payload, result, priority, attempt, attempts, timeout, key,
    batch, source, progress, note, why, worker, repeats, every, cron, timezone, created_at, run_at, begun_at,
    changed_at, strftime('%s', 'now') - created_at AS age,
    (SELECT group_concat(text, char(10)) FROM jobs_lines WHERE jobs_lines.number = jobs_all.number) AS log
    FROM jobs_all;
INSERT INTO "sqlite_sequence" VALUES('jobs',5);
PRAGMA user_version = 2;
COMMIT;
