"""Traces: what was begun somewhere, and everything that follows from it, over actors and processes.

A trace begins with a run, a job, a message sent by `actorctl`, or where code says so (`tracing`). While a message of a
trace is handled, whatever its actor sends belongs to the trace too, over one-shot timers, coroutines and the wire; log
lines written meanwhile carry its id. A message sent outside of a trace has none.

    tracing(new_trace()) --tell--> Carried(message, trace) --turn--> tracing(trace): handler --tell--> ...

A context variable says what the current thread or coroutine is at. Until the first trace of a process begins, a tell
pays for one look at a list that is empty.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import quote, unquote

from msgspec import Struct

from actors.core.future import Ask

NAME_LIMIT: Final = 200
"""Characters of the name of a run or a job, as it crosses to another process."""


class Trace(Struct, frozen=True, gc=False):
    """What a message belongs to.

    Attributes:
        id: 32 hexadecimal digits, as the trace id of W3C's Trace Context.
        run: The scheduled run it began with, `<schedule>@<slot>`; or "".
        job: The job it began with, `job-<number>`; or "".
    """

    id: str
    run: str = ""
    job: str = ""


class Carried:
    """An item of a mailbox with the trace it belongs to."""

    __slots__ = ("item", "trace")

    def __init__(self, item: Any, trace: Trace) -> None:
        self.item = item
        self.trace = trace

    @property
    def message(self) -> Any:
        """The message itself."""
        return getattr(self.item, "message", self.item)


traced: Final[list[bool]] = []
"""Not empty once a trace has begun in this process: the only thing that a tell looks at before."""

current: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
"""The trace that the current thread or coroutine works for."""


def carried(item: Any) -> Any:
    """Return an item for a mailbox, with the trace that the current thread or coroutine works for."""
    trace = current.get()
    return item if trace is None else Carried(item, trace)


def bare(item: Any) -> Any:
    """Return an item of a mailbox without its trace."""
    return item.item if type(item) is Carried else item


def message_of(item: Any) -> Any:
    """Return the message of an item of a mailbox: what was told or asked."""
    item = bare(item)
    return item.message if type(item) is Ask else item


def trace_here() -> Trace | None:
    """Return the trace that the current thread or coroutine works for; None outside of one."""
    return current.get()


def new_trace(id: str = "", *, run: str = "", job: str = "") -> Trace:
    """Return a trace that nothing belongs to yet; its id is random unless `id` is given.

    Raises:
        ValueError: `id` is not 32 hexadecimal digits in lower case, or only zeros.
    """
    id = id or os.urandom(16).hex()
    if not _ID.fullmatch(id):
        raise ValueError(f"the id of a trace is 32 hexadecimal digits, not all zero; got {id!r}")
    return Trace(id, run, job)


def deriving(*names: object) -> Callable[[str], str]:
    """Return a function that returns the id which belongs to `names` and one name more.

    It is always the same, in whatever process: all tries of a job are one trace.
    """
    common = hashlib.blake2b("".join(f"{name}\0" for name in names).encode(), digest_size=16)

    def derived(name: str) -> str:
        hash = common.copy()
        hash.update(name.encode())
        return hash.hexdigest()

    return derived


class tracing:  # noqa: N801  # used as a function is, like `contextlib.suppress`
    """Inside, the current thread or coroutine works for `trace`; for none where that is None. Each is used once."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: Trace | None) -> None:
        self._trace = trace

    def __enter__(self) -> Trace | None:
        if self._trace is not None and not traced:
            traced.append(True)
        self._token = current.set(self._trace)
        return self._trace

    def __exit__(self, *_: object) -> None:
        current.reset(self._token)


def handle_carried(actor: Any, carried: Carried) -> Any:
    """Handle what a trace came with, inside of that trace (plain handlers)."""
    item = carried.item
    token = current.set(carried.trace)
    try:
        return actor._actor_ref._table[type(item)](actor, item)
    finally:
        current.reset(token)


# --- between processes ------------------------------------------------------------------------------------------------

_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_HEADER: Final = re.compile(r"[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?: (\S*))?")
_HEADER_LIMIT: Final = 2_000
_SPAN: Final = f"{int.from_bytes(os.urandom(8), 'big') | 1:016x}"
"""Stands for this process in headers: there are no spans below it."""


def header_of(trace: Trace) -> str:
    """Return `trace` as an envelope carries it: W3C's `traceparent`, then `run` and `job` as its `baggage` has them."""
    names = (("run", trace.run), ("job", trace.job))
    baggage = ",".join(f"{key}={quote(name[:NAME_LIMIT], safe='')}" for key, name in names if name)
    parent = f"00-{trace.id}-{_SPAN}-01"
    return f"{parent} {baggage}" if baggage else parent


def header_here() -> str:
    """Return the header of the trace that the current thread or coroutine works for; "" outside of one."""
    trace = current.get()
    return header_of(trace) if trace is not None else ""


def read_header(text: str) -> Trace | None:
    """Return the trace that an envelope of another process came with; None where that is no trace."""
    found = _HEADER.fullmatch(text) if len(text) <= _HEADER_LIMIT else None
    if found is None:
        return None
    baggage: dict[str, str] = {}
    for pair in (found[2] or "").split(","):
        key, _, value = pair.partition("=")
        baggage[key] = unquote(value)[:NAME_LIMIT]
    return Trace(found[1], baggage.get("run", ""), baggage.get("job", ""))
