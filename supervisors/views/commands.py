"""Views that answer control verbs, messages, waits, SQL and configuration, and the error view."""

from __future__ import annotations

from enum import Enum
from typing import Any

from supervisors.views.base import API_VERSION, View
from supervisors.views.tree import BudgetView, NodeState, NodeView


class PlanView(View, frozen=True):
    """A dry run: what a command would do.

    Attributes:
        stops: Paths that would stop, in stop order.
        starts: Paths that would start, in start order.
        supervisor: Whose decision it is.
        limit: That supervisor's budget after it; None where it runs in another process.
        gives_up: Whether the budget would be exceeded.
    """

    stops: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    supervisor: str = ""
    limit: BudgetView | None = None
    gives_up: bool = False


class TargetOutcome(Enum):
    """What became of one target of a control command."""

    DONE = "done"
    UNCHANGED = "unchanged"  # it was so already
    ACCEPTED = "accepted"  # begun and not waited for
    PENDING = "pending"  # not finished within the time limit; it goes on
    FAILED = "failed"
    PLANNED = "planned"  # dry run


class TargetView(View, frozen=True):
    """What a control command did to one node.

    Attributes:
        state: Its state afterwards.
        code: Where it failed: the error's code, as in `ErrorView`.
        message: Where it failed or waits: why.
        plan: In a dry run.
    """

    path: str
    outcome: TargetOutcome
    state: NodeState | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    plan: PlanView | None = None


class CommandView(View, frozen=True):
    """Answer to `start`, `stop`, `restart`, `suspend`, `resume`, `kill` and `reset`: one item a target."""

    command: str
    items: tuple[TargetView, ...]


class SentView(View, frozen=True):
    """Answer to `send`: the message is in the mailbox; nothing is said of its handling but the trace it has."""

    path: str
    message: str
    mailbox: int = 0
    trace: str = ""


class AnswerView(View, frozen=True):
    """Answer to `ask`: `reply` as plain data, after `seconds`; `trace` is what the message belonged to."""

    path: str
    message: str
    reply: Any = None
    seconds: float = 0.0
    trace: str = ""


class WaitView(View, frozen=True):
    """Answer to `wait`: whether the condition came true, and for whom it has not (without children)."""

    condition: str
    is_met: bool
    seconds: float = 0.0
    matched: int = 0
    pending: tuple[NodeView, ...] = ()


class ColumnView(View, frozen=True, gc=False):
    """A column of an SQL answer and its type in DuckDB's words."""

    name: str
    type: str = ""


class SqlView(View, frozen=True):
    """Answer to `sql`. Values are numbers, text, booleans, None, instants, or lists and maps of those.

    Attributes:
        is_truncated: More rows were there than the limit allowed.
        source: `live` (the running recorder) or `file`.
    """

    columns: tuple[ColumnView, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_truncated: bool = False
    seconds: float = 0.0
    source: str = "live"


class QueryView(View, frozen=True):
    """A table, or a named analysis, of the history: what `sql NAME` shows.

    Attributes:
        kind: `analysis` or `table`.
        columns: Names of its columns, where they are known without asking.
    """

    name: str
    kind: str
    about: str
    columns: tuple[str, ...] = ()


class ConfigEntry(View, frozen=True):
    """One configuration value in effect; `origin` is "actors.toml:12", "env ACTORS_…", "default"."""

    key: str
    value: Any
    origin: str = ""


class ConfigView(View, frozen=True):
    """Answer to `config`: every key in effect, in order; secrets show their reference only."""

    items: tuple[ConfigEntry, ...]
    file: str = ""


class KeyView(View, frozen=True):
    """A key that may connect.

    Attributes:
        role: `viewer`, `operator` or `admin`; `node` for the node's own.
        public: Its public half.
        file: Where its secret half is, when it is on this machine.
    """

    name: str
    role: str
    public: str
    file: str = ""


class KeysView(View, frozen=True):
    """Answer to `keys`, `grant` and `revoke`: the list as it is now.

    Attributes:
        is_guarded: Whether the node asks for keys; over `ipc` the home's directory decides.
    """

    items: tuple[KeyView, ...]
    is_guarded: bool = False


class PingView(View, frozen=True):
    """Answer to `ping`."""

    name: str
    version: str
    pid: int
    api: str = API_VERSION
    epoch: str = ""


class ShutdownView(View, frozen=True):
    """Answer to `shutdown`: draining has begun and ends within `drain` seconds; `workers` were ready."""

    drain: float
    workers: int = 0


class PauseView(View, frozen=True, gc=False):
    """Answer to `pause` and `unpause`: how many workers were suspended or let go on, and which were not in time.

    Attributes:
        state: The node's own state afterwards.
    """

    state: str
    workers: int = 0
    pending: tuple[str, ...] = ()


class ErrorView(View, frozen=True, gc=False):
    """What failed, with a stable machine word.

    Attributes:
        code: `usage`, `not_found`, `unreachable`, `condition`, `timeout`, `conflict`, `invalid`, `partial`, `denied`,
            `failed` or `internal`.
        exit_code: What the command ends with.
        hint: The next command to try, or what to do.
    """

    code: str
    message: str
    hint: str = ""
    exit_code: int = 1
