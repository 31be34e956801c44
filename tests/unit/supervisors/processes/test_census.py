"""Looking for marked processes: everyone is found, though nobody is looked at twice."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest
from support.processes import DAEMON, first_line, instance, process, wait_gone

from supervisors.processes import census
from supervisors.processes.census import Census
from supervisors.processes.marks import MARK, sweep

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")

PREFIX = "0123456789ab.1.2.census."


@contextlib.contextmanager
def marked_process(serial: int, code: str | None = None):
    environment = {**os.environ, MARK: f"outer;{PREFIX}{serial};"}
    with process(*([code] if code else []), env=environment) as found:
        yield found


def test_who_carries_the_mark_is_found_at_every_look_and_nobody_else():
    looker = Census(PREFIX)
    with marked_process(1) as one, marked_process(2) as two, process():
        first_line(one)
        first_line(two)

        for _ in range(2):
            assert looker.marked(f"{PREFIX}1;") == [one.pid]
            assert sorted(looker.marked(PREFIX)) == sorted([one.pid, two.pid])
    assert looker.marked(PREFIX) == []


def test_who_is_born_after_a_look_is_found_by_the_next():
    looker = Census(PREFIX)
    assert looker.marked(PREFIX) == []

    with marked_process(1, DAEMON) as parent:
        daemon = int(first_line(parent))
        parent.wait()

        assert daemon in looker.marked(PREFIX)
        assert sweep(f"{PREFIX}1;", timeout=10.0, look=looker.marked) == (1, [])
        with contextlib.suppress(Exception):
            assert wait_gone(instance(daemon)) == []


def test_strangers_are_read_once(monkeypatch):
    looker = Census(PREFIX)
    looker.marked(PREFIX)
    read: list[int] = []
    really = census._read
    monkeypatch.setattr(census, "_read", lambda pid, name: read.append(pid) or really(pid, name))

    looker.marked(PREFIX)

    assert os.getpid() not in read
    assert os.getppid() not in read


def test_after_a_while_everybody_is_looked_at_again(monkeypatch):
    looker = Census(PREFIX)
    looker.marked(PREFIX)
    monkeypatch.setattr(census, "FORGET_AFTER", 0.0)
    read: list[int] = []
    really = census._read
    monkeypatch.setattr(census, "_read", lambda pid, name: read.append(pid) or really(pid, name))

    looker.marked(PREFIX)

    assert os.getpid() in read
