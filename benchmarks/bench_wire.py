"""What do messages between processes cost, beside the same over bare pyzmq?

    tell     100-byte messages to the handler of an actor in another process, until the last one was handled;
             beside it bare pyzmq: the same bytes, one message each, DEALER to DEALER over ipc, until all were counted
    acked    the same, acknowledged end to end: behind each thousand goes an ask, whose answer says that all before it
             were handled, since order is kept; at most eight thousand are not acknowledged at any time
    ask      one at a time, by a thread that is not the main one, as actors do; beside it one DEALER that sends and a
             ROUTER that answers
    work     handlers that compute, in two processes at once; beside it the same work in one (not pinned)

Both sides of each pair run in turn, in the same run, on one core unless `--free` is given.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import zmq
from measuring import interleave, percentile, pin, ratios, save, say
from wiring import Count, Echo, Parcel, Sink, Work

from actors.core.outcomes import Incarnation, Started
from actors.core.system import ActorSystem
from supervisors.children import LaunchRequest
from supervisors.processes.host import ProcessLauncher
from supervisors.specs import ChildSpec, ImportStart

MESSAGES = 50_000
ACKED_EACH, UNACKED_MAX = 1_000, 8
ASKS = 2_000
ROUNDS = 7
TIMEOUT = 120.0
BODY = bytes(100)
WORK = 4_000_000

RAW = """
import sys, zmq
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.setsockopt(zmq.RCVHWM, 0)
socket.connect(sys.argv[1])
socket.send(b"up")
count = 0
while True:
    body = socket.recv()
    if body == b"count":
        socket.send(str(count).encode())
    elif body[:4] == b"echo":
        socket.send(body)
    else:
        count += 1
