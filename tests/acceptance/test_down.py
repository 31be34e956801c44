"""`actorctl down` from outside: the node drains and goes, others hurry it, and nobody waits for ever."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.nodes import TIMEOUT, Node, actorctl, node

STUBBORN = """
import threading
from actors import Actor


class Stubborn(Actor):
    def on_stop(self):
        threading.Event().wait()
"""

CONFIG = """\
version = 1

[runtime]
drain = "1h"

[actors."/stubborn"]
use = "stubborn:Stubborn"
runs_in = "thread"
shutdown = "1h"
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Node]:
    """A node that does not end by itself within an hour."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as started:
        started.wait_ready()
        yield started


def test_down_drains_waits_until_the_node_is_gone_and_is_kept_in_the_history(tmp_path: Path) -> None:
    with node(tmp_path) as started:
        started.wait_ready()
        below = started.processes()[1:]

        (said,) = started.items("down", "--reason", "the end of the day")

        assert (said["outcome"], said["pid"], said["name"]) == ("gone", started.process.pid, "openclaw")
        assert started.wait() == 0
        assert psutil.wait_procs(below, timeout=TIMEOUT)[1] == []
        assert not (started.home / "run" / "endpoints.json").exists()
        kept = started.ctl("sql", "select why from commands where command = 'shutdown'", "-o", "json")
        assert kept.items == [{"why": "the end of the day"}]
        again = started.ctl("down")
        assert again.code == 4
        assert "not running" in again.err


def test_a_node_that_is_not_gone_in_time_is_said_to_go_on_and_who_holds_it_up(stubborn: Node) -> None:
    late = stubborn.ctl("down", "--timeout", "0.5s")

    assert late.code == 6
    assert "/stubborn" in late.err
    assert "actorctl down --now" in late.err
    assert "is still there" in late.out

    hurried = stubborn.ctl("down", "--now")

    assert hurried.code == 0, hurried
    assert "is gone after" in hurried.out
    assert stubborn.wait() == 6  # it had to kill


def test_a_drain_under_way_can_be_shortened_and_not_prolonged(stubborn: Node) -> None:
    stubborn.signal(signal.SIGINT)
    stubborn.wait_line("NodeChanged: draining")

    drains = [
        stubborn.items("down", "--no-wait", *more)[0]["drain"]
        for more in (["--drain", "30m"], ["--drain", "2h"], [], ["--drain", "10m"])
    ]

    assert 1700 < drains[0] < 1801
    assert all(before >= after for before, after in itertools.pairwise(drains))
    assert drains[3] <= 600
    assert stubborn.ctl("down", "--drain", "50ms").code == 0
    assert stubborn.wait() == 6


def test_ctrl_c_after_a_shutdown_command_hurries(stubborn: Node) -> None:
    assert stubborn.ctl("down", "--no-wait").code == 0
    stubborn.wait_line("NodeChanged: draining")

    stubborn.signal(signal.SIGINT)

    assert stubborn.wait() == 130


@pytest.mark.parametrize("options", [["--now", "--drain", "1s"], ["--drain", "soon"], ["--drain", "-1s"]])
def test_a_drain_that_makes_no_sense_is_a_usage_error(tmp_path: Path, options: list[str]) -> None:
    assert actorctl("down", *options, cwd=tmp_path).code == 2
