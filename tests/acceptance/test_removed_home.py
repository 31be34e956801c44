"""Somebody removes the home of a running node, or files in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nodes import Node, node, wait_until

from supervisors.node.statefile import read_state

CONFIG = """\
version = 1
[health]
probe = "100ms"
heartbeat = "100ms"
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as started:
        started.wait_ready()
        yield started


def test_a_node_whose_home_was_removed_says_so_ends_and_leaves_the_place_to_another(running: Node) -> None:
    gone = running.home.rename(running.folder / "gone")  # at once, or what the node writes meanwhile would stay
    shutil.rmtree(gone)

    line = running.wait_line("NodeChanged: draining")
    assert "was removed" in line
    assert running.wait() == 1
    assert "was removed" in running.wait_line("NodeChanged: failed")
    with node(running.folder) as another:
        another.wait_ready()


def test_files_that_name_the_node_are_written_again(running: Node) -> None:
    removed = [running.home / "run" / name for name in ("endpoints.json", "node.pid", "state.json", "heartbeat")]
    for path in removed:
        path.unlink(missing_ok=True)

    wait_until(lambda: all(path.exists() for path in removed), "all are there again")

    assert running.ctl("tree").code == 0
    assert "NodeChanged: draining" not in "\n".join(running.lines)


def test_a_removed_socket_is_said_by_the_node_and_by_doctor_and_term_still_ends_it(running: Node) -> None:
    (running.home / "run" / "control.sock").unlink()

    assert "control.sock was removed" in running.wait_line("NodeChanged: running: its socket")

    record = read_state(running.home)
    assert record is not None
    assert "was removed" in record.detail
    doctor = running.ctl("--timeout", "2s", "doctor")
    assert "its socket" in doctor.out
    running.signal(15)
    assert running.wait() == 0


def test_doctor_sees_a_node_that_nothing_names(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text('version = 1\n[health]\nprobe = "1h"\n')
    with node(tmp_path) as started:
        started.wait_ready()
        (started.home / "run" / "endpoints.json").unlink()

        doctor = started.ctl("doctor")

        assert f"process {started.process.pid} runs the node" in doctor.out
