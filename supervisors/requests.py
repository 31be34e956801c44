"""What control commands take: one frozen struct of arguments a command, beside the view it is answered with.

A client sends `command` and `to_wire(arguments)`; the node's handler reads them with `from_wire(args, COMMANDS[name]
.arguments)` and answers with `to_wire(view)`. Fields are only ever added, each with a default.

Selectors choose nodes of the tree: a path (`/io/gmail`), a glob (`/io/*`, `/agents/**`) or a state (`@failed`); see
`supervisors.selectors`. Who asked, why, the deadline and the idempotency key are the request's own fields
(`transport.control.protocol`), not arguments.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from supervisors.views import (
    AnswerView,
    CommandView,
    ConfigView,
    DescribeView,
    EventsView,
    HistoryCopyView,
    HistoryPrunedView,
    KeysView,
    LevelsView,
    PauseView,
    PingView,
    ReloadView,
    ReplayView,
    ReportedView,
    SentView,
    ShutdownView,
    SnapshotView,
    SqlView,
    StatusView,
    TapsView,
    TreeView,
    View,
    WaitView,
    WhyView,
)


class Arguments(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the arguments; on its own: none."""


class TreeArguments(Arguments, frozen=True):
    """Attributes:
    path: The root of the answer.
    depth: Levels below it; None is all. What is left out is counted in `hidden`.
    """

    path: str = "/"
    depth: int | None = None


class DescribeArguments(Arguments, frozen=True):
    """Attributes:
    state: Also ask the actor for its `state_view()`.
    events: How many recent events to add.
    """

    path: str
    state: bool = False
    events: int = 10


class WhyArguments(Arguments, frozen=True):
    """The node to explain."""

    path: str


class EventsArguments(Arguments, frozen=True):
    """Attributes:
    paths: Globs; none is every path. A path without a glob character also takes what is below it.
    types: Topics or types, `actor.exit`, `ActorExited`; a trailing `*` takes the rest; none is every one.
    severities: `info`, `warning`, `error`; none is every one.
    since_at: Only events from then on.
    after_seq: Only events with a greater number.
    limit: The newest so many.
    """

    paths: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    since_at: datetime | None = None
    after_seq: int | None = None
    limit: int = 100


class TargetArguments(Arguments, frozen=True):
    """Arguments of `start`, `stop`, `restart`, `suspend`, `resume`, `reread`, `kill` and `reset`.

    Attributes:
        selectors: Never empty: a command without a target is refused with `usage`.
        wait: Answer when every target has got there; False: when the command was accepted.
        timeout: Longest wait, in seconds; targets not there by then are `pending` and go on.
        dry_run: Change nothing; answer with plans.
        rolling: `restart`: one worker after another, so that no ask fails.
    """

    selectors: tuple[str, ...]
    wait: bool = True
    timeout: float = 30.0
    dry_run: bool = False
    rolling: bool = False


class LevelArguments(Arguments, frozen=True):
    """Arguments of `level`; where it is "" the selectors have the configured one again.

    Attributes:
        selectors: Paths, globs, states.
        level: `debug`, `info`, `warning` or `error`.
        seconds: How long; more than 0, a day at most.
    """

    selectors: tuple[str, ...]
    level: str = ""
    seconds: float = 600.0


class SendArguments(Arguments, frozen=True):
    """Arguments of `send` and `ask`.

    Attributes:
        message: Name of a message type the actor handles: `Fetch` or `openclaw.io.Fetch`.
        payload: Its fields.
        timeout: `ask`: longest wait for the answer, in seconds.
    """

    path: str
    message: str
    payload: dict[str, Any] = {}
    timeout: float = 10.0


class WaitArguments(Arguments, frozen=True):
    """Attributes:
    selectors: Which nodes; none is the whole tree.
    condition: `state=STATE`, `state!=STATE`, or `gone` (nothing matches any more).
    timeout: Longest wait, in seconds; then the answer says what is still pending.
    """

    selectors: tuple[str, ...] = ()
    condition: str = "state=ready"
    timeout: float = 30.0


class SqlArguments(Arguments, frozen=True):
    """Attributes:
    query: One reading statement; parameters are written `$name`.
    parameters: Their values: text, numbers, truth values or None.
    limit: Most rows in the answer.
    timeout: Longest run, in seconds.
    size: Most bytes of the answer; 0: as the recorder allows.
    memory: Most bytes of memory of sorts and hash tables; 0: as the recorder allows.
    key: What the caller calls this query, for `verb`.
    verb: `run` it; `cancel` the one called `key`; `progress`: how far is it, 0 to 100, or -1.
    """

    query: str = ""
    parameters: dict[str, Any] = {}
    limit: int = 10_000
    timeout: float = 10.0
    size: int = 0
    memory: int = 0
    key: str = ""
    verb: Literal["run", "cancel", "progress"] = "run"


class HistoryPruneArguments(Arguments, frozen=True):
    """Arguments of `history-prune`; what is None is as the recorder is configured.

    Attributes:
        events_age: Seconds to keep events and what is made from them.
        metrics_age: Seconds to keep metrics.
        max_bytes: Bytes to keep.
        dry_run: Delete nothing; the answer says what would go.
        timeout: Longest wait, in seconds; the recorder goes on after it.
    """

    events_age: float | None = None
    metrics_age: float | None = None
    max_bytes: int | None = None
    dry_run: bool = False
    timeout: float = 600.0


