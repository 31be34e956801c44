"""Kinds of job and the functions that do them.

    class Mail(msgspec.Struct):
        to: str

    @job("mail.send", queue="mail", attempts=5)
    def send(mail: Mail, run: Run) -> str:
        run.report(0.5, "connected")
        run.check()
        return deliver(mail)

A handler takes its payload, and a `Run` where it has a second parameter; it is plain or `async`. What it returns is the
job's result. An error that leaves it fails the try; `DoNotRetry` fails the job. The type of the payload is the
annotation of the first parameter: what does not fit is refused as the job is added.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.hiding import hidden
from actors.jobs.lines import LEVELS, Lines
from actors.jobs.specs import JobSpec
from actors.texts import storable

__all__ = [
    "CancelledJobError",
    "DoNotRetry",
    "PayloadError",
    "Run",
    "UnknownKindError",
    "job",
    "spec_of",
]

F = TypeVar("F", bound=Callable[..., Any])

_KIND: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"
_SHOWN: Final = 100
NOTE_LENGTH: Final = 1_000
"""Characters of what a job says of how far it is."""
_encode: Final = msgspec.json.Encoder().encode


class UnknownKindError(ActorRuntimeError, LookupError):
    """No handler is registered for a kind of job."""

    def __init__(self, kind: str) -> None:
        shown = str(kind) if len(str(kind)) <= _SHOWN else f"{str(kind)[: _SHOWN - 1]}…"
        near = get_close_matches(shown, _handlers, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(_handlers)) or 'none'}"
        super().__init__(f"no handler for jobs of kind {shown!r}; {known}")
        self.kind = kind


class PayloadError(ActorRuntimeError, ValueError):
    """A payload is not what the handler takes, or too large."""


class DoNotRetry(ActorRuntimeError):  # noqa: N818 - said by a handler, and reads as what it says
    """Raised by a handler: another try would end the same way."""


class CancelledJobError(ActorRuntimeError):
    """Raised in a handler by `Run.check`: the job was cancelled, or took too long."""


class Token:
    """Says to one try of a job whether it is to end. Any thread."""

    __slots__ = ("_event", "_why", "on_set")

    def __init__(self) -> None:
        self._event: threading.Event | None = None
        self._why = ""
        self.on_set: Callable[[], object] | None = None
        """Called once it is set, on any thread."""

    @property
    def is_set(self) -> bool:
        return bool(self._why)

    def set(self, why: str) -> None:
        self._why = why or "cancelled"
        if self._event is not None:
            self._event.set()
        called = self.on_set
        if called is not None:
            called()

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most to be asked to end; return whether that came."""
        if self._event is None:
            self._event = threading.Event()
        if self._why:
            self._event.set()
        return self._event.wait(timeout)

    def check(self) -> None:
        """Go on, or end here.

        Raises:
            CancelledJobError: The try is to end.
        """
        if self._why:
            raise CancelledJobError(self._why)


