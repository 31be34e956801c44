"""What is published when, and where: the pure part of the files that other tools read.

Rows are stored with a number, their segment; a publication takes all rows of the segments that ended since the last.

    level 0   a file for each publication           ┐  rings of fixed names, replaced and never deleted: a reader
    level 1   `FAN` of level 0 in one                ├─ that listed them finds each of them whenever it opens it
    level 2   level 1 in one, half an hour or more   ┘
    sealed    a day, or `SEALED_ROWS`; written once, dropped by retention

Each row is in one place by the bounds: sealed up to `sealed`, level 2 from there to `ring1`, level 1 to `ring0`, level
0 to `through`. The small tables that are published whole have a ring of names each as well: the bounds name the number
of the snapshot that counts. The bounds themselves, one row an edition, are files of a ring too. Files are in place
before the bounds that count on them; those of a merge `GRACE` seconds before, for the recorder's own views.

A reader opens a file twice: it learns from its end what it holds, and later, perhaps seconds later, it reads that. So a
file is *retired* long before its name comes round again: its bytes stay where they are and the end of an empty file is
put behind them. Who knew it before finds what it looks for; who comes later sees that there is nothing to read.

    turn      n-64 … n-44  …  n ┃ n+1 … n+31          of a ring of 96 that is retired 32 ahead
              left behind  counts┃ retired, to be written next
"""

from __future__ import annotations

from msgspec import Struct, json
from msgspec.structs import replace

LEVELS = 3
SEALED = 3
"""The level of what is sealed."""

FAN = (24, 24, 144)
"""Files of a level that make a merge due."""

RINGS = (96, 64, 208)
"""File names of each level."""

AHEAD = (32, 8, 8)
"""Turns that a file of each level is retired before it is written anew. Those of the upper levels take minutes each."""

MERGED_ROWS = (0, 0, 100_000, 2_000_000)
"""Rows from which a merge goes to this level, whatever the number of files."""

GRACE = 5.0
"""Seconds between the files of a merge and the bounds that count on them."""

SHORTEST_INTERVAL = 0.5
"""Least seconds between two publications: the rings go round no faster than a reader may be slow."""

FORMAT = 1


class Ring(Struct, frozen=True):
    """File names of one kind, used in turns.

    Attributes:
        stem: What they begin with, below the folder.
        size: How many there are.
        ahead: Turns that a file is retired before it is written anew.
    """

    stem: str
    size: int
    ahead: int

    @property
    def pattern(self) -> str:
        """What all of them, and the empty one, are found by."""
        return f"{self.stem}*.parquet"

    @property
    def empty(self) -> str:
        """The path of the file that never holds rows."""
        return f"{self.stem}empty.parquet"

    def file(self, turn: int) -> str:
        """Return the path of the file of this turn, below the folder."""
        return f"{self.stem}{turn % self.size:03}.parquet"

    def coming(self, turn: int) -> frozenset[int]:
        """Return the numbers of the files that are to be without rows when `turn` is the next to be written."""
        return frozenset((turn + ahead) % self.size for ahead in range(self.ahead))


BOUNDS = Ring("bounds/", 64, 48)
"""The bounds, a file an edition: the newest counts, so few need to be there."""


def level_ring(table: str, level: int) -> Ring:
    """Return the names of the files of `table` at `level`."""
    return Ring(f"ring/{table}/{level}-", RINGS[level], AHEAD[level])


def snapshot_ring(table: str) -> Ring:
    """Return the names of the snapshots of a table that is published whole."""
    return Ring(f"whole/{table}/", 64, 32)


class Slot(Struct, frozen=True):
    """One file a table in a ring: the segments `first` to `last`, stored on `day`, in files of these tables."""

    level: int
    number: int
    first: int
    last: int
    day: str
    rows: dict[str, int]

    @property
    def count(self) -> int:
        return sum(self.rows.values())


class Manifest(Struct, frozen=True):
    """What is published.

    Attributes:
        format: Version of this form.
        through: The last segment that is published.
        ring0: Level 0 holds the segments after this one, level 1 those up to it.
        ring1: Level 1 holds the segments after this one, level 2 those up to it.
        sealed: Level 2 holds the segments after this one; those up to it are sealed.
        turns: Files made at each level so far: the next is this number, round the ring.
        slots: The files of the rings that count.
        merging: The merge that is under way: its level tells where its rows go.
        published_at: Seconds since the epoch.
        edition: Number of the bounds that say the same to readers.
        snapshots: Number of the snapshot that counts, by table that is published whole.
        files: Paths of the ring files to read, by table, below the folder: what a tool without SQL reads.
    """

    format: int = FORMAT
    through: int = -1
    ring0: int = -1
    ring1: int = -1
    sealed: int = -1
    turns: tuple[int, int, int] = (0, 0, 0)
    slots: tuple[Slot, ...] = ()
    merging: Slot | None = None
    published_at: float = 0.0
    edition: int = 0
    snapshots: dict[str, int] = {}
    files: dict[str, list[str]] = {}

    def bound(self, level: int) -> int:
        """Return the segment after which `level` begins."""
        return (self.ring0, self.ring1, self.sealed, -1)[level]

    def counting(self, level: int) -> frozenset[int]:
        """Return the numbers of the files of `level` that count, or are about to."""
        merging = () if self.merging is None else (self.merging,)
        return frozenset(slot.number for slot in (*self.slots, *merging) if slot.level == level)


