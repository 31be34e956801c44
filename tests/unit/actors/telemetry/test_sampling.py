"""Figures of this very host and process: there, and within what is possible."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time

from actors.telemetry.sampling import HostSampler, ProcessSampler


def busy_for(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        hashlib.sha256(b"x" * 10_000).digest()


def test_the_host_s_figures_are_possible_ones():
    sampler = HostSampler(["/", "/no/such/disk"])
    busy_for(0.1)

    values = {sample.name: sample.value for sample in sampler.sample()}

    assert 0 < values["host.memory_used_ratio"] <= 1
    assert 0 < values["host.cpu_ratio"] <= 1
    assert values["host.cpus"] == os.cpu_count()
    assert values["host.disk_free_bytes[/]"] > 0
    assert not any("/no/such" in name for name in values)


def test_a_second_look_too_soon_gives_no_rate(monkeypatch):
    monkeypatch.setattr("actors.telemetry.sampling._MINIMUM", 3600.0)
    sampler = HostSampler()
    sampler.sample()

    assert "host.cpu_ratio" not in {sample.name for sample in sampler.sample()}


def test_processes_are_this_one_and_its_children_with_the_actor_that_runs_in_them():
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        sampler = ProcessSampler()
        sampler.sample({}, "/sys/me")
        busy_for(0.1)
        found = {process.pid: process for process in sampler.sample({child.pid: "/work/task#1"}, "/sys/me")}
    finally:
        for process in (child, other):
            process.communicate()

    assert found[os.getpid()].path == "/sys/me"
    assert found[child.pid].path == "/work/task#1"
    assert found[other.pid].path == ""
    own = {sample.name: sample.value for sample in found[os.getpid()].samples}
    assert own["process.rss_bytes"] > 1e6
    assert own["process.cpu_ratio"] > 0
    assert own["process.threads"] >= 1
