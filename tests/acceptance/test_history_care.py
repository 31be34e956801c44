"""`actorctl history` verifies, prunes, backs up, restores and exports: a node that runs, and one that is down."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.command_line import run
from support.history import batch_of, open_store
from support.nodes import Result, node, wait_until

from actors.history.protocol import Outcome
from actors.history.publishing import Publisher

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="nodes are driven by signals here"),
    pytest.mark.timeout(600),
]

DAY = 86_400.0


def ctl(folder: Path, *arguments: str) -> Result:
    """Run a command on the home in `folder`."""
    done = run(*arguments, home=folder / ".actors")
    return Result(done.code, done.out, done.err)


def rows_of(result: Result, what: str) -> dict[str, int]:
    return {item["name"]: item["rows"] for item in result.items if item["what"] == what}


def counted(folder: Path, *options: str) -> int:
    result = ctl(folder, "sql", "select count(*) as n from events", "-o", "json", *options)
    return int(result.items[0]["n"])


def test_a_running_node_is_verified_backed_up_pruned_exported_and_put_back_when_it_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with node(tmp_path) as running:
        running.wait_ready()
        wait_until(lambda: counted(tmp_path) > 5, "events in the history")

        verified = ctl(tmp_path, "history", "verify", "-o", "json")
        assert verified.code == 0, verified
        assert {item["outcome"] for item in verified.items} == {"ok"}
        assert rows_of(verified, "table")["events"] > 5

        backed_up = ctl(tmp_path, "history", "backup", "friday", "-o", "json")
        assert backed_up.code == 0, backed_up
        (backup,) = backed_up.items
        assert backup["outcome"] == "written"
        assert counted(tmp_path, "--file", "friday/history.duckdb") == backup["rows"]["events"]
        assert not list((running.home / "history-files" / "tmp").glob("copy-*"))
        assert ctl(tmp_path, "history", "backup", "friday").code == 1
        assert ctl(tmp_path, "history", "restore", "friday").code == 7

        before = counted(tmp_path)
        dry = ctl(tmp_path, "history", "prune", "--older-than", "1ms", "--dry-run", "-o", "json")
        assert {item["outcome"] for item in dry.items} == {"would go"}
        assert counted(tmp_path) >= before
        gone = ctl(tmp_path, "history", "prune", "--older-than", "1ms", "-o", "json")
        pruned = {item["table"]: item["rows"] for item in gone.items}
        assert gone.code == 0, gone
        assert {item["outcome"] for item in gone.items} == {"gone"}
        assert pruned["events"] >= before
        assert ctl(tmp_path, "history", "prune", "--max-size", "1KiB").code == 1

        exported = ctl(tmp_path, "history", "export", "-", "/", "--type", "command*", "--since", "1h")
        events = [json.loads(line) for line in exported.out.splitlines()]
        assert {event["type"] for event in events} <= {"actors.command_done"}

    file = tmp_path / ".actors" / "history.duckdb"
    refused = ctl(tmp_path, "history", "restore", "friday")
    restored = ctl(tmp_path, "history", "restore", "friday", "--replace", "-o", "json")

    assert refused.code == 7
    assert "--replace" in refused.err
    assert restored.code == 0, restored
    aside = Path(re.sub("^restored; before: ", "", restored.items[0]["outcome"]))
    assert aside.is_file()
    assert aside.parent == file.parent
    assert counted(tmp_path) == backup["rows"]["events"]
    with node(tmp_path) as again:
        again.wait_ready()
        wait_until(lambda: counted(tmp_path) > backup["rows"]["events"], "what happened since")
        after = ctl(tmp_path, "history", "verify", "-o", "json")
        assert after.code == 0, after
    again_down = ctl(tmp_path, "history", "verify", "-o", "json")
    assert again_down.code == 0, again_down


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A folder with the history of a node that is down: two sealed days of metrics, and today's."""
    home = tmp_path / ".actors"
    home.mkdir()
    store = open_store(home)
    now = [1_750_000_000.0]
    publisher = Publisher(store.folder, lambda work: work(store), now=lambda: now[0])
    for number in (1, 2, 3):
        assert store.store(batch_of(number)).outcome is Outcome.STORED
        assert publisher.turn()
        if number < 3:
            now[0] += DAY
            assert publisher.turn()
            publisher._merge_at = 0.0  # a reader had its five seconds
            assert publisher.turn()
    assert store.manifest.sealed >= 1
    assert publisher.turn(is_last=True)
    store.close()
    return tmp_path


def history(folder: Path, *arguments: str) -> Result:
    return ctl(folder, "history", *arguments, "-o", "json")


def metrics_in(folder: Path, *options: str) -> int:
    return int(ctl(folder, "sql", "select count(*) as n from metrics", "-o", "json", *options).items[0]["n"])


def test_a_dry_run_names_the_sealed_files_and_bytes_that_then_go(sealed: Path) -> None:
    files = {str(p.relative_to(sealed)): p.stat().st_size for p in sealed.rglob("part-*.parquet")}

    would = history(sealed, "prune", "--metrics-older-than", "1d", "--dry-run")
    untouched = {str(p.relative_to(sealed)): p.stat().st_size for p in sealed.rglob("part-*.parquet")}
    gone = history(sealed, "prune", "--metrics-older-than", "1d")

    assert untouched == files
    named = {f".actors/history-files/{item['file']}": item["size_bytes"] for item in would.items if item["file"]}
    assert named == files
    assert sum(item["rows"] for item in would.items) == 30
    assert [{**item, "outcome": "would go"} for item in gone.items] == would.items
    assert metrics_in(sealed) == 0


