"""What the commands about jobs share: asking the queues, choosing jobs, and changing many of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct

from supervisors.cli.calling import Call
from supervisors.cli.connection import Node, connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.terminal import Style
from supervisors.cli.texts import duration, plural
from supervisors.requests import SendArguments
from supervisors.views import AnswerView, JobsChangedView, JobView

JOBS: Final = "/work/jobs"
"""Where the queues are."""
STATES: Final = ("waiting", "delayed", "blocked", "disabled", "running", "succeeded", "failed", "cancelled")
CHUNK: Final = 200
CAP: Final = 10_000
FULL_AT_ONCE: Final = 16
"""Jobs that are asked for at a time with what they carry: 2 MiB each, unless a queue allows more."""
SHOWN: Final = 4 << 20
"""Characters of a payload or result that are shown."""
PAYLOAD_BYTES: Final = (1 << 20) - (1 << 14)
"""Largest payload from the command line: a request has 1 MiB, and other fields."""

Queue = Annotated[str, typer.Option("--queue", metavar="NAME", help="Of this queue.")]
Kind = Annotated[str, typer.Option("--kind", metavar="KIND", help="Of this kind.")]
Batch = Annotated[str, typer.Option("--batch", metavar="NAME", help="Of this batch.")]
Where = Annotated[str, typer.Option("--where", metavar="SQL", help="A condition, as attempt > 2 AND age > 3600.")]
States = Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help=", ".join(STATES) + ".")]
Most = Annotated[int, typer.Option("--most", metavar="N", min=1, max=CAP, help="At most N, the oldest first.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which: job-7.")]
Every = Annotated[bool, typer.Option("--all", help="All that this can be done to.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which.")]


class Choice(Struct, frozen=True):
    """Which jobs are meant, as given on the command line."""

    ids: tuple[str, ...] = ()
    queue: str = ""
    states: tuple[str, ...] = ()
    kind: str = ""
    batch: str = ""
    where: str = ""
    limit: int = 1_000
    newest: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.ids or self.queue or self.states or self.kind or self.batch or self.where)


def choice(
    ids: Sequence[str] | None,
    queue: str,
    states: Sequence[str] | None,
    kind: str,
    batch: str,
    where: str,
    most: int,
    newest: bool = False,
) -> Choice:
    """Return what was chosen.

    Raises:
        CommandError: `usage`: there is no such state.
    """
    for state in states or ():
        if state not in STATES:
            raise usage(f"--state: there is no state {state!r}", f"there are {', '.join(STATES)}")
    return Choice(tuple(ids or ()), queue, tuple(states or ()), kind, batch, where, most, newest)


def ask(node: Node, message: str, payload: dict[str, Any], *, path: str = JOBS, timeout: float = 30.0) -> Any:
    """Ask the queues and return their answer as plain data.

    Raises:
        CommandError: `not_found`: there are no queues; `failed`: it could not be written; `usage`: it means nothing.
    """
    arguments = SendArguments(path=path, message=message, payload=payload, timeout=timeout)
    try:
        view: AnswerView = node.request("ask", arguments, AnswerView, timeout=timeout)
    except CommandError as error:
        if error.code == "not_found" and path == JOBS:
            raise CommandError(
                "not_found", "there are no queues of jobs here", "add [queues.NAME] to actors.toml"
            ) from None
        raise
    reply = view.reply
    if isinstance(reply, dict) and reply.get("why"):
        if reply.get("is_unwritten"):
            raise CommandError("failed", str(reply["why"]), "actorctl doctor disk")
        raise usage(str(reply["why"]))
    return reply


def find(node: Node, chosen: Choice, *, full: bool = False, text_max: int = 0) -> list[JobView]:
    """Return the jobs meant, with what they carry if `full`, of each text `text_max` characters (0: all).

    Raises:
        CommandError: `not_found`: a queue was named that is none.
    """
    selection = msgspec.to_builtins(chosen)
    found = ask(node, "FindJobs", {"selection": selection, "full": full, "text_max": text_max})["items"]
    if chosen.queue and not found:
        names = [queue["name"] for queue in ask(node, "ListQueues", {})["items"]]
        if chosen.queue not in names:
            near = get_close_matches(chosen.queue, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise CommandError("not_found", f"there is no queue {chosen.queue}", hint)
    return msgspec.convert(found, list[JobView])


def find_full(node: Node, chosen: Choice) -> list[JobView]:
    """Return the jobs meant with all that they carry, asked for a few at a time; those gone meanwhile are not in it."""
    ids = [job.id for job in find(node, chosen)]
    found: list[JobView] = []
    for start in range(0, len(ids), FULL_AT_ONCE):
        part = Choice(ids=tuple(ids[start : start + FULL_AT_ONCE]), states=chosen.states, limit=FULL_AT_ONCE)
        found += find(node, part, full=True)
    return found


def columns() -> tuple[Column, ...]:
    """Return the columns of a list of jobs."""
    now = datetime.now(UTC).timestamp()
    return (
        Column("id", lambda job: job.id),
        Column("state", lambda job: job.state, style=lambda job: _STYLES.get(job.state)),
        Column("queue", lambda job: job.queue),
        Column("job", lambda job: job.kind),
        Column("try", lambda job: job.attempt, _tries, is_right=True),
        Column(
            "done", lambda job: job.progress, lambda job: f"{job.progress:.0%}" if job.progress else "-", is_right=True
        ),
        Column("age", lambda job: now - job.created_at, lambda job: duration(now - job.created_at), is_right=True),
        Column("worker", lambda job: job.worker),
        Column("source", lambda job: job.source, is_wide=True),
        Column("priority", lambda job: job.priority, is_right=True, is_wide=True),
        Column("key", lambda job: job.key, is_wide=True),
        Column("batch", lambda job: job.batch, is_wide=True),
        Column("why", lambda job: job.why or job.note),
    )


def listing(jobs: Sequence[JobView], nothing: str) -> Listing:
    """Return jobs as a list."""
    failed = any(job.state == "failed" for job in jobs)
    hints = ("actorctl dlq list",) if failed else ()
    return Listing("JobList", jobs, columns(), lambda job: str(job.id), nothing=nothing, hints=hints)


def change_many(
    call: Call, action: str, states: Sequence[str], chosen: Choice, *, dry_run: bool, why: str = ""
) -> Listing:
    """Do something to many jobs, a part at a time, and say how far it is.

    Args:
        call: Where to say so.
        action: `retry`, `cancel`, `promote` or `delete`.
        states: States of jobs that it can be done to.
        chosen: Which jobs.
        dry_run: Only say which.
        why: For what.
    """
    with connect(call) as node:
        limited = chosen if chosen.states else msgspec.structs.replace(chosen, states=tuple(states))
        found = [job for job in find(node, limited) if job.state in states]
        if dry_run:
            _say_capped(call, chosen, len(found))
            views = [JobsChangedView(id=job.id, state=f"would be {_DONE[action]}") for job in found]
            return _changed(views, None)
        changed: list[str] = []
        with Bar(call, action, len(found)) as bar:
            for start in range(0, len(found), CHUNK):
                part = [job.id for job in found[start : start + CHUNK]]
                changed += ask(node, "ChangeJobs", {"action": action, "ids": part, "why": why})["ids"]
                bar.show(start + len(part))
    _say_capped(call, chosen, len(found))
    missing = [wanted for wanted in chosen.ids if wanted not in changed]
    failure = None
    if missing:
        word = "partial" if changed else "not_found"
        states_said = ", ".join(states)
        said = f"{', '.join(missing[:10])}: no such job, or none to {action}: that takes {states_said}"
        failure = CommandError(word, said, f"actorctl jobs why {missing[0]}")
    return _changed([JobsChangedView(id=id, state=_DONE[action]) for id in changed], failure)


def _say_capped(call: Call, chosen: Choice, count: int) -> None:
    if count == chosen.limit and not chosen.ids:
        call.note(f"{plural(count, 'job')}, as many as --most allows: there may be more")


def _changed(views: Sequence[JobsChangedView], failure: CommandError | None) -> Listing:
    shown = (Column("id", lambda job: job.id), Column("state", lambda job: job.state))
    return Listing("JobsChanged", views, shown, lambda job: str(job.id), nothing="no such job", failure=failure)


class Bar:
    """A line on the terminal that says how far many changes are; nothing where nobody looks or it is over at once."""

    def __init__(self, call: Call, action: str, count: int) -> None:
        output = call.output
        self._err = output.err
        self._terminal = output.err_terminal
        self._is_shown = output.err_terminal.is_tty and not call.choice.is_quiet and count > CHUNK
        self._action = action
        self._count = count

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            self._err.write("\r\x1b[K")
            self._err.flush()

    def show(self, done: int) -> None:
        """Say that `done` are done."""
        if self._is_shown:
            full = done * 30 // self._count
            bar = self._terminal.glyph("█", "#") * full + self._terminal.glyph("░", "-") * (30 - full)
            self._err.write(f"\r{self._action} {bar} {done} of {plural(self._count, 'job')}")
            self._err.flush()


def _tries(job: JobView) -> str:
    tries = f"{job.attempt}/{job.attempts}" if job.attempts else str(job.attempt)
    return f"{tries} +{job.repeats}" if job.repeats else tries


_DONE: Final = {"retry": "waiting", "cancel": "cancelled", "promote": "promoted", "delete": "deleted"}
_STYLES: Final = {"failed": Style.BAD, "disabled": Style.BAD, "running": Style.GOOD, "cancelled": Style.DIM}
