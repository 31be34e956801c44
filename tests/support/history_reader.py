"""Another tool, which reads what `history_publisher` publishes and holds each answer against what the bounds say.

    python history_reader.py FOLDER QUERIES SEED

Needs Python and any DuckDB from 1.2 on, nothing of the project. Prints, as JSON, what was asked and what was wrong.
"""

from __future__ import annotations

import json
import random
import sys
import time

import duckdb

ROWS = 20
TABLES = ("metrics", "events", "starts", "exits")
CONTIGUOUS = "SELECT count(*), count(DISTINCT {seq}), min({seq}), max({seq}) FROM {source}"
ALL_COLUMNS = "SELECT count(*), count(DISTINCT seq), min(seq), max(seq), bit_xor(hash(t)) FROM {table} t"

CONTIGUOUS_ONES = (
    *(CONTIGUOUS.format(seq="seq", source=table) for table in TABLES),
    *(ALL_COLUMNS.format(table=table) for table in TABLES),
    CONTIGUOUS.format(seq="e.seq", source="exits e JOIN events v ON e.seq = v.seq AND e.happened_at = v.happened_at"),
    CONTIGUOUS.format(seq="seq", source="(SELECT seq FROM timeline WHERE type <> 'MetricSampled')"),
    CONTIGUOUS.format(seq="seq", source="crashes"),
)
"""Rows that are there without a gap and end where the bounds say."""

NEWEST = "SELECT seq FROM {table} ORDER BY seq DESC LIMIT 5"


class Reader:
    """One tool with its connection."""

    def __init__(self, folder: str, seed: int) -> None:
        self.path = folder + "/catalog.duckdb"
        self.chance = random.Random(seed)
        self.connection = duckdb.connect(self.path, read_only=True)
        self.queries = 0
        self.errors: list[str] = []
        self.wrong: list[str] = []
        self.least: dict[str, int] = {}

    def ask(self, question: str) -> list[tuple[int, ...]]:
        self.queries += 1
        try:
            return self.connection.execute(question).fetchall()
        except duckdb.Error as error:
            self.errors.append(f"{question}: {str(error).splitlines()[0]}")
            return []

    def through(self) -> int:
        found = self.ask("SELECT through FROM published")
        if len(found) != 1 and not self.errors:
            self.wrong.append(f"published: {found}")
        return found[0][0] if found else -1

    def step(self) -> None:
        if self.chance.random() < 0.03:
            self.connection.close()
            self.connection = duckdb.connect(self.path, read_only=True)
        before = self.through()
        kind = self.chance.random()
        if kind < 0.6:
            question = self.chance.choice(CONTIGUOUS_ONES)
            found = self.ask(question)
            after = self.through()
            if found:
                self.check_contiguous(question, found[0], before, after)
        elif kind < 0.8:
            question = NEWEST.format(table=self.chance.choice(TABLES))
            found = self.ask(question)
            after = self.through()
            newest = [seq for (seq,) in found]
            is_right = len(newest) == 5 and newest == list(range(newest[0], newest[0] - 5, -1))
            if found and not (is_right and self.is_end(newest[0], before, after)):
                self.wrong.append(f"{question}: {newest}, through {before} to {after}")
        else:
            question = "SELECT max(batch), (SELECT count(*) FROM gaps) FROM batches"
            found = self.ask(question)
            after = self.through()
            if found:
                last, gaps = found[0]
                if gaps or last is None or not before <= last // len(TABLES) <= after or last % len(TABLES):
                    self.wrong.append(f"{question}: {found}, through {before} to {after}")

    def check_contiguous(self, question: str, found: tuple[int, ...], before: int, after: int) -> None:
        count, distinct, first, last = found[:4]
        is_right = count and count == distinct == last - first + 1 and first % ROWS == 0
        if not (is_right and self.is_end(last, before, after) and first >= self.least.get(question, 0)):
            self.wrong.append(f"{question}: {found}, through {before} to {after}, before {self.least.get(question)}")
        else:
            self.least[question] = first

    def is_end(self, last: int, before: int, after: int) -> bool:
        return (last + 1) % ROWS == 0 and before <= (last + 1) // ROWS <= after


def main(folder: str, queries: int, seed: int) -> None:
    reader = Reader(folder, seed)
    begun = time.monotonic()
    while reader.queries < queries and len(reader.errors) + len(reader.wrong) < 20:
        reader.step()
    reader.connection.close()
    said = {
        "duckdb": duckdb.__version__,
        "queries": reader.queries,
        "errors": reader.errors,
        "wrong": reader.wrong,
        "seconds": round(time.monotonic() - begun, 1),
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
