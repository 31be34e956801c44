"""Two systems joined by two gateways: real threads and actors, with the wire in memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from support.process_actors import Add, Counter, Do, Get, Seen, Watcher, WatchOther

from actors import (
    Actor,
    ActorExitedError,
    ActorSystem,
    Address,
    AskTimeoutError,
    ExitReason,
    MailboxFullError,
    MailboxSpec,
    Message,
    on,
)
from actors.core.context import enter_loop, leave_loop
from actors.events import AskFailed
from transport.channels import Channel
from transport.codec import pack_frame
from transport.envelope import Envelope, Kind, envelope
from transport.feeder import THREADS
from transport.gateway import Gateway
from transport.reactor import Reactor
from transport.remote import RemoteRef

TIMEOUT = 60.0


class Gate(Message[None], frozen=True):
    """Waits until the test opens the gate."""


class Gated(Actor):
    """Handles `Gate` for as long as the test says."""

    mailbox = MailboxSpec(capacity=2, block_timeout=TIMEOUT)
    gate = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self._added: list[int] = []

    @on(Gate)
    def wait(self, message: Gate) -> None:
        assert self.gate.wait(TIMEOUT)

    @on(Add)
    def add(self, message: Add) -> int:
        self._added.append(message.n)
        return message.n

    @on(Get)
    def get(self, message: Get) -> list[int]:
        return self._added


class Side:
    """One process's part: its actors, its socket's thread, its gateway."""

    def __init__(self, name: str, window: int, system: ActorSystem | None = None) -> None:
        self.system = system or ActorSystem(name)
        self.reactor = Reactor(name)
        self.reactor.run(enter_loop)
        self.runtime: list[Envelope] = []
        self.other: Side | None = None
        self.channel = Channel(f"peer of {name}", self.transmit, self.reactor.post, window=window)
        self.gateway = Gateway(self.system, self.channel, self.runtime.append, window=window)

    def transmit(self, frame: bytes) -> None:
        assert self.other is not None
        receive = self.other.gateway.receive
        self.other.reactor.post(lambda: receive(frame))

    def spawn(self, factory, path: str) -> None:
        started = threading.Event()
        self.system.spawn(factory, path=path, placement="thread", on_outcome=lambda _: started.set())
        assert started.wait(TIMEOUT)

    def ref(self, path: str) -> RemoteRef:
        """A ref of the other side's actor."""
        assert self.other is not None
        return self.gateway.ref(Address(self.other.system.name, path))

    def settle(self) -> None:
        """Wait until both socket threads did what was posted so far, twice over."""
        assert self.other is not None
        for _ in range(3):
            self.reactor.run(lambda: None)
            self.other.reactor.run(lambda: None)

    def close(self) -> None:
        self.gateway.lose("the test is over")
        self.system.shutdown(TIMEOUT)
        self.reactor.run(leave_loop)
        self.reactor.close(TIMEOUT)


def joined(window: int) -> Iterator[tuple[Side, Side]]:
    near, far = Side("near", window), Side("far", window)
    near.other, far.other = far, near
    Gated.gate.clear()
    yield near, far
    Gated.gate.set()
    near.close()
    far.close()


@pytest.fixture
def sides():
    yield from joined(1_000)


@pytest.fixture
def narrow():
    yield from joined(8)


def test_messages_for_a_full_mailbox_wait_in_order_and_the_socket_goes_on(sides):
    near, far = sides
    far.spawn(Gated, "/slow")
    far.spawn(Counter, "/other")
    slow = near.ref("/slow")
    slow.tell(Gate())
    for n in range(20):
        slow.tell(Add(n))
    answer = slow.ask(Get(), block=False)
    near.settle()

    assert far.gateway.statistics().received >= 21
    assert not answer.done
    Gated.gate.set()

    assert answer.get(timeout=TIMEOUT) == list(range(20))


def test_a_sender_has_no_more_under_way_than_the_peer_accepts(narrow):
    near, far = narrow
    far.spawn(Gated, "/slow")
    slow = near.ref("/slow")
    slow.tell(Gate())
    for n in range(100):
        slow.tell(Add(n))
    near.settle()

    figures = near.channel.statistics()
    assert figures.under_way <= 8
    assert figures.waiting >= 100 - 8 - 4
    Gated.gate.set()

    assert slow.ask(Get(), timeout=TIMEOUT) == list(range(100))
    assert far.system.dead_letters.recent() == ()


