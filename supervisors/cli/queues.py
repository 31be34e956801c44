"""`queue` and `dlq`: whole queues of jobs, and the jobs that failed for good."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from supervisors.cli import jobbing
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.jobapp import Id
from supervisors.cli.jobbing import Batch, DryRun, Every, Ids, Kind, Most, Queue, Where
from supervisors.cli.jobs import page_of
from supervisors.cli.rendering import Column, Listing, Page
from supervisors.cli.terminal import Style
from supervisors.node.durations import parse_duration, read_rate
from supervisors.views.work import QueueView

app = typer.Typer()
queue_app = typer.Typer(help="Queues of jobs: look, pause, resume, drain, throttle.", no_args_is_help=False)
dlq_app = typer.Typer(help="Dead letters: jobs that failed for good.", no_args_is_help=False)
app.add_typer(queue_app, name="queue", rich_help_panel=Panel.INSPECT.value)
app.add_typer(dlq_app, name="dlq", rich_help_panel=Panel.INSPECT.value)

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Its name.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for others to read.")]

COLUMNS = (
    Column("name", lambda queue: queue.name),
    Column("state", lambda queue: queue.state, style=lambda q: Style.WARNING if q.state != "open" else None),
    Column("waiting", lambda queue: queue.waiting, is_right=True),
    Column("running", lambda queue: queue.running, is_right=True),
    Column("workers", lambda queue: queue.workers, is_right=True),
    Column("delayed", lambda queue: queue.delayed, is_right=True),
    Column("blocked", lambda queue: queue.blocked, is_right=True),
    Column("disabled", lambda queue: queue.disabled, is_right=True, is_wide=True),
    Column("succeeded", lambda queue: queue.succeeded, is_right=True),
    Column("failed", lambda queue: queue.failed, is_right=True, style=lambda q: Style.BAD if q.failed else None),
    Column("cancelled", lambda queue: queue.cancelled, is_right=True, is_wide=True),
    Column("rate", lambda queue: queue.rate),
    Column("concurrency", lambda queue: queue.concurrency, is_right=True, is_wide=True),
    Column("capacity", lambda queue: queue.capacity, is_right=True, is_wide=True),
    Column("note", lambda queue: queue.trouble or queue.note),
)


def _queues(call: Call, message: str, payload: dict[str, Any]) -> list[QueueView]:
    with connect(call) as node:
        found = msgspec.convert(jobbing.ask(node, message, payload)["items"], list[QueueView])
        if not found and payload.get("name"):
            known = ", ".join(item["name"] for item in jobbing.ask(node, "ListQueues", {})["items"])
            raise CommandError("not_found", f"there is no queue {payload['name']!r}", f"there are {known or 'none'}")
    return found


def _listing(queues: list[QueueView]) -> Listing:
    return Listing("QueueList", queues, COLUMNS, lambda queue: str(queue.name), nothing="there are no queues")


@command(queue_app, "list", panel=Panel.INSPECT, document="QueueList", shape=Shape.LIST, examples=("queue list",))
def list_queues(call: Call) -> Listing:
    """List the queues: how many jobs wait, run, failed."""
    return _listing(_queues(call, "ListQueues", {}))


@command(queue_app, "show", panel=Panel.INSPECT, document="QueueList", shape=Shape.LIST, examples=("queue show mail",))
def show_queue(call: Call, name: Name) -> Listing:
    """Show one queue."""
    return _listing(_queues(call, "ListQueues", {"name": name}))


def _declare(action: str, about: str, *examples: str) -> None:
    def change(call: Call, name: Name, note: Note = "") -> Listing:
        return _listing(_queues(call, "ChangeQueue", {"name": name, "action": action, "note": note}))

    change.__doc__ = about
    command(queue_app, action, panel=Panel.INSPECT, document="QueueList", shape=Shape.LIST, examples=examples)(change)


_declare("pause", "Begin no further jobs of a queue; those that run go on.", "queue pause mail --note 'server moves'")
_declare("resume", "Begin jobs again, and take new ones.", "queue resume mail")
_declare(
    "drain",
    "Take no new jobs until resumed, also no recurring ones; those that are there are done.",
    "queue drain mail",
)


@command(
    queue_app,
    "rate",
    panel=Panel.INSPECT,
    document="QueueList",
    shape=Shape.LIST,
    examples=("queue rate mail 100/s", "queue rate mail none", "queue rate mail default"),
)
def rate(
    call: Call,
    name: Name,
    limit: Annotated[str, typer.Argument(metavar="RATE", help="100/s, 250/min, none, or default.")],
) -> Listing:
    """Bound how many jobs of a queue are begun in a time; `default` is what the configuration says."""
    if limit == "default":
        said = ""
    elif limit == "none":
        said = "none"
    else:
        try:
            count, per = read_rate(limit)
        except ValueError:
            raise usage(f"{limit!r} is no rate", "100/s, 250/min, 10/5s, none or default") from None
        said = f"{count}/{per:g}"
    return _listing(_queues(call, "ChangeQueue", {"name": name, "action": "rate", "rate": said}))


@command(
    queue_app,
    "clean",
    panel=Panel.INSPECT,
    document="JobsChanged",
    shape=Shape.LIST,
    examples=("queue clean mail --older 1h", "queue clean mail --failed --dry-run"),
)
def clean(
    call: Call,
    name: Name,
    older: Annotated[
        float, typer.Option("--older", metavar="DURATION", parser=parse_duration, help="Ended longer ago than that.")
    ] = 0.0,
    failed: Annotated[bool, typer.Option("--failed", help="Dead letters too.")] = False,
    most: Most = jobbing.CAP,
    dry_run: DryRun = False,
) -> Listing:
    """Forget jobs of a queue that ended."""
    _queues(call, "ListQueues", {"name": name})
    states = ("succeeded", "cancelled", *(("failed",) if failed else ()))
    where = f"changed_at < strftime('%s', 'now') - {older:.3f}" if older else ""
    chosen = jobbing.choice(None, name, states, "", "", where, most)
    return jobbing.change_many(call, "delete", states, chosen, dry_run=dry_run)


@command(
    dlq_app,
    "list",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.LIST,
    examples=("dlq list", "dlq list --queue mail --where \"why LIKE '%refused%'\""),
)
def list_letters(
    call: Call, queue: Queue = "", kind: Kind = "", batch: Batch = "", where: Where = "", most: Most = 1_000
) -> Listing:
    """List the jobs that failed for good."""
    with connect(call) as node:
        found = jobbing.find(node, jobbing.choice(None, queue, ["failed"], kind, batch, where, most, True))
    hints = ("actorctl dlq retry --all", "actorctl dlq drop --all") if found else ()
    return msgspec.structs.replace(jobbing.listing(found, "no job failed for good"), hints=hints)


@command(dlq_app, "show", panel=Panel.INSPECT, document="JobList", shape=Shape.PAGE, examples=("dlq show job-7",))
def show_letter(call: Call, id: Id) -> Page:
    """Show all of a dead letter."""
    with connect(call) as node:
        found = jobbing.find(node, jobbing.Choice(ids=(id,), states=("failed",)), full=True, text_max=jobbing.SHOWN)
        if not found:
            raise CommandError("not_found", f"{id} is no dead letter", f"actorctl jobs why {id}")
        why = str(jobbing.ask(node, "WhyJob", {"id": id}))
    return page_of(found[0], why)


def _declare_letters(word: str, action: str, about: str, *examples: str) -> None:
    def change(
        call: Call,
        ids: Ids = None,
        every: Every = False,
        queue: Queue = "",
        kind: Kind = "",
        batch: Batch = "",
        where: Where = "",
        most: Most = 1_000,
        dry_run: DryRun = False,
    ) -> Listing:
        chosen = jobbing.choice(ids, queue, None, kind, batch, where, most)
        if chosen.is_empty and not every:
            raise usage(f"{word} needs jobs", "name them, choose by --where or --queue, or say --all; see: --dry-run")
        chosen = msgspec.structs.replace(chosen, states=("failed",))
        return jobbing.change_many(call, action, ("failed",), chosen, dry_run=dry_run, why=f"actorctl dlq {word}")

    change.__doc__ = about
    command(dlq_app, word, panel=Panel.INSPECT, document="JobsChanged", shape=Shape.LIST, examples=examples)(change)


_declare_letters(
    "retry", "retry", "Send dead letters round again, with all their tries.", "dlq retry job-7", "dlq retry --all"
)
_declare_letters("drop", "delete", "Forget dead letters.", "dlq drop job-7", "dlq drop --queue mail --dry-run")


@command(
    dlq_app,
    "export",
    panel=Panel.INSPECT,
    document="JobList",
    shape=Shape.LIST,
    examples=("dlq export --queue mail -o json > letters.json", "dlq export -o jsonl | jq .payload"),
)
def export(
    call: Call, queue: Queue = "", kind: Kind = "", batch: Batch = "", where: Where = "", most: Most = jobbing.CAP
) -> Listing:
    """Write out dead letters with what they carry."""
    with connect(call) as node:
        found = jobbing.find_full(node, jobbing.choice(None, queue, ["failed"], kind, batch, where, most))
    columns = (
        *jobbing.columns(),
        Column("payload", lambda job: job.payload),
    )
    return Listing("JobList", found, columns, lambda job: str(job.id), nothing="no job failed for good")
