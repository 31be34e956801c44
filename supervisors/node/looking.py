"""What is known of one child, wherever in the tree's processes it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from actors.exits import ExitReason, from_record
from actors.state.file import StateError
from actors.state.snapshots import latest
from supervisors.branches import record_of
from supervisors.supervisor import Services
from supervisors.tree import find, spec_view
from supervisors.views import KeptView, SpecView


def spec_view_at(services: Services, path: str) -> SpecView | None:
    """Return the spec of the child at `path`, wherever it runs; None where none is known."""
    found = find(services, path)
    if found is not None:
        return spec_view(found[1].spec)
    record = record_of(services, path)
    return record.spec if record is not None else None


def last_exit_and_needs(services: Services, path: str) -> tuple[ExitReason | None, tuple[str, ...]]:
    """Return how the instance before at `path` ended, where that is known, and what its spec needs."""
    found = find(services, path)
    if found is not None:
        return found[1].last_exit, found[1].spec.needs
    record = record_of(services, path)
    if record is None:
        return None, ()
    reason = from_record(record.last_exit) if record.last_exit is not None else None
    return reason, record.spec.needs if record.spec is not None else ()


def kept_at(home: Path | None, path: str) -> KeptView | None:
    """Return what the actor at `path` keeps in the file of state of `home`; None where that cannot be read either."""
    try:
        found = latest(home / "state.db", path) if home is not None else None
    except StateError:
        return None  # `doctor` and whoever writes the file say so; a description is no place to fail for it
    if found is None:
        return None
    return KeptView(found.number, found.version, datetime.fromtimestamp(found.at, UTC), found.size_bytes)
