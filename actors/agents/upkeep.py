"""Tasks that keep files in order: context clean-up, log inventory, backup check, daily maintenance.

All work on real files: below the runtime's home, and in the directory the user named, where nothing is ever changed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from actors.agents.context import Context, Result, TaskFailedError
from actors.agents.notices import leave_notice
from actors.jobs import index
from actors.jobs.files import FileFact, walk, write_atomic
from actors.jobs.indexing import indexing_job
from actors.jobs.indexkeeper import ForgetFiles
from actors.jobs.offload import Cancel
from actors.jobs.orders import AddJobs

SKIPPED: Final = (
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".cache", ".tox"),
)
"""Directories of tools, by name: their content is made by programs and of no interest to an index."""

_LOG: Final = re.compile(r"\.(log|err|out)(\.[0-9-]+)?(\.gz|\.xz|\.bz2|\.zst)?\Z", re.IGNORECASE)
_DIGEST: Final = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(.+))?\Z")
_LARGEST: Final = 10
_BATCH_FILES: Final = 100
_BATCH_BYTES: Final = 64 << 20
_ADD: Final = 10
"""Jobs of one call: all or none of them are taken, so this is what a queue that is nearly full turns away at most."""


# -- context clean-up -----------------------------------------------------------------------------------


async def context_cleanup(context: Context) -> Result:
    """Remove files of `<home>/context` that were not written for `max_age` seconds, and directories left empty."""
    removed, size, failed = await context.blocking(_clean, context)
    if failed:
        raise TaskFailedError(f"{failed} files of {context.home / 'context'} could not be removed")
    if not removed:
        return Result("nothing is old enough", idle=True)
    context.metric("context.removed_bytes", float(size), "bytes")
    return Result(f"removed {removed} files, {size} bytes")


def _clean(cancel: Cancel, context: Context) -> tuple[int, int, int]:
    base = context.home / "context"
    oldest = context.outside.wall() - context.number("max_age")
    removed = size = failed = 0
    for fact in list(walk(base, checkpoint=cancel.check)):
        if fact.modified_at >= oldest:
            continue
        try:
            os.unlink(fact.path)
        except FileNotFoundError:
            continue
        except OSError:
            failed += 1
            continue
        removed += 1
        size += fact.size_bytes
        _remove_empty(Path(fact.path).parent, base)
    return removed, size, failed


def _remove_empty(directory: Path, base: Path) -> None:
    while directory != base:
        try:
            directory.rmdir()
        except OSError:
            return  # not empty, or not ours
        directory = directory.parent


# -- log inventory --------------------------------------------------------------------------------------


class Inventory(Struct, frozen=True):
    """The content of `<home>/inventory.json`.

    Attributes:
        files, size_bytes: Regular files below the directory, the runtime's home left out.
        log_files, log_bytes: Those among them, and in the runtime's own `logs`, that are logs by their names.
        largest: The largest files, largest first.
        largest_logs: The largest logs, largest first.
        complete: False where counting stopped at `max_files`.
    """

    at: float
    root: str
    files: int
    size_bytes: int
    log_files: int
    log_bytes: int
    largest: tuple[FileFact, ...]
    largest_logs: tuple[FileFact, ...]
    free_bytes: int
    complete: bool


async def log_inventory(context: Context) -> Result:
    """Take stock of the directory's files and logs, and of the disk under it, into `<home>/inventory.json`."""
    found = await context.blocking(_take_stock, context)
    context.metric("inventory.files", float(found.files), "count")
    context.metric("inventory.size_bytes", float(found.size_bytes), "bytes")
    context.metric("inventory.log_files", float(found.log_files), "count")
    context.metric("inventory.log_bytes", float(found.log_bytes), "bytes")
    context.metric("inventory.disk_free_bytes", float(found.free_bytes), "bytes")
    more = "" if found.complete else " (counting stopped there)"
    return Result(
        f"{found.files} files, {found.size_bytes} bytes{more}; {found.log_files} logs, {found.log_bytes} bytes"
    )


