"""The pure part of publishing: at every manifest a reader may see, each segment is in one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.history.publication import (
    AHEAD,
    BOUNDS,
    FAN,
    LEVELS,
    MERGED_ROWS,
    RINGS,
    SEALED,
    Manifest,
    begun,
    decode,
    due_merge,
    encode,
    free_turn,
    level_ring,
    merged,
    next_slot,
    published,
    ring_file,
    sealed_file,
    sealed_through,
    snapshot_ring,
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


class Rings:
    """The names of each level: which hold rows, and for how many publications the others have been retired."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.held: list[set[int]] = [set() for _ in range(LEVELS)]
        self.retired: list[dict[int, int]] = [{} for _ in range(LEVELS)]

    def write(self, level: int, number: int) -> None:
        assert number not in self.held[level], "a reader may know it"
        retired = self.retired[level].pop(number, None)
        turn = self.disk.manifest.turns[level]
        assert retired is None or turn - retired >= AHEAD[level] - 1, "a reader may know it still"
        self.held[level].add(number)

    def publish(self, day: str) -> None:
        before = self.disk.manifest
        self.write(0, next_slot(before, 0, day, {}).number)
        self.disk.publish(1, day)
        now = self.disk.manifest
        for level in range(LEVELS):
            counting = now.counting(level) | before.counting(level)
            for number in (self.held[level] & level_ring("events", level).coming(now.turns[level])) - counting:
                self.held[level].discard(number)
                self.retired[level][number] = now.turns[level]

    def merge(self, day: str) -> None:
        if self.disk.begin(day):
            merge = self.disk.manifest.merging
            assert merge is not None
            if merge.level != SEALED:
                self.write(merge.level, merge.number)


@given(st.lists(st.integers(0, 14), min_size=1, max_size=60), st.integers(0, 10))
def test_no_file_is_written_that_a_reader_may_know_within_the_turns_it_is_retired_ahead(stalls, day_every):
    """A merge is under way for as many publications as `stalls` says, one after the other."""
    rings = Rings()
    for number, stall in enumerate(stalls):
        day = DAYS[min(number // day_every, 2)] if day_every else DAYS[0]
        for _ in range(FAN[0] - stall):
            rings.publish(day)
        rings.merge(day)
        for _ in range(stall):
            rings.publish(day)
        rings.disk.finish()

        for level in range(LEVELS):
            assert rings.disk.manifest.counting(level) <= rings.held[level]


@pytest.mark.parametrize("ring", [BOUNDS, snapshot_ring("batches"), *(level_ring("events", n) for n in range(LEVELS))])
def test_what_is_to_come_in_a_ring_is_not_what_was_written_last(ring):
    assert len(ring.coming(7)) == ring.ahead < ring.size
    assert ring.file(ring.size + 3) == ring.file(3)
    assert 6 not in ring.coming(7)
    assert 7 in ring.coming(7)


def test_after_a_kill_the_names_are_left_out_that_hold_what_nothing_counts_on():
    ring = level_ring("events", 0)

    assert free_turn(ring, 5, frozenset({3, 4}), frozenset({3, 4})) == 5
    assert free_turn(ring, 5, frozenset({3, 4, 5, 6}), frozenset({3, 4})) == 7
    assert free_turn(ring, ring.size - 1, frozenset({ring.size - 1}), frozenset()) == ring.size


def test_of_a_ring_that_was_shorter_names_are_taken_that_nothing_counts_on_for_long_enough():
    ring = level_ring("events", 0)
    counting = frozenset(range(40, 64))  # of the turns 104 to 127 round 64

    turn = free_turn(ring, 128, counting, counting)

    assert not ring.coming(turn) & counting
    assert turn % ring.size not in counting
