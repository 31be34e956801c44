"""`cron list`, `describe`, `add`, `update`, `remove`, `pause`, `resume`, `run`, `cancel`, `backfill`, `history`, `why`.

They speak to the node's scheduler; what only explains expressions is `cron`.
"""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.cronapp import cron_app
from supervisors.cli.cronnode import act, ask, detail, ended, selection, unknown
from supervisors.cli.cronoptions import (
    OVERLAPS,
    STATES,
    At,
    Attempts,
    Cron,
    Every,
    Exclude,
    First,
    Handler,
    Id,
    Ids,
    Jitter,
    Limit,
    MaxRuns,
    Message,
    Missed,
    Overlap,
    OverlapLimit,
    PauseAfter,
    Payload,
    Priority,
    State,
    Strategy,
    Tags,
    Title,
    To,
    Window,
    Zone,
    changed,
    when,
)
from supervisors.cli.cronshow import changes, counts, lines, run_of, sentences, slot_columns, slot_of, style, until
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing, Page
from supervisors.cli.texts import duration, plural
from supervisors.views import ReasonView, ScheduleChangeView, ScheduleView, SlotView

_CONFIGURED = "the configuration has it: at the next start the node takes what stands there"


@command(
    cron_app,
    "list",
    panel=Panel.INSPECT,
    document="ScheduleList",
    shape=Shape.LIST,
    examples=("cron list", "cron list --tag maintenance", "cron list --state paused -o json"),
)
def list_schedules(call: Call, tag: Tags = None, state: State = "") -> Listing:
    """List schedules, the next to come first."""
    if state and state not in STATES:
        raise usage(f"--state: there is no state {state!r}", f"there are {', '.join(STATES)}")
    with connect(call) as node:
        found = ask(node, "ListSchedules", {"tags": tag or []})
    views = [view for view in msgspec.convert(found, list[ScheduleView], strict=False) if state in {"", view.state}]
    now = time.time()
    columns = (
        Column("id", lambda view: view.id),
        Column("name", lambda view: view.name, is_wide=True),
        Column("when", lambda view: view.when),
        Column("timezone", lambda view: view.timezone, is_wide=True),
        Column("next", lambda view: view.next_at, lambda view: until(view.next_at, now), is_right=True),
        Column("state", lambda view: view.state, style=lambda view: style(view.state)),
        Column("last", lambda view: view.last_state, style=lambda view: style(view.last_state)),
        Column("runs", lambda view: view.runs, is_right=True),
        Column("ends", lambda view: counts(view.ends)),
        Column("overlap", lambda view: view.overlap, is_wide=True),
        Column("missed", lambda view: view.missed_policy, is_wide=True),
        Column("tags", lambda view: " ".join(view.tags), is_wide=True),
        Column("late_p99", lambda view: view.late_p99, lambda view: duration(view.late_p99), is_wide=True),
        Column("note", lambda view: view.note),
    )
    return Listing("ScheduleList", views, columns, lambda view: str(view.id), nothing="nothing is scheduled")


@command(
    cron_app,
    "describe",
    panel=Panel.INSPECT,
    document="ScheduleDetail",
    shape=Shape.PAGE,
    examples=("cron describe backup", "cron describe agents/14 -o json"),
)
def describe(call: Call, id: Id) -> Page:
    """Describe one schedule: what it is, how it stands, what comes next."""
    with connect(call) as node:
        found = detail(node, id)
    return Page("ScheduleDetail", (found,), lambda terminal: lines(found, terminal), lambda item: str(item.view.id))


