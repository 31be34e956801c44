"""The keeper of the index of files: takes what jobs found into `<home>/index.jsonl`, then lets the jobs go.

    RunFinished of a job of the queue --a moment later--> FindJobs --> index written --> ChangeJobs delete

A job stays in its queue until what it found is in the index, so nothing found is lost by a kill, and what is found
twice is written twice with the same content. The index has one owner: whoever wants something out of it says so here.
What is to be forgotten is taken out when no job is left that might bring it back, and is out on disk when that is told:
so no kill undoes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct

from actors import Actor, MailboxSpec, on
from actors.events import Event, RunFinished
from actors.jobs import index
from actors.jobs.files import FileRecord
from actors.jobs.indexing import HASH_FILE, INDEX_FILES, QUEUE, Findings
from actors.jobs.offload import Offload
from actors.jobs.orders import ChangeJobs, FindJobs, JobView
from actors.jobs.selecting import Selection
from actors.jobs.specs import SUCCEEDED
from actors.messages import Message

logger = logging.getLogger(__name__)

GATHER_AFTER = 1.0
"""Seconds from the end of a job to the look at what was found: many jobs end together."""
AT_ONCE = 100
"""Jobs whose findings are read at a time."""
_ASK = 30.0
_DECODER = msgspec.json.Decoder(Findings)


class ForgetFiles(Message[int], frozen=True):
    """Drop the records of `paths` from the index; answers how many there were.

    The answer comes once what jobs had found by then is in the index, and the paths are out of it on disk: where that
    cannot be written, or the queues do not answer, it is tried each second.
    """

    paths: tuple[str, ...]


class IndexView(Struct, frozen=True):
    """How the index is.

    Attributes:
        indexed: Files in it.
        gathered: Jobs whose findings were taken in since the start.
        pending: Whether jobs that ended may not be in it yet.
        trouble: Why the last look failed, or "".
    """

    indexed: int
    gathered: int
    pending: bool
    trouble: str


class GetIndex(Message[IndexView], frozen=True):
    """Ask how the index is."""


class Gather(Message[None], frozen=True):
    """Take in what jobs have found."""


class IndexKeeper(Actor):
    """Keeps the index; see the module.

    Args:
        home: The runtime's directory; the index is `index.jsonl` in it.
        jobs: Path of the queues.
    """

    # Every handler is a coroutine, so that all of them run on the event loop's one thread and share the state.
    reentrant = True
    mailbox = MailboxSpec(capacity=10_000, full="reject")  # never block the bus

    def __init__(self, home: str = ".actors", jobs: str = "/work/jobs") -> None:
        super().__init__()
        self._path = Path(home) / "index.jsonl"
        self._jobs = jobs
        self._records: dict[str, FileRecord] = {}
        self._offload = Offload("index", limit=1)
        self._is_planned = self._is_gathering = self._is_changed = False
        self._gathered = 0
        self._trouble = ""

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        self._turn = asyncio.Lock()
        self._records, damaged = await self._offload.run(index.load, self._path)
        if damaged:
            logger.warning("%d damaged lines of %s were left out", damaged, self._path)
        self._subscription = self.system.bus.subscribe(self._on_event, (RunFinished,))
        self._plan(0.0)

    def on_stop(self) -> None:
        self._subscription.cancel()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._subscription.cancel()

    def state_view(self) -> dict[str, object]:
        return msgspec.structs.asdict(self._view())

    @on(GetIndex)
    async def view(self, _: GetIndex) -> IndexView:
        return self._view()

    @on(ForgetFiles)
    async def forget(self, message: ForgetFiles) -> int:
        while True:
            async with self._turn:
                try:
                    await self._gather_all()
                    return await self._drop(message.paths)
                except Exception as error:  # as in `gather`
                    self._failed(error)
            await asyncio.sleep(GATHER_AFTER)

    @on(Gather)
    async def gather(self, _: Gather) -> None:
        if self._is_gathering:
            return  # it looks once more before it ends
        self._is_gathering = True
        try:
            while self._is_planned:
                self._is_planned = False
                async with self._turn:
                    await self._gather_all()
        except Exception as error:  # queues that are not there yet, a full disk: what was found stays with its jobs
            self._failed(error)
            self._is_planned = False  # the message that was planned may have come while this one was under way
            self._plan(GATHER_AFTER)
        finally:
            self._is_gathering = False

    async def _gather_all(self) -> None:
        """Take in what all jobs found that have ended."""
        while await self._gather():
            pass
        self._trouble = ""

    def _failed(self, error: Exception) -> None:
        if not self._trouble:
            logger.info("what jobs found is not in the index yet: %s", error)
        self._trouble = f"{type(error).__name__}: {error}"

    async def _drop(self, paths: Sequence[str]) -> int:
        """Take `paths` out of the index; return how many there were, once that is on disk."""
        before = self._records
        gone = before.keys() & set(paths)
        if gone:
            self._records = {path: record for path, record in before.items() if path not in gone}
            try:
                await self._save()
            except OSError:
                self._records = before
                raise
        return len(gone)

    async def _gather(self) -> bool:
        """Take in what some jobs found; return whether there may be more."""
        queues = self.system.ref(self._jobs)
        kinds = f"kind IN ('{INDEX_FILES}', '{HASH_FILE}')"
        wanted = Selection(queue=QUEUE, states=(SUCCEEDED,), where=kinds, limit=AT_ONCE)
        found = await queues.ask_async(FindJobs(wanted, full=True), timeout=_ASK)
        if found.why:
            raise OSError(found.why)
        if not found.items:
            if self._is_changed:
                await self._save()
            return False
        for view in sorted(found.items, key=lambda view: view.changed_at):
            self._take(view)
        await self._save()
        changed = await queues.ask_async(
            ChangeJobs("delete", tuple(view.id for view in found.items), "in the index"), timeout=_ASK
        )
        if changed.why:
            raise OSError(changed.why)
        self._gathered += len(changed.ids)
        return len(found.items) == AT_ONCE and bool(changed.ids)

    def _take(self, view: JobView) -> None:
        try:
            findings = _DECODER.decode(view.result)
        except msgspec.DecodeError as error:  # its files are indexed again by the next look at the directory
            logger.warning("what %s found cannot be read and is left out: %s", view.id, error)
            return
        for record in findings.files:
            self._records[record.path] = record

    async def _save(self) -> None:
        self._is_changed = False
        try:
            await self._offload.run(index.save, self._path, list(self._records.values()))
        except OSError:
            self._is_changed = True
            raise

    def _on_event(self, _: int, event: Event) -> None:
        if isinstance(event, RunFinished) and event.queue == QUEUE and event.outcome == SUCCEEDED:
            self._plan(GATHER_AFTER)

    def _plan(self, delay: float) -> None:
        """Look at what jobs found in a while; any thread."""
        if not self._is_planned:
            self._is_planned = True
            self.system.schedule(delay, lambda: self.actor_ref.tell(Gather()))

    def _view(self) -> IndexView:
        return IndexView(len(self._records), self._gathered, self._is_planned or self._is_gathering, self._trouble)
