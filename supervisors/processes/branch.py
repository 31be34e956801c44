"""A subtree in another process as the launcher's side knows it: what its process last reported, and calls into it.

The process reports each change of a node as it happens and everything when asked; so a tree is read here without
waiting for anybody, and it is never older than the last word. Where there was no word for too long (the process is
stopped, or hung in C code), its nodes are shown as `unknown`, with what they were last.

Everything that the process says is bounded and checked: pages of nodes below its own path, at most `NODES_LIMIT`.

When the process has ended, the instances it had not said had ended are said to have ended with it, once each, and
calls that are out are refused.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

import msgspec
from msgspec.structs import replace

from actors.addresses import is_within, parent_of
from actors.core.system import ActorSystem
from actors.events import ActorExited, ActorStarted, Event
from actors.exits import Cause, ExitKind, ExitReason
from supervisors import core
from supervisors.branches import Record
from supervisors.children import Trunk
from supervisors.core import Refusal, Refused
from supervisors.lines import is_expected, is_up
from supervisors.processes.plans import pack_request, unpack_result
from supervisors.processes.protocol import Inquire, Manage, Managed, Refresh, Report, Word
from supervisors.processes.questions import Question
from supervisors.supervisor import Answer
from supervisors.views import NodeKind, NodeState, NodeView
from transport.errors import MalformedFrameError

NODES_LIMIT: Final = 1_000_000
"""Nodes that a branch may report; what exceeds it is malformed."""

SILENCE: Final = 3.0
"""Seconds without a word from the process after which its nodes are `unknown`; it beats at least once a second."""

_records: Final = msgspec.msgpack.Decoder(list[Record])
_tops: Final = msgspec.msgpack.Decoder(NodeView)


class ProcessBranch:
    """What is known of one subtree process: meets `supervisors.branches.Branch`.

    Words are taken on the launcher's reactor; everything else may be called on any thread.

    Attributes:
        path: The path of its topmost supervisor.
    """

    def __init__(self, path: str, system: ActorSystem, trunk: Trunk, say: Callable[[Word], None]) -> None:
        """Make a branch without nodes.

        Args:
            path: The path of its topmost supervisor.
            system: The launcher's actors, on whose bus its events arrive.
            trunk: What it hangs on.
            say: Sends a word to the process; may be called on any thread.
        """
        self.path = path
        self._system = system
        self._trunk = trunk
        self._say = say
        self._lock = threading.Lock()
        self._top: NodeView | None = None
        self._known: dict[str, tuple[Record, float]] = {}
        self._coming: dict[str, tuple[Record, float]] = {}
        self._below: dict[str, list[str]] | None = {}
        self._heard_at = monotonic()
        self._numbers = itertools.count(1)
        self._calls: dict[int, Answer] = {}
        self._refreshes: dict[int, Callable[[], object]] = {}
        self._running: dict[str, tuple[int, float]] = {}
        self._ended: str | None = None

    # -- the tree as it was last reported --------------------------------------------------------------

    def nodes(self, path: str, depth: int | None) -> list[NodeView]:
        """Return the node at `path` and `depth` levels below it, parents first; without a view of the top itself."""
        return _Reading(self._snapshot()).nodes(path, self.path, depth)

    def top(self, depth: int | None) -> tuple[NodeView | None, list[NodeView], tuple[int, int]]:
        """Return the topmost supervisor's own view, the nodes below it, and its workers: ready, and in all."""
        reading = _Reading(self._snapshot())
        below = reading.below(self.path, depth)
        return self._top, below, reading.counts.get(self.path, (0, 0))

    def record(self, path: str) -> Record | None:
        """Return what is known of the node at `path`; None where nothing is."""
        found = self._known.get(path)
        if found is None:
            return None
        record = found[0]
        silence = self._silence()
        if silence > SILENCE and record.view.state in _DOUBTED:
            return replace(record, view=_doubted(record.view, silence))
        return record

    def paths(self) -> list[str]:
        """Return the paths of all nodes below the branch's own, parents before their children."""
        return [view.path for view in _Reading(self._snapshot()).below(self.path, None)]

    def counts(self) -> tuple[int, int]:
        """Return how many workers are ready, and how many should be."""
        return self.top(0)[2]

    def doubt(self) -> str:
        """Return why what is known may not be so any more, "" where the process answers."""
        silence = self._silence()
        return f"its process has not answered for {silence:.0f} s" if silence > SILENCE else ""

    def _silence(self) -> float:
        """Seconds since the last word of the process."""
        return max(0.0, monotonic() - self._heard_at)

    def _snapshot(self) -> _Snapshot:
        with self._lock:
            below = self._below
            if below is None:
                below = self._below = _families({path: record for path, (record, _) in self._known.items()})
            return _Snapshot(self._known.copy(), below, self._silence())

    # -- calls into it -------------------------------------------------------------------------------

    def call(self, supervisor: str, request: core.Request, answer: Answer) -> None:
        """Carry out `request` on the supervisor at `supervisor`; `answer` is called once, on the reactor or here.

        Raises:
            SpecError: A spec in it cannot be carried to another process.
        """
        data = pack_request(request, supervisor)
        self._call(answer, lambda number: Manage(number, supervisor, data))

    def inquire(self, question: Question, answer: Answer) -> None:
        """Have `question` answered; `answer` is called once, on the reactor or here."""
        asked = question.request
        data = pack_request(asked, question.supervisor) if asked is not None else b""
        what = question.what.value
        self._call(answer, lambda number: Inquire(number, question.supervisor, what, question.id, data))

    def _call(self, answer: Answer, word_of: Callable[[int], Word]) -> None:
        number = next(self._numbers)
        with self._lock:
            ended = self._ended
            if ended is None:
                self._calls[number] = answer
        if ended is not None:
            answer(Refused("", Refusal.SHUTTING_DOWN, f"the process of {self.path} has ended"))
            return
        self._say(word_of(number))

    def refresh(self, done: Callable[[], object]) -> None:
        """Ask the process for what its nodes are now; `done` is called when it has said so, or has ended."""
        number = next(self._numbers)
        with self._lock:
            ended = self._ended
            if ended is None:
                self._refreshes[number] = done
        if ended is not None:
            done()
            return
        self._say(Refresh(number))

    # -- what the process says, on the reactor ----------------------------------------------------------

    def hear(self) -> None:
        """Take note that the process said something."""
        self._heard_at = monotonic()

    def take(self, word: Report | Managed) -> None:
        """Take a word of the process.

        Raises:
            MalformedFrameError: It makes no sense.
        """
        self.hear()
        if isinstance(word, Managed):
            with self._lock:
                answer = self._calls.pop(word.number, None)
            if answer is not None:
                answer(unpack_result(word.result))
            return
        self._take_report(word)
        self._trunk.branch_changed()
        if word.answers and word.is_last:
            with self._lock:
                done = self._refreshes.pop(word.answers, None)
            if done is not None:
                done()

    def _take_report(self, word: Report) -> None:
        try:
            records = _records.decode(word.records)
            top = _tops.decode(word.top) if word.top else None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise MalformedFrameError(f"this is no report of nodes: {error}") from None
        paths = [record.view.path for record in records]
        if not all(path != self.path and is_within(path, self.path) for path in (*paths, *word.gone)):
            raise MalformedFrameError(f"a report names nodes that are not below {self.path}")
        now = monotonic()
        with self._lock:
            if top is not None:
                self._top = top
            if word.page == 1:
                self._coming = {}
            target = self._coming if word.page else self._known
            if len(target) + len(records) > NODES_LIMIT:
                raise MalformedFrameError(f"a report of more than {NODES_LIMIT} nodes")
            for path, record in zip(paths, records, strict=True):
                before = self._known.get(path)
                if record.spec is None and before is not None:
                    record = replace(record, spec=before[0].spec)
                target[path] = (record, now)
            if word.page:
                if word.is_last:
                    self._known, self._coming = self._coming, {}
            else:
                self._forget(set(word.gone), [r.view.path for r in records if not r.is_open and _is_supervisor(r)])
            self._below = None

    def _forget(self, gone: set[str], closed: list[str]) -> None:
        """Drop nodes that are gone, and what was below supervisors that do not run, with the lock held."""
        above = [f"{path}/" for path in (*gone, *closed)]
        if not above:
            return
        for path in gone:
            self._known.pop(path, None)
        below = tuple(above)
        for path in [path for path in self._known if path.startswith(below)]:
            del self._known[path]

    def note(self, event: Event) -> None:
        """Take note of an event of the process that is about to go onto the bus."""
        self.hear()
        if isinstance(event, ActorStarted):
            self._running[event.path] = (event.generation, event.at)
        elif isinstance(event, ActorExited):
            self._running.pop(event.path, None)

    # -- the end -------------------------------------------------------------------------------------

    def end(self, reason: ExitReason) -> None:
        """The process has ended, with `reason`: say so of what ran in it, and refuse what is out; on the reactor."""
        with self._lock:
            self._ended = str(reason)
            calls, self._calls = list(self._calls.values()), {}
            refreshes, self._refreshes = list(self._refreshes.values()), {}
        at = self._system.clock.time()
        with_it = ExitReason(ExitKind.KILLED, "process-ended", None, Cause(self.path, reason))
        for path, (generation, since) in reversed(self._running.items()):
            uptime = max(0.0, at - since)
            self._system.bus.publish(ActorExited(at, path, generation, with_it, uptime, "running", False))
        self._running.clear()
        self._trunk.branch_gone(self.path, self)
        for answer in calls:
            answer(Refused("", Refusal.SHUTTING_DOWN, f"the process of {self.path} ended: {reason}"))
        for done in refreshes:
            done()