def decode(data: bytes) -> Manifest:
    """Return the manifest in `data`.

    Raises:
        ValueError: It is none, or of another format.
    """
    manifest = json.decode(data, type=Manifest)
    if manifest.format != FORMAT:
        raise ValueError(f"format {manifest.format}, this program knows {FORMAT}")
    return manifest


def encode(manifest: Manifest) -> bytes:
    """Return `manifest` as one line of JSON, its `files` made anew."""
    files = {table: [snapshot_ring(table).file(number)] for table, number in manifest.snapshots.items()}
    for slot in sorted(manifest.slots, key=lambda slot: slot.first):
        for table in slot.rows:
            files.setdefault(table, []).append(ring_file(table, slot))
    return json.encode(replace(manifest, files=files))


def next_slot(manifest: Manifest, last: int, day: str, rows: dict[str, int]) -> Slot:
    """Return the file of the next publication: everything after what is published, up to segment `last`."""
    return Slot(0, manifest.turns[0] % RINGS[0], manifest.through + 1, last, day, rows)


def published(manifest: Manifest, slot: Slot, now: float) -> Manifest:
    """Return the manifest with `slot`, of level 0, published at `now`."""
    return replace(
        manifest,
        through=slot.last,
        turns=_turned(manifest.turns, 0),
        slots=(*manifest.slots, slot),
        published_at=now,
    )


def free_turn(ring: Ring, turn: int, held: frozenset[int], counting: frozenset[int]) -> int:
    """Return the first turn from `turn` on that may be written at once: its file is blank, and nothing counts ahead.

    A kill leaves a file behind that nothing counts on yet, and that a reader may know all the same.

    Args:
        ring: The names.
        turn: The next turn by the manifest.
        held: Numbers of the files that hold rows.
        counting: Numbers of those that count.
    """
    for later in range(turn, turn + ring.size):
        if later % ring.size not in held and not ring.coming(later) & counting:
            return later
    return turn


def due_merge(manifest: Manifest, today: str) -> Slot | None:
    """Return the merge to begin, or None. It takes everything between the level it goes to and a level's bound.

    A day that is over is sealed. A level that is full is merged into the next, or further where there are rows enough.
    """
    if manifest.merging is not None or not manifest.slots:
        return None
    if min(slot.day for slot in manifest.slots) < today:
        before = [slot for slot in manifest.slots if slot.day < today]
        return _merge(manifest, SEALED, max(slot.last for slot in before))
    for level in range(LEVELS):
        if sum(slot.level == level for slot in manifest.slots) >= FAN[level]:
            target = level + 1
            while target < SEALED and _rows_after(manifest, manifest.bound(target)) >= MERGED_ROWS[target + 1]:
                target += 1
            return _merge(manifest, target, manifest.through if level == 0 else manifest.bound(level - 1))
    return None


def begun(manifest: Manifest, merge: Slot) -> Manifest:
    """Return the manifest that says that `merge` is being written: what is done again after a kill."""
    return replace(manifest, merging=merge)


def merged(manifest: Manifest) -> Manifest:
    """Return the manifest after the merge under way: its rows count at their new level, and no more below."""
    merge = manifest.merging
    if merge is None:
        return manifest
    slots = tuple(slot for slot in manifest.slots if slot.first > merge.last or slot.level >= merge.level)
    bounds = [manifest.ring0, manifest.ring1, manifest.sealed]
    for level in range(merge.level):
        bounds[level] = max(bounds[level], merge.last)
    return replace(
        manifest,
        ring0=bounds[0],
        ring1=bounds[1],
        sealed=bounds[2],
        turns=_turned(manifest.turns, merge.level),
        slots=slots if merge.level == SEALED else (*slots, merge),
        merging=None,
    )


def ring_file(table: str, slot: Slot) -> str:
    """Return the path of the file of `table` in `slot`, below the folder."""
    return level_ring(table, slot.level).file(slot.number)


def sealed_file(table: str, merge: Slot) -> str:
    """Return the path of the sealed file of `table`, below the folder."""
    return f"sealed/{table}/day={merge.day}/part-{merge.first:012}-{merge.last:012}.parquet"


def file_of(table: str, slot: Slot) -> str:
    """Return the path of the file of `table` for `slot`, in a ring or sealed."""
    return sealed_file(table, slot) if slot.level == SEALED else ring_file(table, slot)


def sealed_through(name: str) -> int:
    """Return the last segment in the sealed file called `name`; -1 for a file that is none of a day."""
    stem = name.rpartition("/")[2].removesuffix(".parquet")
    last = stem.rpartition("-")[2]
    return int(last) if stem.startswith("part-") and last.isdecimal() else -1


def _merge(manifest: Manifest, level: int, last: int) -> Slot:
    """Return the merge into `level` of what is after that level's rows, up to segment `last`."""
    after = manifest.bound(level - 1)
    taken = [slot for slot in manifest.slots if after < slot.first <= last and slot.level < level]
    rows: dict[str, int] = {}
    for slot in taken:
        for table, count in slot.rows.items():
            rows[table] = rows.get(table, 0) + count
    number = 0 if level == SEALED else manifest.turns[level] % RINGS[level]
    return Slot(level, number, min(slot.first for slot in taken), last, max(slot.day for slot in taken), rows)


def _rows_after(manifest: Manifest, bound: int) -> int:
    return sum(slot.count for slot in manifest.slots if slot.first > bound)


def _turned(turns: tuple[int, int, int], level: int) -> tuple[int, int, int]:
    if level >= LEVELS:
        return turns
    return tuple(turn + (at == level) for at, turn in enumerate(turns))  # type: ignore[return-value]  # of the same length
