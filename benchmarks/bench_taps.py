"""How many events a second reach four readers of a tap, and what does a tap cost where nobody reads?

Four readers, each a process, take every message off a SUB socket and look at its frames; what publishes is the bus of a
node, as fast as it can. Beside it, in the same round: raw pyzmq, which sends one prepared message of the same three
frames again and again to the same readers. And a reader that decodes everything and watches for gaps (`TapReader`).

Without a reader an event is numbered on its topic, and that is all. What that costs is held against an actor that does
nothing but crash and be restarted by its supervisor: nothing else in a node publishes as many events for its time.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
from measuring import Row, Spread, arguments, interleave, ratios, report

from actors.core.actor import Actor
from actors.core.bus import EventBus
from actors.core.outcomes import Incarnation
from actors.core.system import ActorSystem
from actors.events import ActorStateChanged, Event
from actors.messages import Message, on
from supervisors.children import LocalLauncher
from supervisors.specs import ChildSpec, LocalStart, SupervisorSpec
from supervisors.supervisor import Services, Subtree
from transport.reactor import Reactor
from transport.taps import TapPublisher, TapReader
from transport.taps.frames import encode_body, encode_header, header_of, topic_of, type_of

READERS, EVENTS, CRASHES, NUMBERED = 4, 20_000, 1_000, 50_000
DEEP = 10 * EVENTS  # nothing is to be lost: the question is speed
LAST = "/last"
PATHS = [f"/io/worker{n}" for n in range(100)]


def light(endpoint: str, pipe: Connection) -> None:
    """A reader that takes messages and looks at their topic."""
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, DEEP)
    socket.connect(endpoint)
    socket.setsockopt(zmq.SUBSCRIBE, b"a1/actor.state/")
    last = topic_of("actor.state", LAST)
    while True:
        topic, _header, _body = socket.recv_multipart()
        if topic == last:
            pipe.send(time.time())


def whole(endpoint: str, pipe: Connection) -> None:
    """A reader that decodes every event and counts what is missing."""
    with TapReader(endpoint, classes=["actor.state"], high_water=DEEP, connect=10.0, join=10.0) as tap:
        for item in tap:
            assert tap.missing == 0, tap.missing
            if item.path == LAST:
                pipe.send(time.time())


@contextmanager
def readers(kind: object, endpoint: str) -> Iterator[list[Connection]]:
    """Start the readers."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe(False) for _ in range(READERS)]
    processes = [context.Process(target=kind, args=(endpoint, writer), daemon=True) for _, writer in ends]  # type: ignore[arg-type]
    for process in processes:
        process.start()
    try:
        yield [reader for reader, _ in ends]
    finally:
        for process in processes:
            process.kill()
            process.join()


class Ours:
    """A bus and its tap."""

    def __init__(self, endpoint: str) -> None:
        self.bus = EventBus()
        self._reactor = Reactor("bench")
        self.publisher = TapPublisher(
            self._reactor, endpoint, self.bus, node="bench", epoch="1", high_water=DEEP, buffer=DEEP
        )

    def wait_subscribed(self) -> None:
        """Wait for all readers."""
        while self.publisher.statistics().subscriptions < 1:
            time.sleep(0.05)
        time.sleep(1.0)  # verbose subscriptions of one prefix are one: the others have had their time

    def measure(self, pipes: list[Connection]) -> float:
        """Publish, and return events a second, over all readers, until the last one has the last event."""
        began = time.time()
        for n in range(EVENTS):
            self.bus.publish(ActorStateChanged(began, PATHS[n % len(PATHS)], n, "running"))
        self.bus.publish(ActorStateChanged(began, LAST, 0, "running"))
        return READERS * EVENTS / (max(pipe.recv() for pipe in pipes) - began)


