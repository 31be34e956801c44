"""`jobs`: add jobs, look at them, and decide what becomes of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import typer

from supervisors.cli import jobbing, joblines
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.jobapp import Id, app, jobs_app
from supervisors.cli.jobbing import Batch, DryRun, Every, Ids, Kind, Most, Queue, States, Where
from supervisors.cli.rendering import Column, Listing, Page
from supervisors.cli.terminal import Terminal
from supervisors.cli.texts import duration
from supervisors.node.durations import parse_duration
from supervisors.views import JobView, JobWhyView

__all__ = ["app", "joblines"]

Seconds = Annotated[float, typer.Option("--delay", metavar="DURATION", parser=parse_duration, help="Not before that.")]


@command(
    jobs_app,
    "list",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.LIST,
    examples=(
        "jobs list",
        "jobs list --state failed --queue mail",
        "jobs list --where \"kind = 'mail.send' AND attempt = 2\"",
        "jobs list -o json | jq -r '.items[].id'",
    ),
)
def list_jobs(
    call: Call,
    state: States = None,
    queue: Queue = "",
    kind: Kind = "",
    batch: Batch = "",
    where: Where = "",
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    most: Most = 1_000,
) -> Listing:
    """List jobs; unfinished ones, unless states or a condition are named."""
    chosen = jobbing.choice(None, queue, state, kind, batch, where, most, newest)
    if not chosen.states and not where and not batch:
        chosen = msgspec.structs.replace(chosen, states=(*jobbing.STATES[:5], "failed"))
    with connect(call) as node:
        return jobbing.listing(jobbing.find(node, chosen), "no such job")


@command(
    jobs_app,
    "show",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.PAGE,
    examples=("jobs show job-7", "jobs show job-7 -o json | jq -r '.items[0].result'"),
)
def show(call: Call, id: Id) -> Page:
    """Show all of one job: payload, result, tries, why it is as it is."""
    with connect(call) as node:
        found = jobbing.find(node, jobbing.Choice(ids=(id,)), full=True, text_max=jobbing.SHOWN)
        if not found:
            raise CommandError("not_found", f"there is no {id}", "actorctl jobs list")
        why = str(jobbing.ask(node, "WhyJob", {"id": id}))
    return page_of(found[0], why)


@command(
    jobs_app,
    "add",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.LIST,
    examples=(
        """jobs add mail.send '{"to": "you@example.org"}'""",
        "jobs add film.cut 12 --queue heavy --priority 5 --delay 10m --key film-12",
        "jobs add mail.send - --wait 30s",
        'jobs add mail.send \'{"to": "you"}\' --key welcome-7 --window 24h',
        "jobs add report.write null --cron '0 9 * * MON-FRI' --tz Europe/Berlin --key report",
    ),
)
def add(
    call: Call,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What to do.")],
    payload: Annotated[str, typer.Argument(metavar="[JSON]", help="With what; - reads standard input.")] = "null",
    queue: Annotated[str, typer.Option("--queue", metavar="NAME", help="Not the queue of its kind.")] = "",
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="Higher goes first.")] = 0,
    delay: Seconds = 0.0,
    attempts: Annotated[int | None, typer.Option("--attempts", metavar="N", min=1, help="Most tries.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--try-timeout", metavar="DURATION", parser=parse_duration, help="Longest time of one try."),
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Only once while one with it is not done.")] = "",
    window: Annotated[
        float,
        typer.Option("--window", metavar="DURATION", parser=parse_duration, help="Its key is held that long at least."),
    ] = 0.0,
    after: Annotated[list[str] | None, typer.Option("--after", metavar="ID", help="Once that has succeeded.")] = None,
    even_if: Annotated[bool, typer.Option("--even-if", help="With --after: once it has ended, however.")] = False,
    batch: Annotated[str, typer.Option("--batch", metavar="NAME", help="A name that jobs share.")] = "",
    every: Annotated[
        float, typer.Option("--every", metavar="DURATION", parser=parse_duration, help="Again and again.")
    ] = 0.0,
    cron: Annotated[str, typer.Option("--cron", metavar="EXPRESSION", help="Again at each of its slots.")] = "",
    timezone: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Whose wall clock --cron means.")] = "",
    wait: Annotated[
        float, typer.Option("--wait", metavar="DURATION", parser=parse_duration, help="Until it is done, that long.")
    ] = 0.0,
) -> Listing:
    """Add a job; it is on disk when this returns."""
    text = sys.stdin.read(jobbing.PAYLOAD_BYTES + 1) if payload == "-" else payload
    if len(text.encode(errors="surrogateescape")) > jobbing.PAYLOAD_BYTES:
        said = f"the payload has more than {jobbing.PAYLOAD_BYTES:,} bytes"
        raise usage(said, "put large data into a file, and its name into the job")
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise usage(f"the payload is no JSON: {error}", """as '{"to": "you"}', in quotes of the shell""") from None
    job: dict[str, Any] = {
        "kind": kind, "payload": text, "queue": queue, "priority": priority, "delay": delay, "key": key,
        "after": after or [], "batch": batch, "every": every, "cron": cron, "timezone": timezone, "source": "actorctl",
        "window": window, "even_if": even_if,
    }  # fmt: skip
    job |= {"attempts": attempts} if attempts is not None else {}
    job |= {"timeout": timeout} if timeout is not None else {}
    with connect(call) as node:
        reply = jobbing.ask(node, "AddJobs", {"jobs": [job]})
        (added,) = reply["ids"]
        if reply.get("found"):
            call.note(f"{added} has the key {key} already: none was added")
        if not wait:
            found = jobbing.find(node, jobbing.Choice(ids=(added,)))
            return jobbing.listing(found, "")
        answer = jobbing.ask(node, "WaitJob", {"id": added, "timeout": wait}, timeout=wait + 10.0)
        (job_view,) = msgspec.convert(answer["items"], list[JobView])
    failure = None
    if job_view.state in jobbing.STATES[:5]:
        failure = CommandError("timeout", f"{added} is {job_view.state} after {duration(wait)}; it goes on", "")
    elif job_view.state != "succeeded":
        failure = CommandError("failed", f"{added} {job_view.state}: {job_view.why}", f"actorctl jobs show {added}")
    return msgspec.structs.replace(jobbing.listing([job_view], ""), failure=failure)


@command(
    jobs_app,
    "why",
    panel=Panel.INSPECT,
    document="JobWhy",
    shape=Shape.LIST,
    examples=("jobs why job-7",),
)
def why(call: Call, id: Id) -> Listing:
    """Say why a job does not run, or how it ended."""
    with connect(call) as node:
        said = str(jobbing.ask(node, "WhyJob", {"id": id}))
    if not said:
        raise CommandError("not_found", f"there is no {id}", "actorctl jobs list")
    columns = (Column("id", lambda view: view.id), Column("why", lambda view: view.why))
    return Listing("JobWhy", [JobWhyView(id=id, why=said)], columns, lambda view: str(view.id))


def _declare(action: str, states: tuple[str, ...], about: str, *examples: str) -> None:
    def change(
        call: Call,
        ids: Ids = None,
        every: Every = False,
        queue: Queue = "",
        state: States = None,
        kind: Kind = "",
        batch: Batch = "",
        where: Where = "",
        most: Most = 1_000,
        dry_run: DryRun = False,
    ) -> Listing:
        chosen = jobbing.choice(ids, queue, state, kind, batch, where, most)
        if chosen.is_empty and not every:
            raise usage(f"{action} needs jobs", f"name them, choose by --where or --queue, or say --all; {_SEE}")
        return jobbing.change_many(call, action, states, chosen, dry_run=dry_run, why=f"actorctl jobs {action}")

    change.__doc__ = about
    command(jobs_app, action, panel=Panel.INSPECT, document="JobsChanged", shape=Shape.LIST, examples=examples)(change)


_SEE = "see them first: --dry-run"
_declare(
    "retry",
    ("failed", "cancelled", "disabled", "delayed"),
    "Send jobs that failed or were cancelled round again, with all their tries; delayed ones go at once.",
    "jobs retry job-7 job-9",
    "jobs retry --queue mail --where \"why LIKE '%timeout%'\" --dry-run",
)
_declare(
    "cancel",
    jobbing.STATES[:5],
    "End jobs: a running one is asked to end, then its worker is ended.",
    "jobs cancel job-7",
    "jobs cancel --batch import-12",
)
_declare("promote", ("delayed",), "Let delayed jobs go at once.", "jobs promote job-7", "jobs promote --queue mail")
_declare(
    "delete",
    jobbing.STATES[5:],
    "Forget jobs that have ended.",
    "jobs delete job-7",
    "jobs delete --state cancelled --where 'attempt = 0'",
)


def _lines(job: JobView, why: str) -> Iterable[str]:
    yield f"{job.id}  {job.kind}  {job.state}"
    facts = {
        "why": why,
        "queue": job.queue,
        "worker": job.worker,
        "tries": f"{job.attempt} of {job.attempts}",
        "in flight as the runtime was killed": f"{job.repeats} times" if job.repeats else "",
        "progress": f"{job.progress:.0%} {job.note}".strip() if job.progress or job.note else "",
        "priority": str(job.priority) if job.priority else "",
        "key": job.key,
        "batch": job.batch,
        "after": ", ".join(job.after),
        "every": duration(job.every) if job.every else "",
        "cron": f"{job.cron} ({job.timezone})" if job.cron else "",
        "source": job.source,
        "took": duration(job.changed_at - job.begun_at) if job.begun_at and job.state in jobbing.STATES[5:] else "",
        "payload": job.payload,
        "result": job.result,
    }
    for name, value in facts.items():
        if value:
            yield f"  {name:<10} {value}"


def page_of(job: JobView, why: str) -> Page:
    """Return one job as a page."""

    def lines(_: Terminal) -> Iterable[str]:
        return _lines(job, why)

    return Page("JobList", [job], lines, lambda item: str(item.id))
