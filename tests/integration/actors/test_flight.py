"""A crash comes with what the actor did last."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.waiting import until

from actors import Actor, ActorSystem, Exited, Incarnation, Message, on
from actors.core.flight import BURST, FlightRecorder
from actors.events import CrashRecorded
from actors.flightrecord import FlightRule
from actors.history.payloads import event_of, payload_of
from actors.testing import ManualClock

TIMEOUT = 60.0


class Note(Message[int], frozen=True):
    n: int
    password: str = "hunter2"


class Fail(Message[None], frozen=True):
    pass


class AFail(Message[None], frozen=True):
    pass


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("never shown")

    __str__ = __repr__


class Worker(Actor):
    def state_view(self) -> dict[str, Any]:
        return {"seen": 3, "token": "hunter3"}

    @on(Note)
    def note(self, message: Note) -> int:
        return message.n

    @on(Fail)
    def fail(self, message: Fail) -> None:
        api_key = "hunter4"
        odd = Hostile()
        raise ValueError(f"asked to {bool(api_key)} {odd is None}")


class AsyncWorker(Actor):
    @on(Note)
    async def note(self, message: Note) -> int:
        return message.n

    @on(AFail)
    async def fail(self, message: AFail) -> None:
        raise ValueError("asked to")


class Silent(Worker):
    def state_view(self) -> dict[str, Any]:
        raise SystemExit("has nothing to show")


class Stillborn(Actor):
    def on_start(self) -> None:
        raise OSError("no port")


class Stage:
    def __init__(self) -> None:
        self.system = ActorSystem("test")
        self.recorder = self.system.flight = FlightRecorder(self.system)
        self.found: queue.Queue[CrashRecorded] = queue.Queue()
        self.system.bus.subscribe(lambda _seq, event: self.found.put(event), (CrashRecorded,))  # type: ignore[arg-type]

    def start(self, kind: Any, path: str = "/a", **options: Any) -> Any:
        self.outcomes: queue.Queue[Any] = queue.Queue()
        self.system.spawn(kind, path=path, incarnation=Incarnation(), on_outcome=self.outcomes.put, **options)
        self.outcomes.get(timeout=TIMEOUT)
        return self.system.ref(path)

    def record(self) -> CrashRecorded:
        event = self.found.get(timeout=TIMEOUT)
        assert event_of("CrashRecorded", event.at, event.path, payload_of(event)) == event
        return event


@contextmanager
def stage() -> Iterator[Stage]:
    made = Stage()
    try:
        yield made
    finally:
        made.system.shutdown(TIMEOUT)


@pytest.mark.parametrize("placement", ["pool", "thread"])
def test_an_actor_whose_state_view_raises_system_exit_has_its_record_and_ends(placement: str) -> None:
    with stage() as made:
        ref = made.start(Silent, placement=placement, flight=FlightRule(state=True))
        ended: queue.Queue[Any] = queue.Queue()
        ref.watch(ended.put)

        ref.tell(Fail())

        assert "state_view() raised SystemExit" in str(made.record().record.state)
        assert "ValueError" in str(ended.get(timeout=TIMEOUT))


@pytest.mark.parametrize("placement", ["pool", "thread"])
def test_a_crash_has_the_last_messages_the_one_in_hand_and_no_secret(placement: str) -> None:
    with stage() as made:
        ref = made.start(Worker, placement=placement)
        for n in range(70):
            ref.tell(Note(n))
        ref.tell(Fail())

        event = made.record()

    record = event.record
    assert [(m.type, m.fields.get("n"), m.in_hand) for m in record.messages] == [
        ("Note", 67, False), ("Note", 68, False), ("Note", 69, False), ("Fail", None, True),
    ]  # fmt: skip
    assert (event.path, event.generation, event.severity) == ("/a", 1, "error")
    assert event.reason.startswith("crashed: builtins.ValueError: asked to")
    assert (record.handler, record.handled, record.state, record.frames) == ("Worker.fail", 71, None, ())
    assert record.stacks
    assert "hunter" not in str(payload_of(event))


def test_a_system_that_shuts_down_tells_of_its_last_crash_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with stage() as made, pytest.raises(ValueError, match="asked to"):
        made.start(Worker).ask(Fail(), timeout=TIMEOUT)

    assert made.found.get_nowait().path == "/a"
    until(lambda: set(threading.enumerate()) <= before, what="the end of every thread")


def test_messages_asked_one_by_one_are_kept_in_order_too() -> None:
    with stage() as made:
        ref = made.start(Worker)
        for n in range(6):
            assert ref.ask(Note(n), timeout=TIMEOUT) == n
        with pytest.raises(ValueError, match="asked to"):
            ref.ask(Fail(), timeout=TIMEOUT)

        record = made.record().record

    assert [m.fields.get("n") for m in record.messages] == [3, 4, 5, None]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_coroutine_that_raises_is_recorded(reentrant: bool) -> None:
    kind = type("Reentrant", (AsyncWorker,), {"reentrant": True}) if reentrant else AsyncWorker
    with stage() as made:
        ref = made.start(kind)
        assert ref.ask(Note(1), timeout=TIMEOUT) == 1
        ref.tell(AFail())

        record = made.record().record

    assert [m.type for m in record.messages] == ["Note", "AFail"]


def test_state_and_variables_are_kept_where_the_rule_asks_for_them_and_as_many_messages_as_it_says() -> None:
    with stage() as made:
        ref = made.start(Worker, flight=FlightRule(messages=7, state=True, locals=True, stacks=False))
        for n in range(30):
            ref.tell(Note(n))
        ref.tell(Fail())

        event = made.record()

    record = event.record
    assert [m.fields.get("n") for m in record.messages] == [24, 25, 26, 27, 28, 29, None]
    assert record.state == {"seen": 3, "token": "***"}
    assert record.frames[-1].function == "Worker.fail"
    assert record.frames[-1].variables["api_key"] == "***"
    assert record.frames[-1].variables["odd"].endswith("Hostile>")
    assert record.stacks == ()
    assert "hunter" not in str(payload_of(event))


def test_no_messages_are_kept_where_the_rule_says_so_and_a_failed_start_has_a_record() -> None:
    with stage() as made:
        made.start(Worker, flight=FlightRule(messages=0)).tell(Fail())
        quiet = made.record().record
        made.start(Stillborn, "/b")
        stillborn = made.record()

    assert quiet.messages == ()
    assert stillborn.record.messages == ()
    assert "no port" in stillborn.reason


def test_the_last_log_lines_are_kept_formatted_only_then() -> None:
    with stage() as made:
        log = logging.getLogger("tests.flight")
        log.addHandler(made.recorder.log)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            for n in range(40):
                log.info("line %d of %s", n, "many")
            log.info("in as %s with password=%s", "bob", "hunter2")
            log.info("%s", Hostile())
            made.start(Worker).tell(Fail())
            record = made.record().record
        finally:
            log.removeHandler(made.recorder.log)
            log.propagate = True

    assert len(record.log) == 20
    assert "line 39 of many" in record.log[-3]
    assert record.log[-2].endswith("in as bob with password=***")
    assert "<unreadable>" in record.log[-1]


def test_a_storm_of_crashes_has_few_records_and_says_how_many_have_none() -> None:
    with stage() as made:
        made.recorder._clock = ManualClock()  # one window and one second, however long it takes
        count = 3 * BURST
        for n in range(count):
            made.start(Worker, f"/w{n % 3}").tell(Fail())
            assert isinstance(made.outcomes.get(timeout=TIMEOUT), Exited)  # its path is free
        records = [made.record() for _ in range(BURST)]
        assert made.found.empty()
        made.recorder._window = float("-inf")
        made.start(Worker, "/w0").tell(Fail())

        after = made.record().record

    assert sum(bool(event.record.stacks) for event in records) < BURST
    assert 0 < after.suppressed <= count - BURST
    assert all(len(payload_of(event) or "") < 200_000 for event in records)
