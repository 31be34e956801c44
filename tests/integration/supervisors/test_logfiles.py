"""Log files: rotated by size and day, compressed, bounded in age and room, whole after kill -9."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.disks import fill, mounted_disk

from supervisors.node.logfiles import DAY, Limits, LogFile, Rotated, archived_lines, expired, rotated_files

NOON = 1_795_262_400.0
ROOMY = Limits(max_bytes=1_000_000, keep=7 * DAY, total_bytes=10_000_000, min_free_bytes=0)


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limits(**changes: float) -> Limits:
    values = {name: getattr(ROOMY, name) for name in ROOMY.__struct_fields__}
    return Limits(**{**values, **changes})  # type: ignore[arg-type]


def lines(folder: Path, name: str = "node") -> list[str]:
    return [*archived_lines(folder, name), *(folder / f"{name}.log").read_text().splitlines()]


def test_a_file_that_grows_too_large_is_rotated_and_no_line_is_lost_or_doubled(tmp_path):
    file = LogFile(tmp_path, "node", limits(max_bytes=1_000), Clock())
    written = [f"line {number:04} " + "x" * 40 for number in range(200)]

    for line in written:
        file.write(line)
    file.close()

    assert lines(tmp_path) == written
    archives = rotated_files(tmp_path, "node")
    assert len(archives) >= 9
    assert all(archive.path.suffix == ".gz" for archive in archives)
    assert (tmp_path / "node.log").stat().st_size <= 1_000
    assert all(len(gzip.decompress(archive.path.read_bytes())) <= 1_000 for archive in archives)


def test_a_new_day_begins_a_new_file(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path, "node", ROOMY, clock)
    file.write("yesterday")
    clock.now += DAY

    file.write("today")
    file.close()

    assert (tmp_path / "node.log").read_text() == "today\n"
    (archive,) = rotated_files(tmp_path, "node")
    assert gzip.decompress(archive.path.read_bytes()) == b"yesterday\n"


def test_archives_go_with_age(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path, "node", limits(keep=2 * DAY), clock)
    for day in range(6):
        clock.now = NOON + day * DAY
        file.write(f"day {day}")
    file.close()

    assert lines(tmp_path) == ["day 2", "day 3", "day 4", "day 5"]


def test_all_files_together_stay_under_their_cap(tmp_path):
    file = LogFile(tmp_path, "node", limits(max_bytes=4_000, total_bytes=12_000), Clock())
    for number in range(2_000):
        file.write(f"{number} {os.urandom(40).hex()}")
    file.close()

    sizes = [entry.stat().st_size for entry in tmp_path.iterdir()]
    assert sum(sizes) <= 12_000 + 4_000  # the file being written, and one not compressed yet
    assert lines(tmp_path)[-1].startswith("1999 ")


@given(
    st.lists(st.tuples(st.floats(0, 1_000), st.integers(0, 500)), max_size=20),
    st.integers(0, 500),
    st.integers(1, 5_000),
    st.floats(1, 900),
)
def test_what_is_left_is_young_enough_and_fits_and_nothing_went_without_need(files, active, total, keep):
    rotated = [Rotated(Path(f"f{number}"), at, size) for number, (at, size) in enumerate(files)]
    rules = Limits(1, keep, total, 0)

    gone = expired(rotated, active, 1_000.0, rules)

    left = [file for file in rotated if file not in gone]
    assert all(1_000.0 - file.at <= keep for file in left)
    assert not left or active + sum(file.size_bytes for file in left) <= total
    young = [file for file in gone if 1_000.0 - file.at <= keep]
    for file in young:  # each that fitted in age had to go: with it and all younger ones the cap is exceeded
        assert active + sum(other.size_bytes for other in rotated if other.at >= file.at) > total


def test_a_torn_last_line_is_ended_and_a_torn_archive_made_again(tmp_path):
    (tmp_path / "node.log").write_text("whole\ntor")
    os.utime(tmp_path / "node.log", (NOON, NOON))  # of the clock's day: it is not rotated
    (tmp_path / "node-20261120T120000Z.log").write_text("of yesterday\n")
    (tmp_path / "node-20261120T120000Z.log.gz.part").write_bytes(b"\x1f\x8b half")

    file = LogFile(tmp_path, "node", ROOMY, Clock())
    file.write("next")
    file.close()

    assert lines(tmp_path) == ["of yesterday", "whole", "tor", "next"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node-20261120T120000Z.log.gz", "node.log"]


def test_two_rotations_in_one_second_keep_both_and_their_order(tmp_path):
    file = LogFile(tmp_path, "node", limits(max_bytes=10), Clock())
    for number in range(5):
        file.write(f"number {number}")
    file.close()

    assert lines(tmp_path) == [f"number {number}" for number in range(5)]


def test_lines_for_which_there_is_no_room_are_counted_and_told_of(tmp_path, monkeypatch):
    free = {"bytes": 5}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 95, free["bytes"]))
    file = LogFile(tmp_path, "node", limits(min_free_bytes=10), Clock())
    for number in range(300):
        file.write(f"{number}")
    lost = file.lost
    free["bytes"] = 50

    file.write("room again")
    file.close()

    found = lines(tmp_path)
    assert 0 < lost < 300
    assert f"{lost} log records were not written" in found[-2]
    assert found[-1] == "room again"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux":
        pytest.skip("a tmpfs is mounted")
    yield from mounted_disk(tmp_path / "disk", "64k")


def test_a_disk_that_takes_a_part_of_a_line_costs_lines_that_are_counted_and_no_more(disk):
    file = LogFile(disk, "node", ROOMY, Clock())
    file.write("the first")
    files = fill(disk)
    assert files

    for number in range(200):
        file.write(f"{number} " + "x" * 100)  # up to the end of the page, within a line
    lost = file.lost
    again = LogFile(disk, "node", ROOMY, Clock())  # a start on a disk that is still full
    again.close()
    for filler in files:
        filler.unlink()
    file.write("the last")
    file.close()

    found = lines(disk)
    assert 100 < lost < 200
    assert file.lost == 0
    assert (found[0], found[-1]) == ("the first", "the last")
    assert f"{lost} log records were not written: the disk was full" in found[-2]
    assert [line.partition(" ")[0] for line in found[1 : 200 - lost + 1]] == [str(n) for n in range(200 - lost)]


def test_files_are_for_their_owner_alone(tmp_path):
    file = LogFile(tmp_path / "logs", "node", limits(max_bytes=10), Clock())
    file.write("a line")
    file.write("another line")
    file.close()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "logs").write_text("")

    with pytest.raises(FileExistsError):
        LogFile(tmp_path / "logs", "node", ROOMY)
