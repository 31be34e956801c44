"""Reload of a real node: shown first, refused whole, only what differs is touched, and no ask under way fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.nodes import Node, node, wait_until

ACTORS = """
import threading
from actors import Actor, Message, on
from actors.errors import ActorRuntimeError


class Ask(Message[str], frozen=True):
    pass


class Go(Message[None], frozen=True):
    pass


class Worker(Actor):
    def __init__(self, tag: str = "a") -> None:
        super().__init__()
        self.tag = tag

    def on_start(self) -> None:
        if self.tag == "bad":
            raise ValueError("a bad tag")

    @on(Ask)
    def ask(self, message: Ask) -> str:
        return self.tag


class Driver(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, int] = {}
        self.failed: list[str] = []
        self.turn = 0

    def on_start(self) -> None:
        self.actor_ref.tell(Go())

    @on(Go)
    def go(self, message: Go) -> None:
        names = ["/app/w#1", "/app/w#2", "/app/w#3", "/app/p#1", "/app/p#2", "/solo"]
        self.turn += 1
        threading.Event().wait(0.002)  # leave the processor to the node
        try:
            tag = self.system.ref(names[self.turn % len(names)]).ask(Ask(), timeout=60)
            self.answers[tag] = self.answers.get(tag, 0) + 1
        except ActorRuntimeError as error:
            self.failed.append(repr(error))
        self.actor_ref.tell(Go())

    def state_view(self) -> dict[str, object]:
        return {"turn": self.turn, "failed": self.failed, "answers": dict(self.answers)}
"""

CONFIG = """\
version = 1

[supervisors."/app"]

[actors."/app/w"]
use = "reloaded:Worker"
args = { tag = "TAG" }
count = 3

[actors."/app/p"]
use = "reloaded:Worker"
args = { tag = "TAG" }
count = 2
runs_in = "process"

[actors."/solo"]
use = "reloaded:Worker"
args = { tag = "TAG" }

[actors."/still"]
use = "reloaded:Worker"
"""

DRIVERS = """
[actors."/driver"]
use = "reloaded:Driver"
count = 3
runs_in = "thread"
"""


DRIVING = ("/driver#1", "/driver#2", "/driver#3")


def write(folder: Path, tag: str, more: str = "") -> None:
    (folder / "actors.toml").write_text(CONFIG.replace("TAG", tag) + more)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "reloaded.py").write_text(ACTORS)
    write(tmp_path, "a", DRIVERS)
    with node(tmp_path) as started:
        started.wait_ready()
        yield started


def generations(running: Node) -> dict[str, Any]:
    return {item["path"]: (item["generation"], item["pid"], item["state"]) for item in running.items("ps")}


def driven(running: Node) -> list[dict[str, Any]]:
    def state(path: str) -> Any:
        """None where the driver is too busy to say."""
        return running.items("describe", path, "--state")[0]["state"]

    return [wait_until(lambda path=path: state(path), f"the state of {path}") for path in DRIVING]


def wait_turns(running: Node, since: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Wait until each driver has asked everybody again, and written down what came of it."""

    def went_on() -> list[dict[str, Any]] | None:
        found = driven(running)
        return found if all(now["turn"] > then["turn"] + 10 for now, then in zip(found, since, strict=True)) else None

    found: list[dict[str, Any]] = wait_until(went_on, "they go on")
    return found


def test_only_what_differs_is_replaced_and_no_ask_under_way_fails(running: Node) -> None:
    wait_until(lambda: all(state["turn"] > 10 for state in driven(running)), "asks under way")
    before = generations(running)
    write(running.folder, "b", DRIVERS + '[actors."/new"]\nuse = "reloaded:Worker"\n')
    changed = {"/app/w#1", "/app/w#2", "/app/w#3", "/app/p#1", "/app/p#2", "/solo"}

    planned = running.ctl("reload", "--dry-run", "--exit-code", "-o", "json")

    assert planned.code == 5
    actions = {item["path"]: item["action"] for item in planned.items}
    assert actions == {**dict.fromkeys(changed - {"/solo"}, "rolling"), "/solo": "replace", "/new": "add"}
    assert generations(running) == before
    (described,) = running.items("describe", "/solo")
    assert described["drift"] == ["a reload: replace", "tag: a → b"]

    done = running.items("reload", "--reason", "another tag")

    assert {item["outcome"] for item in done} == {"done"}
    after = generations(running)
    assert {path for path in before if after[path] != before[path]} == changed
    assert set(after) - set(before) == {"/new"}
    assert running.items("describe", "/solo")[0]["drift"] == []
    states = wait_turns(running, driven(running))
    assert [state["failed"] for state in states] == [[], [], []]
    assert all(set(state["answers"]) == {"a", "b"} for state in states)

    write(running.folder, "b")
    gone = running.items("reload")

    assert {(item["path"], item["action"]) for item in gone} == {
        *((f"/driver#{n}", "remove") for n in (1, 2, 3)),
        ("/new", "remove"),
    }
    assert set(generations(running)) == set(before) - {"/driver#1", "/driver#2", "/driver#3"}
    assert running.items("reload") == []


