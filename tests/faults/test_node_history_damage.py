"""A whole node whose history is damaged while it runs, or while it is down: it mends itself, and commands say so."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest
from support.nodes import Node, actorctl, node, wait_until

from actors.history.catalog import CATALOG, MANIFEST
from actors.history.files import wal_of
from actors.history.folder import files_to_read

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform == "win32", reason="nodes are driven by signals here"),
    pytest.mark.timeout(600),
]

GARBAGE = random.Random(8).randbytes(200_000)


def is_sound(running: Node) -> bool:
    return running.ctl("history", "verify").code == 0


def losses(running: Node) -> list[str]:
    return [row["why"] for row in running.items("sql", "SELECT why FROM lost ORDER BY epoch, seq")]


def starts(running: Node) -> int:
    return int(running.items("sql", "SELECT count(*) AS n FROM starts")[0]["n"])


def test_a_history_that_is_damaged_while_its_node_runs_is_mended_and_told_of_once(tmp_path: Path) -> None:
    with node(tmp_path) as running:
        running.wait_ready()
        file, files = running.home / "history.duckdb", running.home / "history-files"
        wait_until(lambda: (files / MANIFEST).exists() and starts(running) > 2 and is_sound(running), "a history")
        before = starts(running)
        restarts = running.items("ps", "/sys/recorder")[0]["restarts"]

        files_to_read(files, "starts")[-1].write_bytes(GARBAGE)
        (files / CATALOG).write_bytes(GARBAGE)
        (files / MANIFEST).unlink()
        wait_until(lambda: is_sound(running), "published files that are sound")
        assert losses(running) == []

        other = file.with_name("garbage")
        other.write_bytes(GARBAGE)
        os.replace(other, file)
        wait_until(lambda: len(losses(running)) == 1, "an event of the damage")
        wait_until(lambda: is_sound(running), "a history that is sound")
        assert "deleted or replaced" in losses(running)[0]
        assert starts(running) >= before
        assert running.items("ps", "/sys/recorder")[0]["restarts"] == restarts
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


@pytest.mark.parametrize("damage", ["file garbage", "log garbage", "log gone", "all but the file gone"])
def test_a_history_that_is_damaged_while_its_node_is_down_is_told_of_and_mended_at_the_next_start(
    tmp_path: Path, damage: str
) -> None:
    with node(tmp_path) as running:
        running.wait_ready()
        file, files = running.home / "history.duckdb", running.home / "history-files"
        wait_until(lambda: (files / MANIFEST).exists() and starts(running) > 2 and is_sound(running), "a history")
        before = starts(running)
        running.close()  # kill -9: the log is there
    if damage == "file garbage":
        file.write_bytes(GARBAGE)
    elif damage == "log garbage":
        wal_of(file).write_bytes(GARBAGE)
    elif damage == "log gone":
        wal_of(file).unlink()
    else:
        (files / MANIFEST).unlink()
        (files / CATALOG).unlink()
        files_to_damage = sorted(files.glob("ring/starts/0-0*.parquet"))
        files_to_damage[0].write_bytes(GARBAGE)

    found = actorctl("history", "verify", cwd=tmp_path)
    doctor = actorctl("doctor", cwd=tmp_path)

    assert found.code == 5, found
    assert doctor.code in {0, 5}, doctor
    assert damage != "file garbage" or "history" in doctor.out, doctor
    with node(tmp_path) as again:
        again.wait_ready()
        wait_until(lambda: starts(again) > before, "what was published, and what came since")
        wait_until(lambda: is_sound(again), "a history that is sound")
        assert len(losses(again)) == (0 if damage == "all but the file gone" else 1), losses(again)
