"""Processes held to bounds: told, ended, replaced in order, and their figures shown."""

from __future__ import annotations

import pytest
from support.launching import launching
from support.process_actors import Add
from support.programs import python, shell
from support.waiting import until

from actors import Exited
from actors.core.outcomes import RestartAsked
from actors.events import MetricSampled, UsageHigh
from supervisors.processes import life, metering
from supervisors.programs import Readiness
from supervisors.running import start_tree
from supervisors.specs import Bounds, ChildSpec, Heartbeat, ImportStart, SupervisorSpec

COUNTER = ImportStart("support.process_actors:Counter")
BUSY = "while True: pass"


@pytest.fixture
def host(tmp_path):
    with launching(tmp_path / "run", sample_every=0.02) as made:
        yield made


@pytest.fixture
def short_window(monkeypatch):
    """Average over a quarter of a second."""
    monkeypatch.setattr(metering, "CPU_WINDOW", 0.25)


def test_a_program_above_its_soft_bound_is_told_of_and_goes_on(host):
    heard = host.wait_event(UsageHigh)
    start = python("x = bytearray(60_000_000)\nprint('up', flush=True)\nimport time; time.sleep(600)")
    child = host.launch(ChildSpec("one", start, bounds=Bounds(memory_warn_bytes=50_000_000)))
    child.started()

    event = heard()

    assert (event.path, event.resource, event.bound) == ("/work/one", "memory", 50_000_000.0)
    assert event.used > 50_000_000
    assert child.outcomes.empty()


def test_memory_of_all_processes_of_a_program_counts_against_its_hard_limit(host):
    code = (
        "import subprocess, sys\nhold = 'x = bytearray(40_000_000); import time; time.sleep(600)'\n"
        "all = [subprocess.Popen([sys.executable, '-c', hold]) for _ in range(3)]\nall[0].wait()"
    )
    child = host.launch(ChildSpec("one", python(code), memory_max_bytes=110_000_000))
    child.started()

    reason = child.exited()

    assert (reason.detail, reason.crash.type_name) == ("memory-limit", "MemoryLimit")


def test_a_program_that_uses_too_much_processor_time_is_ended(host, short_window):
    child = host.launch(ChildSpec("one", python(BUSY), bounds=Bounds(cpu_max=0.05)))
    child.started()

    reason = child.exited()

    assert (reason.detail, reason.crash.type_name) == ("cpu-limit", "CpuLimit")


def test_an_actor_that_uses_too_much_processor_time_is_ended(host, short_window):
    child = host.start("Counter", bounds=Bounds(cpu_max=0.000_001))
    ref = child.started()
    for _ in range(200):
        ref.tell(Add(1))

    assert child.exited().detail == "cpu-limit"


def test_an_idle_actor_is_not(host, short_window):
    child = host.start("Counter", bounds=Bounds(cpu_max=50.0, cpu_warn=50.0))
    child.started()
    until(lambda: child.handle.usage is not None and len(child.handle._meter.looks) > 5)

    assert child.outcomes.empty()


def test_an_instance_of_full_age_asks_once_to_be_replaced(host):
    child = host.start("Counter", bounds=Bounds(max_age=0.05))
    child.started()

    asked = child.outcome()

    assert asked == RestartAsked("it ran for 0.05 s", counts=False)
    child.handle.kill()
    assert isinstance(child.outcome(), Exited)


def test_an_instance_that_handled_its_messages_asks_once_to_be_replaced(host):
    child = host.start("Counter", bounds=Bounds(max_messages=3), heartbeat=Heartbeat(0.05, 2000))
    ref = child.started()
    for _ in range(5):
        ref.ask(Add(1))

    asked = child.outcome()

    assert isinstance(asked, RestartAsked)
    assert not asked.counts
    assert asked.why.startswith("it handled ")
    child.handle.kill()
    assert isinstance(child.outcome(), Exited)


def test_recycling_goes_on_for_ever_within_an_intensity_of_nothing():
    program = ChildSpec(
        "program",
        shell("echo up; exec sleep 600", ready=Readiness(log="up")),
        bounds=Bounds(max_age=0.05),
        shutdown=60.0,
    )
    actor = ChildSpec("actor", COUNTER, runs_in="process", bounds=Bounds(max_age=0.05), shutdown=60.0)
    with start_tree(SupervisorSpec(intensity=0, children=(program, actor))) as tree:
        until(lambda: all(node.generation >= 3 for node in tree.nodes()[1:]))

        for node in tree.nodes()[1:]:
            assert node.restarts == 0
        until(lambda: tree.nodes()[1].last_reason == "shutdown (recycled: it ran for 0.05 s)")


def test_figures_of_a_process_are_shown_and_go_on_the_bus(host, monkeypatch):
    monkeypatch.setattr(life, "MEASURE_ALL", 1)
    heard = host.wait_event(MetricSampled)
    child = host.launch(ChildSpec("one", shell("sleep 600 & exec sleep 600")))
    child.started()
    until(lambda: child.handle.usage is not None and child.handle.usage.threads == 2)

    usage = child.handle.usage

    assert usage.rss_bytes > 100_000
    assert usage.open_files >= 6
    missing = {"process.memory", "process.threads", "process.open_files", "process.cpu"}
    while missing:  # `heard` fails when nothing comes
        missing.discard(heard().name)


def test_a_tree_shows_what_its_processes_use():
    with start_tree(SupervisorSpec(children=(ChildSpec("one", shell("exec sleep 600")),))) as tree:
        until(lambda: tree.nodes()[1].memory_bytes is not None)

        assert tree.nodes()[1].threads == 1
        assert tree.nodes()[0].memory_bytes is None
