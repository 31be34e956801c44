"""The history: every event of a node as rows in a DuckDB file, written off the hot path and asked in SQL.

`HistoryFeed` runs in the node: it takes events from the bus and ships them in batches. `recorder.Recorder` owns the
file and answers queries; `sql.query_file` asks a file whose node is down; `queries` has the named analyses. Importing
this package does not import DuckDB: `recorder` and `sql` do.
"""

from actors.history.errors import (
    HistoryBackupError,
    HistoryError,
    HistoryLockedError,
    HistoryUnavailableError,
    HistoryVersionError,
    QueryError,
    QueryProblem,
)
from actors.history.feed import HistoryFeed
from actors.history.figures import FeedLimits, FeedStatistics
from actors.history.payloads import event_of
from actors.history.protocol import (
    CancelQuery,
    Checkpoint,
    CheckpointDone,
    Copy,
    CopyMade,
    Notice,
    Outcome,
    Prune,
    Pruned,
    PrunedPart,
    Query,
    QueryAnswer,
    QueryFailed,
    QueryProgress,
    QueryResult,
    RecorderStatistics,
    Statistics,
    Store,
    Stored,
)
from actors.history.rows import NodeRun, rows_of

__all__ = [
    "CancelQuery",
    "Checkpoint",
    "CheckpointDone",
    "Copy",
    "CopyMade",
    "FeedLimits",
    "FeedStatistics",
    "HistoryBackupError",
    "HistoryError",
    "HistoryFeed",
    "HistoryLockedError",
    "HistoryUnavailableError",
    "HistoryVersionError",
    "NodeRun",
    "Notice",
    "Outcome",
    "Prune",
    "Pruned",
    "PrunedPart",
    "Query",
    "QueryAnswer",
    "QueryError",
    "QueryFailed",
    "QueryProblem",
    "QueryProgress",
    "QueryResult",
    "RecorderStatistics",
    "Statistics",
    "Store",
    "Stored",
    "event_of",
    "rows_of",
]