def test_a_peer_that_ignores_its_window_is_refused_what_is_beyond(narrow):
    near, far = narrow
    far.spawn(Gated, "/slow")
    add = [envelope(Kind.TELL, "/slow", f"{Add.__module__}:Add", b"\x81\xa1n\x01") for _ in range(50)]
    near.ref("/slow").tell(Gate())
    near.settle()
    far.reactor.run(lambda: far.gateway.receive(pack_frame(add)))

    assert far.gateway.statistics().flooded >= 50 - 8 - 4
    assert {letter.why for letter in far.system.dead_letters.recent()} == {"beyond the window"}


def test_an_ask_that_waits_without_end_is_answered_whichever_way_that_is_said(sides):
    near, far = sides
    far.spawn(Gated, "/a")
    ref = near.ref("/a")

    answers = [ref.ask(Add(1), block=False, timeout=timeout) for timeout in (None, math.inf, 1e300)]

    assert [answer.get(timeout=TIMEOUT) for answer in answers] == [1, 1, 1]


def test_an_ask_that_timed_out_is_passed_over_and_is_one_event(sides):
    near, far = sides
    events: list[AskFailed] = []
    for side in sides:
        side.system.bus.subscribe(lambda _number, event: events.append(event), (AskFailed,))
    far.spawn(Gated, "/slow")
    slow = near.ref("/slow")
    slow.tell(Gate())

    with pytest.raises(AskTimeoutError):
        slow.ask(Add(1), timeout=0.05)
    given_up = near.gateway.ask("/slow", Add(2), 600.0)
    near.settle()
    near.gateway.give_up(given_up)
    near.settle()
    Gated.gate.set()

    assert slow.ask(Get(), timeout=TIMEOUT) == []
    assert [(event.path, event.message_type) for event in events] == [("/slow", "Add")] * 2
    assert [letter.why for letter in far.system.dead_letters.recent()] == ["deadline passed"] * 2


def test_losing_the_peer_answers_asks_keeps_tells_and_says_so(sides):
    near, far = sides
    events: list[AskFailed] = []
    near.system.bus.subscribe(lambda _number, event: events.append(event), (AskFailed,))
    far.spawn(Gated, "/slow")
    slow = near.ref("/slow")
    slow.tell(Gate())
    answers = [slow.ask(Add(n), block=False) for n in range(3)]
    near.settle()
    slow.tell(Add(9))

    near.gateway.lose("its process ended")()

    for answer in answers:
        with pytest.raises(ActorExitedError, match="its process ended"):
            answer.get(timeout=TIMEOUT)
    assert len(events) == 3
    letters = [
        (letter.message, letter.why.endswith("its process ended")) for letter in near.system.dead_letters.recent()
    ]
    assert letters[-1] == (Add(9), True)
    slow.tell(Add(10))
    assert near.system.dead_letters.recent()[-1].message == Add(10)
    with pytest.raises(ActorExitedError):
        slow.ask(Add(1))
    assert not slow.is_alive()


def test_a_watch_fires_once_with_the_first_reason(sides):
    near, far = sides
    far.spawn(Counter, "/a")
    reasons: list[ExitReason] = []
    told = threading.Event()
    near.ref("/a").watch(lambda reason: (reasons.append(reason), told.set()))
    near.ref("/a").tell(Do("stop"))
    assert told.wait(TIMEOUT)

    near.gateway.lose("gone")
    near.gateway.end(ExitReason.killed("later"))
    near.ref("/a").watch(reasons.append)

    assert [reason.kind.value for reason in reasons] == ["normal", "killed"]


def test_a_cancelled_watch_is_forgotten_on_the_other_side_too(sides):
    near, far = sides
    far.spawn(Counter, "/a")
    calls: list[ExitReason] = []
    watch = near.ref("/a").watch(calls.append)
    near.settle()
    assert len(far.gateway._bonds) == 1

    watch.cancel()
    near.settle()

    assert len(far.gateway._bonds) == 0
    near.gateway.end(ExitReason.killed())
    assert calls == []


def test_watching_nobody_says_noproc(sides):
    near, _ = sides
    near.spawn(Watcher, "/watcher")
    reasons: list[ExitReason] = []
    told = threading.Event()
    near.ref("/nobody").watch(lambda reason: (reasons.append(reason), told.set()))

    assert told.wait(TIMEOUT)
    assert reasons[0].detail == "noproc"
    assert near.system.ref("/watcher").ask(WatchOther("/nobody")) is None
    assert near.system.ref("/watcher").ask(Seen()) != []


