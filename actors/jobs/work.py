"""A task worker: does one job at a time, on a thread of its own, while it stays answerable.

           Task                    done
    idle --------> busy ------------------> idle
     |  Pause       |  Pause                          Shutdown: finish the task, take no other, end normally
     v              v
    paused        paused (the task holds at its next step)

Meant for a process of its own: a job that kills the process kills nothing else, and its hand-out sees the end. Nothing
here survives a crash; the hand-out that gave the job gives it again.
"""

from __future__ import annotations

import asyncio
import os
import time

from actors import Actor, on
from actors.exits import said
from actors.jobs.files import FileRecord, read_record
from actors.jobs.kinds import HashFile, IndexFiles, Job, JobResult
from actors.jobs.offload import Cancel, Offload
from actors.jobs.protocol import (
    GetStatus,
    Pause,
    Reload,
    Resume,
    Shutdown,
    Status,
    Task,
    TaskComplete,
    TaskError,
)


class TaskWorker(Actor):
    """Does the tasks it is asked, one at a time; a second one meanwhile is refused.

    Args:
        index: Its number among the workers, for people.
        chunk_bytes: Read at once from a file; between chunks a task can be paused and ended.
        max_file_bytes: Larger files are recorded unread.

    Raises:
        ValueError: `chunk_bytes` or `max_file_bytes` is below 1.
    """

    dispatcher = "thread"
    # Pause, status and shutdown are answered while a task runs. Every hook and handler is a coroutine, so that all of
    # them run on the event loop's one thread and share the state without a lock.
    reentrant = True

    def __init__(self, index: int = 0, chunk_bytes: int = 1 << 20, max_file_bytes: int = 1 << 30) -> None:
        super().__init__()
        self._index = index
        self._chunk_bytes = _positive("chunk_bytes", chunk_bytes)
        self._max_file_bytes = _positive("max_file_bytes", max_file_bytes)
        self._offload = Offload(f"task-{index}", limit=1)
        self._task: Task | None = None
        self._cancel: Cancel | None = None
        self._paused = False
        self._stopping = False
        self._completed = 0
        self._failed = 0

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        import psutil  # here: what hands out jobs imports this module too, and needs none of it

        self._process = psutil.Process()
        self._started = time.monotonic()

    @on(Task)
    async def do_task(self, task: Task) -> TaskComplete | TaskError:
        refusal = self._why_not()
        if refusal:
            return TaskError(task.task_id, 0.0, refusal, retryable=True, refused=True)
        self._task = task
        self._cancel = cancel = Cancel()
        began = time.monotonic()
        try:
            result = await asyncio.wait_for(
                self._offload.run(run_job, task.job, cancel, self._chunk_bytes, self._max_file_bytes, cancel=cancel),
                task.timeout,
            )
        except TimeoutError:
            self._failed += 1
            why = f"not done within {task.timeout:g} s"
            return TaskError(task.task_id, time.monotonic() - began, why, retryable=False)
        except Exception as error:  # the seed's task-error: the job went wrong, the worker lives
            self._failed += 1
            why = said(error)
            return TaskError(task.task_id, time.monotonic() - began, why, retryable=True)
        finally:
            self._task = self._cancel = None
            if self._stopping:
                self.stop()
        self._completed += 1
        return TaskComplete(task.task_id, time.monotonic() - began, result)

    @on(GetStatus)
    async def status(self, _: GetStatus) -> Status:
        return self._status()

    @on(Pause)
    async def pause(self, _: Pause) -> Status:
        self._paused = True
        if self._cancel is not None:
            self._cancel.pause()
        return self._status()

    @on(Resume)
    async def resume(self, _: Resume) -> Status:
        self._paused = False
        if self._cancel is not None:
            self._cancel.resume()
        return self._status()

    @on(Reload)
    async def reload(self, message: Reload) -> Status:
        if message.chunk_bytes is not None:
            self._chunk_bytes = _positive("chunk_bytes", message.chunk_bytes)
        if message.max_file_bytes is not None:
            self._max_file_bytes = _positive("max_file_bytes", message.max_file_bytes)
        return self._status()

    @on(Shutdown)
    async def shutdown(self, _: Shutdown) -> Status:
        self._stopping = True
        if self._cancel is not None:
            self._cancel.resume()  # a paused task is finished first
        status = self._status()
        if self._task is None:
            self.stop()
        return status

    def on_stop(self) -> None:
        if self._cancel is not None:
            self._cancel.set()

    def state_view(self) -> dict[str, object]:
        status = self._status()
        return {
            "index": status.index,
            "state": status.state,
            "task": status.task_id,
            "completed": status.completed,
            "failed": status.failed,
        }

    def _why_not(self) -> str:
        if self._stopping:
            return "the worker is stopping"
        if self._paused:
            return "the worker is paused"
        if self._task is not None:
            return f"the worker is busy with {self._task.task_id}"
        return ""

    def _status(self) -> Status:
        task = self._task
        if self._stopping:
            state = "stopping"
        elif self._paused:
            state = "paused"
        else:
            state = "busy" if task is not None else "idle"
        return Status(
            index=self._index,
            pid=os.getpid(),
            state=state,
            task_id=task.task_id if task is not None else "",
            completed=self._completed,
            failed=self._failed,
            rss_bytes=int(self._process.memory_info().rss),
            uptime=time.monotonic() - self._started,
        )


def run_job(job: Job, cancel: Cancel, chunk_bytes: int, max_file_bytes: int) -> JobResult:
    """Return the result of `job`; blocks, and ends early when `cancel` is set.

    Raises:
        CancelledWorkError: `cancel` was set.
        OSError: The one file of a `HashFile` cannot be read.
    """

    def record(path: str) -> FileRecord:
        cancel.check()
        return read_record(path, chunk_bytes=chunk_bytes, max_bytes=max_file_bytes, checkpoint=cancel.check)

    match job:
        case HashFile(path):
            found = record(path)
            if found.error:
                raise OSError(f"{found.path}: {found.error}")
            return JobResult((found,), found.size_bytes)
        case IndexFiles(paths):
            records = tuple(record(path) for path in paths)
            return JobResult(records, sum(r.size_bytes for r in records if not r.error))


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} is 1 or more, got {value}")
    return value
