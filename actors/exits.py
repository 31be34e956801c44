"""Why an actor ended: one immutable value, the same for a thread, a pool actor and an operating system process.

Four kinds, in OTP's words: `normal` and `shutdown` are expected ends, `killed` and `crashed` are abnormal. `detail`
narrows the kind with one short machine word ("gave-up", "signal SIGSEGV", "exit code 3", "memory-limit",
"heartbeat-missed", "start-timeout"); `crash` holds the error; `cause` points down the tree to the child whose end led
to this one, so that the root's reason reaches the leaf's traceback.

A `Crash` made from a live exception formats its traceback only when somebody reads it: formatting costs more than a
whole restart. Until then it keeps the exception's frames alive; reading `traceback` lets them go.
"""

from __future__ import annotations

import traceback as _traceback
from enum import Enum
from types import CodeType, TracebackType

from msgspec import Struct

from actors.hiding import hidden
from actors.texts import storable


class ExitKind(Enum):
    """The four kinds of end; the first two are expected, the last two abnormal."""

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    CRASHED = "crashed"


class CrashRecord(Struct, frozen=True, gc=False):
    """The serialisable form of a `Crash`.

    Attributes:
        type_name: Qualified name of the error's class, "builtins.ValueError".
        message: `str(error)`, at most 10,000 characters.
        traceback: The formatted traceback, at most 50,000 characters (the middle is cut); may be empty.
    """

    type_name: str
    message: str
    traceback: str = ""


MESSAGE_LIMIT = 10_000
TRACEBACK_LIMIT = 50_000
FRAMES_KEPT = 256
"""Texts of tracebacks kept to be used again; then they are made anew."""
FRAMES_LONGEST = 100
"""Longest key of one: a deep recursion is not kept."""


