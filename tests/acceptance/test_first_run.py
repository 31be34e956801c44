"""The main job from outside: run, look, kill, ask why, stop, start, query, tap, end. Real processes and files."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.nodes import ACTORCTL, TIMEOUT, Node, actorctl, environment, node, wait_until

WORK = ["/work/jobs", "/work/index", "/work/task#1", "/work/task#2"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("first run")
    (folder / "data").mkdir()
    (folder / "data" / "letter.txt").write_text("hello\nworld\n")
    with node(folder) as started:
        started.wait_ready()
        yield started


def pid_of(running: Node, path: str) -> int:
    (item,) = running.items("ps", path)
    assert item["state"] == "ready", item
    return int(item["pid"])


def test_the_built_in_system_has_the_seeds_tree(running: Node) -> None:
    (root,) = running.items("tree")
    below = {child["path"]: [c["path"] for c in child["children"]] for child in root["children"]}

    assert set(below) == {"/sys", "/io", "/agents", "/work"}
    assert len(below["/agents"]) == 15
    assert below["/io"] == ["/io/gmail", "/io/browser", "/io/twilio", "/io/tts", "/io/stt"]
    workers = [path for path in below["/work"] if "task" in path]
    assert len(workers) == max(2, len(os.sched_getaffinity(0)) // 2)
    assert {"/sys/recorder", "/sys/scheduler", "/sys/resource-monitor", "/sys/watchdog"} <= set(below["/sys"])


def test_what_is_not_configured_says_what_to_set(running: Node) -> None:
    (mail,) = running.items("ps", "/io/gmail")

    assert mail["state"] == "not-configured"
    assert mail["why"].startswith("not configured: set io.gmail.host")


def test_a_loop_hands_real_work_to_the_workers(running: Node) -> None:
    def indexed() -> list[str]:
        file = running.home / "index.jsonl"
        return [line for line in file.read_text().splitlines() if "letter.txt" in line] if file.exists() else []

    (line,) = wait_until(indexed, "letter.txt in the index")

    assert "5a3fd0b9" not in line  # nothing is made up: the digest is that of the file
    import hashlib

    assert hashlib.sha256(b"hello\nworld\n").hexdigest() in line


def test_a_killed_worker_comes_back_and_the_history_knows(running: Node) -> None:
    before = pid_of(running, "/work/task#1")
    os.kill(before, signal.SIGKILL)
    done = running.ctl("wait", "/work/task#1", "--for", "state=ready", "--timeout", "60s")
    wait_until(lambda: pid_of_or_none(running, "/work/task#1") not in {None, before}, "another process")

    why = running.ctl("why", "/work/task#1")
    assert done.code == 0
    assert "signal SIGKILL" in why.out
    restarts = "select count(*) as n from restarts where path = '/work/task#1'"
    wait_until(lambda: int(running.items("sql", restarts)[0]["n"]) >= 1, "the restart in the history")


def pid_of_or_none(running: Node, path: str) -> int | None:
    (item,) = running.items("ps", path)
    return int(item["pid"]) if item["state"] == "ready" and item["pid"] else None


def test_a_stop_is_sticky_and_says_who_and_why(running: Node) -> None:
    assert running.ctl("stop", "/agents/13", "--reason", "maintenance").code == 0
    (item,) = running.items("ps", "/agents/13")
    assert (item["state"], item["stopped_why"]) == ("stopped", "maintenance")
    assert f"uid {os.getuid()}" in item["stopped_by"]
    assert json.loads((running.home / "desired.json").read_text())["/agents/13"]["why"] == "maintenance"

    assert running.ctl("start", "/agents/13").code == 0
    (item,) = running.items("ps", "/agents/13")
    assert item["state"] == "ready"


def test_suspend_holds_messages_back_until_resume(running: Node) -> None:
    assert running.ctl("suspend", "/agents/13").code == 0
    (item,) = running.items("ps", "/agents/13")
    assert item["state"] == "suspended"

    assert running.ctl("resume", "/agents/13").code == 0
    (item,) = running.items("ps", "/agents/13")
    assert item["state"] == "ready"


@pytest.mark.parametrize("verb", ["stop", "restart", "kill", "start"])
def test_a_bare_verb_changes_nothing_and_names_the_right_form(running: Node, verb: str) -> None:
    result = running.ctl(verb)

    assert result.code == 2
    assert "hint:" in result.err
    assert result.out == ""


def test_an_unknown_path_says_what_is_near(running: Node) -> None:
    result = running.ctl("why", "/io/gmial")

    assert result.code == 3
    assert "/io/gmail" in result.err


def test_ask_and_send_reach_an_actor(running: Node) -> None:
    answer = running.ctl("ask", "/work/index", "GetIndex", "-o", "json")
    wrong = running.ctl("ask", "/work/index", "GetIndxe")

    assert answer.code == 0, answer
    assert isinstance(answer.items[0]["reply"], dict)
    assert wrong.code == 3
    assert "GetIndex" in wrong.err


def test_a_dry_run_changes_nothing(running: Node) -> None:
    before = pid_of(running, "/work/task#2")
    result = running.ctl("kill", "/work/task#2", "--dry-run", "-o", "json")

    assert result.code == 0
    assert result.items[0]["outcome"] == "planned"
    assert result.items[0]["plan"]["starts"] == ["/work/task#2"]
    assert pid_of(running, "/work/task#2") == before


@pytest.mark.parametrize(
    ("verb", "stops", "starts"),
    [
        ("stop", WORK[::-1], []),
        ("restart", WORK[::-1], WORK),
        ("kill", WORK[::-1], WORK),
        ("start", [], []),
    ],
)
def test_a_plan_says_what_stops_and_starts_and_what_is_left_of_the_limit(
    running: Node, verb: str, stops: list[str], starts: list[str]
) -> None:
    (root,) = running.items("tree", "/", "--depth", "0")

    (item,) = running.items(verb, "/work", "--dry-run")

    plan = item["plan"]
    assert (plan["stops"], plan["starts"], plan["supervisor"]) == (stops, starts, "/")
    used = root["limit"]["restarts"] + (verb == "kill")
    assert plan["limit"] == {**root["limit"], "restarts": used}
    assert plan["gives_up"] is False
    assert ("running" in item["message"]) is (verb == "start")


def test_commands_are_audited(running: Node) -> None:
    running.ctl("restart", "/agents/13", "--reason", "audit me")

    query = "select count(*) as n from commands where command = 'restart' and why = 'audit me'"
    wait_until(lambda: int(running.items("sql", query)[0]["n"]) == 1, "the command in the history")


def test_sql_refuses_to_write_and_to_read_files(running: Node) -> None:
    for statement in ("delete from events", "select * from read_text('/etc/passwd')", "attach 'x.db'"):
        result = running.ctl("sql", statement)
        assert result.code != 0, statement
        assert result.out == ""


def test_a_tap_shows_a_restart_while_it_happens(running: Node) -> None:
    tap = subprocess.Popen(
        [*ACTORCTL, "tap", "--path", "/work/**", "--count", "3", "--timeout", "100s", "-o", "jsonl"],
        cwd=running.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:

        def is_seen() -> bool:
            running.ctl("restart", "/work/task#2")  # it may not follow yet; a person's restarts count for no limit
            return tap.poll() is not None

        wait_until(is_seen, "three events on the tap", timeout=100)
        out, err = tap.communicate(timeout=60)
    finally:
        tap.kill()
        tap.communicate()

    events = [json.loads(line) for line in out.splitlines()]
    assert tap.returncode == 0, err
    assert {event["path"] for event in events} <= {*WORK, "/work"}
    assert len(events) == 3


def test_a_second_instance_is_refused_and_the_first_lives_on(running: Node) -> None:
    result = running.ctl("run")

    assert result.code == 7
    assert str(running.process.pid) in result.err
    assert running.ctl("status").code == 0


def test_run_files_are_private(running: Node) -> None:
    assert stat.S_IMODE(running.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((running.home / "run" / "endpoints.json").stat().st_mode) == 0o600


def test_ctrl_c_drains_and_ends_with_zero_and_the_history_is_readable_after(tmp_path: Path) -> None:
    with node(tmp_path) as started:
        started.wait_ready()
        below = started.processes()[1:]
        started.signal(signal.SIGINT)
        code = started.wait()
        _gone, alive = psutil.wait_procs(below, timeout=TIMEOUT)

        assert code == 0, started.lines[-10:]
        assert not alive
        assert not (started.home / "run" / "endpoints.json").exists()
        after = started.ctl("sql", "select count(*) as n from events", "-o", "json")
        assert after.code == 0
        assert after.items[0]["n"] > 20
        assert started.ctl("tree").code == 4


def test_after_kill_nine_the_next_start_needs_nobodys_help(tmp_path: Path) -> None:
    with node(tmp_path) as first:
        first.wait_ready()
        below = first.processes()[1:]
        first.signal(signal.SIGKILL)
        first.wait()
        _gone, alive = psutil.wait_procs(below, timeout=TIMEOUT)
        assert not alive, "orphans"
        stale = first.ctl("tree")
        assert stale.code == 4
        assert "stale" in stale.err or "gone" in stale.err

    with node(tmp_path) as second:
        second.wait_ready()
        assert second.ctl("status").code == 0


def test_a_tree_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from actors import Actor\n\n\nclass Broken(Actor):\n"
        "    def on_start(self):\n        raise OSError('no such device')\n"
    )
    (tmp_path / "actors.toml").write_text('version = 1\n[actors."/broken"]\nuse = "broken:Broken"\n')
    result = actorctl("run", cwd=tmp_path)

    assert result.code == 1
    assert "/broken" in result.err
    assert "no such device" in result.err
    assert not (tmp_path / ".actors" / "run" / "endpoints.json").exists()


def test_init_check_and_run_work_in_an_empty_folder(tmp_path: Path) -> None:
    made = actorctl("init", cwd=tmp_path)
    checked = actorctl("check", cwd=tmp_path)

    assert made.code == 0, made
    assert checked.code == 0, checked
    with node(tmp_path) as started:
        started.wait_ready()
        assert started.ctl("tree").code == 0
        started.signal(signal.SIGTERM)
        assert started.wait() == 0
