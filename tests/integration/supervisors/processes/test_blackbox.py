"""What a process did last is known, however it ended, and nothing is left of what was shared."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted_disk
from support.launching import launching
from support.process_actors import Add, Do, Fail
from support.processes import TIMEOUT

from actors.events import CrashRecorded
from actors.flightrecord import FlightRule
from supervisors.processes.blackbox import SharedRing, box_path, read_box, remove_boxes


def boxes(run: Path) -> list[Path]:
    return list(run.glob("flight-*"))


@pytest.mark.parametrize("what", ["segfault", "exit_3", "kill"])
def test_a_process_that_could_say_nothing_left_the_types_of_its_last_messages(tmp_path: Path, what: str) -> None:
    with launching(tmp_path) as host:
        crashed = host.wait_event(CrashRecorded)
        child = host.start("Counter")
        ref = child.started()
        for n in range(5):
            assert ref.ask(Add(n), timeout=TIMEOUT) is not None
        if what == "kill":
            os.kill(child.handle.pid or 0, signal.SIGKILL)
        else:
            ref.tell(Do(what))
        reason = child.exited()

        event = crashed()

        record = event.record
        assert (event.path, event.generation, event.reason) == ("/work/one", 1, str(reason))
        assert record.source == "shared-memory"
        assert [m.type for m in record.messages] == (["Add"] * 4 if what == "kill" else ["Add"] * 3 + ["Do"])
        assert record.handled == (5 if what == "kill" else 6)
        assert all(0 < first.at <= then.at for first, then in zip(record.messages, record.messages[1:], strict=False))
        assert boxes(tmp_path) == []


def test_an_actor_that_crashes_in_its_process_says_so_itself_and_its_fields_are_known(tmp_path: Path) -> None:
    with launching(tmp_path) as host:
        crashed = host.wait_event(CrashRecorded)
        child = host.start("Counter", flight=FlightRule(messages=2))
        ref = child.started()
        ref.tell(Add(1))
        ref.tell(Add(2))
        ref.tell(Fail("boom"))
        child.exited()

        record = crashed().record

        assert record.source == "actor"
        assert [(m.type, m.fields) for m in record.messages] == [("Add", {"n": 2}), ("Fail", record.messages[1].fields)]
        assert record.messages[1].fields["text"] == "boom"
        assert boxes(tmp_path) == []


def test_a_process_that_ends_in_order_leaves_no_record_and_no_file(tmp_path: Path) -> None:
    with launching(tmp_path) as host:
        seen: list[object] = []
        host.system.bus.subscribe(lambda _seq, event: seen.append(event), (CrashRecorded,))
        child = host.start("Counter")
        child.started().ask(Add(1), timeout=TIMEOUT)
        assert len(boxes(tmp_path)) == 1
        child.handle.stop(child_reason())
        child.exited()

        assert (seen, boxes(tmp_path)) == ([], [])


def child_reason() -> object:
    from actors.exits import SHUTDOWN

    return SHUTDOWN


def test_a_ring_wraps_and_a_torn_or_foreign_file_is_no_record(tmp_path: Path) -> None:
    path = box_path(str(tmp_path), 1)
    ring = SharedRing(path, FlightRule(messages=4))
    for n in range(11, 0, -1):
        ring[n & 3] = Add(n) if n % 2 else Do("x")

    found = read_box(path)

    assert found is not None
    assert ([m.type for m in found.messages], found.handled) == (["Do", "Add", "Do", "Add"], 11)
    for data in (b"", b"x" * 10, b"x" * 10_000, path.read_bytes()[:40]):
        path.write_bytes(data)
        assert read_box(path) is None
    remove_boxes(tmp_path)
    assert boxes(tmp_path) == []
    assert read_box(path) is None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux":
        pytest.skip("a tmpfs is mounted")
    yield from mounted_disk(tmp_path / "disk", "1m")


def test_a_child_on_a_full_disk_works_without_a_box_and_its_successor_has_one_when_there_is_room(disk: Path) -> None:
    with launching(disk) as host:
        files = fill(disk)
        child = host.start("Counter")
        assert child.started().ask(Add(1), timeout=TIMEOUT) is not None
        assert boxes(disk) == []
        child.handle.stop(child_reason())
        child.exited()
        for file in files:
            file.unlink()

        other = host.start("Counter", path="/work/two")
        assert other.started().ask(Add(1), timeout=TIMEOUT) is not None

        assert len(boxes(disk)) == 1
