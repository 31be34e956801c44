"""`actorctl sql` against a running node: Ctrl-C ends a query where it runs, and rows go into files of any format."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support.nodes import ACTORCTL, Node, environment, node
from support.waiting import until

from supervisors.cli.failures import CommandError
from supervisors.cli.rowfiles import check_target

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node")) as started:
        started.wait_ready()
        yield started


def running_queries(started: Node) -> int:
    """How many queries the recorder runs; -1 where it is too busy to say."""
    (found,) = started.items("describe", "/sys/recorder", "--state")
    return int(found["state"]["running_queries"]) if found["state"] else -1


def test_ctrl_c_ends_the_query_at_the_recorder(running: Node) -> None:
    asked = subprocess.Popen(
        [*ACTORCTL, "sql", ENDLESS, "--timeout", "10m"],
        cwd=running.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    until(lambda: running_queries(running) == 1)

    asked.send_signal(signal.SIGINT)

    asked.communicate(timeout=60.0)
    assert asked.returncode == 130
    until(lambda: running_queries(running) == 0)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json", "jsonl"])
def test_rows_go_into_a_file_of_the_format_its_name_says(running: Node, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"rows.{suffix}"
    query = "SELECT 1 AS n, 'a' AS text, [1, 2] AS list, TIMESTAMPTZ '2026-11-21 14:02:00+00' AS at, 'nan'::DOUBLE AS x"

    result = running.ctl("sql", query, "--to", str(target))

    assert result.code == 0, result.err
    assert "1 row written" in result.err
    assert os.listdir(tmp_path) == [target.name]
    reader = {"parquet": "read_parquet", "csv": "read_csv"}.get(suffix, "read_json")
    found = duckdb.execute(f"SELECT n, text FROM {reader}('{target}')").fetchall()
    assert found == [(1, "a")]
    if suffix in {"json", "jsonl"}:
        item = json.loads(target.read_text("utf-8").strip("[]\n"), parse_constant=pytest.fail)
        assert item["at"] == "2026-11-21T14:02:00Z"
        assert item["x"] is None, "as under -o json: JSON has no word for it"
    if suffix == "parquet":
        types = duckdb.execute(f"SELECT typeof(columns(*)) FROM read_parquet('{target}')").fetchall()
        assert types == [("INTEGER", "VARCHAR", "INTEGER[]", "TIMESTAMP WITH TIME ZONE", "DOUBLE")]


def test_rows_go_into_an_arrow_file_with_their_types(running: Node, tmp_path: Path) -> None:
    ipc = pytest.importorskip("pyarrow.ipc", reason="the extra arrow is not installed")
    target = tmp_path / "rows.arrow"
    query = "SELECT i AS n, 'a' AS text, [1, 2] AS list, TIMESTAMPTZ '2026-11-21 14:02:00+00' AS at FROM range(3) t(i)"

    result = running.ctl("sql", query, "--to", str(target))

    assert result.code == 0, result.err
    assert "3 rows written" in result.err
    with ipc.open_file(str(target)) as file:
        found = file.read_all()
    assert [str(kind) for kind in found.schema.types] == ["int64", "string", "list<l: int32>", "timestamp[us, tz=UTC]"]
    assert found.column("n").to_pylist() == [0, 1, 2]
    assert found.column("list").to_pylist() == [[1, 2]] * 3


def test_an_arrow_file_without_the_package_for_it_is_refused_with_what_to_install(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(CommandError, match="pyarrow") as refused:
        check_target(str(tmp_path / "rows.arrow"))

    assert "actorctl[arrow]" in str(refused.value.hint)


def test_each_table_is_shown_once(running: Node) -> None:
    names = running.ctl("sql", "SHOW TABLES", "-o", "name").out.split()

    assert {"events", "exits", "crashes"} <= set(names)
    assert len(names) == len(set(names))


def test_a_plan_is_drawn_and_not_one_long_cell(running: Node) -> None:
    result = running.ctl("sql", "EXPLAIN SELECT 1")

    assert result.code == 0, result.err
    assert "\\n" not in result.out
    assert len(result.out.splitlines()) > 3


def test_a_statement_comes_from_standard_input_too(running: Node) -> None:
    for arguments in (["-"], ["--from", "-"]):
        done = subprocess.run(
            [*ACTORCTL, "sql", *arguments, "-o", "csv"],
            cwd=running.folder,
            input="-- one\nSELECT 1 AS n",
            capture_output=True,
            text=True,
            env=environment(),
            timeout=120.0,
            check=False,
        )
        assert done.stdout.split() == ["n", "1"], done.stderr


@pytest.mark.parametrize(
    ("target", "said"), [("rows.xls", "its name says no format"), ("nowhere/rows.csv", "there is no folder")]
)
def test_a_file_that_could_not_be_written_is_refused_before_anything_is_asked(
    running: Node, tmp_path: Path, target: str, said: str
) -> None:
    result = running.ctl("sql", "SELECT 1", "--to", str(tmp_path / target))

    assert result.code == 2
    assert said in result.err


def test_limits_of_size_and_memory_are_kept(running: Node) -> None:
    cut = running.ctl("sql", "SELECT repeat('x', 1000) AS x FROM range(1000)", "--max-size", "10KiB", "-o", "csv")
    assert cut.code == 0
    assert len(cut.out.splitlines()) < 20
    assert "only" in cut.err

    asked = "SELECT current_setting('operator_memory_limit') AS most"
    less = running.ctl("sql", asked, "--memory", "1MiB", "-o", "json").items
    usual = running.ctl("sql", asked, "-o", "json").items
    more = running.ctl("sql", asked, "--memory", "1TiB", "-o", "json").items
    assert less == [{"most": "1.0 MiB"}]
    assert usual == more != less


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'other.duckdb'",
        "COPY events TO 'out.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET memory_limit = '100GB'",
        "CREATE TABLE t (a INTEGER)",
        "DELETE FROM events",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "CALL pragma_version()",
        "EXPORT DATABASE 'x'",
    ],
)
def test_what_is_not_reading_is_refused(running: Node, statement: str) -> None:
    live = running.ctl("sql", statement)

    assert live.code not in (0, 1), live
    assert live.err.startswith("error:")
