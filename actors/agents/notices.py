"""Notices: one small text file each in `<home>/notifications`, left by loops or any program, sent off as a digest.

A notice that was sent is moved to `notifications/sent`, so each is in one digest only, and none is lost by a crash: it
may at most be sent twice.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from actors.agents.context import Context, Result, TaskFailedError
from actors.jobs import commands
from actors.jobs.files import write_atomic
from actors.jobs.offload import Cancel

_MOST: Final = 200
_LONGEST: Final = 2_000


def leave_notice(_: Cancel, context: Context, topic: str, text: str) -> None:
    """Leave a notice for the next digest; one of the same topic that still waits is replaced. Blocks."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", topic)
    write_atomic(context.home / "notifications" / f"{name}.txt", text.encode() + b"\n")


async def notification_digest(context: Context) -> Result:
    """Give what waits in `<home>/notifications` to the configured command, as one text on its standard input."""
    count, seconds = await context.blocking(_send, context)
    if not count:
        return Result("nothing waits", idle=True)
    return Result(f"sent {count} notices in {seconds:.1f} s")


def _send(cancel: Cancel, context: Context) -> tuple[int, float]:
    directory = context.home / "notifications"
    waiting = sorted(path for path in directory.glob("*.txt") if path.is_file() and not path.is_symlink())[:_MOST]
    if not waiting:
        return 0, 0.0
    parts = []
    for path in waiting:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace").strip()
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
        parts.append(f"[{path.stem}, {when}]\n{text}\n")
    try:
        output = commands.run(
            context.words("command"), stdin="\n".join(parts).encode(), timeout=context.timeout + 1.0, cancel=cancel
        )
    except commands.CommandError as error:
        raise TaskFailedError(str(error)) from error
    sent = directory / "sent"
    sent.mkdir(exist_ok=True)
    for path in waiting:
        _move(path, sent / f"{path.stem}-{path.stat().st_mtime_ns}.txt")
    return len(waiting), output.seconds


def _move(path: Path, target: Path) -> None:
    os.replace(path, target)
