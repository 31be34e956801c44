"""From an event to the rows of the history, and back to the event.

`rows_of` is a pure function: no clock, no file, no thread. It formats tracebacks, so it belongs on the thread that
ships rows, never on the one that published the event.

The fields of an event are one JSON text (`payloads`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from actors.addresses import PATH_LIMIT
from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorReported,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    AskFailed,
    BreakerChanged,
    CommandDone,
    CrashRecorded,
    DeadLettered,
    Event,
    HistoryLost,
    JobRetried,
    JobsDisabled,
    JobsRecovered,
    LimitReached,
    LogLevelChanged,
    MetricSampled,
    NodeChanged,
    PeerRefused,
    QueueChanged,
    RestartScheduled,
    RunFinished,
    ScheduleChanged,
    SpareChanged,
    TreeChanged,
    UsageHigh,
)
from actors.exits import ExitReason, to_record
from actors.history.payloads import json_text, payload_of, text

Row = tuple[Any, ...]
Rows = list[tuple[str, Row]]
"""Rows with the table each is for, values in the order of the table's columns; instants as seconds since the epoch."""


SUMMARY_LIMIT = 300
GROUP_LIMIT = 10_000
"""Paths of a restart's group that are kept one by one."""


class NodeRun(Struct, frozen=True):
    """One run of a node.

    Attributes:
        node: Name of the node.
        epoch: Number of this run; greater than that of every earlier run.
        pid: Its process.
        version: Version of the program.
        started_at: When it began, seconds since the epoch.
    """

    node: str
    epoch: int
    pid: int
    version: str
    started_at: float


def row_of_run(run: NodeRun) -> tuple[str, Row]:
    """Return the row of `runs_of_node` for `run`."""
    return "runs_of_node", (text(run.node), run.epoch, run.started_at, run.pid, text(run.version))


def rows_of(seq: int, epoch: int, event: Event) -> Rows:
    """Return the rows that `event` is kept as: one of `events`, and one of the table its kind has.

    A `MetricSampled` is a row of `metrics` alone. An event class this module does not know is a row of `events`.

    Args:
        seq: Its number on the node's bus.
        epoch: The node's run.
        event: What happened.
    """
    kind = type(event)
    path = text(event.path)[:PATH_LIMIT]
    if isinstance(event, MetricSampled) and kind is MetricSampled:
        return [("metrics", (seq, epoch, event.at, path, text(event.name), event.value, text(event.unit)))]
    head = (seq, epoch, event.at, path)
    summary, generation, detail = _describers.get(kind, _other)(head, event)
    about = (kind.__name__, kind.TOPIC, event.severity, path, generation, _one_line(summary), payload_of(event))
    rows: Rows = [("events", (seq, epoch, event.at, *about))]
    if detail is not None:
        rows.append(detail)
    return rows


def summary_of(event: Event) -> str:
    """Return what happened in one line for people."""
    head = (0, 0, event.at, event.path)
    return _one_line(_describers.get(type(event), _other)(head, event)[0])


Described = tuple[str, int, tuple[str, Row] | None]
"""The line, the generation and the row of its own table (if its kind has one) of an event."""

Head = tuple[int, int, float, str]


def _started(head: Head, event: ActorStarted) -> Described:
    placement = text(event.placement)
    row = (*head, event.generation, placement, event.pid, event.seconds)
    return f"started ({placement}, pid {event.pid}) in {event.seconds:.3g} s", event.generation, ("starts", row)


def _ignored(head: Head, event: ActorIgnored) -> Described:
    return f"not started: {event.why}", event.generation, None


def _changed(head: Head, event: ActorStateChanged | NodeChanged | SpareChanged) -> Described:
    said = f"{event.state}: {event.detail}" if event.detail else event.state
    return said, getattr(event, "generation", 0), None


def _reported(head: Head, event: ActorReported) -> Described:
    return event.status or ", ".join(event.state), event.generation, None


