"""Spares: a child that ended is replaced by a process that waited, and whatever goes wrong, by a new one."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.launching import Launched, Launching, launching
from support.process_actors import Add, Do, Facts
from support.processes import TIMEOUT, halt, instance, is_alive, wait_gone
from support.waiting import until

from actors.events import SpareChanged
from supervisors.processes import copies, core
from supervisors.processes.childside import Ground
from supervisors.processes.marks import marked, read_mark
from supervisors.processes.protocol import Prepare
from supervisors.processes.rehearsal import rehearse
from supervisors.processes.sparing import Rules

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the nursery is Linux's"),
    pytest.mark.usefixtures("unhurried"),
]


class Watching:
    """A launcher with the events of its spares."""

    def __init__(self, host: Launching) -> None:
        self.host = host
        self.events: queue.Queue[SpareChanged] = queue.Queue()
        host.system.bus.subscribe(lambda _number, event: self.events.put(event), (SpareChanged,))

    def start(self, target: str = "Counter", **options: Any) -> Launched:
        return self.host.start(target, **{"spares": 1, **options})

    def event(self, state: str) -> SpareChanged:
        """Wait for the next event of that state."""
        while True:
            event = self.events.get(timeout=TIMEOUT)
            if event.state == state:
                return event

    def wait_ready(self) -> int:
        """Wait for a spare that waits; return its process."""
        until(lambda: self.host.launcher.spare_figures().waiting)
        return next(iter(self.waiting()))

    def waiting(self) -> list[int]:
        return [spare.process.pid for found in self.host.launcher.spares._waiting.values() for spare in found]

    def nursery(self) -> int:
        pid = self.host.launcher.spare_figures().nursery
        assert pid is not None
        return pid


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with launching(tmp_path / "run") as host:
        yield Watching(host)
        mark = host.launcher.mark
    assert marked(mark) == []


def kill(child: Launched) -> Any:
    """Kill a child and wait for its end; return the reason."""
    assert child.handle.pid is not None
    os.kill(child.handle.pid, signal.SIGKILL)
    return child.exited()


def facts(ref: Any) -> dict[str, str]:
    found: dict[str, str] = ref.ask(Facts(), timeout=TIMEOUT)
    return found


def test_a_killed_child_is_replaced_by_the_spare_and_the_spare_by_another(watching):
    first = watching.start()
    first.started()
    spare = watching.wait_ready()

    reason = kill(first)
    second = watching.start()
    ref = second.started()

    assert reason.detail == "signal SIGKILL"
    assert (second.handle.pid, second.handle.origin) == (spare, "spare")
    assert ref.ask(Add(2), timeout=TIMEOUT) == 2
    assert watching.event("used").pid == spare
    assert watching.wait_ready() != spare


def test_a_spare_that_took_over_is_a_child_like_any_other(watching):
    first = watching.start()
    cold = facts(first.started())
    watching.wait_ready()
    kill(first)
    second = watching.start(path="/work/two")
    warm = facts(second.started())

    process = instance(second.handle.pid)
    assert second.handle.origin == "spare"
    assert process.ppid() == os.getpid()
    assert process.cmdline()[-2:] == ["supervisors.processes.bootstrap", "/work/two"]
    assert warm["session"] == warm["pid"]
    for name in ("stdin", "cwd", "pythonpath", "generation"):
        assert warm[name] == cold[name], name
    assert set(cold["modules"].split()) <= set(warm["modules"].split())
    marks = {read_mark(pid) for pid in (first.handle.pid, second.handle.pid, watching.nursery(), watching.wait_ready())}
    assert len(marks) == 4  # that of the dead one is ""
    assert f"ACTORS_INSTANCE={read_mark(second.handle.pid)}" in warm["environment"]


@pytest.mark.parametrize(
    ("what", "detail"), [("exit_3", "exit code 3"), ("segfault", "signal SIGSEGV"), ("stop", ""), ("exit_0", "")]
)
def test_the_end_of_a_child_that_was_a_spare_has_its_reason(watching, what, detail):
    kill_first = watching.start()
    kill_first.started()
    watching.wait_ready()
    kill(kill_first)
    child = watching.start()
    ref = child.started()

    ref.tell(Do(what))
    reason = child.exited()

    assert child.handle.origin == "spare"
    assert reason.detail == detail


def test_what_a_child_that_was_a_spare_started_ends_with_it(watching):
    first = watching.start()
    first.started()
    watching.wait_ready()
    kill(first)
    child = watching.start()
    child.started().ask(Do("family"), timeout=TIMEOUT)
    process = instance(child.handle.pid)
    family = process.children()
    assert len(family) == 2

    kill(child)

    assert wait_gone(*family) == []


def test_a_child_that_ends_before_there_is_another_spare_is_replaced_by_a_copy_of_the_nursery(watching):
    first = watching.start(spares=1)
    first.started()
    spare = watching.wait_ready()
    os.kill(spare, signal.SIGKILL)
    watching.event("lost")
    nursery = instance(watching.nursery())

    kill(first)
    second = watching.start()
    ref = second.started()

    assert second.handle.origin in ("copy", "spare")  # a spare where the next one was quick
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    assert is_alive(nursery)


def test_a_spare_that_is_killed_while_it_waits_is_replaced_and_counted_and_no_child_notices(watching):
    child = watching.start()
    ref = child.started()

    for _ in range(2):
        spare = watching.wait_ready()
        os.kill(spare, signal.SIGKILL)
        event = watching.event("lost")

        assert (event.pid, event.path, event.severity) == (spare, "/work/one", "warning")
    assert watching.wait_ready() != spare
    assert watching.host.launcher.spare_figures().lost == 2
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1


def test_the_end_of_the_nursery_harms_neither_children_nor_spares_and_it_is_started_again(watching):
    first = watching.start()
    first.started()
    watching.wait_ready()
    kill(first)
    child = watching.start()
    ref = child.started()
    spare = instance(watching.wait_ready())

    for number in (2, 3):
        os.kill(watching.nursery(), signal.SIGKILL)
        watching.event("nursery-lost")
        until(lambda number=number: watching.host.launcher.statistics().nurseries == number)
        watching.event("nursery-started")

    assert child.handle.origin == "spare"
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    assert is_alive(spare)
    kill(child)
    assert watching.start().started().ask(Add(1), timeout=TIMEOUT) == 1


def test_a_nursery_that_hangs_is_replaced_and_the_child_started_without_it(watching, monkeypatch):
    monkeypatch.setattr(copies, "GROW_TIMEOUT", 5.0)
    first = watching.start()
    first.started()
    spare = watching.wait_ready()
    nursery = watching.nursery()
    halt(nursery)
    os.kill(spare, signal.SIGKILL)  # so that the next start needs the nursery
    watching.event("lost")

    kill(first)
    second = watching.start()
    ref = second.started()

    assert second.handle.origin == "new"
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    until(lambda: watching.host.launcher.spare_figures().nursery not in (None, nursery))
    assert watching.wait_ready()


def test_a_spare_that_hangs_when_it_is_handed_over_is_replaced_by_a_new_interpreter(watching, monkeypatch):
    monkeypatch.setattr(core, "HANDOVER_TIMEOUT", 1.0)
    first = watching.start()
    first.started()
    spare = instance(watching.wait_ready())
    halt(spare.pid)

    kill(first)
    second = watching.start()
    ref = second.started()

    assert second.handle.origin == "new"
    assert wait_gone(spare) == []
    event = watching.event("lost")
    assert (event.pid, event.detail) == (spare.pid, "during its hand-over: a new interpreter is started in its place")
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1


def test_a_spare_that_is_killed_in_its_hand_over_is_replaced_by_a_new_interpreter(watching):
    first = watching.start()
    first.started()
    spare = watching.wait_ready()
    halt(spare)  # so that the hand-over is under way until it is killed
    kill(first)
    second = watching.start()
    watching.event("used")

    os.kill(spare, signal.SIGKILL)
    ref = second.started()

    assert second.handle.origin == "new"
    assert second.handle.pid != spare
    assert "hand-over" in watching.event("lost").detail
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1


def test_a_child_that_is_stopped_in_its_hand_over_does_not_start(watching):
    first = watching.start()
    first.started()
    spare = watching.wait_ready()
    halt(spare)
    kill(first)
    second = watching.start()
    watching.event("used")

    second.handle.kill()

    assert second.start_failed().kind.value == "killed"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of its own, with an actor `Told` that answers `Add` with a number."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    file = folder / "told_by_a_file.py"
    write(file, 1)
    return file


def write(file: Path, number: int) -> None:
    file.write_text(
        "from actors import Actor, on\nfrom support.process_actors import Add\n"
        f"print('imported {number}')\n"
        "class Told(Actor):\n"
        "    @on(Add)\n"
        f"    def add(self, message: Add) -> int:\n        return {number}\n"
    )


def test_a_spare_that_imported_what_has_changed_since_is_not_used(watching, module):
    first = watching.start("told_by_a_file:Told")
    assert first.started().ask(Add(0), timeout=TIMEOUT) == 1
    spare = instance(watching.wait_ready())

    write(module, 22)
    kill(first)
    second = watching.start("told_by_a_file:Told")

    assert second.started().ask(Add(0), timeout=TIMEOUT) == 22
    event = watching.event("discarded")
    assert (event.pid, event.detail) == (spare.pid, "what it imported has changed")
    assert wait_gone(spare) == []


def test_a_replacement_has_the_environment_of_now(watching, monkeypatch):
    first = watching.start()
    first.started()
    watching.wait_ready()
    monkeypatch.setenv("ADDED", "later")
    monkeypatch.delenv("PATH")

    kill(first)
    second = watching.start()
    environment = facts(second.started())["environment"]

    assert second.handle.origin != "spare"
    assert "ADDED=later" in environment
    assert not [entry for entry in environment.split() if entry.startswith("PATH=")]
    kill(second)
    watching.wait_ready()
    third = watching.start()
    assert "ADDED=later" in facts(third.started())["environment"]


def test_a_class_that_cannot_be_imported_gets_no_spare_and_its_start_says_why(watching, module):
    module.write_text("raise RuntimeError('not today')\n")

    reason = watching.start("told_by_a_file:Told").start_failed()
    event = watching.event("failed")

    assert event.detail == "RuntimeError: not today"
    assert "not today" in str(reason)
    assert watching.waiting() == []


def test_what_a_module_prints_when_a_spare_imports_it_is_logged(watching, module, caplog):
    caplog.set_level("INFO", logger="actors.output")
    first = watching.start("told_by_a_file:Told")
    first.started()
    watching.wait_ready()
    spare = ("spare of told_by_a_file:Told", "imported 1")
    until(lambda: any((getattr(said, "path", ""), said.getMessage()) == spare for said in caplog.records))

    kill(first)
    second = watching.start("told_by_a_file:Told", path="/work/two")
    second.started()
    assert second.handle.pid is not None
    os.kill(second.handle.pid, signal.SIGABRT)
    second.exited()

    said = [record for record in caplog.records if record.name == "actors.output" and record.path == "/work/two"]
    assert said  # the stacks, by faulthandler


def test_spares_that_take_more_memory_than_they_may_are_not_kept(tmp_path):
    with launching(tmp_path / "run", spares=Rules(memory_max_bytes=1)) as host:
        watching = Watching(host)
        watching.start().started()

        event = watching.event("discarded")

        assert event.detail == "spares may take 1 bytes in all"
        assert host.launcher.spare_figures().size_bytes == 0


def test_there_are_never_more_spares_than_allowed(tmp_path):
    with launching(tmp_path / "run", spares=Rules(count_max=2)) as host:
        watching = Watching(host)
        watching.start(spares=5).started()

        until(lambda: host.launcher.spare_figures().waiting == 2)

        assert host.launcher.spare_figures().making == 0


def test_with_keys_for_each_child_a_spare_takes_over_as_well(tmp_path):
    with launching(tmp_path / "run", tcp=True) as host:
        watching = Watching(host)
        first = watching.start()
        first.started()
        watching.wait_ready()

        kill(first)
        second = watching.start()

        assert second.started().ask(Add(1), timeout=TIMEOUT) == 1
        assert second.handle.origin == "spare"


def test_without_pidfds_a_spare_takes_over_as_well(tmp_path):
    with launching(tmp_path / "run", pidfds=False) as host:
        watching = Watching(host)
        first = watching.start()
        first.started()
        watching.wait_ready()

        kill(first)
        second = watching.start()

        assert second.started().ask(Add(1), timeout=TIMEOUT) == 1
        assert second.handle.origin == "spare"


def test_a_rehearsal_goes_through_and_leaves_nothing_running(tmp_path):
    ground = Ground(Prepare("a:B", "node", f"ipc://{tmp_path}/nobody.sock", os.getpid(), ()))
    before = set(threading.enumerate())

    assert rehearse(ground)

    until(lambda: set(threading.enumerate()) - before == set(), what="no thread left")
    assert len(ground.system.registry) == 0
    ground.reactor.close(0.0)
    ground.system.shutdown(TIMEOUT)


def test_where_there_can_be_no_nursery_spares_are_new_interpreters(tmp_path):
    with launching(tmp_path / "run") as host:
        host.launcher.spares._maker.nursery.problem = "this system has no such call"
        watching = Watching(host)
        first = watching.start()
        first.started()
        spare = watching.wait_ready()

        kill(first)
        second = watching.start()

        assert second.started().ask(Add(1), timeout=TIMEOUT) == 1
        assert (second.handle.pid, second.handle.origin) == (spare, "spare")
        assert host.launcher.statistics().nurseries == 0
        assert psutil.Process(spare).ppid() == os.getpid()
