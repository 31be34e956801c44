"""`actorctl sql` with statements nobody should send: to a running node, and to the history of one that is down.

Each is refused or ends within its bounds, with an exit code and one line that says why; the node goes on.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import run, run_process
from support.nodes import ACTORCTL, Node, environment, node, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="nodes are driven by signals here"),
    pytest.mark.timeout(600),
]

USAGE, MEMORY, TIME, DENIED = 2, 1, 6, 10

REFUSED = [
    "SELECT * FROM glob('/etc/*')",
    "ATTACH '/etc/passwd' AS other",
    "COPY (SELECT 1) TO '/tmp/hostile.parquet'",
    "RESET allowed_directories",
    "CREATE MACRO mine() AS 1",
    "PREPARE p AS SELECT 1",
    "SELECT 1; DROP TABLE events",
    "/* SELECT */ DELETE FROM events -- SELECT",
]
"""Some of each kind: `tests/integration/actors/history/test_sql.py` has them all."""

INVALID = [
    "SELECT getenv('HOME')",
    "SELECT * FROM 'history-files/../../../etc/passwd'",
    "SELECT regexp_matches('a', '((a{1,1000}){1,1000}){1,1000}')",
    "SELECT 1 \uff1b SELECT 2",
    "SELECT '\udcff'",
    "SELECT " + "(" * 40_000 + "1" + ")" * 40_000,
    "SELECT " + "NOT " * 20_000 + "true",
]

BOUNDED = {
    "cross join": ("SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c", {TIME}),
    "recursion without end": (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        {TIME, MEMORY},
    ),
    "recursion that grows": (
        "WITH RECURSIVE r(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM r) SELECT max(length(x)) FROM r",
        {TIME, MEMORY, USAGE},
    ),
    "rows without end": ("SELECT * FROM range(1000000000000000000)", {0}),
    "list of 1e10": ("SELECT len(range(10000000000))", {USAGE, MEMORY, TIME}),
    "text of 1e12": ("SELECT repeat('x', 1000000000000)", {USAGE, MEMORY}),
    "padding of 2e9": ("SELECT lpad('x', 2000000000, 'y')", {USAGE, MEMORY, TIME}),
    "like": ("SELECT repeat('a', 100000) LIKE repeat('%a', 10000) || 'b'", {0, TIME}),
    "sorting of all": ("SELECT * FROM range(10000000000) ORDER BY hash(range)", {MEMORY, TIME}),
    "names in names": ("SELECT a" + ".a" * 3_000, {USAGE, TIME}),
}
"""Statements that do no harm but never end, and the exit codes that are right; `TIME` is, always."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node")) as started:
        started.wait_ready()
        yield started


@pytest.fixture(scope="module")
def homes(running: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The home of a node that runs, and a history of which no node runs."""
    home = tmp_path_factory.mktemp("backup") / "home"
    wait_until(lambda: running.ctl("history", "backup", str(home)).code == 0, "a backup")
    return {"recorder": running.home, "files": home}


@pytest.fixture(params=["recorder", "files"])
def home(request: pytest.FixtureRequest, homes: dict[str, Path]) -> Path:
    return homes[request.param]


def is_alive(home: Path) -> bool:
    shown = run("sql", "SELECT count(*) AS n FROM runs_of_node", "-o", "csv", home=home)
    return shown.code == 0 and shown.out.splitlines()[1:] == ["1"]


@pytest.mark.parametrize("statement", REFUSED)
def test_what_writes_or_reaches_out_is_refused(home: Path, statement: str) -> None:
    shown = run("sql", statement, home=home)

    assert (shown.code, shown.out) == (DENIED, ""), shown
    assert "error:" in shown.err


@pytest.mark.parametrize("number", range(len(INVALID)))
def test_what_is_no_statement_is_told_so(home: Path, number: int) -> None:
    shown = run("sql", INVALID[number], home=home)

    assert (shown.code, shown.out) == (USAGE, ""), shown
    assert "error:" in shown.err
    assert len(shown.err) < 10_000


@pytest.mark.parametrize("name", BOUNDED)
def test_what_never_ends_is_ended(home: Path, name: str) -> None:
    statement, codes = BOUNDED[name]

    shown = run_process("sql", statement, "--timeout", "1s", "--limit", "100", "-o", "csv", home=home)

    assert shown.returncode in codes | {TIME}, (shown.returncode, shown.stdout[:500], shown.stderr[:500])
    assert shown.returncode == 0 or "error:" in shown.stderr
    assert len(shown.stdout) < 100_000
    wait_until(lambda: is_alive(home), "an answer to a sound query")


def test_what_cannot_be_interrupted_is_answered_in_time_all_the_same(home: Path) -> None:
    """Each character of one text is compared with each of the other, fifteen thousand million times."""
    endless = "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))"

    shown = run_process("sql", endless, "--timeout", "1s", home=home)

    assert shown.returncode == TIME, shown
    assert "does not let itself be interrupted" in shown.stderr
    wait_until(lambda: is_alive(home), "an answer to a sound query")


def test_ctrl_c_ends_the_query_of_a_file(homes: dict[str, Path]) -> None:
    asked = subprocess.Popen(
        [*ACTORCTL, "sql", BOUNDED["cross join"][0], "--timeout", "10m", "--home", str(homes["files"])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert asked.stderr is not None
    assert "; reading " in asked.stderr.readline()

    asked.send_signal(signal.SIGINT)

    asked.communicate(timeout=60.0)
    assert asked.returncode == 130
    assert is_alive(homes["files"])


@pytest.mark.parametrize("size", [100_001, 10_000_000])
def test_a_statement_that_is_too_long_is_told_so(home: Path, tmp_path: Path, size: int) -> None:
    file = tmp_path / "long.sql"
    file.write_text("SELECT 1 -- " + "x" * (size - 12))

    shown = run("sql", "--from", str(file), home=home)
    piped = run("sql", "--from", "-", home=home, stdin=file.read_text())

    assert (shown.code, piped.code) == (USAGE, USAGE), shown
    assert "longer than 100,000 characters" in shown.err
    assert shown.err == piped.err


def test_a_statement_without_end_is_told_so(home: Path) -> None:
    shown = run("sql", "--from", "/dev/zero", home=home)

    assert shown.code == USAGE
    assert "longer than 100,000 characters" in shown.err


def test_a_statement_with_a_nul_in_it_does_not_hide_another(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "nul.sql"
    file.write_bytes(b"SELECT 1 AS n\0; DROP TABLE events")

    shown = run("sql", "--from", str(file), home=home)

    assert shown.code in {USAGE, DENIED}, shown
    assert is_alive(home)


def test_a_byte_order_mark_and_comments_around_a_statement_do_no_harm(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "marked.sql"
    file.write_bytes(b"\xef\xbb\xbf/* one /* two */ */\n-- three\nSELECT 1 AS n;\n")

    shown = run("sql", "--from", str(file), "-o", "csv", home=home)

    assert (shown.code, shown.out) in {(0, "n\n1\n"), (USAGE, "")}, shown


def test_after_all_that_the_node_is_the_same_and_nothing_was_written(running: Node, homes: dict[str, Path]) -> None:
    assert is_alive(homes["recorder"])
    assert running.process.poll() is None
    assert running.items("ps", "/sys/recorder")[0]["state"] == "ready"
    assert not Path("/tmp/hostile.parquet").exists()