def _tree(_head: Head, event: TreeChanged) -> Described:
    shown = ", ".join(f"{record.id} {record.state}" for record in event.children[:5])
    count = len(event.children)
    more = f" and {count - 5} more" if count > 5 else ""
    listed = f"{'has' if event.whole else 'changed'}: {shown}{more}" if count else "no child changed"
    return f"{event.state}; {listed}", event.generation, None


def _usage(head: Head, event: UsageHigh) -> Described:
    return f"uses {event.used:.6g} of {event.resource}, its soft bound is {event.bound:.6g}", 0, None


def _start_failed(head: Head, event: ActorStartFailed) -> Described:
    row = (*head, *_exit(event.generation, event.reason), 0.0, "starting", False, event.attempt)
    return f"start failed: {event.reason}", event.generation, ("exits", row)


def _exited(head: Head, event: ActorExited) -> Described:
    phase = text(event.phase)
    row = (*head, *_exit(event.generation, event.reason), event.uptime, phase, event.expected, None)
    return f"after {event.uptime:.6g} s: {event.reason}", event.generation, ("exits", row)


def _recorded(_head: Head, event: CrashRecorded) -> Described:
    record = event.record
    names = ", ".join(message.type for message in record.messages) or "none"
    return f"{text(event.reason)}; last messages: {names}", event.generation, None


def _restart(head: Head, event: RestartScheduled) -> Described:
    supervisor, strategy = text(event.supervisor), text(event.strategy)
    row = (
        *head,
        event.generation,
        supervisor,
        strategy,
        event.attempt,
        event.delay,
        _group(event.group),
        event.restarts,
        event.intensity,
        *_reason(event.reason),
    )
    summary = (
        f"restart, try {event.attempt} in {event.delay:.3g} s, by {supervisor} ({strategy}), "
        f"{event.restarts} of {event.intensity}: {event.reason}"
    )
    return summary, event.generation, ("restarts", row)


def _group(paths: tuple[str, ...]) -> list[str]:
    more = len(paths) - GROUP_LIMIT
    shown = [text(path) for path in (paths[:GROUP_LIMIT] if more > 0 else paths)]
    return [*shown, f"… {more} more"] if more > 0 else shown


def _limit(head: Head, event: LimitReached) -> Described:
    row = (
        *head,
        text(event.scope),
        text(event.action),
        event.restarts,
        event.intensity,
        event.period,
        *_reason(event.reason),
        _causes(event.reason),
    )
    summary = (
        f"{event.action}: {event.restarts} restarts in {event.period:.6g} s, {event.intensity} allowed: {event.reason}"
    )
    return summary, 0, ("limits", row)


def _dead_letter(head: Head, event: DeadLettered) -> Described:
    row = (*head, text(event.message_type), text(event.why), text(event.sender))
    return f"{event.message_type}: {event.why}", 0, ("dead_letters", row)


def _failed_ask(head: Head, event: AskFailed) -> Described:
    row = (*head, text(event.message_type), text(event.error), event.seconds)
    return f"{event.message_type} after {event.seconds:.3g} s: {event.error}", 0, ("failed_asks", row)


def _command(head: Head, event: CommandDone) -> Described:
    command, caller, code = text(event.command), text(event.caller), text(event.code)
    row = (*head, command, caller, text(event.why), code, event.seconds, text(event.key))
    return f"{command} by {caller}: {code}", 0, ("commands", row)


def _run(head: Head, event: RunFinished) -> Described:
    run, outcome, detail = text(event.run), text(event.outcome), text(event.detail)
    late = f", {event.waited:.3g} s late" if event.waited and event.waited >= 1.0 else ""
    tail = f": {detail}" if detail else ""
    row = (
        *head,
        run,
        outcome,
        event.seconds,
        detail,
        text(event.schedule) or None,
        event.slot_at or None,
        event.slots,
        event.waited,
        text(event.queue) or None,
        text(event.kind) or None,
    )
    return f"{run} {outcome} in {event.seconds:.3g} s{late}{tail}", 0, ("runs", row)


def _schedule(head: Head, event: ScheduleChanged) -> Described:
    tail = f": {event.detail}" if event.detail else ""
    return f"schedule {event.schedule} {event.state}{tail}", 0, None


