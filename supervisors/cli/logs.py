"""`logs`: what the node wrote to its log files, and what it goes on to write. Reads files; needs no running node."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from actors.addresses import matches
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.flow import instant_of
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.streaming import Stream
from supervisors.cli.terminal import Style
from supervisors.cli.texts import instant, printable
from supervisors.node.logfiles import LOGS, TRACE_SHOWN, archived_lines
from supervisors.views import LogView

app = typer.Typer()

LEVELS: Final = ("debug", "info", "warning", "error")
RECENT: Final = 100
"""Lines shown unless `--lines` says otherwise."""
_LOOK_EVERY: Final = 0.2


@command(
    app,
    "logs",
    panel=Panel.EVENTS,
    document="LogList",
    shape=Shape.LIST,
    is_local=True,
    examples=(
        "logs -n 20",
        "logs -f /io --level warning",
        "logs '/work/*' --since 1h --grep 'signal'",
        "logs --trace 4bf92f35",
        "logs --errors -o jsonl | jq -r .traceback",
    ),
)
def logs(
    call: Call,
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Only about it and below.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="The last N that match.")] = RECENT,
    level: Annotated[str, typer.Option("--level", metavar="WORD", help="This and worse: info, warning, error.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="30m, 2d, 14:00, ISO.")] = "",
    grep: Annotated[str, typer.Option("--grep", metavar="REGEX", help="Only lines whose text holds it.")] = "",
    trace: Annotated[
        str,
        typer.Option(
            "--trace",
            metavar="ID",
            help="Only of one trace: its id, its first digits, or the run or job it began with.",
        ),
    ] = "",
    errors: Annotated[
        bool, typer.Option("--errors", help="The file of errors alone, which reaches back further.")
    ] = False,
) -> Listing | None:
    """Show the node's log, life-cycle events woven in.

    All files are read, rotated ones too; the node need not run.
    """
    folder = home_of(call.settings) / LOGS
    name = "error" if errors else "node"
    if not (folder / f"{name}.log").exists():
        raise CommandError("not_found", f"there are no log files in {folder}", "actorctl run writes them")
    traces = _Traces(trace, folder, name) if trace else None
    wanted = _filter(paths or [], level, since, grep, traces)
    columns = _columns(call)
    recent: deque[LogView] = deque(filter(wanted, map(_view, archived_lines(folder, name))), maxlen=lines)
    stream = Stream(call.output, columns, call.choice, _name)
    is_new = False
    with closing(_tail(folder / f"{name}.log")) as tail:
        for line in tail:
            if line is not None and wanted(found := _view(line)):
                stream.write(found) if is_new else recent.append(found)
            elif line is None and not follow:
                break
            elif line is None and not is_new:
                is_new = True
                for view in recent:
                    stream.write(view)
            elif line is None:
                time.sleep(_LOOK_EVERY)
    return None if follow else Listing("LogList", tuple(recent), columns, _name, nothing="no lines match")


class _Traces:
    """The lines of the trace that a person named: by its id, the first digits of that, or the run or job it began with.

    Lines that name the run or job say which trace it is, so the files are read once before; more may be learnt later.

    Raises:
        CommandError: `usage`: it is no name of a trace.
    """

    def __init__(self, wanted: str, folder: Path, name: str) -> None:
        self._wanted = wanted
        self._start = wanted.lower() if _START.fullmatch(wanted.lower()) else ""
        self._ids: set[str] = set()
        if not self._start and not _NAME.match(wanted):
            hint = "the first 4 digits of its id or more, job-17, or nightly@2026-01-31T03:00:00Z"
            raise usage(f"--trace: {wanted!r} names no trace", hint)
        if not self._start:
            text = json.dumps(wanted)
            for line in archived_lines(folder, name):
                if text in line:
                    self.has(_view(line))

    def has(self, view: LogView) -> bool:
        """Whether `view` is a line of the trace."""
        fields = view.fields
        id = str(fields.get("trace", ""))
        if self._wanted in (fields.get("job"), fields.get("run")):
            if id:
                self._ids.add(id)
            return True
        return id in self._ids if not self._start else id.startswith(self._start)


_START: Final = re.compile(r"[0-9a-f]{4,32}")
_NAME: Final = re.compile(r"job-\d+$|.+@\d{4}-")


def _filter(paths: list[str], level: str, since: str, grep: str, traces: _Traces | None) -> Callable[[LogView], bool]:
    if level and level not in LEVELS:
        raise usage(f"--level: there is no level {level!r}", f"there are {', '.join(LEVELS)}")
    try:
        holds = re.compile(grep)
    except re.error as error:
        raise usage(f"--grep: {grep!r} is no regular expression: {error}", "quote it for the shell") from None
    start = instant_of(since, "logs")
    worst = LEVELS.index(level) if level else 0

    def wanted(view: LogView) -> bool:
        return (
            (traces is None or traces.has(view))
            and (not paths or any(_about(view.path, path) for path in paths))
            and (not level or (view.level in LEVELS and LEVELS.index(view.level) >= worst))
            and (start is None or (view.at is not None and view.at >= start))
            and (not grep or holds.search(f"{view.text}\n{view.traceback}") is not None)
        )

    return wanted


def _about(path: str, wanted: str) -> bool:
    """Whether a line about `path` is about `wanted`, a path or a glob, or about what is below it."""
    if "*" in wanted or "?" in wanted:
        return bool(path) and matches(path, wanted)
    return path == wanted or path.startswith(wanted.rstrip("/") + "/")


def _view(line: str) -> LogView:
    """Return a line as what it says; one that is not ours is text."""
    try:
        fields = json.loads(line)
        at = datetime.fromisoformat(fields.pop("at"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return LogView(text=line)
    known = {key: str(fields.pop(key, "")) for key in ("level", "logger", "path", "text", "traceback")}
    return LogView(at=at, fields=fields, **known)


def _tail(path: Path) -> Generator[str | None, None, None]:
    """Yield the whole lines of `path`, and None whenever there is none left for now; goes on over its rotations."""
    while True:
        rest = b""
        with open(path, "rb") as file:
            is_rotated = False
            while not is_rotated:
                is_rotated = _is_another(path, file.fileno())  # asked first: then this file gets no more lines
                while found := file.read(1 << 16):
                    *whole, rest = (rest + found).split(b"\n")
                    yield from (line.decode("utf-8", "replace") for line in whole)
                if not is_rotated:
                    yield None


def _is_another(path: Path, fd: int) -> bool:
    try:
        return not os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False  # between the two steps of a rotation


def _columns(call: Call) -> tuple[Column, ...]:
    zone = UTC if call.settings.utc else None

    def clock(view: LogView) -> str:
        return instant(view.at, datetime.now(UTC), zone, fine=True)

    def said(view: LogView) -> str:
        fields = dict(view.fields)
        if fields.get("trace"):
            fields["trace"] = f"{str(fields['trace'])[:TRACE_SHOWN]}…"
        more = "".join(f" {key}={value}" for key, value in fields.items())
        return printable(f"{view.text}{more}")

    return (
        Column("at", lambda view: view.at.isoformat() if view.at else None, clock),
        Column("level", lambda view: view.level, style=_colour),
        Column("path", lambda view: view.path or view.logger),
        Column("text", lambda view: view.text, said),
        Column("logger", lambda view: view.logger, is_wide=True),
        Column("traceback", lambda view: view.traceback, is_wide=True),
    )


def _colour(view: LogView) -> Style | None:
    return {"error": Style.BAD, "warning": Style.WARNING}.get(view.level)


def _name(view: Any) -> str:
    return str(view.text)
