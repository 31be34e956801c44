"""From an event to the rows of the history, and back to the event.

`rows_of` is a pure function: no clock, no file, no thread. It formats tracebacks, so it belongs on the thread that
ships rows, never on the one that published the event.


Text that UTF-8 cannot say (lone surrogates) is written with backslash escapes; text beyond `TEXT_LIMIT` loses its
middle, and says so in its place. Numbers that JSON has no word for are the texts "NaN", "Infinity", "-Infinity".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from actors.addresses import PATH_LIMIT
from actors.events import (
    EVENT_TYPES,
    ActorExited,
    ActorIgnored,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    AskFailed,
    CommandDone,
    DeadLettered,
    Event,
    HistoryLost,
    JobsRecovered,
    LimitReached,
    MetricSampled,
    NodeChanged,
    RestartScheduled,
    RunFinished,
)
from actors.exits import Crash, CrashRecord, ExitReason, to_record

Row = tuple[Any, ...]
Rows = list[tuple[str, Row]]
"""Rows with the table each is for, values in the order of the table's columns; instants as seconds since the epoch."""

TEXT_LIMIT = 1_100_000
"""Most characters of one text; longer ones lose their middle. A megabyte fits, in each of a row's two places for it."""

SUMMARY_LIMIT = 300


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
    rows: Rows = [
        (
            "events",
            (
                seq,
                epoch,
                event.at,
                kind.__name__,
                kind.TOPIC,
                event.severity,
                path,
                generation,
                _one_line(summary),
                payload_of(event),
            ),
        )
    ]
    if detail is not None:
        rows.append(detail)
    return rows


def event_of(type_name: str, at: float, path: str, payload: str | None) -> Event:
    """Return the event that a row of `events` was made from; its tracebacks are in `exits` and stay there.

    Raises:
        ValueError: `type_name` is no class of `actors.events`, or `payload` does not fit it.
    """
    cls = _TYPES.get(type_name)
    if cls is None:
        raise ValueError(f"{type_name!r} is no event of this program")
    try:
        fields = msgspec.json.decode(payload, type=dict[str, Any]) if payload else {}
        return msgspec.convert({**fields, "at": at, "path": path}, cls, dec_hook=_decode_hook, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"payload of {type_name} does not fit: {error}") from None


def summary_of(event: Event) -> str:
    """Return what happened in one line for people."""
    head = (0, 0, event.at, event.path)
    return _one_line(_describers.get(type(event), _other)(head, event)[0])


def text(value: object) -> str:
    """Return `value` as text that every layer below can hold."""
    if value.__class__ is not str:
        value = _shown(value)
    assert isinstance(value, str)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-8", "backslashreplace").decode()
    if len(value) > TEXT_LIMIT:
        half = TEXT_LIMIT // 2
        return f"{value[:half]}\n… {len(value) - 2 * half} characters cut …\n{value[-half:]}"
    return value


