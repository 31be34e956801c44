"""Event taps over real sockets: readers get what they asked for in order, and know exactly what they did not get."""

from __future__ import annotations

import subprocess
import sys
import threading

import msgpack
import pytest
import zmq
from support.wire import PATIENCE, joined, reactor, run_directory, wait_until

from actors.core.bus import EventBus
from actors.events import ActorExited, ActorStateChanged, MetricSampled, NodeChanged
from actors.exits import NORMAL, ExitReason
from transport.endpoints import ipc_endpoint
from transport.errors import AuthenticationError, EndpointError, UnreachableError
from transport.keystore import KeyStore
from transport.security import ClientKeys, Gatekeeper, KeyPair, ServerKeys
from transport.taps import Gap, TapEvent, TapPublisher, TapReader, publisher
from transport.taps.frames import CLASSES


@pytest.fixture
def run():
    with run_directory() as path:
        yield path


@pytest.fixture
def loop():
    with reactor("node") as made:
        yield made


@pytest.fixture
def bus():
    return EventBus()


def publish_on(loop, run, bus, **options) -> TapPublisher:
    fields = {"node": "n", "epoch": "1", "beat": 0.02}
    return TapPublisher(loop, ipc_endpoint(run, "taps"), bus, **{**fields, **options})


@pytest.fixture
def taps(loop, run, bus):
    return publish_on(loop, run, bus)


def metric(path: str, value: float = 0.0) -> MetricSampled:
    return MetricSampled(0.0, path, "m", value, "count")


def state(path: str, name: str = "running") -> ActorStateChanged:
    return ActorStateChanged(0.0, path, 1, name)


def read(tap: TapReader, count: int) -> list:
    items = []
    while len(items) < count:
        item = tap.read(PATIENCE)
        assert item is not None, f"{len(items)} of {count} items came"
        items.append(item)
    return items


def test_an_event_arrives_with_its_topic_header_and_body(taps, bus):
    with joined(taps.endpoint) as tap:
        seq = bus.publish(ActorExited(1.5, "/io/gmail", 2, ExitReason.crashed(ValueError("x")), 3.0, "running", False))

        (event,) = read(tap, 1)

    assert (event.event_class, event.path) == ("actor.exit", "/io/gmail")
    assert (event.header.id, event.header.source, event.header.type) == (f"1-{seq}", "/n", "actors.actor_exited")
    assert (event.header.seq, event.header.tseq, event.header.severity) == (seq, 1, "error")
    assert event.body["reason"]["crash"]["type_name"] == "builtins.ValueError"
    assert event.body["uptime"] == 3.0


def test_a_reader_gets_the_classes_and_the_subtree_it_asked_for(taps, bus):
    with joined(taps.endpoint, classes=["actor.state"], path="/io") as tap:
        for path in ("/", "/io", "/iot", "/io/a", "/work"):
            bus.publish(state(path))
            bus.publish(metric(path))

        assert [event.path for event in read(tap, 2)] == ["/io", "/io/a"]
        assert tap.read(0.1) is None
        assert tap.missing == 0


def test_the_root_itself_is_a_path(taps, bus):
    with joined(taps.endpoint, classes=["daemon"]) as tap:
        bus.publish(NodeChanged(0.0, "/", "ready"))

        (event,) = read(tap, 1)
        assert (event.path, event.body["state"]) == ("/", "ready")


def test_numbers_are_unbroken_on_each_topic_and_global_ones_are_the_bus_s(taps, bus):
    with joined(taps.endpoint) as tap:
        seqs = [bus.publish(metric(f"/work/{n % 3}")) for n in range(300)]

        events = read(tap, 300)

    assert [event.header.seq for event in events] == seqs
    for topic in range(3):
        assert [e.header.tseq for e in events if e.path == f"/work/{topic}"] == list(range(1, 101))