@pytest.mark.parametrize(
    "wrong",
    [
        envelope(Kind.ASK, "/a", "", b"\xc0"),
        envelope(Kind.ASK, "/a", "", b"\xc0", id=1, deadline=-1.0),
        envelope(Kind.ASK, "/a", "", b"\xc0", id=1, deadline=float("nan")),
        envelope(Kind.ASK, "/a", "", b"\xc0", id=1, deadline=float("inf")),
        envelope(Kind.SIGNAL, "/a", payload=b"\xc1"),
        envelope(Kind.DOWN, payload=b"\x90", correlation=3),
        envelope(Kind.LINK, "/a"),
    ],
    ids=lambda wrong: wrong.kind.name,
)
def test_an_envelope_that_makes_no_sense_is_counted_and_has_no_effect(sides, wrong):
    near, far = sides
    far.spawn(Counter, "/a")

    far.reactor.run(lambda: far.gateway.receive(pack_frame([wrong])))

    assert far.gateway.statistics().malformed == 1
    assert near.ref("/a").ask(Add(1), timeout=TIMEOUT) == 1


def test_answers_nobody_waits_for_are_passed_over(sides):
    near, _ = sides
    late = [
        envelope(Kind.REPLY, payload=b"\xc0", correlation=77),
        envelope(Kind.ERROR, payload=b"", correlation=78),
        envelope(Kind.CANCEL, correlation=79),
        envelope(Kind.DEMONITOR, correlation=80),
    ]

    near.reactor.run(lambda: near.gateway.receive(pack_frame(late)))

    assert near.gateway.statistics().malformed == 0


def test_a_reply_of_another_type_than_was_asked_for_is_an_error_of_the_asker(sides):
    near, far = sides
    answer = near.ref("/a").ask(Add(1), block=False)
    far.reactor.run(lambda: None)

    near.reactor.run(
        lambda: near.gateway.receive(pack_frame([envelope(Kind.REPLY, payload=b"\xa3abc", correlation=1)]))
    )

    with pytest.raises(Exception, match=r"no builtins:int|not running"):
        answer.get(timeout=TIMEOUT)


def test_what_cannot_wait_here_is_refused_here(sides):
    near, far = sides
    far.spawn(Gated, "/slow")
    channel = Channel("peer", near.transmit, lambda _flush: None, mailbox=MailboxSpec(capacity=3, full="reject"))
    ref = Gateway(near.system, channel, near.runtime.append).ref(Address("far", "/slow"))
    for n in range(3):
        ref.tell(Add(n))

    with pytest.raises(MailboxFullError):
        ref.tell(Add(3))
    with pytest.raises(MailboxFullError):
        ref.ask(Add(3))


def test_runtime_envelopes_go_to_the_runtime(sides):
    near, far = sides
    near.gateway.send(envelope(Kind.SYSTEM, "", "process:Suspend", b"\x80"))
    near.settle()

    assert [what.type_name for what in far.runtime] == ["process:Suspend"]


@pytest.fixture
def counting():
    """Two sides that count what they accept by actor, with a window of 8."""
    for sides in joined(8):
        for side in sides:
            side.channel.count_by_target()
        yield sides


def test_a_full_mailbox_holds_up_nobody_but_who_sends_to_it(counting):
    near, far = counting
    far.spawn(Gated, "/slow")
    far.spawn(Counter, "/other")
    slow, other = near.ref("/slow"), near.ref("/other")
    slow.tell(Gate())
    for n in range(100):
        slow.tell(Add(n))
    for n in range(100):
        other.tell(Add(n))

    assert other.ask(Get(), timeout=TIMEOUT) == list(range(100))
    lane = next(lane for lane in near.channel.lanes() if lane.path == "/slow")
    assert lane.under_way <= 8
    assert lane.waiting >= 100 - 8 - 4
    Gated.gate.set()

    assert slow.ask(Get(), timeout=TIMEOUT) == list(range(100))
    assert far.system.dead_letters.recent() == ()


def test_many_slow_actors_share_the_threads_that_wait_for_them(counting):
    near, far = counting
    before = set(threading.enumerate())
    paths = [f"/slow{n}" for n in range(THREADS + 8)]
    for path in paths:
        far.spawn(Gated, path)
        near.ref(path).tell(Gate())
        for n in range(8):
            near.ref(path).tell(Add(n))
    near.settle()

    feeding = [thread for thread in set(threading.enumerate()) - before if thread.name.endswith("feeder")]
    assert len(feeding) <= THREADS
    Gated.gate.set()

    for path in paths:
        assert near.ref(path).ask(Get(), timeout=TIMEOUT) == list(range(8))


