"""Three levels of subtree processes under load, killed, stopped and continued at random.

A round strikes one to six times, at whatever runs or is about to, then waits. In every round: every message is answered
or fails, what was answered was done exactly once, nothing is left of an ended process, and the tree is whole again.
`TRIAL_STRIKES` says how many strikes at least (the suite deals a few, `make trial-subtrees` 1,000), `FAULT_SEED` in
which order, `TRIAL_RECORD` the file that a clean trial is written to.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import platform
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.process_actors import Note
from support.processes import is_alive
from support.subtrees import Watched, apart, running, worker
from support.waiting import until

from actors import ActorExitedError, AskTimeoutError
from actors.errors import MailboxFullError
from supervisors.specs import ChildSpec, Heartbeat
from supervisors.views import NodeState

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.faults

STRIKES = int(os.environ.get("TRIAL_STRIKES", "10"))
BURST = 6
"""Strikes of a round at most."""
RECORD = os.environ.get("TRIAL_RECORD", "")
SEED = int(os.environ.get("FAULT_SEED", "7"))
PATHS = ("/one/a", "/one/two/b", "/one/two/three/c")
SUBTREES = ("/one", "/one/two", "/one/two/three")
NODES = 7
ROUND_TIMEOUT = 180.0
FAILURES = (ActorExitedError, AskTimeoutError, MailboxFullError)
"""What a message may meet in place of an answer."""


def tree_of(folder: Path) -> ChildSpec:
    def ledger(id: str) -> ChildSpec:
        return worker(id, "Ledger", kwargs={"path": str(folder / f"{id}.txt")})

    beat = Heartbeat(0.5, 5)
    three = apart("three", ledger("c"), intensity=10**6, heartbeat=beat)
    two = apart("two", ledger("b"), three, intensity=10**6, heartbeat=beat)
    return apart("one", ledger("a"), two, intensity=10**6, heartbeat=beat)


class Load:
    """Asks every actor again and again, and notes what came of each message."""

    def __init__(self, tree: Watched) -> None:
        self._tree = tree
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self.answered: dict[str, set[int]] = {path: set() for path in PATHS}
        self.failed: Counter[str] = Counter()
        self.odd: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(path,)) for path in PATHS]
        for thread in self._threads:
            thread.start()

    def _run(self, path: str) -> None:
        ref = self._tree.tree.ref(path)
        while not self._over.is_set():
            number = next(self._numbers)
            try:
                assert ref.ask(Note(number), timeout=5.0) == number
                self.answered[path].add(number)
            except FAILURES as error:
                self.failed[type(error).__name__] += 1
                self._over.wait(0.002)
            except BaseException as error:
                self.odd.append(error)
                return

    def went_on(self, before: dict[str, int]) -> bool:
        """Whether every actor has answered more messages than `before`; fails where one was answered wrongly."""
        assert not self.odd, self.odd
        return all(len(self.answered[path]) > before[path] for path in PATHS)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60.0)
        assert not any(thread.is_alive() for thread in self._threads), "a message was never answered"


def whole(tree: Watched) -> bool:
    nodes = tree.nodes()
    return len(nodes) == NODES and all(node.state is NodeState.READY for node in nodes.values())


def bootstraps() -> set[int]:
    """The processes below this one that run a subtree."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if "supervisors.processes.bootstrap" in process.cmdline() and is_alive(process):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def is_tidy(tree: Watched) -> bool:
    """Whether the tree is whole and its subtree processes are all there are."""
    nodes = tree.nodes()
    return whole(tree) and bootstraps() == {nodes[path].pid for path in SUBTREES if path in nodes}


def strike(chance: random.Random) -> str:
    """Do something to one of the processes and return what; nothing where it has ended by itself meanwhile."""
    below = sorted(bootstraps())
    if not below:
        return ""
    process = psutil.Process(chance.choice(below))
    action = chance.choices(("kill", "pause", "hang"), (6, 3, 1))[0]
    if action == "kill":
        process.send_signal(signal.SIGKILL)
    else:
        process.send_signal(signal.SIGSTOP)
    if action == "pause":
        threading.Event().wait(chance.uniform(0.0, 0.2))
        process.send_signal(signal.SIGCONT)
    return action  # what hangs has to be ended by its missed heartbeats, or with what is above it


def burst(chance: random.Random) -> list[str]:
    """Strike some times, one soon after the other; return what was done."""
    done = []
    for _ in range(chance.randint(1, BURST)):
        with suppress(psutil.NoSuchProcess):
            done.append(strike(chance))
        threading.Event().wait(chance.choice((0.0, 0.02, 0.5)) * chance.random())
    return [action for action in done if action]


@pytest.mark.timeout(ROUND_TIMEOUT * (STRIKES + 1))
def test_nothing_is_lost_left_or_wrong_whatever_is_killed_stopped_and_continued(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    done: list[str] = []
    began, rounds = time.monotonic(), 0
    own = psutil.Process()
    with running(tree_of(tmp_path), run=tmp_path / "run", intensity=10**6) as tree:
        load = Load(tree)
        descriptors, threads = [], []
        try:
            while len(done) < STRIKES:
                before = {path: len(found) for path, found in load.answered.items()}
                dealt = burst(chance)
                done += dealt
                rounds += 1
                last = f"round {rounds}: {' '.join(dealt)}"
                until(lambda: whole(tree), ROUND_TIMEOUT, what=f"the whole tree after {last}")
                until(lambda before=before: load.went_on(before), ROUND_TIMEOUT, what=f"answers after {last}")  # type: ignore[misc]
                until(lambda: is_tidy(tree), ROUND_TIMEOUT, what=f"a whole tree and no other process after {last}")
                descriptors.append(own.num_fds())
                threads.append(own.num_threads())
                logger.info("%.0f s, %s; %d of %d", time.monotonic() - began, last, len(done), STRIKES)
        finally:
            load.stop()
        assert max(descriptors[len(descriptors) // 2 :]) <= descriptors[0] + 20, descriptors
        assert max(threads[len(threads) // 2 :]) <= threads[0] + 20, threads
    assert not load.odd, load.odd
    for path in PATHS:
        written = Counter(map(int, (tmp_path / f"{path[-1]}.txt").read_text().split()))
        assert load.answered[path] <= set(written), f"an answered message of {path} was not done"
        assert max(written.values()) == 1, f"a message of {path} was done twice"
    assert list((tmp_path / "run").glob("*.sock")) == []
    if RECORD:
        record = {
            "strikes": len(done),
            "rounds": rounds,
            "by_kind": Counter(done),
            "seed": SEED,
            "seconds": round(time.monotonic() - began),
            "processes": "three levels of subtrees, one actor each",
            "answered_and_done_exactly_once": {path: len(found) for path, found in load.answered.items()},
            "failed": load.failed,
            "descriptors": {"first": descriptors[0], "last": descriptors[-1], "most": max(descriptors)},
            "threads": {"first": threads[0], "last": threads[-1], "most": max(threads)},
            "machine": platform.platform(),
            "python": platform.python_version(),
        }
        Path(RECORD).write_text(json.dumps(record, indent=1) + "\n")
