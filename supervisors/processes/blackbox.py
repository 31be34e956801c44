"""The black box of a process child: a ring in memory shared by a file, read by its launcher after its death.

    child: mapped, a slot a message taken up ── run/flight-<pid> ── launcher: reads it once the process is gone

A process that is ended by a signal, or by `os._exit`, says nothing any more; what it has written into the mapping is
there all the same, as the pages belong to the kernel. A slot has the message's number, the instant, and the name of its
class: no field, since making those plain would cost more than most handlers. A power cut loses it.

The file has all its room on the disk before it is mapped: to touch a page that the disk has no room for ends a process
with SIGBUS. Where there is no room the ring is the process's own, and a kill leaves no last messages.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any, Final

from actors.core.flight import places
from actors.core.future import Ask
from actors.core.tracing import Carried, message_of
from actors.flightrecord import FlightRecord, FlightRule, LastMessage

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

MAGIC: Final = b"ACTBOX01"
NAME_BYTES: Final = 104
SLOTS_MAX: Final = 64

_HEAD: Final = struct.Struct("<8sII")
_SLOT: Final = struct.Struct(f"<Qd{NAME_BYTES}s")
_BODY: Final = struct.Struct(f"<d{NAME_BYTES}s")
_NUMBER: Final = struct.Struct("<Q")


class SharedRing(list[Any]):
    """The ring of an actor, each entry also noted in shared memory. For the holder of the actor's turn."""

    def __init__(self, path: Path, rule: FlightRule) -> None:
        """Make the file, take its room, and map it.

        Raises:
            OSError: It cannot be made, or the disk is full; then there is no file.
        """
        size = places(rule.messages)
        super().__init__([None] * size)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            length = _HEAD.size + size * _SLOT.size
            _take_room(descriptor, length)
            self._memory = mmap.mmap(descriptor, length)
        except BaseException:
            remove_box(path)
            raise
        finally:
            os.close(descriptor)
        _HEAD.pack_into(self._memory, 0, MAGIC, size, _SLOT.size)
        self._count = 0
        self._names: dict[type, bytes] = {}

    def __setitem__(self, place: Any, item: Any) -> None:
        list.__setitem__(self, place, item)
        kind = type(item)
        if kind is Ask or kind is Carried:
            kind = type(message_of(item))
        name = self._names.get(kind)
        if name is None:
            name = self._names[kind] = kind.__name__.encode("utf-8", "replace")[:NAME_BYTES]
        self._count = number = self._count + 1
        at = _HEAD.size + place * _SLOT.size
        memory = self._memory
        _BODY.pack_into(memory, at + _NUMBER.size, time.time(), name)
        _NUMBER.pack_into(memory, at, number)  # last: a slot that is half written has its old number


def _take_room(descriptor: int, length: int) -> None:
    """Make the file of `descriptor` `length` zeros that have their room on the disk.

    Raises:
        OSError: There is none.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    written = 0
    while written < length:
        written += os.write(descriptor, bytes(length - written))


def shared_ring(path: Path, rule: FlightRule) -> list[Any]:
    """Return a ring in shared memory; one of this process's own where that cannot be, which is logged."""
    try:
        return SharedRing(path, rule)
    except OSError as error:
        logger.warning("no memory is shared for the last messages: %s", error)
        return [None] * places(rule.messages)


def box_path(run: str, pid: int) -> Path:
    """Return where the black box of a process is."""
    return Path(run) / f"flight-{pid}"


def read_box(path: Path) -> FlightRecord | None:
    """Return what a process left in its black box; None where there is none, or nothing in it."""
    try:
        data = path.read_bytes()
        magic, size, slot = _HEAD.unpack_from(data)
        if magic != MAGIC or not 0 < size <= SLOTS_MAX or slot != _SLOT.size:
            return None
        found = sorted(_SLOT.unpack_from(data, _HEAD.size + place * slot) for place in range(size))
    except (OSError, struct.error):
        return None
    taken = [(number, at, name) for number, at, name in found if number]
    if not taken:
        return None
    messages = tuple([
        LastMessage(name.rstrip(b"\0").decode("utf-8", "replace"), at=at) for _number, at, name in taken
    ])  # fmt: skip
    return FlightRecord(source="shared-memory", messages=messages, handled=int(taken[-1][0]))


def remove_box(path: Path) -> None:
    """Remove a black box, where there is one."""
    with contextlib.suppress(OSError):
        path.unlink()


def remove_boxes(run: Path) -> None:
    """Remove the black boxes that an earlier run of the node left."""
    for path in run.glob("flight-*"):
        remove_box(path)