def test_a_bad_file_is_refused_whole_and_instances_that_do_not_get_ready_replace_none(running: Node) -> None:
    before = generations(running)
    write(running.folder, "b", DRIVERS + '[actors."/typo"]\nuse = "reloaded:Wrker"\n')

    refused = running.ctl("reload")

    assert refused.code == 8
    assert "Wrker" in refused.err
    running.signal(signal.SIGHUP)
    running.wait_line("reload refused")
    assert generations(running) == before

    text = CONFIG.replace("TAG", "bad", 1).replace("TAG", "a") + DRIVERS
    (running.folder / "actors.toml").write_text(text)
    failed = running.ctl("reload", "-o", "json")

    assert failed.code == 9
    assert {item["path"] for item in failed.items if item["outcome"] == "failed"} == {f"/app/w#{n}" for n in (1, 2, 3)}
    assert generations(running) == before
    assert running.items("describe", "/app/w#1")[0]["drift"] == ["a reload: rolling", "tag: a → bad"]


def test_a_file_that_is_gone_or_says_nothing_any_more_is_refused(running: Node) -> None:
    file = running.folder / "actors.toml"
    before = [(item["path"], item["generation"]) for item in running.items("ps")]

    file.write_text("# to be written\n")
    blank = running.ctl("reload")
    file.unlink()
    gone = running.ctl("reload")
    running.signal(signal.SIGHUP)
    running.wait_line("reload refused: actors.toml: there is no such file")

    assert (blank.code, gone.code) == (8, 8)
    assert "it says nothing any more" in blank.err
    assert "there is no such file" in gone.err
    assert [(item["path"], item["generation"]) for item in running.items("ps")] == before


def test_reload_of_one_worker_touches_nothing_else(running: Node) -> None:
    before = generations(running)
    write(running.folder, "b", DRIVERS + '[actors."/new"]\nuse = "reloaded:Worker"\n[log]\nlevel = "debug"\n')

    nobody = running.ctl("reload", "--only", "/nobody")
    planned = running.items("reload", "--only", "/solo", "--dry-run")
    done = running.items("reload", "--only", "/solo", "--reason", "this first")
    after = generations(running)

    assert (nobody.code, "no actor at /nobody" in nobody.err) == (3, True)
    assert [(item["path"], item["action"]) for item in planned] == [("/solo", "replace")]
    assert [(item["path"], item["outcome"]) for item in done] == [("/solo", "done")]
    assert {path for path in before | after if after.get(path) != before.get(path)} == {"/solo"}
    assert running.items("describe", "/solo")[0]["drift"] == []
    assert running.items("describe", "/app/w#2")[0]["drift"] == ["a reload: rolling", "tag: a → b"]

    instances = running.items("reload", "--only", "/app/w")
    rest = {item["path"]: item["action"] for item in running.items("reload", "--dry-run")}

    assert {item["path"] for item in instances} == {"/app/w#1", "/app/w#2", "/app/w#3"}
    assert rest == {"/app/p#1": "rolling", "/app/p#2": "rolling", "/new": "add", "log.level": "setting"}


def test_a_rolling_restart_replaces_one_after_another_and_no_ask_fails(running: Node) -> None:
    wait_until(lambda: all(state["turn"] > 10 for state in driven(running)), "asks under way")
    before = generations(running)
    assert running.ctl("stop", "/app/w#2").code == 0
    targets = ("/app/w*", "/app/p#1", "/app/p#2", "/solo")

    planned = running.items("restart", "--rolling", *targets, "--dry-run")
    assert generations(running)["/solo"] == before["/solo"]
    assert running.ctl("start", "/app/w#2").code == 0
    driving = wait_turns(running, driven(running))
    failed_before = [len(state["failed"]) for state in driving]  # by the person's stop
    between = generations(running)
    done = running.ctl("restart", "--rolling", *targets, "--timeout", "100s", "-o", "json")

    assert {item["path"]: item["outcome"] for item in planned} == {
        **{path: "planned" for path in before if path.startswith(("/app/", "/solo"))},
        "/app/w#2": "unchanged",
    }
    assert done.code == 0, done.err
    assert {item["outcome"] for item in done.items} == {"done"}
    after = generations(running)
    changed = {path for path in between if after[path] != between[path]}
    assert changed == {path for path in before if path.startswith(("/app/", "/solo"))}
    assert set(after) == set(before)
    assert [len(state["failed"]) for state in wait_turns(running, driven(running))] == failed_before
    started = [
        event["path"]
        for event in running.items("events", "--type", "ActorStarted", "--limit", "1000")
        if event["path"].startswith("/app/w#")
    ]
    assert started[-4] == "/app/w#4"  # it was there before the first of them went


def test_the_signal_hup_reloads_and_settings_of_the_node_count_at_once_or_say_when(running: Node) -> None:
    write(running.folder, "a", DRIVERS + '[log]\nlevel = "debug"\n[runtime]\nname = "other"\ndrain = "50s"\n')

    running.signal(signal.SIGHUP)

    running.wait_line("reloaded by signal HUP")
    (item,) = running.items("reload", "--dry-run")
    assert (item["path"], item["action"]) == ("runtime.name", "needs-restart")
    running.signal(signal.SIGTERM)
    running.wait_line("draining: 50 s at most")
    assert running.wait() == 0