class HistoryCopyArguments(Arguments, frozen=True):
    """Arguments of `history-copy`: lay a copy of what is stored beside the published files, for the caller to take.

    Attributes:
        name: What it is called by: letters and digits.
        timeout: Longest wait, in seconds.
    """

    name: str
    timeout: float = 600.0


class SnapshotArguments(Arguments, frozen=True):
    """Arguments of `snapshot`, which is streamed: parts `{items: [[topic, header, body], ...]}`, as a tap has them.

    Attributes:
        classes: Event classes; none is every one.
        path: About this path and what lies below it.
    """

    classes: tuple[str, ...] = ()
    path: str = "/"


class ReplayArguments(Arguments, frozen=True):
    """Arguments of `replay`, which is streamed: parts as of `snapshot`, events in their order, oldest first.

    Attributes:
        classes: Event classes; none is every one.
        path: About this path and what lies below it.
        since_at: Only events from then on.
        after_epoch: Only events of this run of the node, beyond `after_seq`, and of later runs; "" for all.
        after_seq: Number on the bus.
        through_epoch: Only events of this run, up to `through_seq`, and of earlier ones; "" for what there is now.
        through_seq: Number on the bus.
    """

    classes: tuple[str, ...] = ()
    path: str = "/"
    since_at: datetime | None = None
    after_epoch: str = ""
    after_seq: int = 0
    through_epoch: str = ""
    through_seq: int = 0


class TapReportArguments(Arguments, frozen=True):
    """Arguments of `tap-report`: how far a reader of the taps is; see `TapReaderView`.

    Attributes:
        reader: Its name for itself, unique for its user.
        heard_seq: Number of the newest event on the bus that it has heard of.
        is_leaving: This is its last report.
    """

    reader: str
    mode: str = "live"
    path: str = "/"
    classes: tuple[str, ...] = ()
    read: int = 0
    replayed: int = 0
    missed: int = 0
    unfilled: int = 0
    heard_seq: int = 0
    lag: float = 0.0
    is_leaving: bool = False


class ConfigArguments(Arguments, frozen=True):
    """Attributes:
    prefix: Only keys that begin with it.
    """

    prefix: str = ""


class ShutdownArguments(Arguments, frozen=True):
    """Attributes:
    drain: Longest drain in seconds; None is the configured one, 0 kills at once. While the node drains it can only be
        shortened.
    """

    drain: Annotated[float, Meta(ge=0)] | None = None


class ReloadArguments(Arguments, frozen=True):
    """Attributes:
    dry_run: Change nothing; answer with the plan.
    only: Change nothing but what is about these paths, with what is below them, and globs; none is everything.
    """

    dry_run: bool = False
    only: tuple[str, ...] = ()


class GrantArguments(Arguments, frozen=True):
    """Let a key connect.

    Attributes:
        name: What it is called.
        role: `viewer`, `operator` or `admin`.
        public: Its public half.
    """

    name: str
    role: str
    public: str


class RevokeArguments(Arguments, frozen=True):
    """Let the key called `name` connect no more."""

    name: str


class Command(Struct, frozen=True, gc=False):
    """A control command: what it takes, what it answers, and whether it changes anything."""

    arguments: type[Arguments]
    view: type[View]
    is_change: bool = False


COMMANDS: dict[str, Command] = {
    "ping": Command(Arguments, PingView),
    "status": Command(Arguments, StatusView),
    "tree": Command(TreeArguments, TreeView),
    "describe": Command(DescribeArguments, DescribeView),
    "why": Command(WhyArguments, WhyView),
    "events": Command(EventsArguments, EventsView),
    "wait": Command(WaitArguments, WaitView),
    "sql": Command(SqlArguments, SqlView),
    "history-prune": Command(HistoryPruneArguments, HistoryPrunedView, True),
    "history-copy": Command(HistoryCopyArguments, HistoryCopyView, True),
    "snapshot": Command(SnapshotArguments, SnapshotView),
    "replay": Command(ReplayArguments, ReplayView),
    "taps": Command(Arguments, TapsView),
    "tap-report": Command(TapReportArguments, ReportedView),
    "config": Command(ConfigArguments, ConfigView),
    "start": Command(TargetArguments, CommandView, True),
    "stop": Command(TargetArguments, CommandView, True),
    "restart": Command(TargetArguments, CommandView, True),
    "reread": Command(TargetArguments, CommandView, True),
    "suspend": Command(TargetArguments, CommandView, True),
    "resume": Command(TargetArguments, CommandView, True),
    "kill": Command(TargetArguments, CommandView, True),
    "reset": Command(TargetArguments, CommandView, True),
    "send": Command(SendArguments, SentView, True),
    "ask": Command(SendArguments, AnswerView, True),
    "keys": Command(Arguments, KeysView),
    "grant": Command(GrantArguments, KeysView, True),
    "revoke": Command(RevokeArguments, KeysView, True),
    "levels": Command(Arguments, LevelsView),
    "level": Command(LevelArguments, LevelsView, True),
    "reload": Command(ReloadArguments, ReloadView, True),
    "pause": Command(Arguments, PauseView, True),
    "unpause": Command(Arguments, PauseView, True),
    "shutdown": Command(ShutdownArguments, ShutdownView, True),
}
"""Every control command of `actors/v1`."""
