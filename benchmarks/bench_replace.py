"""How long is a process child away when it is killed, and what does its replacement cost in memory?

`kill -9` of a supervised process child, to the answer of the next instance to its first message, by hand-over to a
spare. Beside it, in turn, in the same run:

    floor      kill a process of the same size, notice its end by pidfd, fork a small process, hear its first byte
    new        the same child without spares: a new interpreter with its imports
    popen      without any of this: subprocess, the same imports, and one answer over a ZeroMQ socket

Everything runs on one core unless `--free` is given.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from measuring import percentile, pin, save, say
from replaceable import Answering, Ping

from actors.core.outcomes import Incarnation
from actors.core.system import ActorSystem
from actors.errors import ActorExitedError
from actors.events import ActorStarted
from supervisors.processes.host import ProcessLauncher
from supervisors.processes.measures import own_bytes
from supervisors.specs import ChildSpec, ImportStart, SupervisorSpec
from supervisors.supervisor import Services, Subtree

ROUNDS = 100
TIMEOUT = 30.0
IMPORTS = "import supervisors.processes.childside"


class Family:
    """A supervisor with one process child."""

    def __init__(self, name: str, run: Path, spares: int) -> None:
        self._system = ActorSystem(name)
        self._launcher = ProcessLauncher(self._system, run, name=name)
        self._spares = spares
        self._started: threading.Event = threading.Event()
        self.origins: dict[str, int] = {}
        self._system.bus.subscribe(lambda _number, _event: self._started.set(), (ActorStarted,))
        services = Services(self._system, {"process": self._launcher})
        start = ImportStart(f"{Answering.__module__}:{Answering.__qualname__}")
        child = ChildSpec("one", start, runs_in="process", spares=spares)
        self._root = Subtree(lambda _outcome: None)
        self._root.run(SupervisorSpec(intensity=10**6, period=1.0, children=(child,)), "/", services, Incarnation())
        assert self._started.wait(TIMEOUT)
        self.ref = self._system.ref("/one")
        self.pid = self.ref.ask(Ping(), timeout=TIMEOUT)
        self._settle()

    def replace(self) -> float:
        """Kill the child; return the seconds until the next one answered its first message."""
        self._started.clear()
        began = time.perf_counter()
        os.kill(self.pid, signal.SIGKILL)
        assert self._started.wait(TIMEOUT)
        while True:
            try:
                pid = self.ref.ask(Ping(), timeout=TIMEOUT)
                break
            except ActorExitedError:
                continue
        took = time.perf_counter() - began
        assert pid != self.pid
        self.pid = pid
        origin = self._launcher.spare_figures("/one").origin
        self.origins[origin] = self.origins.get(origin, 0) + 1
        self._settle()
        return took

    def sizes(self) -> tuple[int, list[int]]:
        """Memory of their own, of the child and of the spares."""
        spares = [spare.process.pid for spare in self._launcher.spares._spares.values()]
        return own_bytes(self.pid), [own_bytes(pid) for pid in spares]

    def close(self) -> None:
        """End everything."""
        self._launcher.close()
        self._system.shutdown()

    def _settle(self) -> None:
        while self._launcher.spare_figures().waiting < self._spares:
            time.sleep(0.01)
        time.sleep(0.02)


class Floor:
    """What no supervisor can beat: the end noticed by pidfd, and a fork of a small process that is told to.

    The victim has loaded what a process child has; the one that forks is small and has one thread.
    """

    VICTIM = f"{IMPORTS}; import os, time; os.write(1, b'u'); time.sleep(600)"
    FORKER = (
        f"{IMPORTS}\nimport gc, os, signal\ngc.collect(); gc.freeze()\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.write(1, b'u')\nwhile os.read(0, 1):\n    if os.fork() == 0:\n"
        "        os.write(1, b'f')\n        os._exit(0)\n"
    )

    def __init__(self) -> None:
        self._forker = self._run(self.FORKER)
        self._victim = self._run(self.VICTIM)

    def replace(self) -> float:
        victim = self._victim
        fd = os.pidfd_open(victim.pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        began = time.perf_counter()
        os.kill(victim.pid, signal.SIGKILL)
        poll.poll()
        os.write(self._forker.stdin.fileno(), b".")
        os.read(self._forker.stdout.fileno(), 1)
        took = time.perf_counter() - began
        os.close(fd)
        victim.wait()
        victim.stdout.close()
        self._victim = self._run(self.VICTIM)
        return took

    def close(self) -> None:
        for process in (self._victim, self._forker):
            process.kill()
            process.wait()

    def _run(self, code: str) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=HERE
        )
        os.read(process.stdout.fileno(), 1)  # type: ignore[union-attr]  # it is a pipe
        return process


HERE = Path(__file__).parent.parent


class Popen:
    """The way without spares or supervisor: start a program with the imports, and ask it over a socket."""

    CODE = (
        f"{IMPORTS}; import sys, zmq; s = zmq.Context.instance().socket(zmq.DEALER); s.connect(sys.argv[1])\n"
        "s.send(b'up')\nwhile True: s.send(s.recv())"
    )

    def __init__(self, folder: Path) -> None:
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._endpoint = f"ipc://{folder}/popen.sock"
        self._socket.bind(self._endpoint)
        self._process = self._start()

    def replace(self) -> float:
        began = time.perf_counter()
        self._process.kill()
        self._process.wait()
        self._process = self._start()
        return time.perf_counter() - began

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close(0)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", self.CODE, self._endpoint], cwd=HERE)
        identity, _ = self._socket.recv_multipart()
        self._socket.send_multipart([identity, b"ping"])
        self._socket.recv_multipart()
        return process


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--free", action="store_true", help="do not pin to one core")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    pinned = not options.free and pin()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        warm, cold = Family("warm", Path(folder) / "run", 1), Family("cold", Path(folder) / "run", 0)
        floor, popen = Floor(), Popen(Path(folder))
        subjects: dict[str, Callable[[], float]] = {
            "spare": warm.replace,
            "floor": floor.replace,
            "new": cold.replace,
            "popen": popen.replace,
        }
        every = {"spare": 1, "floor": 1, "new": 5, "popen": 5}  # the slow ones need fewer to be known
        figures: dict[str, list[float]] = {name: [] for name in subjects}
        for number in range(-3, options.rounds):
            for name, subject in subjects.items():
                if number % every[name] == 0:
                    took = subject()
                    if number >= 0:
                        figures[name].append(took * 1000)
        child, spares = warm.sizes()
        plain, _ = cold.sizes()
        origins = dict(warm.origins)
        for closing in (warm, cold, floor, popen):
            closing.close()
    result: dict[str, Any] = {"pinned": pinned, "rounds": options.rounds, "origins": origins}
    say(f"kill -9 to the first answer, ms ({'one core' if pinned else 'free'}, {origins})")
    for name, values in figures.items():
        p50, p99 = statistics.median(values), percentile(values, 0.99)
        say(f"  {name:6} p50 {p50:7.2f}  p99 {p99:7.2f}  min {min(values):7.2f}  max {max(values):7.2f}")
        result[name] = {"p50": p50, "p99": p99, "min": min(values), "max": max(values), "values": values}
    beside = statistics.median(figures["spare"]) / statistics.median(figures["floor"])
    faster = statistics.median(figures["popen"]) / statistics.median(figures["spare"])
    say(f"  spare is {beside:.2f} x the floor; subprocess with imports takes {faster:.1f} x as long")
    say(f"memory of their own: spare {max(spares) / 1e6:.1f} MB, child that was one {child / 1e6:.1f} MB, ")
    say(f"                     child in a new interpreter {plain / 1e6:.1f} MB")
    result |= {"x_floor": beside, "popen_x": faster}
    result |= {"spare_bytes": max(spares), "child_bytes": child, "new_child_bytes": plain}
    save("replace", result)


if __name__ == "__main__":
    main()
