"""Killed at any moment: no orphan, no answer that never comes, no descriptor, thread, socket or directory left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from support.launching import launching
from support.process_actors import Add, Do, Facts, Get
from support.processes import TIMEOUT, first_line, halt, instance, is_alive, process, wait_gone
from support.waiting import until

from actors import ActorExitedError, Exited, Incarnation, Started, StartFailed
from supervisors.processes import marks
from supervisors.specs import Heartbeat

pytestmark = pytest.mark.faults

TESTS = Path(__file__).parent.parent

PARENT = """
import json, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from support.launching import Launching
from support.process_actors import Do, Facts
from support.waiting import until
host = Launching(Path({run!r}))
children = [host.start("Parent", f"/work/n{{n}}", spares=1) for n in range(3)] + [host.start("Counter", "/work/hung")]
refs = [child.started() for child in children]
pids = [child.handle.pid for child in children]
for ref in refs[:3]:
    pids += map(int, ref.ask(Facts())["pids"].split())
refs[3].tell(Do("hold_interpreter"))
try:
    refs[3].ask(Do("never"), timeout=0.5)
except TimeoutError:
    pass
until(lambda: host.launcher.spare_figures().waiting >= 1)
pids += [spare.process.pid for spare in host.launcher.spares._spares.values()]
pids.append(host.launcher.spare_figures().nursery)
print(json.dumps({{"warden": host.launcher._warden.pid, "pids": pids, "mark": host.launcher.mark}}), flush=True)
import time
time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path):
    """A process with a launcher, four children (one hung in C code), what three of them started, spare and nursery."""
    code = PARENT.format(tests=str(TESTS), run=str(tmp_path / "run"))
    with process(code, cwd=str(TESTS.parent)) as made:
        facts = json.loads(first_line(made))
        family = [instance(pid) for pid in facts["pids"]]
        assert all(map(is_alive, family))
        yield made, instance(facts["warden"]), family, facts["mark"]
        for left in [*family, *instances(facts["warden"])]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def instances(*pids: int) -> list[psutil.Process]:
    """Those of the processes that are still there."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(instance(pid))
    return found


def test_nothing_outlives_a_launcher_that_was_killed(parent):
    launcher, warden, family, mark = parent

    launcher.kill()

    assert wait_gone(*family, warden) == []
    assert marks.marked(mark) == []


def test_children_end_with_their_launcher_even_when_its_warden_was_killed_before(parent, tmp_path):
    launcher, warden, family, mark = parent
    halt(launcher.pid)  # so that it cannot start another warden
    warden.kill()
    assert wait_gone(warden) == []

    launcher.kill()

    assert wait_gone(*family[:4]) == []
    with launching(tmp_path / "run"):  # the next launcher of the same directory ends what is left
        assert marks.marked(mark) == []
        assert wait_gone(*family) == []


def test_a_launcher_starts_another_warden_when_its_own_is_killed(tmp_path):
    with launching(tmp_path / "run") as host:
        host.start("Counter").started()
        first = instance(host.launcher._warden.pid)
        first.kill()

        until(lambda: host.launcher.statistics().wardens >= 2)

        assert is_alive(instance(host.launcher._warden.pid))


def test_a_stopped_child_is_silent_and_is_killed(tmp_path):
    with launching(tmp_path / "run") as host:
        child = host.start("Counter", heartbeat=Heartbeat(1.0, 4))
        child.started()

        halt(child.handle.pid)

        assert child.exited().detail == "heartbeat-missed"


@pytest.mark.parametrize("seed", range(3))
def test_a_child_killed_at_any_moment_of_its_start_is_one_failed_start_or_one_exit(tmp_path, seed):
    chance = random.Random(seed)
    with launching(tmp_path / "run") as host:
        for n in range(8):
            child = host.start("Counter", incarnation=Incarnation(n + 1))
            until(lambda child=child: child.handle.pid is not None)
            killer = threading.Timer(chance.uniform(0.0, 0.3), os.kill, (child.handle.pid, signal.SIGKILL))
            killer.start()
            outcome = child.outcome()
            if isinstance(outcome, Started):
                outcome = child.outcome()
                assert isinstance(outcome, Exited)
            else:
                assert isinstance(outcome, StartFailed)
            killer.join()
            assert outcome.reason.detail == "signal SIGKILL"
            assert child.outcomes.empty()


def test_every_ask_is_answered_whenever_its_process_is_killed(tmp_path):
    chance = random.Random(7)
    with launching(tmp_path / "run") as host:
        children = [host.start("Counter", f"/work/n{n}") for n in range(6)]
        refs = [child.started() for child in children]
        answers = []
        victims = chance.sample(range(6), 4)
        for n in range(6_000):
            answers.append((n % 6, refs[n % 6].ask(Add(1), block=False)))
            if n and n % 1_000 == 0 and victims:
                os.kill(children[victims[-1]].handle.pid, signal.SIGKILL)
                children[victims.pop()].exited()

        handled = [0] * 6
        for which, answer in answers:
            try:
                assert answer.get(timeout=TIMEOUT) == handled[which] + 1
                handled[which] += 1
            except ActorExitedError:
                assert children[which].handle.ref is None
        for child, ref, count in zip(children, refs, handled, strict=True):
            if child.handle.ref is not None:
                assert len(ref.ask(Get())) == count == 1_000


def test_what_a_crashed_child_left_behind_is_gone_before_its_end_is_reported(tmp_path):
    with launching(tmp_path / "run") as host:
        for n in range(3):
            child = host.start("Parent", incarnation=Incarnation(n + 1))
            pids = [int(pid) for pid in child.started().ask(Facts())["pids"].split()]
            family = [instance(pid) for pid in pids]

            child.handle.ref.tell(Do("exit_3"))
            os.kill(child.handle.pid, signal.SIGSEGV)
            child.exited()

            assert not any(map(is_alive, family))


def facts_of_this_process() -> tuple[int, int, list[str]]:
    return len(os.listdir("/proc/self/fd")), threading.active_count(), [p.name() for p in psutil.Process().children()]


def test_fifty_starts_and_kills_leave_nothing(tmp_path):
    with launching(tmp_path / "run") as host:
        host.start("Counter", "/work/other").started()
        child = host.start("Counter")
        child.started()
        child.handle.kill()
        child.exited()
        before = facts_of_this_process()
        for n in range(50):
            child = host.start("Counter", incarnation=Incarnation(n + 2))
            if n % 3:
                child.started().ask(Add(1))
            if n % 2:
                child.handle.kill()
            else:
                until(lambda child=child: child.handle.pid is not None)
                os.kill(child.handle.pid, signal.SIGKILL)
            while not isinstance(child.outcome(), Exited | StartFailed):
                continue

        until(lambda: facts_of_this_process() == before, what=f"{before} of this process again")
        until(lambda: host.launcher.statistics().children == 1)
        until(lambda: len(host.launcher._door._by_identity) == 1)
        until(lambda: os.listdir(tmp_path / "run") == ["processes.sock"])
    assert os.listdir(tmp_path / "run") == []


def test_a_launcher_that_is_forgotten_leaves_nothing_when_its_program_ends(tmp_path):
    code = PARENT.format(tests=str(TESTS), run=str(tmp_path / "run")).replace("time.sleep(600)", "sys.exit(0)")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TESTS.parent, capture_output=True, text=True, timeout=200, check=True
    )
    assert "Traceback" not in done.stderr
    facts = json.loads(done.stdout.splitlines()[0])
    left = instances(*facts["pids"], facts["warden"])

    assert wait_gone(*left) == []
    assert marks.marked(facts["mark"]) == []