def test_events_of_many_threads_arrive_in_the_order_of_their_topics(taps, bus):
    with joined(taps.endpoint) as tap:

        def publish(name: int) -> None:
            for n in range(250):
                bus.publish(metric(f"/work/{name}", n))

        threads = [threading.Thread(target=publish, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        events = read(tap, 1_000)
        for thread in threads:
            thread.join()

    assert all(isinstance(event, TapEvent) for event in events)
    assert [event.header.seq for event in events] == list(range(1, 1_001))


def test_nothing_is_encoded_while_nobody_has_subscribed(taps, bus, monkeypatch):
    encoded = []
    monkeypatch.setattr(publisher, "encode_body", lambda event: encoded.append(event) or b"\x80")
    for _ in range(100):
        bus.publish(metric("/work"))
    taps._reactor.run(lambda: None)

    assert encoded == []
    assert taps.statistics().seen == 100
    with joined(taps.endpoint, classes=["actor.state"]) as tap:
        bus.publish(metric("/work"))
        bus.publish(state("/work"))
        read(tap, 1)
    assert [type(event) for event in encoded] == [ActorStateChanged]


def test_encoding_stops_when_the_last_reader_leaves(taps, bus):
    joined(taps.endpoint).close()
    wait_until(lambda: taps.statistics().subscriptions == 0)
    published = taps.statistics().published
    bus.publish(metric("/work"))
    taps._reactor.run(lambda: None)

    assert taps.statistics().published == published


def test_a_late_joiner_misses_nothing_after_it_has_joined_and_is_told_of_nothing_before(taps, bus):
    for _ in range(10):
        bus.publish(metric("/work/old"))
    with joined(taps.endpoint) as tap:
        bus.publish(metric("/work/old"))
        bus.publish(metric("/work/new"))

        assert [(e.path, e.header.tseq) for e in read(tap, 2)] == [("/work/old", 11), ("/work/new", 1)]
        assert tap.missing == 0


def test_a_second_reader_disturbs_the_first_in_nothing(taps, bus):
    with joined(taps.endpoint) as first:
        bus.publish(metric("/work"))
        assert [e.header.tseq for e in read(first, 1)] == [1]
        with joined(taps.endpoint) as second:
            bus.publish(metric("/work"))

            assert [e.header.tseq for e in read(first, 1)] == [2]
            assert [e.header.tseq for e in read(second, 1)] == [2]
        bus.publish(metric("/work"))
        assert [e.header.tseq for e in read(first, 1)] == [3]
        assert first.missing == second.missing == 0


def test_a_stalled_reader_is_told_exactly_what_it_missed(loop, run, bus):
    taps = publish_on(loop, run, bus, high_water=50)
    with joined(taps.endpoint, high_water=50) as tap:
        for n in range(20_000):
            bus.publish(metric(f"/work/{n % 2}", n))
        wait_until(lambda: taps.statistics().published == 20_000)
        items, accounted = [], 0
        while accounted < 20_000:
            (item,) = read(tap, 1)
            items.append(item)
            accounted += item.missing if isinstance(item, Gap) else 1

        gaps = [item for item in items if isinstance(item, Gap)]
        assert gaps
        assert all(gap.is_exact for gap in gaps)
        assert accounted == 20_000
        assert tap.missing == sum(gap.missing for gap in gaps)
        check_gaps_fill_the_holes(items)
        bus.publish(metric("/work/0", -1.0))
        assert read(tap, 1)[0].body["value"] == -1.0


def at_once(loop, taps: TapPublisher, burst) -> None:
    """Run `burst` on the reactor's thread, so that the buffer fills meanwhile; a beat that waits there takes room."""

    def done() -> bool:
        if taps.statistics().waiting:
            return False
        burst()
        return True

    wait_until(lambda: loop.run(done), "an empty buffer")


def check_gaps_fill_the_holes(items: list) -> None:
    last: dict[str, int] = {}
    for item in items:
        at = last.get(item.path, 0)
        if isinstance(item, Gap):
            assert item.after == at
            last[item.path] = at + item.missing
        else:
            assert item.header.tseq == at + 1
            last[item.path] = at + 1


def test_a_lost_tail_is_told_by_the_beat_though_no_event_follows(loop, run, bus):
    taps = publish_on(loop, run, bus, buffer=10)
    with joined(taps.endpoint) as tap:

        def burst() -> None:
            for n in range(25):
                bus.publish(metric("/work", n))

        at_once(loop, taps, burst)

        items = read(tap, 11)
        assert [item.header.tseq for item in items[:10]] == list(range(1, 11))
        assert items[10] == Gap("metric", "/work", 15, 10, 25, True, "1", 10, 25)
        assert taps.statistics().dropped == 15


def test_a_topic_whose_every_event_was_lost_is_told_of_too(loop, run, bus):
    taps = publish_on(loop, run, bus, buffer=1)
    with joined(taps.endpoint) as tap:

        def burst() -> None:
            bus.publish(metric("/work/first"))
            for _ in range(5):
                bus.publish(metric("/work/lost"))

        at_once(loop, taps, burst)

        assert isinstance(read(tap, 1)[0], TapEvent)
        assert read(tap, 1) == [Gap("metric", "/work/lost", 5, 0, 5, True, "1", 0, 6)]


def test_a_topic_that_was_forgotten_starts_anew_and_the_reader_is_told(loop, run, bus, monkeypatch):
    monkeypatch.setattr(publisher, "TOPICS_MAX", 2)
    taps = publish_on(loop, run, bus)
    with joined(taps.endpoint) as tap:
        for path in ("/a", "/a", "/b", "/c", "/a"):
            bus.publish(metric(path))

        items = read(tap, 6)
        beats = taps.statistics().beats
        wait_until(lambda: taps.statistics().beats > beats + 1)
        bus.publish(metric("/a"))
        assert [item.header.tseq for item in read(tap, 1)] == [2]  # no beat told of the topic that was forgotten
    assert [item.header.tseq for item in items if isinstance(item, TapEvent)] == [1, 2, 1, 1, 1]
    assert [(item.path, item.is_exact) for item in items if isinstance(item, Gap)] == [("/a", False)]
    assert taps.statistics().topics == 2
    assert taps.statistics().forgotten == 2


def test_what_happens_while_a_reader_is_cut_off_is_a_gap(taps, bus):
    with joined(taps.endpoint) as tap:
        bus.publish(metric("/work"))
        read(tap, 1)
        tap._connection.socket.disconnect(taps.endpoint)
        wait_until(lambda: tap.read(0) is None and taps.statistics().subscriptions == 0)
        for _ in range(3):
            bus.publish(metric("/work"))
        tap._connection.socket.connect(taps.endpoint)
        assert read(tap, 1) == [Gap("metric", "/work", 3, 1, 4, True, "1", 1, 4)]
        wait_until(lambda: taps.statistics().subscriptions == len(CLASSES) + 1)
        bus.publish(metric("/work"))

        assert [event.header.tseq for event in read(tap, 1)] == [5]


def test_a_node_that_was_started_anew_is_told_and_numbers_start_again(run):
    with reactor() as loop:
        bus = EventBus()
        taps = publish_on(loop, run, bus)
        tap = joined(taps.endpoint)
        for _ in range(5):
            bus.publish(metric("/work"))
        read(tap, 5)
    with reactor() as loop:
        bus = EventBus()
        taps = publish_on(loop, run, bus, epoch="2")
        (restarted,) = read(tap, 1)
        assert (restarted.before, restarted.now, restarted.read) == ("1", "2", {"a1/metric/work/": 5})
        assert restarted.heard_seq in {0, 5}  # whether a beat came between
        bus.publish(metric("/work"))

        (event,) = read(tap, 1)
        assert (event.header.epoch, event.header.tseq) == ("2", 1)
        assert tap.epoch == "2"
        assert tap.missing == 0
    tap.close()


def test_a_beat_tells_head_counts_heads_and_a_hash_that_can_be_checked(taps, bus):
    import zlib

    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.connect(taps.endpoint)
        socket.subscribe(b"")
        assert socket.poll(int(PATIENCE * 1000))
        with bus.lock:  # no beat tells of a part
            bus.publish(metric("/a"))
            bus.publish(metric("/a"))
            bus.publish(state("/b"))
        while True:
            assert socket.poll(int(PATIENCE * 1000))
            topic, header, body = socket.recv_multipart()
            beat = msgpack.unpackb(body)
            if topic == b"a1/beat/" and beat["head"] == 3:
                break

    topics = {"a1/metric/a/": 2, "a1/actor.state/b/": 1}
    assert msgpack.unpackb(header)["type"] == "actors.beat"
    assert (beat["topics"], beat["counts"], beat["heads"], beat["left"]) == (
        2,
        {"metric": 2, "actor.state": 1},
        topics,
        0,
    )
    assert int(beat["hash"], 16) == sum(zlib.crc32(t.encode()) * n for t, n in topics.items()) % 2**64


def test_beats_come_though_nothing_happens(taps):
    with joined(taps.endpoint) as tap:
        beats = taps.statistics().beats
        wait_until(lambda: taps.statistics().beats > beats + 3)

        assert tap.read(0.1) is None
        assert tap.silence < PATIENCE


def test_a_reader_of_a_node_that_is_not_there_is_unreachable(run):
    with pytest.raises(UnreachableError, match="nothing accepts connections"):
        TapReader(f"ipc://{run}/taps.sock", connect=0.05)


def test_a_reader_of_something_that_never_beats_is_unreachable(run, loop):
    from transport.sockets import SocketSpec

    silent = loop.open(SocketSpec(zmq.XPUB, bind=ipc_endpoint(run, "taps")), lambda *_: None)

    with pytest.raises(UnreachableError, match="no beat"):
        joined(silent.endpoint, join=0.05)


@pytest.mark.parametrize(
    "frames",
    [
        [b"a1/metric/x/"],
        [b"a1/metric/x/", b"\xc1", b"\x80"],
        [b"a1/metric/x/", b"\x80", b"\x80"],
        [b"a1/beat/", b"\x80", b"\x80"],
    ],
)
def test_a_message_that_cannot_be_read_is_counted_and_passed_over(taps, bus, frames):
    with joined(taps.endpoint) as tap:
        taps._socket.send(frames)
        bus.publish(metric("/work"))

        assert read(tap, 1)[0].path == "/work"
        assert tap.malformed == 1


def test_what_a_reader_sends_that_is_no_subscription_is_ignored(taps, bus):
    with zmq.Context() as context, context.socket(zmq.XSUB) as odd:
        odd.linger = 0
        odd.connect(taps.endpoint)
        for junk in (b"\x02x", b"\xff" * 100, b"\x00never subscribed", b""):
            odd.send(junk)
        with joined(taps.endpoint) as tap:
            bus.publish(metric("/work"))
            assert read(tap, 1)[0].path == "/work"


def test_thousands_of_subscriptions_are_taken_as_one(taps, bus, monkeypatch):
    monkeypatch.setattr(publisher, "SUBSCRIPTIONS_MAX", 10)
    with zmq.Context() as context, context.socket(zmq.SUB) as greedy:
        greedy.linger = 0
        greedy.connect(taps.endpoint)
        for n in range(100):
            greedy.subscribe(f"a1/metric/{n}/")
        wait_until(lambda: taps.statistics().subscriptions == 100)
        bus.publish(metric("/99"))

        assert greedy.poll(int(PATIENCE * 1000))
    wait_until(lambda: taps.statistics().subscriptions == 0)


def test_closing_publishes_what_is_left_and_hears_no_more(loop, run, bus):
    taps = publish_on(loop, run, bus)
    with joined(taps.endpoint) as tap:
        for n in range(500):
            bus.publish(metric("/work", n))
        taps.close()
        taps.close()
        bus.publish(metric("/work", 500))

        assert [event.body["value"] for event in read(tap, 500)] == list(range(500))
        assert taps.statistics().seen == 500


def test_any_language_can_read_a_tap_with_zeromq_and_msgpack_alone(taps, bus):
    code = (
        "import sys, zmq, msgpack\n"
        "s = zmq.Context().socket(zmq.SUB)\n"
        "s.subscribe(b'a1/actor.exit/io/')\n"
        "s.connect(sys.argv[1])\n"
        "topic, header, body = s.recv_multipart()\n"
        "print(topic.decode(), msgpack.unpackb(header)['type'], msgpack.unpackb(body)['reason']['kind'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, taps.endpoint], stdout=subprocess.PIPE, text=True) as child:
        wait_until(lambda: taps.statistics().subscriptions == 1)
        bus.publish(ActorExited(0.0, "/io/gmail", 1, NORMAL, 1.0, "stopping", True))
        output, _ = child.communicate(timeout=PATIENCE)

    assert output == "a1/actor.exit/io/gmail/ actors.actor_exited normal\n"


def test_a_tap_with_keys_lets_the_right_key_in_and_tells_the_wrong_one(run, bus):
    store = KeyStore(run)
    keys = ServerKeys(store.ensure(), "taps")
    with reactor() as loop:
        loop.authenticate(Gatekeeper(store.grants()).answer)
        taps = TapPublisher(loop, "tcp://127.0.0.1:*", bus, node="n", epoch="1", keys=keys)
        with joined(taps.endpoint, keys=ClientKeys(store.client(), keys.pair.public)) as tap:
            bus.publish(metric("/work"))
            assert read(tap, 1)[0].path == "/work"
        with pytest.raises(AuthenticationError, match="does not authorise this key"):
            joined(taps.endpoint, keys=ClientKeys(KeyPair.make(), keys.pair.public))


def test_a_tap_is_not_published_in_the_open_without_keys(loop, bus):
    with pytest.raises(EndpointError, match="needs CURVE keys"):
        TapPublisher(loop, "tcp://127.0.0.1:*", bus, node="n", epoch="1")