def _breaker(head: Head, event: BreakerChanged) -> Described:
    return f"breaker {event.breaker} is {event.state}", 0, None


def _recovered(head: Head, event: JobsRecovered) -> Described:
    more = "".join(
        f", {count} {said}"
        for count, said in ((event.failed, "failed for that"), (event.disabled, "are disabled"))
        if count
    )
    return f"{event.waiting} jobs still wait, {event.repeated} are done again{more}", 0, None


def _retried(head: Head, event: JobRetried) -> Described:
    said = f"{event.job} {event.kind} again in {event.delay:.3g} s, try {event.attempt} failed"
    return f"{said}: {text(event.why)}", 0, None


def _disabled(head: Head, event: JobsDisabled) -> Described:
    return f"{event.count} jobs are disabled: {text(event.why)}", 0, None


def _queue(head: Head, event: QueueChanged) -> Described:
    return f"queue {text(event.queue)} {event.state}" + (f": {text(event.detail)}" if event.detail else ""), 0, None


def _lost(head: Head, event: HistoryLost) -> Described:
    return f"{event.rows} rows lost: {event.why}", 0, ("lost", (*head, event.rows, text(event.why)))


def _refused(head: Head, event: PeerRefused) -> Described:
    return f"{text(event.peer or event.address) or 'a visitor'}: {text(event.why)} (x{event.count})", 0, None


def _other(head: Head, event: Event) -> Described:
    return type(event).__name__, getattr(event, "generation", 0), None


def _exit(generation: int, reason: ExitReason) -> Row:
    crash = reason.crash
    return (
        generation,
        *_reason(reason),
        text(crash.traceback) if crash is not None else None,
        _causes(reason),
    )


def _reason(reason: ExitReason) -> Row:
    crash = reason.crash
    if crash is None:
        return (reason.kind.value, text(reason.detail), None, None)
    return (reason.kind.value, text(reason.detail), text(crash.type_name), text(crash.message))


def _causes(reason: ExitReason) -> str | None:
    if reason.cause is None:
        return None
    causes = to_record(reason).causes
    steps: list[dict[str, str]] = []
    for cause in causes:
        step = {"path": cause.path, "kind": cause.kind}
        if cause.detail:
            step["detail"] = cause.detail
        if cause.crash is not None:
            step["error_type"] = cause.crash.type_name
            step["error_message"] = cause.crash.message
            if cause is causes[-1]:
                step["traceback"] = cause.crash.traceback
        steps.append({name: text(value) for name, value in step.items()})
    return json_text(steps)


def _level(head: Head, event: LogLevelChanged) -> Described:
    who = f" by {text(event.author)}" if event.author else ""
    if not event.level:
        return f"log level of {text(event.selector)} is as configured again{who}", 0, None
    return f"log level of {text(event.selector)} is {event.level} for {event.seconds:.4g} s{who}", 0, None


def _one_line(summary: str) -> str:
    line, more, _ = text(summary).partition("\n")
    if len(line) > SUMMARY_LIMIT:
        return line[: SUMMARY_LIMIT - 1] + "…"
    return line + " …" if more else line


_describers: dict[type[Event], Callable[[Head, Any], Described]] = {
    ActorStarted: _started,
    ActorIgnored: _ignored,
    ActorStateChanged: _changed,
    ActorReported: _reported,
    ActorStartFailed: _start_failed,
    ActorExited: _exited,
    CrashRecorded: _recorded,
    RestartScheduled: _restart,
    LimitReached: _limit,
    DeadLettered: _dead_letter,
    AskFailed: _failed_ask,
    CommandDone: _command,
    RunFinished: _run,
    ScheduleChanged: _schedule,
    BreakerChanged: _breaker,
    JobsRecovered: _recovered,
    JobRetried: _retried,
    JobsDisabled: _disabled,
    QueueChanged: _queue,
    SpareChanged: _changed,
    TreeChanged: _tree,
    UsageHigh: _usage,
    HistoryLost: _lost,
    NodeChanged: _changed,
    PeerRefused: _refused,
    LogLevelChanged: _level,
}
