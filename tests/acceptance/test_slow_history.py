"""A node that ends while its recorder is slow: nobody's work was cut, and the exit code says so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.nodes import Node, node
from support.processes import halt

CONFIG = """\
version = 1

[runtime]
drain = "5s"

[defaults.child]
heartbeat = { every = "5s", miss = 100 }
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as started:
        started.wait_ready()
        yield started


def held_recorder(running: Node) -> psutil.Process:
    """Stop the recorder's process where it is, as a disk that does not answer would."""
    (recorder,) = running.items("ps", "/sys/recorder")
    process = psutil.Process(recorder["pid"])
    halt(process.pid)
    return process


def test_the_history_may_be_written_after_the_drain_and_nothing_was_cut(running: Node) -> None:
    recorder = held_recorder(running)

    running.signal(signal.SIGTERM)
    running.wait_line("the history is still being written")
    recorder.resume()

    assert running.wait() == 0
    assert not any("killed before they ended" in line for line in running.lines)
    assert not any("history is not being stored" in line for line in running.lines)


def test_a_second_signal_does_not_wait_for_the_history(running: Node) -> None:
    held_recorder(running)

    running.signal(signal.SIGTERM)
    running.wait_line("the history is still being written")
    running.signal(signal.SIGTERM)

    assert running.wait() == 130
    assert any("killed before they ended: /sys/recorder" in line for line in running.lines)
