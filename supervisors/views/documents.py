"""What `actorctl -o json` prints: documents of one shape, their item types and their JSON Schemas.

    {"kind": "ActorList", "apiVersion": "actors/v1", "items": [...]}

`items` is always there, every field of an item too, defaults included, so that a reader needs no case for absence.
Fields are only ever added within `actors/v1`. Here are also the views that `actorctl` makes by itself, without a node.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

from supervisors.views.base import API_VERSION, Instant, View, plain
from supervisors.views.busyness import ActivityView
from supervisors.views.commands import (
    AnswerView,
    ColumnView,
    ConfigEntry,
    ErrorView,
    KeyView,
    PauseView,
    QueryView,
    SentView,
    TargetView,
    WaitView,
)
from supervisors.views.history import HistoryCheckView, HistoryFileView, PrunedView
from supervisors.views.levels import LevelView
from supervisors.views.past import ChangeView
from supervisors.views.reload import ReloadItem
from supervisors.views.schedules import SCHEDULE_DOCUMENTS
from supervisors.views.taps import TapReaderView
from supervisors.views.tree import DescribeView, EventRow, HeaderView, NodeView, StatusView
from supervisors.views.why import WhyView
from supervisors.views.work import BackupView, JobLineView, JobsChangedView, JobView, JobWhyView, QueueView

ItemT = TypeVar("ItemT")


class FaultView(View, frozen=True, gc=False):
    """One fault of a configuration file or of a tree in Python, or one warning."""

    message: str
    key: str = ""
    path: str = ""
    file: str = ""
    line: int | None = None
    hint: str = ""


class SyntaxFaultView(View, frozen=True, gc=False):
    """Why a text is no cron expression: which field, which part of it, and where that begins, counted from 0."""

    message: str
    field: str = ""
    token: str = ""
    position: int = 0
    hint: str = ""


class CronView(View, frozen=True):
    """What one cron expression means.

    Attributes:
        valid: Whether it is one that ever fires.
        canonical: Six fields of sorted numbers; what means the same has the same.
        next_runs: The next five, ISO 8601 with the offset that clocks in `timezone` show then.
        smallest_gap: Seconds between the two closest of the next runs (a thousand, or those of four years).
        largest_gap: Seconds between the two neighbours that are farthest apart.
    """

    expression: str
    valid: bool
    canonical: str = ""
    description: str = ""
    timezone: str = "UTC"
    next_runs: tuple[str, ...] = ()
    smallest_gap: float = 0.0
    largest_gap: float = 0.0
    error: SyntaxFaultView | None = None
    warnings: tuple[str, ...] = ()


class RunView(View, frozen=True, gc=False):
    """One coming run: when, what clocks in the zone show then, and in how many seconds."""

    at: Instant
    local: str
    after: float


class LogView(View, frozen=True):
    """One line of the node's log.

    Attributes:
        at: When it was written; None where the line does not say.
        level: `debug`, `info`, `warning` or `error`.
        logger: Which part of the program wrote it; `events` for what happened in the tree.
        path: The actor it is about, or "".
        text: What it says.
        traceback: Of an error, or "".
        fields: What else it carries.
    """

    at: Instant | None = None
    level: str = ""
    logger: str = ""
    path: str = ""
    text: str = ""
    traceback: str = ""
    fields: dict[str, Any] = {}


class CheckOutcome(Enum):
    """What one check of `doctor` found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckView(View, frozen=True, gc=False):
    """One named check of `doctor`; `fix` is the one command that mends it, where one does."""

    name: str
    outcome: CheckOutcome
    detail: str = ""
    fix: str = ""


class DownOutcome(Enum):
    """How far `down` came."""

    GONE = "gone"
    ACCEPTED = "accepted"
    """It drains; nobody waited."""
    PENDING = "pending"
    """It is still there after the longest wait, and goes on."""


class DownView(View, frozen=True, gc=False):
    """What became of a node that was told to end.

    Attributes:
        pid: Its process.
        drain: Longest drain, in seconds.
        workers: How many it had.
        seconds: How long was waited.
        cut: What had to be killed, with what it was doing; known once the node is gone.
    """

    name: str
    pid: int
    home: str
    outcome: DownOutcome
    drain: float
    workers: int
    seconds: float
    cut: tuple[str, ...] = ()


