"""Commands that need no node: init, check, config show, doctor, sql on a file, completion, help."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from support.command_line import run
from support.fake_node import fake_node
from support.history import NOW, crashed, keep, open_store

from actors.events import ActorExited, RestartScheduled
from supervisors.cli.checks import CHECKS, FIXES
from supervisors.cli.topics import TOPICS
from transport.endpoints import Endpoints, private_directory, write_endpoints
from transport.identity import ProcessIdentity, this_boot


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def history(folder: Path) -> Path:
    """The history of a node that has ended."""
    (folder / ".actors").mkdir()
    store = open_store(folder / ".actors")
    restart = RestartScheduled(NOW, "/io/mail", "/io", "one_for_one", 1, 1, 0.5, ("/io/mail",), 1, 5, crashed())
    keep(store, [ActorExited(NOW, "/io/mail", 1, crashed(), 12.5, "running", False), restart])
    store.close()
    return folder / ".actors" / "history.duckdb"


def test_a_new_project_is_sound_at_once(folder):
    made = run("init")
    checked = run("check")

    assert made.code == 0, made.err
    assert "actors.toml" in made.out
    assert (folder / "actors.toml").exists()
    assert checked.code == 0, checked.err
    assert checked.err.startswith("sound: ")


def test_init_overwrites_nothing(folder):
    (folder / "actors.toml").write_text("# mine\n")

    result = run("init")

    assert result.code == 7
    assert "exists already" in result.err
    assert (folder / "actors.toml").read_text() == "# mine\n"
    assert list(folder.iterdir()) == [folder / "actors.toml"]


def test_init_writes_into_the_folder_that_is_named(folder):
    result = run("init", "new/place", "-o", "json")

    written = [Path(item["path"]) for item in json.loads(result.out)["items"]]
    assert all(path.exists() for path in written)
    assert (folder / "new" / "place" / "actors.toml").exists()


def test_check_shows_every_fault_with_its_line_and_ends_with_8(folder):
    (folder / "actors.toml").write_text('version = 1\n[runtime]\nnmae = "x"\ndrain = "30"\n')

    result = run("check", "-o", "json")

    faults = json.loads(result.out)["items"]
    assert result.code == 8
    assert {(fault["line"], fault["key"]) for fault in faults} >= {(3, "runtime.nmae"), (4, "runtime.drain")}
    assert all(fault["message"] for fault in faults)
    assert json.loads(result.err)["items"][0]["code"] == "invalid"


def test_check_names_the_file_that_is_not_there(folder):
    result = run("check", "nowhere.toml")

    assert result.code == 8
    assert "nowhere.toml" in result.out


def test_config_show_says_where_each_value_came_from(folder):
    (folder / "actors.toml").write_text('version = 1\n[runtime]\nname = "mine"\n')

    entries = json.loads(run("config", "show", "runtime", "-o", "json").out)["items"]
    only_set = run("config", "show", "runtime", "--set-only", "-o", "name").out

    by_key = {entry["key"]: (entry["value"], entry["origin"]) for entry in entries}
    assert by_key["runtime.name"] == ('"mine"', "actors.toml:3")
    assert by_key["runtime.transport"][1] == "default"
    assert only_set == "runtime.name\n"


def test_config_show_takes_the_environment_and_hides_secrets(folder):
    (folder / "actors.toml").write_text('version = 1\n[secrets]\nmail = { env = "MAIL_PASSWORD" }\n')

    result = run("config", "show", env={"MAIL_PASSWORD": "hunter2", "ACTORS_RUNTIME__NAME": "from-env"})

    assert result.code == 0, result.err
    assert "hunter2" not in result.out + result.err
    assert "from-env" in result.out
    assert "ACTORS_RUNTIME__NAME" in result.out


def test_a_faulty_configuration_is_not_shown(folder):
    (folder / "actors.toml").write_text("version = 1\n[runtime]\nnmae = 1\n")

    result = run("config", "show")

    assert result.code == 8
    assert "actors.toml:3" in result.err
    assert "actorctl check" in result.hints[0]


def test_doctor_finds_nothing_wrong_in_an_empty_folder_and_changes_nothing(folder):
    result = run("doctor", "-o", "json")

    checks = json.loads(result.out)["items"]
    assert result.code == 0, result.out
    assert [check["name"] for check in checks] == list(CHECKS)
    assert {check["outcome"] for check in checks} <= {"ok", "warning", "skipped"}
    assert list(folder.iterdir()) == []


def stale_home(folder: Path) -> Path:
    """A home whose node was killed: it names a process that is gone."""
    home = folder / ".actors"
    home.mkdir()
    run_folder = private_directory(home / "run")
    process = subprocess.Popen(["true"])
    process.wait(timeout=60)
    gone = ProcessIdentity(process.pid, 1, this_boot())
    socket = run_folder / "control.sock"
    socket.touch()
    write_endpoints(run_folder, Endpoints(gone, "old", "0.1.0", f"ipc://{socket}", "ipc:///nowhere", 1.0, "01"))
    (run_folder / "node.pid").write_bytes(msgspec.json.encode(gone))
    return home


def outcomes(*names: str) -> dict[str, str]:
    return {item["name"]: item["outcome"] for item in json.loads(run("doctor", *names, "-o", "json").out)["items"]}


def test_doctor_finds_what_a_killed_node_left_and_removes_it_only_when_told_to(folder):
    home = stale_home(folder)

    assert outcomes("instance", "pid-file") == {"instance": "warning", "pid-file": "warning"}
    assert (home / "run" / "endpoints.json").exists()

    fixed = run("doctor", "instance", "--fix", "stale-endpoints")
    assert fixed.code == 0
    assert f"removed {home}/run/endpoints.json" in fixed.err.replace("\n", " ")
    assert not (home / "run" / "control.sock").exists()
    assert outcomes("instance", "pid-file") == {"instance": "ok", "pid-file": "warning"}

    run("doctor", "--fix", "stale-pid")
    assert outcomes("pid-file") == {"pid-file": "ok"}


@pytest.mark.parametrize("fix", FIXES)
def test_a_fix_leaves_a_living_node_alone(folder, fix):
    with fake_node(folder / ".actors") as node:
        pid_file = node.home / "run" / "node.pid"
        pid_file.write_bytes(msgspec.json.encode(ProcessIdentity.own()))

        result = run("doctor", "instance", "--fix", fix)

        assert "nothing is stale" in result.err
        assert (node.home / "run" / "endpoints.json").exists()
        assert pid_file.exists()


def test_doctor_asks_a_running_node_for_a_sign_of_life(folder):
    with fake_node(folder / ".actors"):
        assert outcomes("instance", "answer") == {"instance": "ok", "answer": "ok"}
    (folder / ".actors" / "run" / "control.sock").unlink(missing_ok=True)
    assert outcomes("answer") == {"answer": "failed"}  # the process lives, nobody serves


@pytest.mark.parametrize(
    ("damage", "name", "outcome"),
    [
        ("configuration", "config", "failed"),
        ("file for a home", "home", "failed"),
        ("writable for others", "home", "warning"),
        ("history", "history", "failed"),
        ("pid file", "pid-file", "failed"),
        ("endpoints", "instance", "failed"),
        ("clock", "clock", "warning"),
    ],
)
def test_doctor_names_each_kind_of_damage(folder, damage, name, outcome):
    home = folder / ".actors"
    if damage == "configuration":
        (folder / "actors.toml").write_text("version = [\n")
    elif damage == "file for a home":
        home.touch()
    else:
        home.mkdir()
        private_directory(home / "run")
    if damage == "writable for others":
        home.chmod(0o777)
    elif damage == "history":
        (home / "history.duckdb").write_bytes(b"no database" * 1000)
    elif damage == "pid file":
        (home / "run" / "node.pid").write_text("4121\n")
    elif damage == "endpoints":
        (home / "run" / "endpoints.json").write_text("{")
    elif damage == "clock":
        (home / "later").touch()
        os.utime(home / "later", (time.time() + 3600, time.time() + 3600))

    result = run("doctor", name)

    assert outcomes(name) == {name: outcome}
    assert result.code == (5 if outcome == "failed" else 0)


def test_sql_reads_the_file_of_a_node_that_has_ended_and_says_so(history):
    result = run("sql", "select path, uptime from exits", "-o", "csv")

    assert result.code == 0, result.err
    assert result.out == "path,uptime\n/io/mail,12.5\n"
    assert f"reading {history}" in result.err


def test_sql_shows_a_named_analysis(history):
    rows = json.loads(run("sql", "restarts_by_path", "-o", "json").out)["items"]

    assert [(row["path"], row["restarts"]) for row in rows] == [("/io/mail", 1)]


def test_sql_takes_parameters_a_file_and_stdin(history, folder):
    (folder / "q.sql").write_text("select generation from exits where path = $path and uptime > $least")
    arguments = ["--set", "path=/io/mail", "--set", "least=10", "-o", "name", "-q"]

    assert run("sql", "-f", "q.sql", *arguments).out == "1\n"
    assert run("sql", "-f", "-", *arguments, stdin=(folder / "q.sql").read_text()).out == "1\n"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("delete from exits", 10),
        ("select 1; select 2", 10),
        ("select nothing from exits", 2),
        ("selec path from exits", 2),
        ("select * from read_csv('/etc/passwd')", 10),
    ],
)
def test_sql_that_may_not_or_cannot_run_says_why(history, query, code):
    result = run("sql", query, "-q")

    assert result.code == code, result.err
    assert result.out == ""
    assert result.hints


def test_sql_counts_what_it_leaves_out(history):
    result = run("sql", "select * from range(10)", "--limit", "3", "-o", "json")

    document = json.loads(result.out)
    assert len(document["items"]) == 3
    assert document["is_truncated"] is True
    assert document["columns"] == [{"name": "range", "type": "BIGINT"}]


def test_columns_of_the_same_name_are_told_apart(history):
    (row,) = json.loads(run("sql", "select 1 as a, 2 as a, 3 as a_2", "-o", "json").out)["items"]

    assert sorted(row.values()) == [1, 2, 3]


def test_sql_without_node_and_without_file_is_unreachable(folder):
    result = run("sql", "select 1")

    assert result.code == 4


def test_sql_of_a_file_that_is_not_there_is_not_found(folder):
    result = run("sql", "select 1", "--file", "nowhere.duckdb")

    assert result.code == 3
    assert "nowhere.duckdb" in result.err


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("columns", [40, 100, None])
def test_every_topic_has_a_text_that_fits(topic, columns):
    result = run("help", topic, columns=columns)

    assert result.code == 0
    assert result.out.strip()
    if columns == 100:
        assert max(map(len, result.out.splitlines())) <= 120


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts_name_the_program(shell):
    result = run("completion", shell)

    assert result.code == 0
    assert "actorctl" in result.out
    assert "_ACTORCTL_COMPLETE" in result.out


def test_versions_name_what_it_runs_on():
    items = json.loads(run("version", "-o", "json").out)["items"]

    found = {item["component"]: item["version"] for item in items}
    assert {"actorctl", "python", "pykka", "pyzmq", "msgpack", "duckdb", "croniter", "psutil", "typer"} <= set(found)
    assert "not installed" not in found.values()
