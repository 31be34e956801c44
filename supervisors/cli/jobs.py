"""`jobs list`, `jobs retry` and `jobs drop`: the jobs of a queue that are not done, and its dead letters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.selecting import one_path
from supervisors.cli.terminal import Style
from supervisors.cli.texts import duration
from supervisors.requests import SendArguments
from supervisors.views import AnswerView, JobsChangedView, JobView

app = typer.Typer()
jobs_app = typer.Typer(help="The jobs that are not done.", no_args_is_help=False)
app.add_typer(jobs_app, name="jobs", rich_help_panel=Panel.INSPECT.value)

STATES: Final = ("waiting", "running", "failed")

Queue = Annotated[str, typer.Option("--queue", metavar="PATH", help="The queue's actor.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which: job-7.")]
Every = Annotated[bool, typer.Option("--all", help="All that failed.")]


@command(
    jobs_app,
    "list",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.LIST,
    examples=("jobs list", "jobs list --state failed", "jobs list -o json | jq -r '.items[].id'"),
)
def list_jobs(
    call: Call,
    state: Annotated[str, typer.Option("--state", metavar="STATE", help="waiting, running or failed; else all.")] = "",
    queue: Queue = "/work/queue",
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000, help="The oldest N.")] = 1_000,
) -> Listing:
    """List the jobs that wait, run, or failed for good."""
    if state and state not in STATES:
        raise usage(f"--state: there is no state {state!r}", f"there are {', '.join(STATES)}")
    found = _ask(call, queue, "ListJobs", {"state": state, "limit": most})
    jobs = msgspec.convert(found, list[JobView], strict=False)
    now = datetime.now(UTC).timestamp()
    columns = (
        Column("id", lambda job: job.id),
        Column("state", lambda job: job.state, style=lambda job: Style.BAD if job.state == "failed" else None),
        Column("job", lambda job: job.job),
        Column("try", lambda job: job.attempt, is_right=True),
        Column("age", lambda job: now - job.created_at, lambda job: duration(now - job.created_at), is_right=True),
        Column("worker", lambda job: job.worker),
        Column("source", lambda job: job.source),
        Column("why", lambda job: job.why),
    )
    failed = any(job.state == "failed" for job in jobs)
    hints = ("actorctl jobs retry --all", "actorctl jobs drop --all") if failed else ()
    return Listing("JobList", jobs, columns, lambda job: str(job.id), nothing="every job is done", hints=hints)


@command(
    jobs_app,
    "retry",
    panel=Panel.INSPECT,
    document="JobsChanged",
    shape=Shape.LIST,
    examples=("jobs retry job-7 job-9", "jobs retry --all"),
)
def retry(call: Call, ids: Ids = None, every: Every = False, queue: Queue = "/work/queue") -> Listing:
    """Put jobs that failed for good back in line, with all their tries."""
    return _change(call, queue, "RetryJobs", ids, every, "waiting")


@command(
    jobs_app,
    "drop",
    panel=Panel.INSPECT,
    document="JobsChanged",
    shape=Shape.LIST,
    examples=("jobs drop job-7", "jobs drop --all"),
)
def drop(call: Call, ids: Ids = None, every: Every = False, queue: Queue = "/work/queue") -> Listing:
    """Forget jobs that failed for good."""
    return _change(call, queue, "DropJobs", ids, every, "dropped")


def _change(call: Call, queue: str, message: str, ids: list[str] | None, every: bool, state: str) -> Listing:
    """Change dead letters: those named, or all where that was said; one that is none is a failure."""
    if bool(ids) == every:
        raise usage("name jobs, or say --all", "actorctl jobs list --state failed")
    changed = _ask(call, queue, message, {"ids": ids or []})
    missing = [wanted for wanted in ids or () if wanted not in changed]
    failure = None
    if missing:
        word = "partial" if changed else "not_found"
        failure = CommandError(
            word, f"{', '.join(missing)} did not fail for good, or found no room", "actorctl jobs list"
        )
    columns = (Column("id", lambda job: job.id), Column("state", lambda job: job.state))
    views = [JobsChangedView(id=changed_id, state=state) for changed_id in changed]
    return Listing(
        "JobsChanged", views, columns, lambda job: str(job.id), nothing="no job failed for good", failure=failure
    )


def _ask(call: Call, queue: str, message: str, payload: dict[str, Any]) -> Any:
    arguments = SendArguments(path=one_path(queue), message=message, payload=payload)
    with connect(call) as node:
        view: AnswerView = node.request("ask", arguments, AnswerView, timeout=arguments.timeout)
    return view.reply
