"""The folder of what is published: which files are there, which count, which are over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.history.catalog import MANIFEST, flowing, put, whole_file
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


def oldest_first(folder: Path) -> Iterator[tuple[Table, Path]]:
    """Return the sealed files of all tables that hold rows, the oldest first."""
    found = [(table, path) for table in flowing() for path in sealed_files(folder, table.name)]
    full = [(table, path) for table, path in found if path.stat().st_size != empty_file(folder, table).stat().st_size]
    return iter(sorted(full, key=lambda entry: (sealed_through(entry[1].name), entry[0].name)))


def is_whole(path: Path) -> bool:
    """Whether the file at `path` ends as a Parquet file does."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(_PARQUET), os.SEEK_END)
            return file.read() == _PARQUET
    except OSError:
        return False


_PARQUET = b"PAR1"


def sealed_bytes(folder: Path) -> int:
    """Return the bytes of all sealed files."""
    return sum(path.stat().st_size for table in flowing() for path in sealed_files(folder, table.name))


def empty_file(folder: Path, table: Table) -> Path:
    """Return the path of the file without rows that every other may be replaced by."""
    return folder / f"sealed/{table.name}/empty/empty.parquet"
