"""What a child passes on arrives as it was, bounded and without raising where it comes from."""

from __future__ import annotations

import logging
import threading

import msgspec
import pytest

from actors.clock import SystemClock
from actors.core.bus import EventBus
from actors.core.system import ActorSystem
from actors.events import EVENT_TYPES, ActorExited, DeadLettered, Event, RestartScheduled, RunFinished
from actors.exits import NORMAL, Cause, ExitKind, ExitReason
from actors.flightrecord import FlightRecord, LastMessage
from actors.treeevents import ChildRecord
from supervisors.processes.forwarding import (
    BACKLOG,
    ForwardedDeadLetters,
    ForwardedEvents,
    ForwardedLogs,
    LogIntake,
    Outlet,
    decode_event,
    encode_event,
    handle_log,
    keep_letter,
)
from supervisors.processes.protocol import Letter, Logged, from_payload
from transport.deliveries import Undecoded
from transport.envelope import Envelope, Kind, envelope
from transport.errors import CodecError


class Measured(Event, frozen=True):
    """An event of a user."""

    value: dict[str, float] = {}


class Unsendable(Event, frozen=True):
    """An event that cannot cross."""

    lock: object = None


def crashed() -> ExitReason:
    leaf = ExitReason.crashed(ValueError("boom"))
    return ExitReason(ExitKind.SHUTDOWN, "gave-up", None, Cause("/io/gmail", leaf))


FIELDS = {float: 1.5, int: 2, str: "text", bool: True, ExitReason: crashed()}


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_every_event_of_the_runtime_comes_back_as_it_was(kind):
    hints = msgspec.inspect.type_info
    values = []
    for field in msgspec.structs.fields(kind):
        kinds = {
            "FloatType": 1.5,
            "IntType": 2,
            "StrType": "text",
            "BoolType": True,
            "VarTupleType": ("/a", "/b"),
            "DictType": {"a": [1]},
            "UnionType": 1.5 if field.type == float | None else (1.5, 2.5),
        }
        if field.type is FlightRecord:
            values.append(FlightRecord(messages=(LastMessage("Add", {"n": 1}),)))
            continue
        if field.name == "children":
            values.append((ChildRecord("a", 1, "restarting", 2, window=(1.0,)),))
            continue
        values.append(crashed() if field.type is ExitReason else kinds[type(hints(field.type)).__name__])
    event = kind(*values)

    found = decode_event(encode_event(event))

    assert type(found) is kind
    assert found == event


def test_a_reason_keeps_its_chain_down_to_the_leafs_traceback():
    event = ActorExited(1.0, "/io", 1, crashed(), 2.0, "running", False)

    (cause,) = decode_event(encode_event(event)).reason.chain()

    assert cause.path == "/io/gmail"
    assert "ValueError: boom" in cause.reason.crash.traceback


def test_an_event_of_a_user_crosses_too():
    assert decode_event(encode_event(Measured(1.0, "/a", {"x": 2.0}))) == Measured(1.0, "/a", {"x": 2.0})


@pytest.mark.parametrize(
    "what",
    [
        envelope(Kind.EVENT, "", "os:system", b"\x90"),
        envelope(Kind.EVENT, "", "no_such_module:X", b"\x90"),
        envelope(Kind.EVENT, "", "", b"\x90"),
        envelope(Kind.EVENT, "", "actors.events:RunFinished", b"\x90"),
        envelope(Kind.EVENT, "", "actors.events:RunFinished", b"\xc1"),
        envelope(Kind.EVENT, "", "actors.exits:ExitReason", b"\x80"),
    ],
    ids=["function", "module", "nothing", "empty", "garbage", "no event"],
)
def test_what_is_no_event_is_refused(what):
    with pytest.raises(CodecError):
        decode_event(what)