@command(
    cron_app,
    "add",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=(
        'cron add backup --cron "0 2 * * *" --tz Europe/Berlin --handler my_jobs:backup --attempts 3',
        "cron add poll --every 30s --to /io/gmail --message my_actors:Fetch --overlap queue",
        "cron add once --at 2030-12-24T18:00 --handler my_jobs:greet --new",
    ),
)
def add(
    call: Call,
    id: Annotated[str, typer.Argument(metavar="ID", help="Its id: letters, digits and ._#-, parts divided by /.")],
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    tz: Zone = None,
    handler: Handler = None,
    to: To = None,
    message: Message = None,
    payload: Payload = None,
    title: Title = None,
    tag: Tags = None,
    priority: Priority = None,
    run_limit: Limit = None,
    jitter: Jitter = None,
    overlap: Overlap = None,
    overlap_limit: OverlapLimit = None,
    missed: Missed = None,
    missed_window: Window = None,
    attempts: Attempts = None,
    retry: Strategy = None,
    retry_first: First = None,
    max_runs: MaxRuns = None,
    pause_after: PauseAfter = None,
    exclude: Exclude = None,
    new: Annotated[bool, typer.Option("--new", help="Refuse it where there is one with its id.")] = False,
) -> Listing:
    """Add a schedule, or put it in the place of the one with its id; the same one again changes nothing.

    It is kept across restarts until it is removed. What is not given is as for a new one; `cron update` keeps it.
    """
    given = {key: value for key, value in locals().items() if key not in {"call", "id", "new"}}
    with connect(call) as node:
        before = None if new else ask(node, "GetSchedule", {"id": id})
        found = ask(node, "PutSchedule", {"schedule": changed({"id": id}, given), "is_new": new})
    if before is not None and before["schedule"].get("origin") == "config" and found["state"] == "changed":
        call.note(_CONFIGURED)
    return changes([found])


@command(
    cron_app,
    "update",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=('cron update backup --cron "30 3 * * *"', "cron update poll --every 1m --overlap skip"),
)
def update(
    call: Call,
    id: Id,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    tz: Zone = None,
    handler: Handler = None,
    to: To = None,
    message: Message = None,
    payload: Payload = None,
    title: Title = None,
    tag: Tags = None,
    priority: Priority = None,
    run_limit: Limit = None,
    jitter: Jitter = None,
    overlap: Overlap = None,
    overlap_limit: OverlapLimit = None,
    missed: Missed = None,
    missed_window: Window = None,
    attempts: Attempts = None,
    retry: Strategy = None,
    retry_first: First = None,
    max_runs: MaxRuns = None,
    pause_after: PauseAfter = None,
    exclude: Exclude = None,
) -> Listing:
    """Change a schedule: what is given, and nothing else; say what is different. What runs goes on."""
    given = {key: value for key, value in locals().items() if key not in {"call", "id"}}
    with connect(call) as node:
        schedule = detail(node, id).schedule
        if schedule.get("origin") == "config":
            call.note(_CONFIGURED)
        found = ask(node, "PutSchedule", {"schedule": changed(schedule, given), "is_known": True})
    return changes([found])


@command(
    cron_app,
    "remove",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=("cron remove poll", "cron remove --tag trial --cancel"),
)
def remove(
    call: Call,
    ids: Ids = None,
    tag: Tags = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel what runs for them.")] = False,
) -> Listing:
    """Remove schedules. What runs for them goes on, unless it is cancelled."""
    return act(call, "RemoveSchedules", ids, tag, cancel=cancel)


@command(
    cron_app,
    "pause",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=('cron pause backup --note "disk is being replaced"', "cron pause --tag communication"),
)
def pause(
    call: Call,
    ids: Ids = None,
    tag: Tags = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; shown until it is resumed.")] = "",
) -> Listing:
    """Pause schedules: no slots until they are resumed, and none of them missed."""
    from getpass import getuser

    try:
        by = getuser()
    except (KeyError, OSError):  # a user without a name
        by = "a person"
    return act(call, "PauseSchedules", ids, tag, note=note, by=by)


@command(
    cron_app,
    "resume",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=("cron resume backup", "cron resume --tag communication"),
)
def resume(call: Call, ids: Ids = None, tag: Tags = None) -> Listing:
    """Resume schedules; slots count from now on."""
    return act(call, "ResumeSchedules", ids, tag)


@command(
    cron_app,
    "cancel",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=("cron cancel backup",),
)
def cancel_runs(call: Call, ids: Ids = None, tag: Tags = None) -> Listing:
    """Cancel what runs and what waits, of these schedules; they stay."""
    return act(call, "CancelRuns", ids, tag)


