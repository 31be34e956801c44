"""Other tools read the history while it is written: an older DuckDB, this one, pandas, polars, in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.history import open_store
from support.history_readers import publishing, read

from actors.history.catalog import folder_of

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "readers-venv"
"""Kept from one run of the tests to the next."""

OLDER = "duckdb==1.2.2"
PACKAGES = (OLDER, "pandas", "polars", "pyarrow")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the venv's python is looked for as on POSIX"),
    pytest.mark.timeout(1800),
]

WITH_DUCKDB = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1] + "/catalog.duckdb", read_only=True)
seen = []
until = time.monotonic() + 60
while len(seen) < 20 or seen[-1] == seen[0]:
    assert time.monotonic() < until, "nothing more is published"
    count, distinct, last = connection.execute(
        "SELECT count(*), count(DISTINCT seq), max(value) FROM metrics").fetchone()
    assert count == distinct == last + 1, (count, distinct, last)
    assert connection.execute("SELECT count(*) FROM crashes").fetchone() == (0,)
    seen.append(count)
    time.sleep(0.1)
assert seen[-1] > seen[0] and seen == sorted(seen), seen
print(duckdb.__version__)
"""

FILES = """
import json, sys, time
from pathlib import Path

def files(folder, table):
    manifest = json.loads((folder / "manifest.json").read_text())
    sealed = sorted(folder.glob(f"sealed/{table}/day=*/part-*.parquet"))
    sealed = [path for path in sealed if int(path.stem.rpartition("-")[2]) <= manifest["sealed"]]
    return sealed + [folder / name for name in manifest["files"].get(table, [])]

seen = []
until = time.monotonic() + 60
while len(seen) < 10 or seen[-1] == seen[0]:
    assert time.monotonic() < until, "nothing more is published"
    values = sorted(read(files(Path(sys.argv[1]), "metrics")))
    assert values == [float(n) for n in range(len(values))], (len(values), values[:3], values[-3:])
    seen.append(len(values))
    time.sleep(0.2)
assert seen[-1] > seen[0] and seen == sorted(seen), seen
print("read")
"""

WITH_PANDAS = """
import pandas
def read(paths):
    return pandas.concat([pandas.read_parquet(path, columns=["value"]) for path in paths])["value"].tolist()
"""

WITH_POLARS = """
import polars
def read(paths):
    return polars.scan_parquet(paths).select("value").collect()["value"].to_list()
"""


@pytest.fixture(scope="module")
def tools() -> Path:
    """A Python with the tools in it."""
    python = TOOLS / "bin" / "python"
    done = TOOLS / "installed"
    if not done.exists():
        venv.create(TOOLS, with_pip=True, clear=True)
        got = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES],
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        if got.returncode:
            pytest.skip(f"{', '.join(PACKAGES)} cannot be had: {got.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return python


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Path]:
    """The folder of a history that another process writes at 5,000 rows a second."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.history_writer", str(tmp_path), "5000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"published\n"
        yield folder_of(tmp_path / "history.duckdb")
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(60.0) == 0
    store = open_store(tmp_path)
    assert store.take_notices() == ()
    store.close()


def run(python: Path | str, program: str, folder: Path) -> str:
    done = subprocess.run(
        [str(python), "-c", program, str(folder)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_this_duckdb_reads_the_history_while_it_is_written(writing):
    assert run(sys.executable, WITH_DUCKDB, writing)


def test_an_older_duckdb_reads_the_history_while_it_is_written(tools, writing):
    assert run(tools, WITH_DUCKDB, writing) == OLDER.rpartition("=")[2]


@pytest.mark.parametrize("program", [WITH_PANDAS, WITH_POLARS], ids=["pandas", "polars"])
def test_tools_without_sql_read_the_files_while_they_are_written(tools, writing, program):
    assert run(tools, program + FILES, writing) == "read"


def test_no_query_fails_or_is_wrong_while_files_are_replaced_merged_sealed_and_dropped(tools, tmp_path):
    """A few seconds of `make trial-history-readers`."""
    with publishing(tmp_path, every=0.25, day=6.0) as published:
        said = read([sys.executable, tools], published, 120, timeout=300.0)

    assert [(one["errors"], one["wrong"]) for one in said] == [([], []), ([], [])]
    assert {one["duckdb"] for one in said} > {OLDER.rpartition("=")[2]}
