"""The ledger of schedules: what is scheduled, and what became of each slot; on disk, or in memory alone.

    schedules            definition, standing
    schedule_slots       one row a slot (or for a row of slots that were missed together), with its one end
    schedule_breakers    state of each breaker

A slot's row is written when it is claimed, before anything is run for it, and closed once: a row that has its end is
never changed again. One that was claimed ahead of its instant has no `began_at` until it is known to have begun. What
an unfinished row means after a restart is the scheduler's.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from actors.policies import breaker as breakers
from actors.scheduling.plans import Schedule
from actors.scheduling.states import Standing
from actors.state.file import StateError, StateFile, open_state
from actors.state.migrations import Migrations

SCHEDULES: Final = Migrations(
    "schedule",
    (
        """
        CREATE TABLE schedules (
            id TEXT PRIMARY KEY,
            definition BLOB NOT NULL,
            standing BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE schedule_slots (
            schedule TEXT NOT NULL,
            slot_at REAL NOT NULL,
            round INTEGER NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            why TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            is_repeat INTEGER NOT NULL,
            began_at REAL,
            due_at REAL,
            ended_at REAL,
            seconds REAL NOT NULL,
            last_at REAL NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (schedule, slot_at, round)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE schedule_breakers (
            key TEXT PRIMARY KEY,
            state BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)

_ROW: Final = f"({', '.join('?' * 14)})"
_CLOSE: Final = """
ON CONFLICT (schedule, slot_at, round) DO UPDATE SET
    state = excluded.state, why = excluded.why, attempt = excluded.attempt, is_repeat = excluded.is_repeat,
    began_at = coalesce(excluded.began_at, began_at), due_at = excluded.due_at, ended_at = excluded.ended_at,
    seconds = excluded.seconds, last_at = excluded.last_at, count = excluded.count
WHERE schedule_slots.ended_at IS NULL
"""
_UPSERT: Final = f"INSERT INTO schedule_slots VALUES {_ROW} {_CLOSE}"
_MANY: Final = 250
_UPSERT_MANY: Final = f"INSERT INTO schedule_slots VALUES {', '.join([_ROW] * _MANY)} {_CLOSE}"
"""For so many rows at once: each statement carried out lets other threads run, and may wait long to go on."""
_LATEST: Final = """
SELECT schedule, max(last_at) FROM schedule_slots
WHERE kind = 'schedule' AND NOT (state = 'claimed' AND began_at IS NULL) GROUP BY schedule
"""
"""A slot that was claimed ahead has not come: whether it has by now, its row says."""
_WITHDRAW: Final = """
DELETE FROM schedule_slots
WHERE schedule = ? AND slot_at = ? AND round = ? AND state = 'claimed' AND began_at IS NULL
"""
_OLD: Final = """
DELETE FROM schedule_slots WHERE ended_at < ? AND (
    slot_at < (SELECT max(s.slot_at) FROM schedule_slots s
               WHERE s.schedule = schedule_slots.schedule AND s.kind = 'schedule')
    OR schedule NOT IN (SELECT id FROM schedules)
)
"""
_ENCODER: Final = msgspec.msgpack.Encoder()
_SCHEDULE: Final = msgspec.msgpack.Decoder(Schedule)
_STANDING: Final = msgspec.msgpack.Decoder(Standing)
_BREAKER: Final = msgspec.msgpack.Decoder(breakers.State)

ENDS: Final = ("succeeded", "failed", "timed-out", "cancelled", "skipped", "missed", "merged")
"""The states of a slot that has its end; the others are `claimed`, `waiting` and `retrying`."""

Row = tuple[str, float, int, str, str, str, int, int, float | None, float | None, float | None, float, float, int]


class Slot(Struct, frozen=True):
    """One row of the ledger.

    Attributes:
        slot_at: The scheduled instant.
        round: Counts runs of the same instant, from 0.
        kind: `schedule`, `manual` or `backfill`.
        state: One of `ENDS`, or `claimed`, `waiting`, `retrying`.
        why: The reason, a result's summary or an error.
        attempt: Attempts begun.
        is_repeat: Whether it was begun once more after the end of the runtime had cut it short.
        began_at, ended_at: Wall instants, None where that has not happened.
        due_at: When it is tried again, or None.
        seconds: How long the last attempt took.
        last_at, count: Of slots that share a row: the last one, and how many.
    """

    schedule: str
    slot_at: float
    round: int
    kind: str
    state: str
    why: str
    attempt: int
    is_repeat: bool
    began_at: float | None
    due_at: float | None
    ended_at: float | None
    seconds: float
    last_at: float
    count: int


class Wanted(Struct, frozen=True):
    """Which slots are asked for: the newest `limit` of those that match all that is given."""

    schedules: tuple[str, ...] = ()
    state: str = ""
    since: float = 0.0
    slot_at: float = 0.0
    limit: int = 100


class Batch(Struct):
    """What is written together.

    Attributes:
        slots: Rows, in the order of the table's columns.
        schedules: Definitions with their standing.
        standings: Standing by id.
        removed: Ids.
        breakers: State by key.
        withdrawn: Slots claimed ahead, (schedule, instant, round), that are none any more; forgotten before the rest.
    """

    slots: list[Row] = []
    schedules: list[tuple[Schedule, Standing]] = []
    standings: list[tuple[str, Standing]] = []
    removed: list[str] = []
    breakers: list[tuple[str, breakers.State]] = []
    withdrawn: list[tuple[str, float, int]] = []


class Stored(Struct):
    """What an earlier scheduler left.

    Attributes:
        schedules: Definitions with their standing.
        cursors: Latest slot of each schedule.
        unsettled: Slots without their end.
        breakers: State by key.
        unreadable: Ids of definitions that this program cannot read, with the reason.
    """

    schedules: list[tuple[Schedule, Standing]] = []
    cursors: dict[str, float] = {}
    unsettled: list[Slot] = []
    breakers: dict[str, breakers.State] = {}
    unreadable: dict[str, str] = {}


class Ledger(Protocol):
    """Where schedules and their slots are kept. Any thread may call."""

    def load(self) -> Stored:
        """Return what is there; blocks."""
        ...

    def write(self, batch: Batch, done: Callable[[str], None]) -> None:
        """Write `batch`, all or nothing; call `done` with "" once it is kept, else with why not. It must only post."""
        ...

    def slots(self, wanted: Wanted) -> list[Slot]:
        """Return slots, the newest first; blocks."""
        ...

    def rounds(self, schedule: str, first: float, last: float) -> dict[float, tuple[int, str]]:
        """Return, of each slot of `schedule` in that time, how many rounds there are and the state of the latest."""
        ...

    def prune(self, before: float) -> None:
        """Forget slots that ended before, but for the latest of each schedule; does not wait."""
        ...

    def close(self) -> None:
        """Write what waits; idempotent."""
        ...


class DiskLedger:
    """The ledger in the runtime's file of state.

    Raises:
        StateError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file: StateFile = open_state(path, SCHEDULES)
        self._closed = False
        self.damaged = self._file.damaged

    def load(self) -> Stored:
        return self._file.read(_load)

    def write(self, batch: Batch, done: Callable[[str], None]) -> None:
        def settle(error: BaseException | None, _: object) -> None:
            done("" if error is None else str(error))

        self._file.submit(lambda connection: _write(connection, batch), settle)

    def slots(self, wanted: Wanted) -> list[Slot]:
        where, values = ["slot_at >= ?"], [wanted.since]
        query: list[object] = list(values)
        if wanted.schedules:
            where.append(f"schedule IN ({', '.join('?' * len(wanted.schedules))})")
            query += wanted.schedules
        if wanted.state:
            where.append("state = ?")
            query.append(wanted.state)
        if wanted.slot_at:
            where.append("slot_at = ?")
            query.append(wanted.slot_at)
        text = f"SELECT * FROM schedule_slots WHERE {' AND '.join(where)} ORDER BY slot_at DESC, round DESC LIMIT ?"
        return self._file.read(
            lambda connection: [_slot(row) for row in connection.execute(text, (*query, wanted.limit))]
        )

    def rounds(self, schedule: str, first: float, last: float) -> dict[float, tuple[int, str]]:
        text = "SELECT slot_at, round, state FROM schedule_slots WHERE schedule = ? AND slot_at BETWEEN ? AND ?"
        rows = self._file.read(lambda connection: connection.execute(text, (schedule, first, last)).fetchall())
        return {slot_at: (round + 1, state) for slot_at, round, state in rows}  # ascending by the primary key

    def prune(self, before: float) -> None:
        self._file.submit(lambda connection: connection.execute(_OLD, (before,)).rowcount, lambda error, _: None)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._file.close()


class MemoryLedger:
    """A ledger that ends with its process, and keeps the newest `most` slots of each schedule."""

    damaged = None

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._slots: dict[str, deque[Slot]] = {}
        self._known: dict[str, tuple[Schedule, Standing]] = {}
        self._breakers: dict[str, breakers.State] = {}

    def load(self) -> Stored:
        cursors = {
            id: max((slot.last_at for slot in slots if slot.kind == "schedule"), default=0.0)
            for id, slots in self._slots.items()
        }
        unsettled = [slot for slots in self._slots.values() for slot in slots if slot.ended_at is None]
        return Stored(list(self._known.values()), cursors, unsettled, dict(self._breakers))

    def write(self, batch: Batch, done: Callable[[str], None]) -> None:
        for schedule, standing in batch.schedules:
            self._known[schedule.id] = (schedule, standing)
        for id, standing in batch.standings:
            if id in self._known:
                self._known[id] = (self._known[id][0], standing)
        for id, slot_at, round in batch.withdrawn:
            slots = self._slots.get(id, deque())
            for slot in [slot for slot in slots if slot.slot_at == slot_at and slot.round == round]:
                if slot.state == "claimed" and slot.began_at is None:
                    slots.remove(slot)
        for id in batch.removed:
            self._known.pop(id, None)
        self._breakers.update(batch.breakers)
        for row in batch.slots:
            self._put(_slot(row))
        done("")

    def slots(self, wanted: Wanted) -> list[Slot]:
        found = [
            slot
            for id, slots in self._slots.items()
            if not wanted.schedules or id in wanted.schedules
            for slot in slots
            if slot.slot_at >= wanted.since
            and wanted.state in {"", slot.state}
            and wanted.slot_at in {0.0, slot.slot_at}
        ]
        return sorted(found, key=lambda slot: (-slot.slot_at, -slot.round))[: wanted.limit]

    def rounds(self, schedule: str, first: float, last: float) -> dict[float, tuple[int, str]]:
        found = sorted(self._slots.get(schedule, ()), key=lambda slot: (slot.slot_at, slot.round))
        return {slot.slot_at: (slot.round + 1, slot.state) for slot in found if first <= slot.slot_at <= last}

    def prune(self, before: float) -> None:
        return None  # it is bounded as it is

    def close(self) -> None:
        return None

    def _put(self, slot: Slot) -> None:
        slots = self._slots.setdefault(slot.schedule, deque(maxlen=self._most))
        for at, known in enumerate(slots):
            if known.slot_at == slot.slot_at and known.round == slot.round:
                if known.ended_at is None:
                    began_at = slot.began_at if slot.began_at is not None else known.began_at
                    slots[at] = msgspec.structs.replace(slot, began_at=began_at)
                return
        slots.append(slot)


def _slot(row: Sequence[object]) -> Slot:
    return Slot(*row[:7], bool(row[7]), *row[8:])  # type: ignore[arg-type,call-arg]  # the table is strict


def _load(connection: sqlite3.Connection) -> Stored:
    stored = Stored()
    for id, definition, standing in connection.execute("SELECT id, definition, standing FROM schedules"):
        try:
            stored.schedules.append((_SCHEDULE.decode(definition), _STANDING.decode(standing)))
        except (msgspec.MsgspecError, ValueError) as error:
            stored.unreadable[id] = str(error)
    stored.cursors = dict(connection.execute(_LATEST).fetchall())
    unsettled = "SELECT * FROM schedule_slots WHERE ended_at IS NULL ORDER BY slot_at, round"
    stored.unsettled = [_slot(row) for row in connection.execute(unsettled)]
    for key, state in connection.execute("SELECT key, state FROM schedule_breakers"):
        try:
            stored.breakers[key] = _BREAKER.decode(state)
        except (msgspec.MsgspecError, ValueError):
            continue  # it begins closed
    return stored


def _write(connection: sqlite3.Connection, batch: Batch) -> None:
    slots = batch.slots
    if batch.withdrawn:
        connection.executemany(_WITHDRAW, batch.withdrawn)
    for at in range(0, len(slots) - _MANY + 1, _MANY):
        connection.execute(_UPSERT_MANY, list(chain.from_iterable(slots[at : at + _MANY])))
    rest = slots[len(slots) - len(slots) % _MANY :] if len(slots) % _MANY else []
    if rest:
        connection.executemany(_UPSERT, rest)
    if batch.schedules:
        rows = [(s.id, _ENCODER.encode(s), _ENCODER.encode(standing)) for s, standing in batch.schedules]
        connection.executemany("INSERT OR REPLACE INTO schedules VALUES (?, ?, ?)", rows)
    if batch.standings:
        kept = [(_ENCODER.encode(standing), id) for id, standing in batch.standings]
        connection.executemany("UPDATE schedules SET standing = ? WHERE id = ?", kept)
    if batch.removed:
        connection.executemany("DELETE FROM schedules WHERE id = ?", [(id,) for id in batch.removed])
    if batch.breakers:
        states = [(key, _ENCODER.encode(state)) for key, state in batch.breakers]
        connection.executemany("INSERT OR REPLACE INTO schedule_breakers VALUES (?, ?)", states)


__all__ = [
    "ENDS",
    "SCHEDULES",
    "Batch",
    "DiskLedger",
    "Ledger",
    "MemoryLedger",
    "Row",
    "Slot",
    "StateError",
    "Stored",
    "Wanted",
]