@command(
    cron_app,
    "run",
    panel=Panel.CONTROL,
    document="ScheduleChanges",
    shape=Shape.LIST,
    examples=("cron run backup", "cron run backup --wait --timeout 10m", "cron run poll --overlap cancel-other"),
)
def run_now(
    call: Call,
    ids: Ids = None,
    tag: Tags = None,
    overlap: Overlap = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; ends with 1 where it failed.")] = False,
) -> Listing:
    """Run schedules once, now, by their overlap policy or another one this time."""
    if overlap is not None and overlap not in OVERLAPS:
        raise usage(f"--overlap: there is no policy {overlap!r}", f"there are {', '.join(OVERLAPS)}")
    choice = {} if overlap is None else {"overlap": {"policy": overlap}}
    with connect(call) as node:
        found = ask(node, "RunSchedules", {"selection": selection(ids, tag), **choice})
        views = msgspec.convert(found, list[ScheduleChangeView], strict=False)
        if wait:
            views = [ended(node, view, time.monotonic() + (call.settings.timeout or 3600.0)) for view in views]
    return changes(views)


@command(
    cron_app,
    "backfill",
    panel=Panel.CONTROL,
    document="SlotList",
    shape=Shape.LIST,
    examples=(
        "cron backfill backup --from 2026-11-18 --until 2026-11-20 --dry-run",
        "cron backfill backup --from 3d --until 1d --again",
    ),
)
def backfill(
    call: Call,
    id: Id,
    since: Annotated[
        str, typer.Option("--from", metavar="WHEN", help="First instant: ISO 8601, or 3d for 3 days ago.")
    ] = "24h",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Last instant.")] = "1s",
    again: Annotated[bool, typer.Option("--again", help="Also slots that have run already.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000, help="Refuse more than N.")] = 100,
    at_once: Annotated[bool, typer.Option("--at-once", help="All beside each other, not one by one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which, and run none.")] = False,
) -> Listing:
    """Run the slots of a time gone by that have not run, one after another, the oldest first."""
    span = {"first": when(since, "--from"), "last": when(until, "--until")}
    with connect(call) as node:
        what = {"id": id, **span, "again": again, "limit": most, "is_trial": dry_run, "at_once": at_once}
        found = ask(node, "Backfill", what)
    if found["why"]:
        code = "not_found" if "no schedule" in found["why"] else "conflict"
        raise CommandError(code, found["why"], "actorctl cron list")
    slots = [slot_of(run, "backfill", "planned" if dry_run else "waiting") for run in found["runs"]]
    if found["left_out"]:
        call.note(f"{plural(found['left_out'], 'slot')} left out: run already (--again runs them too)")
    return Listing("SlotList", slots, slot_columns(), run_of, nothing="no slot is to be run")


@command(
    cron_app,
    "history",
    panel=Panel.INSPECT,
    document="SlotList",
    shape=Shape.LIST,
    examples=(
        "cron history backup",
        "cron history --state failed --since 2d",
        "cron history --tag maintenance -o json",
    ),
)
def history(
    call: Call,
    ids: Ids = None,
    tag: Tags = None,
    state: State = "",
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="Only slots from then on.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only this run, by its id.")] = "",
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000, help="The newest N.")] = 100,
) -> Listing:
    """List what became of slots, the newest first."""
    payload = {
        "selection": {"ids": ids or [], "tags": tag or []},
        "state": state,
        "since": when(since, "--since") if since else 0.0,
        "run": run,
        "limit": most,
    }
    with connect(call) as node:
        found = ask(node, "ListSlots", payload)
    slots = msgspec.convert(found, list[SlotView], strict=False)
    return Listing("SlotList", slots, slot_columns(), run_of, nothing="no slot came yet")


@command(
    cron_app,
    "why",
    panel=Panel.INSPECT,
    document="ScheduleWhy",
    shape=Shape.PAGE,
    examples=("cron why backup",),
)
def why(call: Call, id: Id) -> Page:
    """Say why a schedule does not run now, and what became of it lately."""
    with connect(call) as node:
        found = ask(node, "WhySchedule", {"id": id})
    if not found:
        raise unknown(id)
    items = [ReasonView(text=str(text)) for text in found]
    return Page("ScheduleWhy", items, lambda terminal: sentences(items, terminal), lambda item: str(item.text))