def payload_of(event: Event) -> str | None:
    """Return the JSON of the fields of `event` beyond `at` and `path`; None for an event without any."""
    kind = type(event)
    form = _forms.get(kind)
    if form is None:
        form = _forms[kind] = _form_of(kind)
    if form is _EMPTY:
        return None
    read, make = form
    values = read(event)
    for value in values:
        if value.__class__ is float and not math.isfinite(value):
            return _json.encode(_clean(make(*values))).decode()
    fields = make(*values)
    try:
        encoded = _json.encode(fields).decode()
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        encoded = _json.encode(_clean(fields)).decode()
    return encoded if len(encoded) <= TEXT_LIMIT else _json.encode(_clean(fields, TEXT_LIMIT // 16)).decode()


Described = tuple[str, int, tuple[str, Row] | None]
"""The line, the generation and the row of its own table (if its kind has one) of an event."""

Head = tuple[int, int, float, str]


def _started(head: Head, event: ActorStarted) -> Described:
    placement = text(event.placement)
    row = (*head, event.generation, placement, event.pid, event.seconds)
    return f"started ({placement}, pid {event.pid}) in {event.seconds:.3g} s", event.generation, ("starts", row)


def _ignored(head: Head, event: ActorIgnored) -> Described:
    return f"not started: {event.why}", event.generation, None


def _changed(head: Head, event: ActorStateChanged) -> Described:
    return (f"{event.state}: {event.detail}" if event.detail else event.state), event.generation, None


def _start_failed(head: Head, event: ActorStartFailed) -> Described:
    row = (*head, *_exit(event.generation, event.reason), 0.0, "starting", False, event.attempt)
    return f"start failed: {event.reason}", event.generation, ("exits", row)


def _exited(head: Head, event: ActorExited) -> Described:
    phase = text(event.phase)
    row = (*head, *_exit(event.generation, event.reason), event.uptime, phase, event.expected, None)
    return f"after {event.uptime:.6g} s: {event.reason}", event.generation, ("exits", row)


def _restart(head: Head, event: RestartScheduled) -> Described:
    supervisor, strategy = text(event.supervisor), text(event.strategy)
    row = (
        *head,
        event.generation,
        supervisor,
        strategy,
        event.attempt,
        event.delay,
        [text(path) for path in event.group],
        event.restarts,
        event.intensity,
        *_reason(event.reason),
    )
    summary = (
        f"restart, try {event.attempt} in {event.delay:.3g} s, by {supervisor} ({strategy}), "
        f"{event.restarts} of {event.intensity}: {event.reason}"
    )
    return summary, event.generation, ("restarts", row)


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
    tail = f": {detail}" if detail else ""
    return f"{run} {outcome} in {event.seconds:.3g} s{tail}", 0, ("runs", (*head, run, outcome, event.seconds, detail))


def _recovered(head: Head, event: JobsRecovered) -> Described:
    return f"{event.waiting} jobs still wait, {event.repeated} are done again", 0, None


def _lost(head: Head, event: HistoryLost) -> Described:
    return f"{event.rows} rows lost: {event.why}", 0, ("lost", (*head, event.rows, text(event.why)))


def _node(head: Head, event: NodeChanged) -> Described:
    return (f"{event.state}: {event.detail}" if event.detail else event.state), 0, None


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
    return _json.encode(steps).decode()


def _one_line(summary: str) -> str:
    line, more, _ = text(summary).partition("\n")
    if len(line) > SUMMARY_LIMIT:
        return line[: SUMMARY_LIMIT - 1] + "…"
    return line + " …" if more else line


def _encode_hook(value: object) -> object:
    if isinstance(value, Crash):
        return {"type_name": value.type_name, "message": value.message}
    return text(value)


def _decode_hook(cls: type, value: Any) -> Any:
    if cls is Crash:
        return Crash(record=CrashRecord(str(value["type_name"]), str(value["message"])))
    raise NotImplementedError(f"{cls} has no form in a payload")


_json = msgspec.json.Encoder(enc_hook=_encode_hook)


def _clean(value: Any, limit: int = TEXT_LIMIT, depth: int = 0) -> Any:
    """Return `value` in types JSON has, whatever it holds; the slow way, for the odd event."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else text(value)
    if kind is float:
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if depth > 50:
        return "…"
    if isinstance(value, dict):
        return {text(name): _clean(inner, limit, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(inner, limit, depth + 1) for inner in value]
    if isinstance(value, Crash):
        return _clean(_encode_hook(value), limit, depth + 1)
    if isinstance(value, Struct):
        return {name: _clean(getattr(value, name), limit, depth + 1) for name in value.__struct_fields__}
    if isinstance(value, str) or not hasattr(value, "value"):
        said = text(value)
        return said if len(said) <= limit else f"{said[:limit]}… {len(said) - limit} characters cut"
    return _clean(value.value, limit, depth + 1)  # an enum


Form = tuple[Callable[[Event], tuple[Any, ...]], Callable[..., Any]]
"""How the fields of a class of events beyond `at` and `path` are read, and the struct they are encoded as."""

_EMPTY: Form = (lambda _: (), lambda: None)


def _form_of(kind: type[Event]) -> Form:
    names = tuple(name for name in kind.__struct_fields__ if name not in {"at", "path"})
    if not names:
        return _EMPTY
    make = msgspec.defstruct(f"{kind.__name__}Payload", [(name, Any) for name in names], frozen=True)
    if len(names) == 1:
        (only,) = names
        return (lambda event: (getattr(event, only),)), make
    return attrgetter(*names), make


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as failed:  # a value that cannot say itself must not cost the row
        return f"<str() of a {type(value).__qualname__} failed: {type(failed).__name__}>"


_forms: dict[type[Event], Form] = {}
_describers: dict[type[Event], Callable[[Head, Any], Described]] = {
    ActorStarted: _started,
    ActorIgnored: _ignored,
    ActorStateChanged: _changed,
    ActorStartFailed: _start_failed,
    ActorExited: _exited,
    RestartScheduled: _restart,
    LimitReached: _limit,
    DeadLettered: _dead_letter,
    AskFailed: _failed_ask,
    CommandDone: _command,
    RunFinished: _run,
    JobsRecovered: _recovered,
    HistoryLost: _lost,
    NodeChanged: _node,
}
_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in EVENT_TYPES}
