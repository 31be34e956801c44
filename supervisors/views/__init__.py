"""What a node answers to control commands: frozen views.

The node fills these types, control RPC carries them, `actorctl` and every other client reads them. They hold plain
data only: no ref, no exception, no secret. Fields are only ever added, each with a default; none is renamed or removed
within `actors/v1`. On the wire a field at its default is left out. `documents` prints them as JSON.

Units: durations are float seconds, instants aware UTC datetimes named `*_at` (`instant` makes one from a float of
`time.time()`), sizes `*_bytes`. Durations that count down (`next_in`) are taken when the view is made.

    handler on the node        wire                       client
    TreeView(...)  ->  to_wire(view): plain builtins  ->  from_wire(result, TreeView)
"""

from __future__ import annotations

from supervisors.views.base import API_VERSION, Instant, View, from_wire, instant, to_wire
from supervisors.views.commands import (
    AnswerView,
    ColumnView,
    CommandView,
    ConfigEntry,
    ConfigView,
    ErrorView,
    PingView,
    PlanView,
    QueryView,
    SentView,
    ShutdownView,
    SqlView,
    TargetOutcome,
    TargetView,
    WaitView,
)
from supervisors.views.documents import (
    DOCUMENTS,
    CheckOutcome,
    CheckView,
    CronView,
    Document,
    DownOutcome,
    DownView,
    FaultView,
    FileView,
    JobsChangedView,
    JobView,
    RunView,
    SchemaView,
    SyntaxFaultView,
    TopicView,
    VersionView,
    document,
    plain,
    schema,
)
from supervisors.views.taps import ReplayView, ReportedView, SnapshotView, TapReaderView, TapsView
from supervisors.views.tree import (
    BudgetView,
    CauseView,
    DescribeView,
    EventRow,
    EventsView,
    HeaderView,
    HistoryView,
    NodeKind,
    NodeState,
    NodeView,
    SpecView,
    StatusView,
    TreeView,
    WhyView,
)

__all__ = [
    "API_VERSION",
    "DOCUMENTS",
    "AnswerView",
    "BudgetView",
    "CauseView",
    "CheckOutcome",
    "CheckView",
    "ColumnView",
    "CommandView",
    "ConfigEntry",
    "ConfigView",
    "CronView",
    "DescribeView",
    "Document",
    "DownOutcome",
    "DownView",
    "ErrorView",
    "EventRow",
    "EventsView",
    "FaultView",
    "FileView",
    "HeaderView",
    "HistoryView",
    "Instant",
    "JobView",
    "JobsChangedView",
    "NodeKind",
    "NodeState",
    "NodeView",
    "PingView",
    "PlanView",
    "QueryView",
    "ReplayView",
    "ReportedView",
    "RunView",
    "SchemaView",
    "SentView",
    "ShutdownView",
    "SnapshotView",
    "SpecView",
    "SqlView",
    "StatusView",
    "SyntaxFaultView",
    "TapReaderView",
    "TapsView",
    "TargetOutcome",
    "TargetView",
    "TopicView",
    "TreeView",
    "VersionView",
    "View",
    "WaitView",
    "WhyView",
    "document",
    "from_wire",
    "instant",
    "plain",
    "schema",
    "to_wire",
]
