"""The folder of what is published: which files are there, which count, which are over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.history.catalog import MANIFEST, flowing, put, whole_file
from actors.history.protocol import Notice
from actors.history.publication import Manifest, decode, encode, sealed_through
from actors.history.schema import BY_NAME, Keep, Table


def load_manifest(folder: Path) -> Manifest | None:
    """Return what is published in `folder`; None where there is no manifest, or none that can be read."""
    try:
        return decode((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which replaces the one that is there.

    Raises:
        OSError: It cannot be written.
    """
    temporary = folder / "tmp" / MANIFEST
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(encode(manifest) + b"\n")
    put(temporary, folder / MANIFEST, durable=True)


def sealed_files(folder: Path, table: str) -> list[Path]:
    """Return the sealed files of `table`, the oldest first."""
    found = (folder / "sealed" / table).glob("day=*/part-*.parquet")
    return sorted(found, key=lambda path: sealed_through(path.name))


def files_to_read(folder: Path, table: str) -> list[Path]:
    """Return the files that hold the rows of `table`, each row once: for tools that do not use the catalog.

    To be opened within half a minute: those of the rings are replaced by newer ones.

    Raises:
        FileNotFoundError: Nothing is published there.
        ValueError: There is no such table.
    """
    if table not in BY_NAME:
        raise ValueError(f"there is no table {table!r}; there are {', '.join(BY_NAME)}")
    manifest = load_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"no history is published in {folder}")
    if BY_NAME[table].keep is Keep.ALWAYS:
        return [folder / whole_file(table)]
    sealed = [path for path in sealed_files(folder, table) if sealed_through(path.name) <= manifest.sealed]
    empty = [folder / f"sealed/{table}/empty/empty.parquet"]
    return [*empty, *sealed, *(folder / name for name in manifest.files.get(table, ()))]


def day_of(at: float) -> str:
    """Return the UTC day of `at`, seconds since the epoch; a clock beyond the calendar is its nearest end."""
    return datetime.fromtimestamp(min(max(at, 0.0), 253_402_300_799.0), UTC).date().isoformat()


def is_over(path: Path, now: datetime, age: float) -> bool:
    """Whether the day of the sealed file at `path` ended more than `age` seconds before `now`."""
    try:
        day = datetime.fromisoformat(path.parent.name.removeprefix("day=")).replace(tzinfo=UTC)
        return (now - day - timedelta(days=1)).total_seconds() > age
    except (ValueError, OverflowError):
        return False


def files_to_drop(
    folder: Path, now: datetime, ages: dict[Keep, float], most_bytes: int = 0
) -> Iterator[tuple[Table, Path]]:
    """Return the sealed files that go: those over for longer than their age, then the oldest above the budget.

    Files that were emptied before and are over are among them: they are deleted now.

    Args:
        folder: What is published.
        now: Aware instant.
        ages: Seconds that rows are kept, by the kind of their table.
        most_bytes: Bytes of all sealed files above which the oldest go; 0: no such limit.
    """
    kept: list[tuple[Table, Path]] = []
    left = 0
    for table in flowing():
        empty = empty_file(folder, table).stat().st_size
        for path in sealed_files(folder, table.name):
            size = path.stat().st_size
            if is_over(path, now, ages[table.keep]):
                left += empty if size != empty else 0
                yield table, path
            else:
                left += size
                if size != empty:
                    kept.append((table, path))
    if not most_bytes:
        return
    for table, path in sorted(kept, key=lambda entry: (sealed_through(entry[1].name), entry[0].name)):
        if left <= most_bytes:
            return
        left -= path.stat().st_size - empty_file(folder, table).stat().st_size
        yield table, path


def is_whole(path: Path) -> bool:
    """Whether the file at `path` begins and ends as a Parquet file does, with room for the footer it tells of."""
    try:
        with open(path, "rb") as file:
            begin = file.read(len(_PARQUET))
            size = file.seek(0, os.SEEK_END)
            file.seek(-_TAIL, os.SEEK_END)
            tail = file.read()
    except OSError:
        return False
    footer = int.from_bytes(tail[:4], "little")
    return begin == tail[4:] == _PARQUET and 0 < footer <= size - _TAIL - len(_PARQUET)


def quarantine(folder: Path) -> tuple[Notice, ...]:
    """Move sealed files that are no Parquet files any more aside, where no view reads them; say which.

    One of them would let every query of its table fail. Their rows are nowhere else.

    Raises:
        OSError: One cannot be moved.
    """
    notices: list[Notice] = []
    for table in flowing():
        for path in sealed_files(folder, table.name):
            if not is_whole(path) and path.exists():
                aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S}")
                os.replace(path, aside)
                why = f"sealed rows of {table.name} cannot be read, {path.parent.name}: moved to {aside.name}"
                notices.append(Notice(0, why))
    return tuple(notices)


_PARQUET = b"PAR1"
_TAIL = 4 + len(_PARQUET)


def empty_file(folder: Path, table: Table) -> Path:
    """Return the path of the file without rows that every other may be replaced by."""
    return folder / f"sealed/{table.name}/empty/empty.parquet"
