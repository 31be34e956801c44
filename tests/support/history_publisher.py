"""A recorder's store and publisher in a process of their own, which publish one batch a time through days of a minute.

python -m support.history_publisher FOLDER EVERY_SECONDS DAY_SECONDS

Each publication has `ROWS` rows more of each of `TABLES`, whose `seq` counts on from 0: after publication n, counted
from 1, `through` is n (segment 0 is the file's own), and a table ends with row `n * ROWS - 1`. Days are sealed as they
end and dropped two days later. Writes on until standard input ends; says `published` after the first time.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from support.history import NOW, batch_of, open_store

from actors.history import publishing
from actors.history.protocol import Outcome
from actors.history.publishing import Publisher
from actors.history.retention import DAY
from actors.history.schema import BY_NAME, INSTANT, Keep

ROWS = 20
TABLES = ("metrics", "events", "starts", "exits")


def main(folder: Path, every: float, day: float) -> None:
    """Store and publish until standard input ends."""
    store = open_store(folder)
    begun = time.monotonic()
    publisher = Publisher(
        store.folder, lambda work: work(store), now=lambda: NOW + (time.monotonic() - begun) * DAY / day
    )
    publishing.GRACE = min(publishing.GRACE, every * 4)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    drop_at = mend_at = time.monotonic() + day / 2
    number = 0
    while not ended.wait(every):
        for at, table in enumerate(TABLES):
            batch = batch_of(number * len(TABLES) + at + 1, rows_of(table, number * ROWS), table=table, source="one")
            assert store.store(batch).outcome is Outcome.STORED
        assert publisher.turn(), publisher.problem
        if number == 0:
            sys.stdout.write("published\n")
            sys.stdout.flush()
        number += 1
        now = time.monotonic()
        if now >= drop_at:
            drop_at = now + day / 2
            publisher.drop({Keep.EVENTS: 2 * DAY, Keep.METRICS: DAY})
        if now >= mend_at:
            mend_at = now + 10.0
            publisher.mend()
    store.close()


def rows_of(table: str, first: int) -> list[list[Any]]:
    """Return `ROWS` rows of `table` from `seq` `first` on."""
    return [[_value(column.name, column.type, first + n) for column in BY_NAME[table].columns] for n in range(ROWS)]


def _value(name: str, kind: str, seq: int) -> Any:
    match kind:
        case "BIGINT" | "INTEGER":
            return {"seq": seq, "epoch": 7}.get(name, 1)
        case "DOUBLE":
            return float(seq)
        case "BOOLEAN":
            return False
        case _ if kind == INSTANT:
            return NOW + seq
        case _:
            return f"{name} of {seq}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