class VersionView(View, frozen=True, gc=False):
    """A component and its version."""

    component: str
    version: str


class SchemaView(View, frozen=True):
    """The JSON Schema of a document, and the commands that print it."""

    kind: str
    commands: tuple[str, ...] = ()
    schema: dict[str, Any] = {}


class FileView(View, frozen=True, gc=False):
    """A file that a command wrote."""

    path: str


class TopicView(View, frozen=True):
    """One event as `tap` received it, or a `Gap`: `missed` events of its topic were lost.

    Attributes:
        topic_seq: Its number on its topic; 0 where it comes from the history, which does not number topics.
        origin: `live`, `snapshot` or `replay`.
    """

    seq: int
    topic_seq: int
    epoch: str
    at: Instant
    topic: str
    path: str
    type: str = ""
    severity: str = "info"
    data: dict[str, Any] = {}
    missed: int = 0
    origin: str = "live"


class Document(Struct, Generic[ItemT], frozen=True, kw_only=True):
    """What `-o json` prints: `items` is always there, whatever the command.

    Attributes:
        kind: Which document; see `DOCUMENTS`.
        api_version: `actors/v1`, under the key `apiVersion`.
        items: The answer.
        node: The node that answered, where one did and said so.
        is_truncated: More items matched than were asked for.
        columns: SQL answers: the columns in order.
    """

    kind: str
    api_version: str = field(name="apiVersion", default=API_VERSION)
    items: tuple[ItemT, ...] = ()
    node: HeaderView | None = None
    is_truncated: bool = False
    columns: tuple[ColumnView, ...] | None = None


DOCUMENTS: dict[str, Any] = {
    "Tree": NodeView,
    "TreeDiff": ChangeView,
    "ActorList": NodeView,
    "ActivityList": ActivityView,
    "Description": DescribeView,
    "Why": WhyView,
    "EventList": EventRow,
    "CommandResult": TargetView,
    "Down": DownView,
    "Paused": PauseView,
    "ReloadList": ReloadItem,
    "Sent": SentView,
    "Answer": AnswerView,
    "Wait": WaitView,
    "Status": StatusView,
    "Rows": dict[str, Any],
    "QueryList": QueryView,
    "HistoryFileList": HistoryFileView,
    "HistoryCheckList": HistoryCheckView,
    "PrunedList": PrunedView,
    "ConfigList": ConfigEntry,
    "FaultList": FaultView,
    "LogList": LogView,
    "LevelList": LevelView,
    "JobList": JobView,
    "JobsChanged": JobsChangedView,
    "JobWhy": JobWhyView,
    "JobLines": JobLineView,
    "QueueList": QueueView,
    "BackupList": BackupView,
    "CronList": CronView,
    **SCHEDULE_DOCUMENTS,
    "RunList": RunView,
    "CheckList": CheckView,
    "VersionList": VersionView,
    "SchemaList": SchemaView,
    "FileList": FileView,
    "KeyList": KeyView,
    "Tap": TopicView,
    "TapReaderList": TapReaderView,
    "Error": ErrorView,
}
"""The item type of every document kind."""


def document(kind: str, items: tuple[Any, ...], **extra: Any) -> dict[str, Any]:
    """Return the document as builtins, ready for `json.dumps`; keys that do not apply to the kind are left out.

    Raises:
        KeyError: `kind` is not in `DOCUMENTS`.
    """
    DOCUMENTS[kind]
    found: dict[str, Any] = {"kind": kind, "apiVersion": API_VERSION}
    found.update({key: plain(value) for key, value in extra.items() if value is not None})
    found["items"] = plain(items)
    return found


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document `kind`.

    Raises:
        KeyError: `kind` is not in `DOCUMENTS`.
    """
    found = msgspec.json.schema(Document[DOCUMENTS[kind]])  # type: ignore[valid-type]  # chosen at run time
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind, **found}
