"""The pure part of publishing: at every manifest a reader may see, each segment is in one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.history.publication import (
    FAN,
    MERGED_ROWS,
    RINGS,
    SEALED,
    Manifest,
    begun,
    decode,
    due_merge,
    encode,
    merged,
    next_slot,
    published,
    ring_file,
    sealed_file,
    sealed_through,
)

DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")


class Disk:
    """What files hold, as a recorder writes them and a reader finds them: segments by level and file."""

    def __init__(self) -> None:
        self.manifest = Manifest()
        self.files: dict[tuple[int, object], set[int]] = {}
        self.segment = 0

    def publish(self, rows: int, day: str) -> None:
        self.segment += 1
        slot = next_slot(self.manifest, self.segment, day, {"events": rows})
        self.files[0, slot.number] = set(range(slot.first, slot.last + 1))
        self.manifest = published(self.manifest, slot, 0.0)

    def begin(self, today: str) -> bool:
        merge = due_merge(self.manifest, today)
        if merge is None:
            return False
        self.manifest = begun(self.manifest, merge)
        name = (merge.first, merge.last) if merge.level == SEALED else merge.number
        self.files[merge.level, name] = set(range(merge.first, merge.last + 1))
        return True

    def finish(self) -> None:
        self.manifest = merged(self.manifest)

    def seen(self, manifest: Manifest) -> list[int]:
        """What a reader with this manifest finds in the files as they are now."""
        uppers = (manifest.through, manifest.ring0, manifest.ring1, manifest.sealed)
        return sorted(
            segment
            for (level, _), segments in self.files.items()
            for segment in segments
            if manifest.bound(level) < segment <= uppers[level]
        )


steps = st.lists(
    st.tuples(
        st.sampled_from(["publish", "begin", "finish", "many"]), st.integers(0, 3_000_000), st.sampled_from(DAYS)
    ),
    max_size=60,
)


@given(steps, st.integers(0, 20))
def test_each_segment_is_in_one_place_by_the_newest_manifest_and_by_one_that_a_slow_reader_holds(steps, behind):
    disk = Disk()
    seen: list[Manifest] = [disk.manifest]
    for what, rows, day in steps:
        if what == "finish":
            disk.finish()
        elif what == "begin":
            disk.begin(day)
        else:
            for _ in range(30 if what == "many" else 1):
                if sum(slot.level == 0 for slot in disk.manifest.slots) < RINGS[0] - 24:
                    disk.publish(rows, day)
                    seen.append(disk.manifest)
        seen.append(disk.manifest)

        assert disk.seen(disk.manifest) == list(range(disk.manifest.through + 1))

    late = seen[max(0, len(seen) - 1 - behind)]
    assert disk.seen(late) == list(range(late.through + 1))


@pytest.mark.parametrize("level", [0, 1])
def test_a_level_that_is_full_is_merged_into_the_next(level):
    disk = Disk()
    while not (disk.begin(DAYS[0]) and disk.manifest.merging.level == level + 1):
        disk.finish()
        disk.publish(1, DAYS[0])

    merge = disk.manifest.merging
    disk.finish()

    assert disk.manifest.bound(level) == merge.last
    assert [slot for slot in disk.manifest.slots if slot.level <= level and slot.last <= merge.last] == []
    assert disk.seen(disk.manifest) == list(range(disk.segment + 1))


def test_many_rows_go_further_at_once():
    disk = Disk()
    for _ in range(FAN[0]):
        disk.publish(MERGED_ROWS[SEALED] // FAN[0] + 1, DAYS[0])

    assert disk.begin(DAYS[0])
    assert disk.manifest.merging.level == SEALED


def test_a_day_that_is_over_is_sealed_and_the_next_day_is_left_in_the_rings():
    disk = Disk()
    disk.publish(1, DAYS[0])
    disk.publish(1, DAYS[0])
    disk.publish(1, DAYS[1])
    assert not Disk().begin(DAYS[1])

    assert disk.begin(DAYS[1])
    disk.finish()

    assert disk.manifest.sealed == 2
    assert [slot.day for slot in disk.manifest.slots] == [DAYS[1]]
    assert not disk.begin(DAYS[1])


def test_a_clock_that_goes_back_and_forth_loses_nothing():
    disk = Disk()
    for day in (DAYS[1], DAYS[0], DAYS[2], DAYS[0], DAYS[1]):
        disk.publish(1, day)
        disk.begin(day)
        disk.finish()

        assert disk.seen(disk.manifest) == list(range(disk.segment + 1))


def test_one_merge_is_under_way_at_a_time():
    disk = Disk()
    for _ in range(FAN[0] * 2):
        disk.publish(1, DAYS[0])
    assert disk.begin(DAYS[0])

    assert not disk.begin(DAYS[2])


def test_a_manifest_is_one_line_that_says_which_files_to_read():
    disk = Disk()
    for _ in range(FAN[0]):
        disk.publish(1, DAYS[0])
    disk.begin(DAYS[0])
    disk.finish()
    disk.publish(1, DAYS[0])

    line = encode(disk.manifest)

    assert b"\n" not in line
    found = decode(line)
    assert found.files == {"events": ["ring/events/1-000.parquet", "ring/events/0-024.parquet"]}
    assert found.slots == disk.manifest.slots
    with pytest.raises(ValueError, match="format 9"):
        decode(line.replace(b'"format":1', b'"format":9'))


def test_the_name_of_a_sealed_file_tells_its_segments():
    disk = Disk()
    disk.publish(1, DAYS[0])
    disk.begin(DAYS[1])
    merge = disk.manifest.merging

    assert sealed_file("events", merge) == "sealed/events/day=2026-11-20/part-000000000000-000000000001.parquet"
    assert sealed_through(sealed_file("events", merge)) == 1
    assert sealed_through("empty.parquet") == sealed_through("part-x.parquet") == -1
    assert ring_file("events", disk.manifest.slots[0]) == "ring/events/0-000.parquet"