def _take_stock(cancel: Cancel, context: Context) -> Inventory:
    import shutil

    limit = int(context.number("max_files"))
    files = size = log_files = log_bytes = 0
    largest: list[tuple[int, FileFact]] = []
    largest_logs: list[tuple[int, FileFact]] = []
    complete = True
    own = walk(context.home / "logs", checkpoint=cancel.check)
    for fact, is_own in _marked(walk(context.root, skip=[context.home], checkpoint=cancel.check), own):
        if files >= limit and not is_own:
            complete = False
            break
        if not is_own:
            files += 1
            size += fact.size_bytes
            _keep(largest, fact)
        if is_own or _LOG.search(fact.path):
            log_files += 1
            log_bytes += fact.size_bytes
            _keep(largest_logs, fact)
    inventory = Inventory(
        at=context.outside.wall(),
        root=str(context.root.absolute()),
        files=files,
        size_bytes=size,
        log_files=log_files,
        log_bytes=log_bytes,
        largest=tuple(fact for _, fact in sorted(largest, key=_by_size, reverse=True)),
        largest_logs=tuple(fact for _, fact in sorted(largest_logs, key=_by_size, reverse=True)),
        free_bytes=shutil.disk_usage(context.root).free,
        complete=complete,
    )
    write_atomic(context.home / "inventory.json", msgspec.json.format(msgspec.json.encode(inventory)) + b"\n")
    return inventory


def _marked(found: Iterator[FileFact], own: Iterator[FileFact]) -> Iterator[tuple[FileFact, bool]]:
    yield from ((fact, True) for fact in own)
    yield from ((fact, False) for fact in found)


def _keep(heap: list[tuple[int, FileFact]], fact: FileFact) -> None:
    entry = (fact.size_bytes, fact)
    if len(heap) < _LARGEST:
        heap.append(entry)
        heap.sort(key=_by_size)
    elif fact.size_bytes > heap[0][0]:
        heap[0] = entry
        heap.sort(key=_by_size)


def _by_size(entry: tuple[int, FileFact]) -> int:
    return entry[0]


# -- backup check ---------------------------------------------------------------------------------------


class Backups(Struct, frozen=True):
    """What the check found: names of files that are right, corrupted, missing, and not listed in any manifest."""

    right: tuple[str, ...]
    corrupted: tuple[str, ...]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    unreadable: tuple[str, ...]


async def backup_check(context: Context) -> Result:
    """Compare every file of `<home>/backups` with the digest that a `*.sha256` manifest there states.

    A manifest has lines as `sha256sum` writes them, or one bare digest for the file it is named after.
    """
    directory = context.home / "backups"
    found = await context.blocking(check_backups, directory)
    if found is None:
        return Result(f"there is no backup in {directory}", idle=True)
    context.metric("backup.right", float(len(found.right)), "count")
    context.metric("backup.wrong", float(len(found.corrupted) + len(found.missing) + len(found.unreadable)), "count")
    faults = {"corrupted": found.corrupted, "missing": found.missing, "unreadable": found.unreadable}
    wrong = "; ".join(f"{len(names)} {kind}: {', '.join(names[:5])}" for kind, names in faults.items() if names)
    if wrong:
        await context.blocking(leave_notice, context, "backup-check", f"backups in {directory}: {wrong}")
        raise TaskFailedError(wrong)
    unlisted = f"; no digest is known of {', '.join(found.unlisted[:5])}" if found.unlisted else ""
    return Result(f"{len(found.right)} backups are as their manifests say{unlisted}")


def check_backups(cancel: Cancel, directory: Path) -> Backups | None:
    """Return what is right and wrong in `directory`, or None when there is nothing to check; blocks."""
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return None
    manifests = [name for name in names if name.endswith(".sha256")]
    files = [name for name in names if not name.endswith(".sha256")]
    if not manifests and not files:
        return None
    stated: dict[str, str] = {}
    unreadable: list[str] = []
    for manifest in manifests:
        entries = _manifest(directory, manifest)
        if entries is None:
            unreadable.append(manifest)
        else:
            stated.update(entries)
    right: list[str] = []
    corrupted: list[str] = []
    missing: list[str] = []
    for name, digest in sorted(stated.items()):
        if name not in files:
            missing.append(name)
            continue
        try:
            actual = _digest(cancel, directory / name)
        except OSError:
            unreadable.append(name)
            continue
        (right if actual == digest else corrupted).append(name)
    unlisted = [name for name in files if name not in stated]
    return Backups(tuple(right), tuple(corrupted), tuple(missing), tuple(unlisted), tuple(unreadable))