class Run:
    """One try of a job, as its handler sees it.

    Attributes:
        job: The job's id.
        kind: Its kind.
        attempt: Which try, from 1.
        repeats: How often it was in flight when the runtime was killed: with more than 0 it may have been done before.
        options: What the worker was given for its handlers: `options` of its queue, and what a `Reload` changed.
    """

    __slots__ = ("_lines", "_report", "attempt", "children", "job", "kind", "options", "repeats", "token")

    def __init__(
        self,
        job: str,
        kind: str,
        attempt: int,
        repeats: int,
        token: Token,
        report: Callable[[float, str], None],
        lines: Lines,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.job = job
        self.kind = kind
        self.attempt = attempt
        self.repeats = repeats
        self.token = token
        self.options: Mapping[str, Any] = options if options is not None else {}
        self.children: list[JobSpec] = []
        self._report = report
        self._lines = lines

    @property
    def is_cancelled(self) -> bool:
        """Whether the handler should end."""
        return self.token.is_set

    def check(self) -> None:
        """Go on, or end here because the job was cancelled or took too long.

        Raises:
            CancelledJobError: So it is.
        """
        self.token.check()

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds, or less when the handler should end; return whether it should."""
        return self.token.wait(timeout)

    def report(self, progress: float, note: str = "") -> None:
        """Say how far the job is: `progress` from 0 to 1, and a line for people, of which `NOTE_LENGTH` is kept."""
        self._report(min(1.0, max(0.0, progress)), storable(hidden(str(note)))[:NOTE_LENGTH])

    def log(self, text: str, level: str = "info") -> None:
        """Keep a line with the job, as what its handler logs is: `actorctl jobs logs ID`.

        Raises:
            ValueError: `level` is none of `LEVELS`.
        """
        if level not in LEVELS:
            raise ValueError(f"a level is one of {', '.join(LEVELS)}, got {str(level)[:80]!r}")
        self._lines.say(level, str(text))

    def add(self, kind: str | Callable[..., Any], payload: object = None, **options: Any) -> None:
        """Add a job if this one succeeds: both are written together or neither is. Options are those of `JobSpec`."""
        self.children.append(spec_of(kind, payload, **options))


class Handler(Struct, frozen=True):
    """One kind of job.

    Attributes:
        payload: What its payload is.
        takes_run: Whether it wants a `Run`.
        queue, attempts, timeout: Of jobs of this kind that do not say; "" and None: as the queue says.
    """

    kind: str
    function: Callable[..., Any]
    payload: Any
    is_async: bool
    takes_run: bool
    queue: str = ""
    attempts: int | None = None
    timeout: float | None = None
    decode: Callable[[str], Any] = str


_handlers: dict[str, Handler] = {}


def job(kind: str, *, queue: str = "", attempts: int | None = None, timeout: float | None = None) -> Callable[[F], F]:
    """Register the handler of jobs of `kind`: letters, digits and `._:-`.

    Args:
        kind: The name that jobs have.
        queue: Their queue where they name none; "default" when empty.
        attempts: Most tries where they do not say.
        timeout: Seconds for a try where they do not say.

    Raises:
        ValueError: The kind is malformed, or another function has it.
        TypeError: The function takes no payload, or one that JSON cannot carry.
    """
    if not kind or not set(kind) <= set(_KIND) or len(kind) > 200:
        raise ValueError(f"a kind is letters, digits and ._:- and at most 200 characters, got {kind!r}")

    def register(function: F) -> F:
        found = _handlers.get(kind)
        if found is not None and _place(found.function) != _place(function):
            raise ValueError(f"{kind} is handled by {_place(found.function)} already, not also by {_place(function)}")
        parameters = list(inspect.signature(function).parameters.values())
        if not 1 <= len(parameters) <= 2:
            raise TypeError(f"{_place(function)} takes its payload, and a Run if it wants one")
        try:
            hints = get_type_hints(function)
        except NameError as error:
            raise TypeError(f"{_place(function)}: {error}; import what annotations name at the top") from None
        payload = hints.get(parameters[0].name, Any)
        try:
            decode = msgspec.json.Decoder(payload).decode
        except TypeError as error:
            raise TypeError(f"payload of {_place(function)}: {error}") from None
        _handlers[kind] = Handler(
            kind, function, payload, inspect.iscoroutinefunction(function), len(parameters) == 2, queue, attempts,
            timeout, decode,
        )  # fmt: skip
        function.__job__ = kind  # type: ignore[attr-defined]
        return function

    return register


def handler_of(kind: str) -> Handler:
    """Return the handler of `kind`.

    Raises:
        UnknownKindError: There is none.
    """
    found = _handlers.get(kind)
    if found is None:
        raise UnknownKindError(kind)
    return found


def kinds() -> tuple[str, ...]:
    """Return the kinds that have handlers, sorted."""
    return tuple(sorted(_handlers))


def load_handlers(modules: Iterable[str]) -> dict[str, str]:
    """Import the modules that register handlers; return why, for each that could not be."""
    faults: dict[str, str] = {}
    for module in modules:
        try:
            import_module(module)
        except Exception as error:  # whatever a user's module raises: its jobs are disabled, others go on
            faults[module] = f"{type(error).__name__}: {error}"
    return faults


def spec_of(kind: str | Callable[..., Any], payload: object = None, **options: Any) -> JobSpec:
    """Return the job of `kind`, or of the handler given in its place, with `payload` as its JSON.

    Raises:
        TypeError: The payload, or an option, is of no use.
    """
    name = kind if isinstance(kind, str) else getattr(kind, "__job__", "")
    if not name:
        raise TypeError(f"{kind!r} is no kind and no handler of one")
    return JobSpec(kind=name, payload=to_json(payload), **options)


def to_json(value: object) -> str:
    """Return `value` as JSON text.

    Raises:
        PayloadError: JSON cannot carry it.
    """
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"not to be written as JSON: {type(error).__name__}: {error}") from None


def check_payload(handler: Handler, payload: str, limit: int) -> None:
    """See that `payload` is what the handler takes.

    Raises:
        PayloadError: It is not, or it is larger than `limit` bytes.
    """
    if type(payload) is not str:
        raise PayloadError(f"the payload of {handler.kind} is JSON text, got {type(payload).__name__}")
    if len(payload) > limit or (not payload.isascii() and len(payload.encode()) > limit):
        raise PayloadError(f"the payload of {handler.kind} has {len(payload)} characters, {limit} bytes are allowed")
    try:
        handler.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PayloadError(f"payload of {handler.kind}: {str(error) or type(error).__name__}") from None


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"