"""


class Ours:
    """Actors in processes of their own."""

    def __init__(self, run: Path) -> None:
        self._system = ActorSystem("bench")
        self._launcher = ProcessLauncher(self._system, run)
        self.refs = [self._start(f"/sink{number}") for number in range(2)]
        self._sent = 0

    def tell(self) -> float:
        """Return messages per second, handled."""
        ref, message = self.refs[0], Parcel(BODY)
        began = time.perf_counter()
        for _ in range(MESSAGES):
            ref.tell(message)
        self._sent += MESSAGES
        count = ref.ask(Count(), timeout=TIMEOUT)
        took = time.perf_counter() - began
        assert count == self._sent, f"{count} of {self._sent} were handled"
        return MESSAGES / took

    def acked(self) -> float:
        """Return messages per second, each acknowledged by the answer to an ask behind it."""
        ref, message = self.refs[0], Parcel(BODY)
        owed: deque[Any] = deque()
        began = time.perf_counter()
        for sent in range(1, MESSAGES + 1):
            ref.tell(message)
            if sent % ACKED_EACH == 0:
                owed.append((self._sent + sent, ref.ask(Count(), block=False, timeout=TIMEOUT)))
                if len(owed) > UNACKED_MAX:
                    self._check(*owed.popleft())
        self._sent += MESSAGES
        for count, answer in owed:
            self._check(count, answer)
        return MESSAGES / (time.perf_counter() - began)

    def _check(self, sent: int, answer: Any) -> None:
        count = answer.get(timeout=TIMEOUT)
        assert count == sent, f"{count} of {sent} were acknowledged"

    def ask(self) -> list[float]:
        """Return seconds for each of `ASKS` asks."""
        found: list[list[float]] = []
        asker = threading.Thread(target=lambda: found.append(self._ask()))
        asker.start()
        asker.join()
        return found[0]

    def _ask(self) -> list[float]:
        ref, message = self.refs[0], Echo(BODY)
        took: list[float] = []
        for _ in range(ASKS):
            began = time.perf_counter()
            ref.ask(message, timeout=TIMEOUT)
            took.append(time.perf_counter() - began)
        return took

    def work(self, processes: int) -> float:
        """Return units of work per second, in so many processes at once."""
        began = time.perf_counter()
        futures = [self.refs[at % processes].ask(Work(WORK), block=False, timeout=TIMEOUT) for at in range(4)]
        for future in futures:
            future.get(timeout=TIMEOUT)
        return 4 / (time.perf_counter() - began)

    def close(self) -> None:
        """End everything."""
        self._launcher.close()
        self._system.shutdown()

    def _start(self, path: str) -> Any:
        outcomes: queue.Queue[Any] = queue.Queue()
        spec = ChildSpec(path[1:], ImportStart(f"{Sink.__module__}:{Sink.__qualname__}"), runs_in="process")
        self._launcher.launch(LaunchRequest(path, spec, Incarnation()), outcomes.put)
        outcome = outcomes.get(timeout=TIMEOUT)
        assert isinstance(outcome, Started), outcome
        return outcome.ref


class Raw:
    """The same over bare sockets."""

    def __init__(self, folder: Path) -> None:
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        endpoint = f"ipc://{folder}/raw.sock"
        self._socket.bind(endpoint)
        self._process = subprocess.Popen([sys.executable, "-c", RAW, endpoint])
        assert self._socket.recv() == b"up"
        self._sent = 0

    def tell(self) -> float:
        """Return messages per second, counted at the other end."""
        send, body = self._socket.send, BODY
        began = time.perf_counter()
        for _ in range(MESSAGES):
            send(body)
        self._sent += MESSAGES
        send(b"count")
        count = int(self._socket.recv())
        took = time.perf_counter() - began
        assert count == self._sent
        return MESSAGES / took

    def ask(self) -> list[float]:
        """Return seconds for each of `ASKS` round trips."""
        body = b"echo" + BODY
        took: list[float] = []
        for _ in range(ASKS):
            began = time.perf_counter()
            self._socket.send(body)
            self._socket.recv()
            took.append(time.perf_counter() - began)
        return took

    def close(self) -> None:
        """End the other side."""
        self._process.kill()
        self._process.wait()
        self._socket.close(0)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--free", action="store_true", help="do not pin to one core")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    pinned = not options.free and pin()
    result: dict[str, Any] = {"pinned": pinned, "rounds": options.rounds}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ours, raw = Ours(Path(folder) / "run"), Raw(Path(folder))
        tells = interleave(options.rounds, {"ours": ours.tell, "acked": ours.acked, "raw": raw.tell})
        asks: dict[str, list[float]] = {"ours": [], "raw": []}

        def asking(name: str, side: Ours | Raw) -> float:
            took = [seconds * 1e6 for seconds in side.ask()]
            asks[name] += took
            return statistics.median(took)

        medians = interleave(options.rounds, {"ours": lambda: asking("ours", ours), "raw": lambda: asking("raw", raw)})
        ours.close()
        raw.close()
        if allowed:
            os.sched_setaffinity(0, allowed)  # threads and processes made from here on use every core
        two = Ours(Path(folder) / "run2")
        works = interleave(3, {"two": lambda: two.work(2), "one": lambda: two.work(1)})
        two.close()
    share = ratios(tells["ours"], tells["raw"]).median
    say(f"tell, 100 B, handled ({'one core' if pinned else 'free'})")
    for name, values in tells.items():
        say(f"  {name:5} {statistics.median(values):10,.0f}/s  [{min(values):,.0f}..{max(values):,.0f}]")
    acked = ratios(tells["acked"], tells["ours"]).median
    say(f"  {share:.0%} of bare pyzmq (target 60 %); acknowledged {acked:.0%} of unacknowledged (target 90 %)")
    times = ratios(medians["ours"], medians["raw"]).median
    say("ask, one at a time")
    for name, values in asks.items():
        say(f"  {name:5} p50 {statistics.median(values):7.1f} us  p99 {percentile(values, 0.99):7.1f} us")
    say(f"  p50 {times:.2f} x bare pyzmq (target 1.35)")
    speedup = ratios(works["two"], works["one"]).median
    say(f"work in two processes: {speedup:.2f} x one (target 1.7)")
    result |= {"tell": tells, "tell_share": share, "acked_share": acked, "ask_medians": medians, "ask_ratio": times}
    result |= {"ask_p99": {name: percentile(values, 0.99) for name, values in asks.items()}}
    result |= {"work": works, "work_ratio": speedup}
    save("wire", result)


if __name__ == "__main__":
    main()
