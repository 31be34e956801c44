"""The folder of what is published: which files are there, which count, which are over."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.history.catalog import MANIFEST, flowing, put, whole_file
from actors.history.protocol import Notice
from actors.history.publication import Manifest, decode, encode, sealed_through
from actors.history.rings import is_blank, is_whole, retire
from actors.history.schema import BY_NAME, Keep, Table

READ_WITHIN = 60.0
"""Seconds that a sealed file which was retired keeps its bytes, for queries that go on."""

MOST_BLANK = 400
"""Names of sealed files without rows, of one table, from which half of them go while a node runs."""


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

    To be opened within ten seconds: those of the rings are replaced by newer ones.

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
        return [folder / whole_file(manifest, table)]
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

    Args:
        folder: What is published.
        now: Aware instant.
        ages: Seconds that rows are kept, by the kind of their table.
        most_bytes: Bytes of all sealed files above which the oldest go; 0: no such limit.
    """
    kept: list[tuple[Table, Path]] = []
    left = 0
    for table in flowing():
        empty = empty_file(folder, table)
        for path in sealed_files(folder, table.name):
            if is_blank(path, empty):
                continue
            if is_over(path, now, ages[table.keep]):
                yield table, path
            else:
                left += path.stat().st_size
                kept.append((table, path))
    if not most_bytes:
        return
    for table, path in sorted(kept, key=lambda entry: (sealed_through(entry[1].name), entry[0].name)):
        if left <= most_bytes:
            return
        left -= path.stat().st_size
        yield table, path


def drop(folder: Path, now: datetime, ages: dict[Keep, float], most_bytes: int = 0) -> dict[str, int]:
    """Retire the sealed files that go. Arguments as of `files_to_drop`.

    Their names stay, until a node starts or there are very many: a query that has listed one would fail without it.

    Returns:
        Bytes of what was retired, by table.

    Raises:
        OSError: One cannot be.
    """
    dropped: dict[str, int] = {}
    for table, path in files_to_drop(folder, now, ages, most_bytes):
        size = path.stat().st_size
        _retire_sealed(folder, path, empty_file(folder, table))
        dropped[table.name] = dropped.get(table.name, 0) + size
    for table in flowing():
        blank = _blank_sealed(folder, table)
        if len(blank) > MOST_BLANK:
            _remove(blank[: len(blank) // 2])
    return dropped


def remove_blank(folder: Path) -> None:
    """Remove the names of sealed files that hold no rows any more: of days that were dropped.

    Raises:
        OSError: One cannot be.
    """
    for table in flowing():
        _remove(_blank_sealed(folder, table))


def give_back(folder: Path) -> None:
    """Let sealed files that were retired a while ago have no bytes either: no query goes on that knows them.

    Raises:
        OSError: One cannot be written.
    """
    for table in flowing():
        empty = empty_file(folder, table)
        for path in sealed_files(folder, table.name):
            found = path.stat()
            if (
                found.st_size > empty.stat().st_size
                and is_blank(path, empty)
                and time.time() - found.st_mtime > READ_WITHIN
            ):
                _empty(folder, path, empty)


def _blank_sealed(folder: Path, table: Table) -> list[Path]:
    empty = empty_file(folder, table)
    return [path for path in sealed_files(folder, table.name) if is_blank(path, empty)]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        with suppress(OSError):  # there are others in it
            path.parent.rmdir()


def _retire_sealed(folder: Path, path: Path, empty: Path) -> None:
    try:
        retire(path, empty, folder / "tmp" / "retiring")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        (folder / "tmp" / "retiring").unlink(missing_ok=True)
        _empty(folder, path, empty)  # room is what dropping is for: a query that knows the file fails


def _empty(folder: Path, path: Path, empty: Path) -> None:
    temporary = folder / "tmp" / "empty"
    shutil.copyfile(empty, temporary)
    os.replace(temporary, path)


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


def empty_file(folder: Path, table: Table) -> Path:
    """Return the path of the file without rows that every other may be replaced by."""
    return folder / f"sealed/{table.name}/empty/empty.parquet"
