"""Taps with nothing missing: snapshots, replays and gaps that are filled, over real sockets and a real history file."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.tapnode import TapNode, tap_node
from support.wire import PATIENCE, run_directory, wait_until

from actors.events import ActorExited, ActorStateChanged, MetricSampled, RestartScheduled
from actors.exits import ExitReason
from transport.errors import ControlError
from transport.following import Follower, Since
from transport.taps import Gap, Origin, Restarted, TapEvent

START = datetime.fromtimestamp(0, UTC)

ROOMY = 1_000_000
"""A high water mark that is not reached while a reader is held up."""


@pytest.fixture
def run() -> Iterator[Path]:
    with run_directory() as path:
        yield path


@pytest.fixture
def node(run: Path) -> Iterator[TapNode]:
    with tap_node(run) as made:
        yield made


@pytest.fixture
def roomy(run: Path) -> Iterator[TapNode]:
    """A node that loses nothing to a reader that is held up."""
    with tap_node(run, high_water=ROOMY) as made:
        yield made


def state(path: str, n: int = 0) -> ActorStateChanged:
    return ActorStateChanged(float(n), path, n, "running")


def crash(path: str) -> ActorExited:
    try:
        raise ValueError("bad port")
    except ValueError as error:
        return ActorExited(1.5, path, 2, ExitReason.crashed(error), 3.0, "running", False)


def publish_at_once(node: TapNode, count: int) -> None:
    """Publish so many events about `/a` before the publisher, in whose buffer nothing waits, comes to encode one."""

    def published() -> bool:
        with node.bus.lock:
            if node.publisher.statistics().waiting:  # a beat takes room too
                return False
            for n in range(count):
                node.bus.publish(state("/a", n))
        return True

    wait_until(published, "an empty buffer")


def take(events: Follower, count: int) -> list[Any]:
    items = []
    while len(items) < count:
        item = events.read(PATIENCE)
        assert item is not None, f"{len(items)} of {count} items came: {items[-3:]}"
        items.append(item)
    return items


def numbers(items: list[Any]) -> list[int]:
    return [item.header.seq for item in items]


def test_a_snapshot_has_the_newest_event_of_each_topic_and_the_tap_goes_on_from_there(node: TapNode) -> None:
    for n in range(1, 4):
        node.bus.publish(state("/a", n))
    node.bus.publish(state("/b", 1))
    with node.tap() as tap, node.client() as client, Follower(tap, client, since=Since(has_snapshot=True)) as events:
        first = take(events, 2)
        node.bus.publish(state("/a", 4))
        last = take(events, 1)

    assert [(e.path, e.body["generation"], e.header.tseq, e.origin) for e in first + last] == [
        ("/a", 3, 3, Origin.SNAPSHOT),
        ("/b", 1, 1, Origin.SNAPSHOT),
        ("/a", 4, 4, Origin.LIVE),
    ]


def test_readers_that_join_in_a_storm_get_a_snapshot_and_what_follows_without_gap_or_duplicate(roomy: TapNode) -> None:
    node = roomy
    over = threading.Event()

    def storm(who: int) -> None:
        n = 0
        while not over.is_set():
            n += 1
            node.bus.publish(state(f"/{who}/{n % 7}", n))
            if n % 100 == 0:  # or the publisher would drop what it has no time to encode
                wait_until(lambda: node.publisher.statistics().waiting < 1_000)

    for who in range(2):
        node.bus.publish(state(f"/{who}/0"))
    writers = [threading.Thread(target=storm, args=(who,)) for who in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            with (
                node.tap(path="/1", high_water=ROOMY) as tap,
                node.client() as client,
                Follower(tap, client, path="/1", since=Since(has_snapshot=True)) as events,
            ):
                items = take(events, 300)

            by_topic = defaultdict(list)
            for item in items:
                assert isinstance(item, TapEvent), item
                by_topic[item.path].append(item.header.tseq)
            assert set(by_topic) <= {f"/1/{n}" for n in range(7)}
            for path, found in by_topic.items():
                assert found == list(range(found[0], found[0] + len(found))), path
            assert {item.origin for item in items} == {Origin.SNAPSHOT, Origin.LIVE}
    finally:
        over.set()
        for writer in writers:
            writer.join(PATIENCE)


def test_a_replay_brings_what_the_history_has_and_the_tap_goes_on_without_gap_or_duplicate(node: TapNode) -> None:
    for n in range(1, 1_301):
        node.bus.publish(state("/a", n) if n % 3 else MetricSampled(float(n), "/a", "m", float(n), "count"))
    with node.tap() as tap, node.client() as client:
        between = [node.bus.publish(state("/a", n)) for n in range(1_301, 1_401)]  # on the tap, and in the history
        with Follower(tap, client, since=Since(START)) as events:
            items = take(events, 1_400)
            node.bus.publish(state("/a", 1_401))
            items += take(events, 1)

    assert numbers(items) == list(range(1, 1_402))
    assert items[0].origin is Origin.REPLAY
    assert items[-1].origin is Origin.LIVE
    assert numbers(items)[1_300:1_400] == between


def test_a_replayed_event_is_what_the_tap_had_shown(node: TapNode) -> None:
    reason = ExitReason.crashed(ValueError("x"))
    with node.tap() as tap:
        node.bus.publish(crash("/io/gmail"))
        node.bus.publish(MetricSampled(2.5, "/io/gmail", "m", float("inf"), "count"))
        node.bus.publish(
            RestartScheduled(3.5, "/io/gmail", "/io", "one_for_one", 2, 1, 0.5, ("/io/gmail",), 1, 5, reason)
        )
        live = [tap.read(PATIENCE) for _ in range(3)]
    with node.tap() as tap, node.client() as client, Follower(tap, client, since=Since(START)) as events:
        replayed = take(events, 3)

    for shown, again in zip(live, replayed, strict=True):
        assert isinstance(shown, TapEvent)
        assert (again.event_class, again.path, again.origin) == (shown.event_class, shown.path, Origin.REPLAY)
        for name in ("id", "source", "type", "time", "subject", "seq", "epoch", "severity", "dataschema"):
            assert getattr(again.header, name) == getattr(shown.header, name), name
    assert [again.body for again in replayed[:2]] == [shown.body for shown in live[:2]]
    live[2].body["reason"]["crash"]["traceback"] = ""  # it is with the exit, and kept once
    assert replayed[2].body == live[2].body


def test_a_replay_brings_only_the_classes_and_paths_that_were_asked_for(node: TapNode) -> None:
    for path in ("/io", "/io/gmail", "/iot"):
        node.bus.publish(state(path))
        node.bus.publish(crash(path))
    wanted = {"classes": ("actor.exit",), "path": "/io"}
    with (
        node.tap(**wanted) as tap,
        node.client() as client,
        Follower(tap, client, since=Since(START), **wanted) as events,
    ):
        assert [(e.event_class, e.path) for e in take(events, 2)] == [
            ("actor.exit", "/io"),
            ("actor.exit", "/io/gmail"),
        ]
        node.bus.publish(crash("/io/last"))
        assert [e.path for e in take(events, 1)] == ["/io/last"]


def test_a_replay_goes_over_several_runs_of_the_node(run: Path) -> None:
    for epoch in (7, 8):
        with tap_node(run, epoch=epoch) as node:
            node.bus.publish(state("/a", epoch))
            assert node.feed is not None
            assert node.feed.flush(PATIENCE)
    with tap_node(run, epoch=9) as node:
        with node.tap() as tap, node.client() as client, Follower(tap, client, since=Since(START)) as events:
            node.bus.publish(state("/a", 9))

            assert [(e.header.epoch, e.header.seq, e.body["generation"]) for e in take(events, 3)] == [
                ("7", 1, 7), ("8", 1, 8), ("9", 1, 9),
            ]  # fmt: skip


def test_what_a_slow_reader_lost_is_filled_from_the_history_topic_by_topic_in_order(run: Path) -> None:
    with tap_node(run, high_water=50, buffer=100_000) as node:
        with node.tap(high_water=50) as tap, node.client() as client, Follower(tap, client, lossless=True) as events:
            for n in range(1, 6_001):
                node.bus.publish(state(f"/a/{n % 5}", n))
            wait_until(lambda: not node.publisher.statistics().waiting, "all of them sent, and most of them lost")
            items = take(events, 6_000)
            assert events.read(0.2) is None
            figures = events.statistics()

    assert not [item for item in items if not isinstance(item, TapEvent)]
    by_topic = defaultdict(list)
    for item in items:
        by_topic[item.path].append(item.body["generation"])
    assert all(found == sorted(found) for found in by_topic.values())
    assert sorted(n for found in by_topic.values() for n in found) == list(range(1, 6_001))
    assert figures.missed == figures.replayed > 0
    assert figures.unfilled == 0


def test_a_gap_that_the_history_cannot_fill_is_reported_with_the_reason(run: Path, monkeypatch) -> None:
    monkeypatch.setattr("transport.following.PATIENCE", 0.2)
    with tap_node(run, buffer=1, is_recording=False) as node:
        with node.tap() as tap, node.client() as client, Follower(tap, client, lossless=True) as events:
            publish_at_once(node, 5)  # the buffer takes one
            first, gap = take(events, 2)

    assert (first.header.tseq, gap.event_class, gap.path, gap.missing) == (1, "actor.state", "/a", 4)
    assert "recorder" in gap.why
    assert events.statistics().unfilled == 4


def test_a_gap_of_rows_that_the_history_lost_is_reported_though_it_answers(run: Path) -> None:
    with tap_node(run, buffer=1, is_recording=False) as node:
        with node.tap() as tap, node.client() as client, Follower(tap, client, lossless=True) as events:
            publish_at_once(node, 5)
            node.record(run)  # too late for those
            seen, gap = take(events, 2)

    assert type(seen) is TapEvent
    assert (gap.missing, gap.why) == (4, "the history does not have them")


def test_a_reader_without_a_replay_hands_its_gaps_on(run: Path) -> None:
    with tap_node(run, buffer=1) as node:
        with node.tap() as tap, node.client() as client, Follower(tap, client) as events:
            publish_at_once(node, 5)

            seen, gap = take(events, 2)

    assert type(seen) is TapEvent
    assert type(gap) is Gap
    assert gap.missing == 4


def test_a_lossless_reader_gets_what_happened_while_the_node_was_started_anew(run: Path) -> None:
    with tap_node(run, epoch=1) as node:
        tap = node.tap()
        client = node.client()
        events = Follower(tap, client, lossless=True)
        node.bus.publish(state("/a", 1))
        take(events, 1)
        tap._connection.socket.disconnect(node.publisher.endpoint)
        wait_until(lambda: tap.read(0) is None and node.publisher.statistics().subscriptions == 0)
        node.bus.publish(state("/a", 2))
        assert node.feed is not None
        assert node.feed.flush(PATIENCE)
    with tap_node(run, epoch=2) as node:
        node.bus.publish(state("/a", 3))
        tap._connection.socket.connect(node.publisher.endpoint)
        items = take(events, 3)
        node.bus.publish(state("/a", 4))
        items += take(events, 1)
        events.close()
        client.close()
        tap.close()

    assert isinstance(items[0], Restarted)
    assert [(e.header.epoch, e.body["generation"]) for e in items[1:]] == [("1", 2), ("2", 3), ("2", 4)]


def test_a_replay_that_is_not_read_takes_no_more_of_the_node_than_its_credit(node: TapNode) -> None:
    for n in range(5_000):
        node.bus.publish(state("/a", n))
    asked = []
    ask = node.replays.ask
    node.replays.ask = lambda query: asked.append(query) or ask(query)  # type: ignore[method-assign]

    with node.client() as client, client.stream("replay", {}, credit=1) as stream:
        has_part, part = stream.read(PATIENCE)
        assert has_part
        wait_until(lambda: len(asked) == 2)  # the plan, and the one page
        with client.stream("replay", {"path": "/b"}) as other:  # goes through the same threads, after it
            assert list(other) == []
        assert len(asked) == 3  # and the other's plan
        found = len(part["items"])
        while has_part:
            has_part, part = stream.read(PATIENCE)
            found += len(part["items"]) if has_part else 0

    assert found == 5_000
    assert stream.result["events"] == 5_000


def test_too_many_replays_are_refused_and_one_that_is_given_up_makes_room(node: TapNode, monkeypatch) -> None:
    monkeypatch.setattr("supervisors.node.replaying.REPLAYS_MAX", 1)
    for n in range(2_000):
        node.bus.publish(state("/a", n))
    with node.client() as client:
        with client.stream("replay", {}, credit=1) as first:
            assert first.read(PATIENCE)[0]
            with client.stream("replay", {}, credit=1) as second, pytest.raises(ControlError) as caught:
                second.read(PATIENCE)
        assert caught.value.code == "conflict"
        wait_until(lambda: not node.replays._open)
        with client.stream("replay", {}) as third:
            assert sum(len(part["items"]) for part in third) == 2_000


@pytest.mark.parametrize(
    "arguments",
    [{"classes": ["no.such"]}, {"path": "no path"}, {"after_epoch": "01JD8Z"}, {"through_epoch": "now"}],
)
def test_a_replay_of_nonsense_is_refused(node: TapNode, arguments: dict[str, Any]) -> None:
    with node.client() as client, client.stream("replay", arguments) as stream, pytest.raises(ControlError) as caught:
        stream.read(PATIENCE)

    assert caught.value.code == "usage"


def test_a_replay_takes_a_stream(node: TapNode) -> None:
    with node.client() as client, pytest.raises(ControlError) as caught:
        client.call("replay", {})

    assert caught.value.code == "usage"


def test_a_reader_is_seen_with_what_it_read_and_lost_until_it_leaves(run: Path) -> None:
    with tap_node(run, buffer=1) as node:
        with node.tap(path="/a") as tap, node.client() as client:
            with Follower(tap, client, path="/a", name="dashboard", report_every=0.05) as events:
                publish_at_once(node, 5)
                take(events, 2)
                wait_until(lambda: events.read(0.05) is None and [view.read for view in node.seen()] == [1])
                (seen,) = node.seen()
            wait_until(lambda: node.seen() == ())

    assert (seen.reader, seen.mode, seen.path, seen.read, seen.missed, seen.unfilled) == (
        "dashboard", "live", "/a", 1, 4, 4,
    )  # fmt: skip
    assert "uid" in seen.caller
    assert seen.behind == 0