class _Snapshot(msgspec.Struct, frozen=True):
    """What was known at one moment: records with the instants they came, families in order, seconds of silence."""

    known: dict[str, tuple[Record, float]]
    below: dict[str, list[str]]
    silence: float


class _Reading:
    """One reading of a branch: views as of now, counts of supervisors.

    Attributes:
        counts: For each supervisor read: its workers that are ready, and all that should be.
    """

    def __init__(self, snapshot: _Snapshot) -> None:
        self._snapshot = snapshot
        self._now = monotonic()
        self.counts: dict[str, tuple[int, int]] = {}

    def nodes(self, path: str, top: str, depth: int | None) -> list[NodeView]:
        """Return the node at `path` and what is below it."""
        if path == top:
            return self.below(path, depth)
        return self._node(path, depth)[0] if path in self._snapshot.known else []

    def below(self, path: str, depth: int | None) -> list[NodeView]:
        """Return what is below the supervisor at `path`, and note its counts."""
        views: list[NodeView] = []
        ready = total = 0
        for child in self._snapshot.below.get(path, ()):
            found, (of_ready, of_total) = self._node(child, None if depth is None else depth - 1)
            views += found
            ready += of_ready
            total += of_total
        self.counts[path] = (ready, total)
        return [] if depth is not None and depth <= 0 else views

    def _node(self, path: str, depth: int | None) -> tuple[list[NodeView], tuple[int, int]]:
        record, at = self._snapshot.known[path]
        view = self._as_of_now(record.view, at)
        if not _is_supervisor(record):
            return [view], (is_up(view.state), is_expected(view.state))
        if not record.is_open:
            return [view], (0, 1)
        below = self.below(path, depth)
        counts = self.counts[path]
        hidden = len(self._snapshot.below.get(path, ())) if depth is not None and depth <= 0 else 0
        return [replace(view, ready=counts[0], total=counts[1], hidden=hidden), *below], counts

    def _as_of_now(self, view: NodeView, at: float) -> NodeView:
        """Return the view with its times moved on; of a silent process it says that nobody knows."""
        age = max(0.0, self._now - at)
        if self._snapshot.silence > SILENCE and view.state in _DOUBTED:
            return _doubted(view, self._snapshot.silence)
        if view.uptime is None and view.next_in is None and view.handling_for is None:
            return view
        return replace(
            view,
            uptime=view.uptime + age if view.uptime is not None else None,
            next_in=max(0.0, view.next_in - age) if view.next_in is not None else None,
            handling_for=view.handling_for + age if view.handling_for is not None else None,
        )


_DOUBTED: Final = frozenset(
    {
        NodeState.READY,
        NodeState.SUSPENDED,
        NodeState.STARTING,
        NodeState.STOPPING,
        NodeState.RESTARTING,
        NodeState.WAITING,
    }
)
"""States that a process must be able to keep up; the others are what they are until it acts."""


def _doubted(view: NodeView, silence: float) -> NodeView:
    why = f"last known: {view.state.value}; its process has not answered for {silence:.0f} s"
    return replace(view, state=NodeState.UNKNOWN, why=why, uptime=None, next_in=None, handling_for=None)


def _is_supervisor(record: Record) -> bool:
    return record.view.kind is NodeKind.SUPERVISOR


def _families(records: dict[str, Record]) -> dict[str, list[str]]:
    """Return the paths of the children of each path, in start order."""
    found: dict[str, list[str]] = {}
    for path in sorted(records, key=lambda path: records[path].position):
        found.setdefault(parent_of(path) or "", []).append(path)
    return found