class Wire:
    """Where an outlet sends, and how much waits there."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []
        self.waiting = 0
        self.outlet = Outlet(self.sent.append, lambda: self.waiting)


def test_beyond_the_backlog_the_newest_are_dropped_counted_and_said_once_there_is_room(caplog):
    wire = Wire()
    wire.waiting = BACKLOG
    for _ in range(3):
        wire.outlet.put(envelope(Kind.EVENT))
    wire.waiting = 0
    wire.outlet.put(envelope(Kind.EVENT, "", "kept"))
    wire.outlet.put(envelope(Kind.EVENT, "", "kept"))

    assert wire.outlet.dropped == 3
    assert [what.type_name for what in wire.sent] == ["kept", "kept"]
    assert [r.getMessage()[:2] for r in caplog.records] == ["3 "]


def test_dead_letters_go_their_own_way_and_not_as_events():
    wire = Wire()
    forward = ForwardedEvents(wire.outlet)

    forward(1, DeadLettered(1.0, "/a", "Add", "gone"))
    forward(2, RunFinished(1.0, "/a", "run", "succeeded", 1.0))

    assert [what.type_name for what in wire.sent] == ["actors.events:RunFinished"]


@pytest.mark.parametrize("message", [{"plain": [1, b"x"]}, "text", None, 5])
def test_a_dead_letter_arrives_with_its_message(message):
    wire = Wire()
    ForwardedDeadLetters(SystemClock(), EventBus(), wire.outlet).put("/a", message, "gone", "/b")
    (what,) = wire.sent
    with ActorSystem("node") as system:
        keep_letter(system, from_payload(what.type_name, what.payload))

        (letter,) = system.dead_letters.recent()

    assert (letter.path, letter.message, letter.why, letter.sender) == ("/a", message, "gone", "/b")


def test_a_dead_letter_whose_message_cannot_cross_is_told_by_its_type_and_repr():
    wire = Wire()
    ForwardedDeadLetters(SystemClock(), EventBus(), wire.outlet).put("/a", threading.Lock(), "gone")
    (what,) = wire.sent
    letter = from_payload(what.type_name, what.payload)
    assert isinstance(letter, Letter)
    with ActorSystem("node") as system:
        keep_letter(system, letter)

        (kept,) = system.dead_letters.recent()

    assert isinstance(kept.message, Undecoded)
    assert kept.message.type_name == "_thread:lock"
    assert b"unlocked" in kept.message.payload


def test_log_records_keep_logger_level_text_traceback_and_time(caplog):
    wire = Wire()
    handler = ForwardedLogs(wire.outlet)
    source = logging.Logger("my.actor")
    source.addHandler(handler)
    try:
        raise ValueError("boom")
    except ValueError:
        source.exception("it %s", "failed")
    (what,) = wire.sent
    logged = from_payload(what.type_name, what.payload)
    assert isinstance(logged, Logged)

    handle_log("/work/one", 42, logged)

    (record,) = caplog.records
    assert (record.name, record.levelname, record.path, record.pid) == ("my.actor", "ERROR", "/work/one", 42)
    assert record.getMessage().startswith("it failed\nTraceback")
    assert record.created == logged.created


def texts(wire: Wire) -> list[str]:
    """What arrives: the texts of log records, the types of all else."""
    words = [(what, from_payload(what.type_name, what.payload)) for what in wire.sent if what.kind is not Kind.EVENT]
    said = {id(what): word.text for what, word in words if isinstance(word, Logged)}
    return [said.get(id(what), what.type_name) for what in wire.sent]


class Sender:
    """Sends on one thread at a time, and says which; stands still while it is held."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.threads: list[str] = []
        self.arrived = threading.Semaphore(0)
        self.logger = logging.Logger("my.actor")
        self.logger.addHandler(ForwardedLogs(Outlet(self._send, lambda: 0)))

    def _send(self, what: Envelope) -> None:
        self.wire.sent.append(what)
        self.threads.append(threading.current_thread().name)
        self.arrived.release()


def test_a_record_is_passed_on_by_another_thread_than_the_one_that_logs_it():
    sender = Sender()

    for number in range(100):
        sender.logger.info("line %d", number)
    for _ in range(100):
        assert sender.arrived.acquire(timeout=60)

    assert texts(sender.wire) == [f"line {number}" for number in range(100)]
    assert set(sender.threads) == {"log-forwarder"}


def test_a_warning_leaves_at_once_behind_all_that_was_logged_before_it():
    sender = Sender()

    for number in range(100):
        sender.logger.info("line %d", number)
    sender.logger.warning("the last")
    found = texts(sender.wire)

    assert found == [*(f"line {number}" for number in range(100)), "the last"]


def test_an_event_and_a_dead_letter_leave_behind_what_was_logged_before_them():
    wire = Wire()
    logger = logging.Logger("my.actor")
    logger.addHandler(ForwardedLogs(wire.outlet))

    logger.info("first")
    ForwardedEvents(wire.outlet)(1, RunFinished(1.0, "/a", "run", "succeeded", 1.0))
    logger.info("second")
    ForwardedDeadLetters(SystemClock(), EventBus(), wire.outlet).put("/a", 5, "gone")

    assert [text.rpartition(":")[2] for text in texts(wire)] == ["first", "RunFinished", "second", "Letter"]


def test_records_beyond_the_backlog_are_dropped_and_counted_while_nothing_is_passed_on():
    held = threading.Event()
    began = threading.Event()
    wire = Wire()

    def send(what: Envelope) -> None:
        began.set()
        assert held.wait(60)
        wire.sent.append(what)

    outlet = Outlet(send, lambda: 0)
    logger = logging.Logger("my.actor")
    logger.addHandler(ForwardedLogs(outlet))
    logger.info("under way")
    assert began.wait(60)

    for number in range(BACKLOG + 7):
        logger.info("line %d", number)
    held.set()

    assert outlet.dropped == 7


def test_what_passing_a_record_on_logs_itself_is_not_passed_on():
    source = logging.Logger("transport.channels")
    wire = Wire()
    outlet = Outlet(lambda what: (source.warning("while sending"), wire.sent.append(what)), lambda: 0)
    source.addHandler(ForwardedLogs(outlet))

    source.warning("once")

    assert len(wire.sent) == 1


def test_an_event_that_cannot_cross_is_an_error_where_it_is_published_to():
    with pytest.raises(TypeError):
        ForwardedEvents(Wire().outlet)(1, Unsendable(1.0, "/a", threading.Lock()))


def test_a_restart_keeps_its_group():
    event = RestartScheduled(1.0, "/io/a", "/io", "one_for_all", 1, 1, 0.5, ("/io/a", "/io/b"), 1, 3, NORMAL)

    assert decode_event(encode_event(event)).group == ("/io/a", "/io/b")


def test_log_records_beyond_what_the_log_takes_are_dropped_and_counted(caplog):
    intake = LogIntake("/work/one", lambda call: False)

    for _ in range(5):
        intake.take(1, Logged("my.actor", logging.ERROR, "text", 1.0))

    assert intake.lost == 5
    assert [r.getMessage().split()[1] for r in caplog.records] == ["1", "2", "4"]
