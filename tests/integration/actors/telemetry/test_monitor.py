"""The resource monitor on this host, with real child processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.working import LIMIT, Stage

from actors.events import ActorExited, ActorStarted, MetricSampled
from actors.exits import NORMAL
from actors.telemetry.monitor import GetFigures, Look, ResourceMonitor

PATH = "/sys/resource-monitor"


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def look(stage, monitor) -> list[MetricSampled]:
    """Have the monitor look once; return what it published."""
    monitor.ask(GetFigures(), timeout=LIMIT)  # handled after the look at the start
    before = len(stage.found(MetricSampled))
    monitor.tell(Look())
    monitor.ask(GetFigures(), timeout=LIMIT)  # handled after the look
    return stage.found(MetricSampled)[before:]


def test_host_and_node_figures_are_published_at_the_start(stage, tmp_path):
    monitor = stage.start(PATH, ResourceMonitor, every=3600.0, disks=[str(tmp_path)])

    figures = monitor.ask(GetFigures(), timeout=LIMIT)

    names = {event.name for event in stage.found(MetricSampled, path=PATH)}
    assert {"host.memory_used_ratio", "host.disk_free_bytes", "process.rss_bytes", "process.threads"} <= names
    assert figures["host.cpus"] == os.cpu_count()
    assert figures["process.rss_bytes"] > 1e6


def test_a_child_process_is_measured_under_the_path_of_its_actor(stage, child):
    monitor = stage.start(PATH, ResourceMonitor, every=3600.0)
    stage.system.bus.publish(ActorStarted(0.0, "/work/task#1", 1, "process", child.pid, 0.1))

    events = look(stage, monitor)

    assert {e.name for e in events if e.path == "/work/task#1"} >= {"process.rss_bytes", "process.threads"}
    assert not [e for e in events if e.name.startswith("children.")]


def test_a_process_whose_actor_is_not_known_is_counted_among_the_children(stage, child):
    monitor = stage.start(PATH, ResourceMonitor, every=3600.0)
    stage.system.bus.publish(ActorStarted(0.0, "/work/task#1", 1, "process", child.pid, 0.1))
    stage.system.bus.publish(ActorExited(0.0, "/work/task#1", 1, NORMAL, 1.0, "running", True))

    events = {e.name: e.value for e in look(stage, monitor)}

    assert events["children.processes"] == 1
    assert events["children.rss_bytes"] > 1e5


def test_it_looks_again_by_itself(stage):
    stage.start(PATH, ResourceMonitor, every=0.05)

    stage.wait(lambda: len(stage.found(MetricSampled, name="process.cpu_ratio")) >= 2 or None, "two more looks")


def test_an_interval_that_is_none_fails_the_start(stage):
    assert "positive" in stage.failed(PATH, ResourceMonitor, every=0.0).crash.message
