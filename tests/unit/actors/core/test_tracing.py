"""Traces: what a message carries on, what a stranger may say of one, and that nothing leaks into other messages."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import pytest

from actors import Actor, Message, on
from actors.core.system import ActorSystem
from actors.core.tracing import Trace, deriving, header_of, new_trace, read_header, trace_here, tracing
from actors.testing import launch

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Note(Message[None], frozen=True):
    text: str


class Which(Message[Trace | None], frozen=True):
    pass


class Pass(Message[Trace | None], frozen=True):
    pass


class Noting(Actor):
    """Notes the trace of each message."""

    def __init__(self, notes: list[tuple[str, Trace | None]], full: threading.Event, count: int) -> None:
        super().__init__()
        self._notes, self._full, self._count = notes, full, count

    @on(Note)
    def note(self, message: Note) -> None:
        self._notes.append((message.text, trace_here()))
        if len(self._notes) == self._count:
            self._full.set()

    @on(Which)
    def which(self, _: Which) -> Trace | None:
        return trace_here()


class Threaded(Noting):
    dispatcher = "thread"


class Awaiting(Noting):
    @on(Note)
    async def note(self, message: Note) -> None:
        await asyncio.sleep(0)
        super().note(message)

    @on(Which)
    async def which(self, _: Which) -> Trace | None:
        await asyncio.sleep(0)
        return trace_here()


class Reentrant(Awaiting):
    reentrant = True


class Asking(Actor):
    """Asks another actor for the trace it is asked in."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    @on(Pass)
    def passes(self, _: Pass) -> Trace | None:
        return self.system.ref(self._path).ask(Which(), timeout=30)


@pytest.mark.parametrize("kind", [Noting, Threaded, Awaiting, Reentrant], ids=lambda kind: kind.__name__)
def test_a_message_is_handled_in_the_trace_it_was_sent_in_and_in_no_other(
    system: ActorSystem, kind: type[Noting]
) -> None:
    notes: list[tuple[str, Trace | None]] = []
    full = threading.Event()
    launch(system, lambda: kind(notes, full, 4), path="/noting")
    launch(system, lambda: Asking("/noting"), path="/asking")
    ref = system.ref("/noting")
    one, two = new_trace(run="nightly@1"), new_trace()

    ref.tell(Note("before"))
    with tracing(one):
        ref.tell(Note("one"))
        with tracing(two):
            ref.tell(Note("two"))
        asked = system.ref("/asking").ask(Pass(), timeout=30)
    ref.tell(Note("after"))

    assert full.wait(30)
    assert dict(notes) == {"before": None, "one": one, "two": two, "after": None}
    assert asked == one
    assert trace_here() is None


def test_what_goes_to_another_process_comes_back_the_same() -> None:
    trace = new_trace(run="täglich, um 3@2026-11-21T03:00:00Z#1", job="job-17")

    assert read_header(header_of(trace)) == trace
    assert read_header(header_of(Trace(ID))) == Trace(ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t",
        ID,
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{ID.upper()}-00f067aa0ba902b7-01",
        f"00-{ID}-00f067aa0ba902b7-01\nx",
        f"00-{ID}-00f067aa0ba902b7-01 {'x' * 3000}",
    ],
    ids=["nothing", "a letter", "an id", "zeros", "capitals", "two lines", "too long"],
)
def test_what_is_no_trace_is_passed_over(text: str) -> None:
    assert read_header(text) is None


def test_a_strangers_names_are_bounded() -> None:
    found = read_header(f"00-{ID}-00f067aa0ba902b7-01 run={'x' * 900},other=1,,=,job")

    assert found == Trace(ID, run="x" * 200)


def test_an_id_is_checked_and_a_derived_one_is_always_the_same() -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        new_trace("abc")

    assert new_trace(ID).id == ID
    derived = deriving("node", "/work/jobs")

    assert derived("job-1") == derived("job-1") == deriving("node", "/work/jobs")("job-1") != derived("job-2")
    assert derived("job-1") == hashlib.blake2b(b"node\0/work/jobs\0job-1", digest_size=16).hexdigest()