class Raw:
    """The socket alone."""

    def __init__(self, endpoint: str) -> None:
        self._socket = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, DEEP)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.bind(endpoint)
        event = ActorStateChanged(time.time(), PATHS[0], 1, "running")
        header = header_of(type_of(type(event)), node="bench", epoch="1", at=event.at, path=event.path, seq=1, tseq=1)
        self._frames = [topic_of("actor.state", PATHS[0]), encode_header(header), encode_body(event)]

    def wait_subscribed(self) -> None:
        """Wait for all readers."""
        for _ in range(READERS):
            self._socket.recv()

    def measure(self, pipes: list[Connection]) -> float:
        """As `Ours.measure`, of messages that are ready."""
        send, frames = self._socket.send_multipart, self._frames
        began = time.time()
        for _ in range(EVENTS):
            send(frames)
        send([topic_of("actor.state", LAST), *frames[1:]])
        return READERS * EVENTS / (max(pipe.recv() for pipe in pipes) - began)


class Crash(Message[None], frozen=True):
    """Ask the actor to crash."""


class Crasher(Actor):
    """Says when it is up, crashes on demand."""

    up = threading.Semaphore(0)

    def on_start(self) -> None:
        Crasher.up.release()

    @on(Crash)
    def crash(self, _message: Crash) -> None:
        raise ValueError("crashed")


class Storm:
    """One actor that crashes as fast as it is restarted, with a tap that nobody reads."""

    def __init__(self, folder: Path) -> None:
        self.system = ActorSystem("bench")
        self._reactor = Reactor("storm")
        endpoint = f"ipc://{folder}/storm.sock"
        self.publisher = TapPublisher(self._reactor, endpoint, self.system.bus, node="bench", epoch="1")
        services = Services(self.system, {"pool": LocalLauncher(self.system, "pool")})
        spec = SupervisorSpec(intensity=10**6, period=1.0, children=(ChildSpec("a", LocalStart(Crasher)),))
        Subtree(lambda _outcome: None).run(spec, "/", services, Incarnation())
        Crasher.up.acquire()

    def share(self) -> float:
        """Return the share of the processor's time that went into numbering events."""
        before, cpu = self.publisher.statistics().seen, time.process_time()
        for _ in range(CRASHES):
            while (ref := self.system.registry.get("/a")) is None or ref.generation == 0:
                time.sleep(0)
            ref.tell(Crash())
            Crasher.up.acquire()
        seconds = time.process_time() - cpu
        events = self.publisher.statistics().seen - before
        return 100 * events * numbering(self.publisher) / seconds


def numbering(publisher: TapPublisher) -> float:
    """Return the processor seconds that one event costs in a tap without readers."""
    events: list[Event] = [ActorStateChanged(0.0, path, 1, "running") for path in PATHS]
    take, first = publisher._on_event, 10**9
    cpu = time.process_time()
    for n in range(NUMBERED):
        take(first + n, events[n % len(events)])
    with_it = time.process_time() - cpu
    cpu = time.process_time()
    for n in range(NUMBERED):
        _nothing(first + n, events[n % len(events)])
    return (with_it - (time.process_time() - cpu)) / NUMBERED


def _nothing(_seq: int, _event: Event) -> None:
    return


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "", 5)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="tap") as name:
        folder = Path(name)
        ours, raw, full = (f"ipc://{folder}/{word}.sock" for word in ("ours", "raw", "full"))
        sides = Ours(ours), Raw(raw), Ours(full)
        with readers(light, ours) as a, readers(light, raw) as b, readers(whole, full) as c:
            for side in sides:
                side.wait_subscribed()
            rates = interleave(
                options.rounds,
                {
                    "ours": lambda: sides[0].measure(a),
                    "raw": lambda: sides[1].measure(b),
                    "whole": lambda: sides[2].measure(c),
                },
            )
        shares = interleave(options.rounds, {"share": Storm(folder).share})["share"]
    mine, bare, decoding = (Spread.of(rates[name]) for name in ("ours", "raw", "whole"))
    ratio, share = ratios(rates["ours"], rates["raw"]), Spread.of(shares)
    rows = [
        Row("to 4 readers, light", ">= 200,000/s", mine.median >= 200_000, mine, bare, ratio, "/s"),
        Row("to 4 readers that decode", "", None, decoding, bare, ratios(rates["whole"], rates["raw"]), "/s"),
        Row("share of a crash loop, no reader", "< 2 %", share.median < 2.0, share, None, None, "%"),
    ]
    report("Event taps; plain is raw pyzmq", "taps", rows, keep=not options.no_save)
    sys.stdout.flush()
    os._exit(0)  # threads and actors are left as they are


if __name__ == "__main__":
    main()