class Crash:
    """An error that ended an actor. Cheap to make on the failing thread, formatted when first read.

    Reading `type_name`, `message` or `traceback` may happen on any thread; the first two format no traceback. An error
    whose `__str__` fails is shown by its class alone.
    """

    __slots__ = ("_error", "_record", "_trace")

    def __init__(
        self,
        error: BaseException | None = None,
        *,
        record: CrashRecord | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Make one from `error`, raised along `trace` (its own traceback where that is None), or from `record`."""
        if (error is None) == (record is None):
            raise ValueError("a crash is made from an error or from a record, one of the two")
        self._error = error
        self._record = record
        self._trace = trace if trace is not None or error is None else error.__traceback__

    @property
    def record(self) -> CrashRecord:
        """The formatted form; the first reading formats it and lets the exception's frames go."""
        record = self._record
        if record is None:
            error = self._error
            assert error is not None  # one of the two is always there
            record = self._record = _format(error, self._trace)
            self._error = self._trace = None
        return record

    @property
    def type_name(self) -> str:
        error = self._error
        return _type_name(error) if error is not None else self.record.type_name

    @property
    def message(self) -> str:
        error = self._error
        return message_of(error) if error is not None else self.record.message

    @property
    def traceback(self) -> str:
        return self.record.traceback

    def __repr__(self) -> str:
        return f"Crash({self.type_name})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Crash) and self.record == other.record)

    def __hash__(self) -> int:
        return hash(self.record)


class Cause(Struct, frozen=True):
    """One step of a cause chain: the child at `path` ended with `reason`, and that led to the parent's end."""

    path: str
    reason: ExitReason


class ExitReason(Struct, frozen=True):
    """Why an actor ended. Compare kinds, not texts.

    Attributes:
        kind: Which of the four kinds.
        detail: A short machine word that narrows the kind, or "".
        crash: The error, where one ended the actor.
        cause: The child's end that led to this one (a supervisor that gave up).
    """

    kind: ExitKind
    detail: str = ""
    crash: Crash | None = None
    cause: Cause | None = None

    @property
    def is_abnormal(self) -> bool:
        """Whether a `transient` child with this end is restarted."""
        kind = self.kind
        return kind is ExitKind.CRASHED or kind is ExitKind.KILLED

    def __str__(self) -> str:
        text = self.kind.value
        if self.crash is not None:
            text = f"{text}: {self.crash.type_name}: {self.crash.message}"
            return f"{text} ({self.detail})" if self.detail else text
        return f"{text} ({self.detail})" if self.detail else text

    @classmethod
    def crashed(cls, error: BaseException, detail: str = "") -> ExitReason:
        return cls(ExitKind.CRASHED, detail, Crash(error))

    @classmethod
    def shutdown(cls, detail: str = "") -> ExitReason:
        return cls(ExitKind.SHUTDOWN, detail) if detail else SHUTDOWN

    @classmethod
    def killed(cls, detail: str = "") -> ExitReason:
        return cls(ExitKind.KILLED, detail) if detail else KILLED

    def chain(self) -> tuple[Cause, ...]:
        """The causes from the nearest child down to the leaf."""
        found: list[Cause] = []
        cause = self.cause
        while cause is not None:
            found.append(cause)
            cause = cause.reason.cause
        return tuple(found)


NORMAL = ExitReason(ExitKind.NORMAL)
SHUTDOWN = ExitReason(ExitKind.SHUTDOWN)
KILLED = ExitReason(ExitKind.KILLED)


class ExitRecord(Struct, frozen=True, omit_defaults=True):
    """The wire and history form of an `ExitReason`: plain data, its cause chain flattened from nearest to leaf."""

    kind: str
    detail: str = ""
    crash: CrashRecord | None = None
    causes: tuple[CauseRecord, ...] = ()


class CauseRecord(Struct, frozen=True, omit_defaults=True):
    """One flattened step of a cause chain."""

    path: str
    kind: str
    detail: str = ""
    crash: CrashRecord | None = None


def to_record(reason: ExitReason) -> ExitRecord:
    """Return the serialisable form of `reason`; formats its tracebacks."""
    return ExitRecord(
        reason.kind.value,
        reason.detail,
        reason.crash.record if reason.crash is not None else None,
        tuple(
            CauseRecord(c.path, c.reason.kind.value, c.reason.detail, c.reason.crash.record if c.reason.crash else None)
            for c in reason.chain()
        ),
    )


def from_record(record: ExitRecord) -> ExitReason:
    """Return the reason that `record` describes.

    Raises:
        ValueError: `record.kind`, or that of a cause, is not one of the four kinds.
    """
    cause: Cause | None = None
    for step in reversed(record.causes):
        crash = Crash(record=step.crash) if step.crash is not None else None
        cause = Cause(step.path, ExitReason(ExitKind(step.kind), step.detail, crash, cause))
    crash = Crash(record=record.crash) if record.crash is not None else None
    return ExitReason(ExitKind(record.kind), record.detail, crash, cause)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def said(error: BaseException) -> str:
    """Return the class and the message of `error` in at most `MESSAGE_LIMIT` characters and some; never raises."""
    return f"{type(error).__name__}: {message_of(error)}"


def message_of(error: BaseException) -> str:
    """Return the message of `error` as it can be stored, without secrets, in so many characters; never raises."""
    try:
        text = str(error)
    except BaseException as failed:  # `SystemExit` too: who formats an error must not end by it
        text = f"<str() of the error failed: {type(failed).__name__}>"
    return _cut(hidden(text), MESSAGE_LIMIT)


def _format(error: BaseException, trace: TracebackType | None) -> CrashRecord:
    try:
        text = _whole_text(error, trace)
    except BaseException as failed:  # as above
        text = f"<the traceback could not be formatted: {type(failed).__name__}>"
    return CrashRecord(_type_name(error), message_of(error), _cut(hidden(text), TRACEBACK_LIMIT))


def _whole_text(error: BaseException, trace: TracebackType | None) -> str:
    """Return what `traceback.format_exception` does; the frames of a crash that was seen before are not made again.

    Looking up source lines takes most of the time, and what crashes in a loop crashes at the same place.
    """
    if error.__cause__ is not None or error.__context__ is not None or isinstance(error, BaseExceptionGroup):
        return "".join(_traceback.format_exception(type(error), error, trace))
    steps: list[CodeType | int] = []
    step = trace
    while step is not None:
        steps.append(step.tb_frame.f_code)
        steps.append(step.tb_lasti)
        step = step.tb_next
    key = tuple(steps)
    frames = _frames.get(key)
    if frames is None:
        frames = "".join(_traceback.format_tb(trace))
        if len(_frames) >= FRAMES_KEPT:
            _frames.clear()
        if len(key) <= FRAMES_LONGEST:
            _frames[key] = frames
    head = "Traceback (most recent call last):\n" if key else ""
    return f"{head}{frames}{''.join(_traceback.format_exception_only(error))}"


_frames: dict[tuple[CodeType | int, ...], str] = {}
"""By the code and the place in it of each frame: its text. Threads at worst make the same text twice."""


def _cut(text: str, limit: int) -> str:
    text = storable(text)  # a lone surrogate would not cross the wire
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters cut …\n{text[-half:]}"
