"""Rounds of kill -9 under load: is each acknowledged row there, once, in every view?

    python tests/support/history_kills.py --rounds 500 --result benchmarks/results/history-kills.json

In even rounds a recorder's store, which stores and publishes, is killed; in odd ones a runtime whole: events on a bus,
the feed with its spool, the store and the publisher. After each kill the history file, its recorder's views and the
catalog for other tools are read as they were left, and the next round goes on with them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
from msgspec import Struct

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.history_children import FIRST_EPOCH, rows_in, start

from actors.history.catalog import CATALOG, folder_of
from actors.history.protocol import Query
from actors.history.sql import query_file

BY_BATCH = "SELECT seq // 1000, count(*), count(DISTINCT seq) FROM metrics WHERE epoch = 7 GROUP BY 1 ORDER BY 1"
BY_EPOCH = "SELECT epoch, count(*), count(DISTINCT seq) FROM metrics WHERE epoch > 7 GROUP BY 1 ORDER BY 1"


class Round(Struct, frozen=True):
    """One round: who was killed, and what had been acknowledged by then: batches, or rows of a run."""

    who: str
    acknowledged: int
    published: int


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """Run `count` rounds on one history in `folder`.

    Raises:
        AssertionError: A row that was acknowledged or published is gone, or one is there twice.
    """
    chance = random.Random(seed)
    batches = 0
    acknowledged: dict[int, int] = {}
    for number in range(count):
        if number % 2 == 0:
            batches, published = _kill(folder, "publish", batches + 1, batches, chance)
            done = Round("recorder", batches, published)
        else:
            epoch = FIRST_EPOCH + number
            rows, published = _kill(folder, "runtime", epoch, 0, chance)
            acknowledged[epoch] = rows
            done = Round("runtime", rows, published)
        batches = max(batches, _check(folder, batches, acknowledged))
        yield done


def _kill(folder: Path, mode: str, first: int, acknowledged: int, chance: random.Random) -> tuple[int, int]:
    """Start a child, kill it somewhere under load; return what it had acknowledged and published."""
    child = start(mode, str(folder), str(first))
    assert child.stdout is not None
    wanted = chance.randrange(2, 25)
    published = 0
    for line in child.stdout:
        word, number = line.split()
        if word == b"stored":
            acknowledged = int(number)
        else:
            published = int(number)
        wanted -= 1
        if wanted == 0:
            threading.Event().wait(chance.random() * 0.02)  # somewhere inside the next batch, publication or merge
            child.kill()
    assert child.wait(60.0) == -9
    child.stdout.close()
    return acknowledged, published


def _check(folder: Path, batches: int, acknowledged: dict[int, int]) -> int:
    """See what is there in each view; return the last batch of the recorder's rounds."""
    path = folder / "history.duckdb"
    found = query_file(path, Query(BY_BATCH)).rows
    there = [int(batch) for batch, _, _ in found]
    assert there in (list(range(1, batches + 1)), list(range(1, batches + 2))), (batches, there[-3:])
    for batch, rows, distinct in found:
        assert rows == distinct == rows_in(int(batch)), (batch, rows, distinct)
    runs = {int(epoch): (int(rows), int(distinct)) for epoch, rows, distinct in query_file(path, Query(BY_EPOCH)).rows}
    for epoch, least in acknowledged.items():
        rows, distinct = runs.get(epoch, (0, 0))
        assert rows == distinct >= least, (epoch, least, rows, distinct)
    catalog = folder_of(path) / CATALOG
    if catalog.exists():
        with contextlib.closing(duckdb.connect(str(catalog), read_only=True)) as connection:
            for batch, rows, distinct in connection.execute(BY_BATCH).fetchall():
                assert rows == distinct == rows_in(int(batch)), ("catalog", batch, rows, distinct)
            for epoch, rows, distinct in connection.execute(BY_EPOCH).fetchall():
                assert rows == distinct <= runs[int(epoch)][0], ("catalog", epoch, rows, distinct)
    return there[-1] if there else 0


def main() -> None:
    """Run the rounds and keep what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path)
    wanted = parser.parse_args()
    done: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="history-kills-") as folder:
        for one in rounds(wanted.rounds, wanted.seed, Path(folder)):
            done.append(one)
            if len(done) % 25 == 0:
                sys.stderr.write(f"{len(done)} rounds\n")
    result = {
        "question": "After kill -9 of recorder or runtime, is each acknowledged row there, once, in every view?",
        "rounds": len(done),
        "seed": wanted.seed,
        "recorder_kills": sum(one.who == "recorder" for one in done),
        "runtime_kills": sum(one.who == "runtime" for one in done),
        "acknowledged_batches": max((one.acknowledged for one in done if one.who == "recorder"), default=0),
        "acknowledged_rows_of_runtimes": sum(one.acknowledged for one in done if one.who == "runtime"),
        "duckdb": duckdb.__version__,
        "python": sys.version.split()[0],
    }
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if wanted.result is not None:
        wanted.result.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
