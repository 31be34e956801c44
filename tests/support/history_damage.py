"""Rounds of damage to the log of a history: is it repaired by itself, and is what was lost said, once?

    python tests/support/history_damage.py --rounds 200 --result benchmarks/results/history-damage.json

A recorder's store stores and publishes in a process of its own and is killed with its log full. Copies of what it left
are damaged, each in another way, and opened as a recorder does. Each round must end with every published batch there
once and whole, nothing that was never stored, one notice at most that names each acknowledged batch that is gone, and a
file that opens again without a word.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
from msgspec import Struct

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.history import batch_of, metric_rows, open_store
from support.history_children import rows_in, start

from actors.history.catalog import CATALOG
from actors.history.files import wal_of
from actors.history.protocol import Outcome
from actors.history.publishing import Publisher

ROUNDS_A_KILL = 10
"""Rounds made of what one killed process left."""

KINDS = ("cut", "flip", "zero", "garbage", "append", "delete")

FILE_KINDS = ("file flipped", "file cut", "file empty", "file garbage", "file deleted", "file and log deleted")
"""What is done to the file itself: what was not published is gone then."""


class Left(Struct, frozen=True):
    """What a killed process left: its last acknowledged batch, and the last one it had published."""

    folder: Path
    acknowledged: int
    published: int


class Round(Struct, frozen=True):
    """One round: what was done to the log, what is gone of what was acknowledged, how it was told."""

    kind: str
    wal_bytes: int
    lost: int
    notices: int
    is_quarantined: bool
    seconds: float


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """Run `count` rounds in `folder`.

    Raises:
        AssertionError: One of them did not end as it must.
    """
    chance = random.Random(seed)
    left: Left | None = None
    for number in range(count):
        if left is None or number % ROUNDS_A_KILL == 0:
            left = killed(folder, chance)
        yield damaged(left, folder / "home", KINDS[number % len(KINDS)], chance)


def killed(folder: Path, chance: random.Random) -> Left:
    """Let a process store and publish in `folder`/home, kill it, and keep what it left."""
    home, kept = folder / "home", folder / "left"
    for old in (home, kept):
        shutil.rmtree(old, ignore_errors=True)
    home.mkdir(parents=True)
    acknowledged = published = 0
    while True:
        child = start("publish", str(home), str(acknowledged + 1))
        assert child.stdout is not None
        wanted = acknowledged + chance.randrange(20, 80)
        for line in child.stdout:
            word, number = line.split()
            if word == b"stored":
                acknowledged = int(number)
            else:
                published = int(number)
            if acknowledged >= wanted and published:
                child.kill()
        assert child.wait(60.0) == -9
        child.stdout.close()
        if wal_of(home / "history.duckdb").exists():  # it may have been killed just after a checkpoint
            shutil.copytree(home, kept)
            return Left(kept, acknowledged, published)


def damaged(left: Left, home: Path, kind: str, chance: random.Random) -> Round:
    """Damage the log of a copy of what is left, open it, and see that all is as it must be."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(left.folder, home)
    wal = wal_of(home / "history.duckdb")
    wal_bytes = wal.stat().st_size
    damage(wal if kind in KINDS else home / "history.duckdb", kind, chance)

    began = time.perf_counter()
    store = open_store(home)
    seconds = time.perf_counter() - began

    following = left.acknowledged + 1  # it may have been stored, and its acknowledgement killed
    answer = store.store(
        batch_of(following, metric_rows(rows_in(following), following * 1_000), acknowledged=left.acknowledged)
    )
    assert answer.outcome in {Outcome.STORED, Outcome.DUPLICATE}, answer
    with store.reading() as connection:
        found = connection.execute(
            "SELECT seq // 1000, count(*), count(DISTINCT seq) FROM metrics GROUP BY 1 ORDER BY 1"
        ).fetchall()
    there = {int(batch) for batch, _, _ in found}
    for batch, rows, distinct in found:
        assert rows == distinct == rows_in(batch), (kind, batch, rows, distinct)
    assert there >= set(range(1, left.published + 1)), (kind, left, sorted(there))
    assert there <= set(range(1, following + 1)), (kind, left, sorted(there))
    lost = set(range(1, left.acknowledged + 1)) - there
    assert len(answer.notices) <= 1, answer.notices
    said = " ".join(notice.why for notice in answer.notices)
    assert not lost or (str(min(lost)) in said and str(max(lost)) in said), (lost, said)
    asides = [path for path in home.iterdir() if ".corrupt-" in path.name]
    assert not asides or answer.notices, asides

    publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
    assert publisher.turn(), publisher.problem
    with contextlib.closing(duckdb.connect(str(store.folder / CATALOG), read_only=True)) as connection:
        seen = connection.execute("SELECT count(*), count(DISTINCT seq) FROM metrics").fetchone()
    assert seen == (sum(map(rows_in, there)),) * 2, (kind, seen)
    store.close()
    again = open_store(home)
    assert again.take_notices() == ()
    again.close()
    return Round(kind, wal_bytes, len(lost), len(answer.notices), bool(asides), seconds)


def damage(path: Path, kind: str, chance: random.Random) -> None:
    """Damage the file in one of `KINDS` or `FILE_KINDS`."""
    if kind.endswith("deleted") or kind == "delete":
        path.unlink()
        if "log" in kind:
            wal_of(path).unlink(missing_ok=True)
        return
    data = bytearray(path.read_bytes())
    size = len(data)
    at = chance.randrange(size)
    if kind in {"cut", "file cut"}:
        del data[at:]
    elif kind == "flip":
        for _ in range(chance.choice((1, 1, 3, 20))):
            data[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif kind == "zero":
        data[at:] = bytes(size - at)
    elif kind == "garbage":
        end = min(size, at + chance.randrange(1, 10_000))
        data[at:end] = chance.randbytes(end - at)
    elif kind == "append":
        data += chance.randbytes(chance.randrange(1, 5_000))
    elif kind == "file flipped":
        for page in range(4_096, size, 4_096):  # one would often fall into unused room
            data[page + chance.randrange(min(4_096, size - page))] ^= 1 << chance.randrange(8)
    elif kind == "file empty":
        data.clear()
    else:
        data[:] = chance.randbytes(size)
    path.write_bytes(data)


def main() -> None:
    """Run the rounds and keep what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path)
    wanted = parser.parse_args()
    done: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="history-damage-") as folder:
        for one in rounds(wanted.rounds, wanted.seed, Path(folder)):
            done.append(one)
            if len(done) % 20 == 0:
                sys.stderr.write(f"{len(done)} rounds\n")
    seconds = [one.seconds for one in done]
    result = {
        "question": "Is a history with a damaged log repaired by itself, with what was published whole?",
        "rounds": len(done),
        "seed": wanted.seed,
        "kinds": dict(Counter(one.kind for one in done)),
        "quarantined": sum(one.is_quarantined for one in done),
        "rounds_with_loss": sum(one.lost > 0 for one in done),
        "acknowledged_batches_gone_and_named": sum(one.lost for one in done),
        "open_seconds": {"p50": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)},
        "duckdb": duckdb.__version__,
        "python": sys.version.split()[0],
    }
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if wanted.result is not None:
        wanted.result.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
