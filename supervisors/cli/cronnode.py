"""What the commands about schedules ask of a node's scheduler."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from supervisors.cli.calling import Call
from supervisors.cli.connection import Node, connect
from supervisors.cli.cronshow import changes
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Listing
from supervisors.requests import SendArguments
from supervisors.views import AnswerView, ScheduleChangeView, ScheduleDetailView, SlotView

SCHEDULER: Final = "/sys/scheduler"


def ask(node: Node, message: str, payload: dict[str, Any]) -> Any:
    """Return the scheduler's reply to the message of that name."""
    arguments = SendArguments(path=SCHEDULER, message=message, payload=payload)
    view: AnswerView = node.request("ask", arguments, AnswerView, timeout=arguments.timeout)
    return view.reply


def act(call: Call, message: str, ids: list[str] | None, tags: list[str] | None, **more: Any) -> Listing:
    """Have the scheduler do what `message` says to the schedules that are meant; return what became of each."""
    with connect(call) as node:
        found = ask(node, message, {"selection": selection(ids, tags), **more})
    return changes(found)


def selection(ids: list[str] | None, tags: list[str] | None) -> dict[str, list[str]]:
    """Return which schedules are meant; nothing named means nothing.

    Raises:
        CommandError: `usage`: no schedule and no tag is named, or an empty one.
    """
    if (not ids and not tags) or any(not word.strip() for word in (*(ids or ()), *(tags or ()))):
        raise usage("name schedules, or --tag TAG", "actorctl cron list")
    return {"ids": ids or [], "tags": tags or []}


def detail(node: Node, id: str) -> ScheduleDetailView:
    """Return one schedule.

    Raises:
        CommandError: `not_found`: there is none of that id.
    """
    found = ask(node, "GetSchedule", {"id": id})
    if found is None:
        raise unknown(id)
    return msgspec.convert(found, ScheduleDetailView, strict=False)


def unknown(id: str) -> CommandError:
    """Return the error that there is no such schedule."""
    return CommandError("not_found", f"there is no schedule {id!r}", "actorctl cron list")


def ended(node: Node, view: ScheduleChangeView, deadline: float) -> ScheduleChangeView:
    """Return `view` once its run has ended."""
    while view.run:
        found = msgspec.convert(ask(node, "ListSlots", {"run": view.run}), list[SlotView], strict=False)
        if found and found[0].ended_at is not None:
            return msgspec.structs.replace(view, state=found[0].state, why=found[0].why)
        if time.monotonic() > deadline:
            raise CommandError("timeout", f"{view.run} has not ended", f"actorctl cron why {view.id}")
        time.sleep(0.1)
    return view