def test_without_a_node_it_must_be_said_what_goes(sealed: Path) -> None:
    assert history(sealed, "prune").code == 2
    assert history(sealed, "prune", "--max-size", "1MiB").code == 2
    assert history(sealed, "prune", "--older-than", "never").code == 2
    assert metrics_in(sealed) == 30


def test_a_backup_holds_sealed_days_and_is_put_back_whole(sealed: Path) -> None:
    backup = sealed / "friday"
    assert history(sealed, "backup", str(backup)).code == 0
    assert history(sealed, "backup", str(backup), "--verify").items[0]["rows"]["metrics"] == 30
    assert metrics_in(sealed, "--file", str(backup / "history.duckdb")) == 30
    home = sealed / ".actors"
    (home / "history.duckdb").unlink()
    (home / "history-files").rename(sealed / "away")

    restored = history(sealed, "restore", str(backup))

    assert restored.code == 0, restored
    assert restored.items[0]["outcome"] == "restored"
    assert metrics_in(sealed) == 30
    assert history(sealed, "verify").code == 0
    store = open_store(home)
    assert store.take_notices() == ()
    assert store.store(batch_of(2)).outcome is Outcome.DUPLICATE
    store.close()


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "contents", "foreign"])
def test_a_backup_that_is_not_what_was_made_is_never_put_back(sealed: Path, damage: str) -> None:
    backup = sealed / "friday"
    assert history(sealed, "backup", str(backup)).code == 0
    file = next(iter(backup.rglob("part-*.parquet")))
    if damage == "flip":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    elif damage == "delete":
        file.unlink()
    elif damage == "contents":
        (backup / "backup.json").write_text("{")
    else:
        (backup / "backup.json").unlink()

    refused = history(sealed, "restore", str(backup), "--replace")

    assert refused.code == 1, refused
    assert metrics_in(sealed) == 30
    assert history(sealed, "backup", str(backup), "--verify").code == 1
    assert not [path for path in (sealed / ".actors").iterdir() if "before" in path.name or "restoring" in path.name]


def damaged(folder: Path) -> Any:
    result = history(folder, "verify")
    return result.code, {(item["what"], item["outcome"]) for item in result.items if item["outcome"] != "ok"}


def test_what_is_damaged_missing_or_lost_is_named_and_the_command_ends_with_5(sealed: Path) -> None:
    home = sealed / ".actors"
    assert damaged(sealed) == (0, set())
    files = home / "history-files"
    part = next(iter(files.rglob("part-*.parquet")))
    kept = part.read_bytes()

    part.write_bytes(kept[: len(kept) // 2])
    assert damaged(sealed) == (5, {("table", "damaged"), ("sealed", "damaged")})
    part.write_bytes(kept)
    ring = next(path for path in files.glob("ring/metrics/0-*.parquet") if "empty" not in path.name)
    kept = ring.read_bytes()
    ring.unlink()
    assert damaged(sealed) == (5, {("published", "missing")})
    ring.write_bytes(kept)
    (files / "catalog.duckdb").write_bytes(b"garbage" * 1000)
    assert damaged(sealed) == (5, {("catalog", "damaged")})
    (files / "catalog.duckdb").unlink()
    store = open_store(home)
    store.store(batch_of(7, source="late#1"))
    store.close()
    assert damaged(sealed) == (5, {("catalog", "missing"), ("batches", "gap")})
    gap = next(item for item in history(sealed, "verify").items if item["what"] == "batches")
    assert (gap["name"], gap["rows"], gap["about"][:14]) == ("late#1", 6, "batches 1 to 6")
    file = home / "history.duckdb"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    code, wrong = damaged(sealed)
    assert code == 5
    assert {("database", "damaged"), ("table", "damaged")} & wrong
    file.unlink()
    assert history(sealed, "verify").code == 3


def test_events_are_exported_as_cloudevents_in_lines_and_as_a_table(sealed: Path) -> None:
    lines = sealed / "events.jsonl"
    table = sealed / "events.parquet"
    assert ctl(sealed, "history", "export", str(lines), "--metrics").code == 0
    assert ctl(sealed, "history", "export", str(table), "--metrics").code == 0
    some = ctl(sealed, "history", "export", "-", "--metrics", "--since", "2025-06-15T15:06:45Z")
    none = ctl(sealed, "history", "export", "-", "/elsewhere", "--metrics")

    events = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(events) == 30
    assert len({event["id"] for event in events}) == 30
    assert events[0] == {
        "specversion": "1.0",
        "id": "7-10",
        "source": "/node",
        "type": "actors.metric_sampled",
        "subject": "/",
        "time": "2025-06-15T15:06:40.000000Z",
        "datacontenttype": "application/json",
        "dataschema": "actors:v1/metric_sampled",
        "severity": "info",
        "data": {"path": "/", "name": "n", "value": 10.0, "unit": "count"},
    }
    found = duckdb.execute(
        f"SELECT id, data FROM read_parquet('{table}', file_row_number = true) ORDER BY file_row_number"
    ).fetchall()
    assert [(event["id"], event["data"]) for event in events] == [(name, json.loads(data)) for name, data in found]
    assert 0 < len(some.out.splitlines()) < 30
    assert none.out == ""
    assert ctl(sealed, "history", "export", str(sealed / "rows.xls")).code == 2
    assert ctl(sealed, "history", "export", str(sealed / "nowhere" / "rows.jsonl")).code == 1
