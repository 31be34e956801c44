"""What do envelopes, sockets, control calls and taps cost, beside the bare libraries in the same rounds?

    python benchmarks/bench_codec.py [--free]

Pinned to one core unless `--free`. "Bare" is msgpack on a dict for envelopes, pyzmq with one message a frame for
tells, a pyzmq DEALER and ROUTER for control calls, and a bus without a tap for publishing.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import zmq
from measuring import Spread, interleave, percentile, pin, ratios, save, say

from actors.core.bus import EventBus
from actors.events import MetricSampled
from transport.codec import join_frame, pack_envelope, unpack_frame
from transport.control.client import ControlClient
from transport.control.server import ControlServer
from transport.envelope import Kind, envelope
from transport.limits import REQUEST_LIMITS, check
from transport.reactor import Reactor
from transport.sockets import Full, SocketSpec
from transport.taps import TapPublisher, TapReader

ROUNDS = 7
TELLS = 100_000
CALLS = 2_000
PAYLOAD = msgpack.packb({"label": "INBOX", "n": 5, "items": ["a"] * 5, "ratio": 1.5})
TELL = envelope(Kind.TELL, "/io/gmail", "app.messages:Fetch", PAYLOAD)
BARE = {"v": 1, "kind": 1, "target": "/io/gmail", "type": "app.messages:Fetch", "payload": PAYLOAD}
FRAME = join_frame([pack_envelope(TELL)] * 256)
BARE_FRAME = msgpack.packb([BARE] * 256)


def timed(work: Callable[[], object], times: int) -> float:
    """Return the microseconds one call takes."""
    since = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - since) / times * 1e6


def codec() -> dict[str, Callable[[], float]]:
    """Microseconds an envelope."""
    return {
        "pack": lambda: timed(lambda: pack_envelope(TELL), 20_000),
        "pack_bare": lambda: timed(lambda: msgpack.packb(BARE), 20_000),
        "unpack": lambda: timed(lambda: unpack_frame(FRAME), 100) / 256,
        "unpack_bare": lambda: timed(lambda: msgpack.unpackb(BARE_FRAME), 100) / 256,
        "check": lambda: timed(lambda: check(FRAME, REQUEST_LIMITS), 100) / 256,
    }


def tell(endpoint: str) -> float:
    """Envelopes a second from a sender's process to the receiver's reactor, decoded there."""
    done, seen = threading.Event(), [0]

    def received(socket: Any, frames: list[bytes]) -> None:
        seen[0] += len(unpack_frame(frames[0]))
        if seen[0] >= TELLS:
            done.set()

    reactor = Reactor("receiver")
    reactor.open(SocketSpec(zmq.PAIR, bind=endpoint, receive_high_water=0), received)
    sender = multiprocessing.get_context("fork").Process(target=_send, args=(endpoint,))
    sender.start()
    since = time.perf_counter()
    done.wait(120)
    rate = TELLS / (time.perf_counter() - since)
    sender.join()
    reactor.close()
    return rate


def _send(endpoint: str) -> None:
    reactor = Reactor("sender")
    spec = SocketSpec(zmq.PAIR, connect=endpoint, join=join_frame, full=Full.BLOCK, linger=60.0)
    socket = reactor.open(spec, lambda *_: None)
    for _ in range(TELLS):
        socket.send(pack_envelope(TELL))
    reactor.close(60)


def tell_bare(endpoint: str) -> float:
    """Messages a second from process to process by pyzmq alone, undecoded."""
    sender = multiprocessing.get_context("fork").Process(target=_send_bare, args=(endpoint,))
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.rcvhwm = 0
        socket.bind(endpoint)
        sender.start()
        since = time.perf_counter()
        for _ in range(TELLS):
            socket.recv()
        rate = TELLS / (time.perf_counter() - since)
        sender.join()
    return rate


def _send_bare(endpoint: str) -> None:
    data = pack_envelope(TELL)
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.connect(endpoint)
        for _ in range(TELLS):
            socket.send(data)


def call(endpoint: str) -> float:
    """Median microseconds of a control call, client and node in one process."""
    reactor = Reactor("node")
    ControlServer(reactor, endpoint, lambda request, responder: responder.reply(request.args))
    with ControlClient(endpoint) as client:
        times = [timed(lambda: client.call("echo", {"path": "/io"}), 1) for _ in range(CALLS)]
    reactor.close()
    return percentile(times, 0.5)


def call_bare(endpoint: str) -> float:
    """The same by pyzmq alone."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        router.bind(endpoint)
        dealer.connect(endpoint)

        def serve() -> None:
            for _ in range(CALLS):
                router.send_multipart(router.recv_multipart())

        server = threading.Thread(target=serve)
        server.start()

        def round_trip() -> None:
            dealer.send(b"x" * 100)
            dealer.recv()

        times = [timed(round_trip, 1) for _ in range(CALLS)]
        server.join()
    return percentile(times, 0.5)


def publish(endpoint: str, reader: str) -> float:
    """Microseconds that publishing one event takes the publishing thread."""
    bus, reactor = EventBus(), Reactor("taps")
    event = MetricSampled(0.0, "/io/gmail", "m", 1.0, "count")
    if reader != "bare":
        TapPublisher(reactor, endpoint, bus, node="n", epoch="1")
    taps = [TapReader(endpoint)] if reader == "one" else []
    took = timed(lambda: bus.publish(event), 5_000)
    for tap in taps:
        tap.close()
    reactor.close()
    return took


def main() -> None:
    """Measure, print and keep."""
    pinned = "--free" not in sys.argv and pin()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        endpoint = f"ipc://{Path(folder)}/s"
        figures = interleave(
            ROUNDS,
            {
                **codec(),
                "tell": lambda: tell(endpoint),
                "tell_bare": lambda: tell_bare(endpoint),
                "call": lambda: call(endpoint),
                "call_bare": lambda: call_bare(endpoint),
                "publish_nobody": lambda: publish(endpoint, "nobody"),
                "publish_one": lambda: publish(endpoint, "one"),
                "publish_bare": lambda: publish(endpoint, "bare"),
            },
        )
    say(f"{'pinned to one core' if pinned else 'free'}, {ROUNDS} rounds: median [lowest..highest]")
    for name, unit, bare in (
        ("pack", "us an envelope", "pack_bare"),
        ("unpack", "us an envelope", "unpack_bare"),
        ("check", "us an envelope", ""),
        ("tell", "envelopes/s", "tell_bare"),
        ("call", "us p50", "call_bare"),
        ("publish_nobody", "us an event", "publish_bare"),
        ("publish_one", "us an event", "publish_bare"),
    ):
        values = figures[name]
        beside = ""
        if bare:
            beside = f"   x {ratios(values, figures[bare]).show()} of bare {Spread.of(figures[bare]).show()}"
        say(f"{name:15} {Spread.of(values).show(unit):50}{beside}")
    save("codec", {"pinned": pinned, "rounds": ROUNDS, "figures": figures})


if __name__ == "__main__":
    main()