def test_tells_cross_in_runs_and_each_is_counted(sides):
    near, far = sides
    for side in sides:
        side.channel.count_by_target()
    far.spawn(Counter, "/a")
    told = threading.Event()
    near.reactor.post(lambda: told.wait(TIMEOUT) and None)  # they wait for one another
    for n in range(1_000):
        near.ref("/a").tell(Add(n))
    told.set()

    assert near.ref("/a").ask(Get(), timeout=TIMEOUT) == list(range(1_000))
    near.settle()
    assert near.channel.statistics().sent == far.channel.statistics().accepted == 1_001
    assert far.gateway.statistics().received < 500


def test_a_run_with_a_message_that_is_none_keeps_the_others_and_counts_it(counting):
    near, far = counting
    far.spawn(Counter, "/a")
    run = b"\x93" + b"\x81\xa1n\x01" + b"\xa3abc" + b"\x81\xa1n\x02"
    frame = pack_frame([envelope(Kind.RUN, "/a", f"{Add.__module__}:Add", run)])

    far.reactor.run(lambda: far.gateway.receive(frame))

    assert near.ref("/a").ask(Get(), timeout=TIMEOUT) == [1, 2]
    assert far.gateway.statistics().undeliverable == 1
    assert far.system.dead_letters.recent()[0].why.startswith("not understood")


def test_a_run_for_nobody_is_so_many_dead_letters(counting):
    near, far = counting
    for n in range(5):
        near.ref("/nobody").tell(Add(n))
    near.settle()

    assert [letter.message for letter in far.system.dead_letters.recent()] == [Add(n) for n in range(5)]


def test_a_peer_that_ignores_the_window_of_an_actor_is_refused_what_is_beyond(counting):
    near, far = counting
    far.spawn(Gated, "/slow")
    far.spawn(Counter, "/other")
    near.ref("/slow").tell(Gate())
    near.settle()
    run = b"\xdc\x00\x32" + b"\x81\xa1n\x01" * 50
    flood = pack_frame([envelope(Kind.RUN, "/slow", f"{Add.__module__}:Add", run)])

    far.reactor.run(lambda: far.gateway.receive(flood))

    assert far.gateway.statistics().flooded >= 50 - 8 - 4
    assert near.ref("/other").ask(Add(1), timeout=TIMEOUT) == 1


def test_losing_the_peer_keeps_each_tell_of_a_run_that_was_not_accepted(counting):
    near, far = counting
    far.spawn(Gated, "/slow")
    near.ref("/slow").tell(Gate())
    for n in range(50):
        near.ref("/slow").tell(Add(n))
    near.settle()

    near.gateway.lose("its process ended")()

    kept = [letter.message.n for letter in near.system.dead_letters.recent(100) if isinstance(letter.message, Add)]
    assert kept == sorted(kept)
    assert kept[-1] == 49
    assert len(kept) >= 50 - 8


@pytest.fixture
def relayed(sides):
    """The near side, the side behind the middle, and an actor there that is held up and found through both."""
    near, middle = sides
    back, far = Side("back", 8, middle.system), Side("far", 8)
    back.other, far.other = far, back
    far.spawn(Gated, "/slow")
    slow = back.ref("/slow")
    assert middle.system.registry.claim("/slow", slow)
    slow.tell(Gate())
    yield near, back, slow
    middle.system.registry.release("/slow", slow)
    back.close()
    far.close()


@pytest.mark.parametrize("is_sent", [True, False], ids=["under-way", "waiting"])
def test_an_asker_that_gives_up_frees_the_actor_behind_a_relay(relayed, is_sent):
    near, back, slow = relayed
    if not is_sent:  # the window is used up: the ask waits in the middle
        for n in range(30):
            slow.tell(Add(n))
    back.settle()
    asked = near.gateway.ask("/slow", Add(77), 600.0)
    near.settle()
    back.settle()

    near.gateway.give_up(asked)
    near.settle()
    back.settle()
    Gated.gate.set()

    assert 77 not in slow.ask(Get(), timeout=TIMEOUT)
    assert back.gateway.statistics().asking == 0


def test_an_ask_that_was_passed_on_to_a_process_that_ends_names_the_actor_it_was_for(relayed):
    near, back, _ = relayed
    back.settle()
    asked = near.gateway.ask("/slow", Add(77), 600.0)
    near.settle()
    back.settle()

    back.gateway.lose("its process ended")()
    near.settle()

    with pytest.raises(ActorExitedError, match="/slow did not answer: its process ended"):
        asked.get(timeout=TIMEOUT)
    Gated.gate.set()