def _manifest(directory: Path, manifest: str) -> dict[str, str] | None:
    """Return the digests a manifest states, by file name; None where a line of it is not one for this directory."""
    try:
        lines = (directory / manifest).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    stated: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        match = _DIGEST.match(line.strip())
        name = (match[2] or manifest.removesuffix(".sha256")) if match else ""
        if match is None or Path(name).name != name:
            return None
        stated[name] = match[1].lower()
    return stated or None


def _digest(cancel: Cancel, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            cancel.check()
    return digest.hexdigest()


# -- daily maintenance ----------------------------------------------------------------------------------


class Changes(Struct, frozen=True):
    """How the directory differs from the index.

    Attributes:
        seen: Files walked over.
        batches: Paths of new or changed files, in the size of one job each.
        gone: Indexed paths that are no longer there.
        complete: False where `max_files` changed ones were found: the rest is for the next run.
        nameless: Files whose names are no text, so that no job can name them.
    """

    seen: int
    batches: tuple[tuple[str, ...], ...]
    gone: tuple[str, ...]
    complete: bool
    nameless: int


async def daily_maintenance(context: Context) -> Result:
    """Have the workers index what is new or changed in the directory; forget in the index what is gone."""
    found = await context.blocking(find_changes, context)
    if found.gone:
        await context.outside.ask(context.keeper, ForgetFiles(found.gone), context.timeout)
    accepted = refused = 0
    why = ""
    for at in range(0, len(found.batches), _ADD):
        jobs = tuple(indexing_job(batch, context.name) for batch in found.batches[at : at + _ADD])
        answer = await context.outside.ask(context.queue, AddJobs(jobs), context.timeout)
        accepted += len(answer.ids)
        if answer.why:
            refused, why = len(found.batches) - at, answer.why
            break
    context.metric("maintenance.files_seen", float(found.seen), "count")
    changed = sum(len(batch) for batch in found.batches)
    if not changed and not found.gone and not found.nameless:
        return Result(f"{found.seen} files, nothing has changed", idle=True)
    text = f"{found.seen} files: {changed} new or changed in {accepted} jobs, {len(found.gone)} gone"
    if refused:
        text += f"; {refused} jobs were refused and are for the next run: {why}"
    if not found.complete:
        text += "; more are left for the next run"
    if found.nameless:
        text += f"; {found.nameless} files have names that are no text and are left out"
    return Result(text)


def find_changes(cancel: Cancel, context: Context) -> Changes:
    """Walk the directory and compare it with the index by size and modification time; blocks."""
    records, _ = index.load(context.home / "index.jsonl")
    limit = int(context.number("max_files"))
    batches: list[tuple[str, ...]] = []
    batch: list[str] = []
    size = changed = seen = nameless = 0
    present: set[str] = set()
    complete = True
    for fact in walk(context.root, skip=[context.home], skip_names=SKIPPED, checkpoint=cancel.check):
        seen += 1
        present.add(fact.path)
        if not index.changed(records, fact):
            continue
        if not _is_text(fact.path):
            nameless += 1
            continue
        if changed >= limit:
            complete = False
            break
        changed += 1
        batch.append(fact.path)
        size += fact.size_bytes
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            batches.append(tuple(batch))
            batch, size = [], 0
    if batch:
        batches.append(tuple(batch))
    base = os.path.join(os.path.abspath(context.root), "")
    gone = tuple(p for p in records if p.startswith(base) and p not in present and not os.path.lexists(p))
    return Changes(seen, tuple(batches), gone, complete, nameless)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # a name of bytes that are no UTF-8, which a job's JSON cannot carry
        return False
    return True
