"""How `actorctl` finds a node, and what it says when there is none to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from msgspec.structs import replace
from support.command_line import Result, commands_in, parse, run
from support.fake_node import FakeNode, fake_node

from transport.endpoints import Endpoints, private_directory, write_endpoints
from transport.identity import ProcessIdentity, this_boot
from transport.security import KeyPair


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, two levels below it the current one; the user's home is elsewhere."""
    project = tmp_path / "project"
    (project / "a" / "b").mkdir(parents=True)
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(project / "a" / "b")
    return project


@pytest.fixture
def node(project: Path) -> Iterator[FakeNode]:
    with fake_node(project / ".actors") as node:
        yield node


def dead_process() -> ProcessIdentity:
    """Return a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    return ProcessIdentity(process.pid, 1, this_boot())


def claim(home: Path, process: ProcessIdentity, control: str = "ipc:///nowhere/control.sock") -> None:
    """Write an endpoints file."""
    write_endpoints(
        private_directory(home / "run") if home.exists() else _made(home),
        Endpoints(process, "old", "0.1.0", control, "ipc:///nowhere/taps.sock", 1.0, "01"),
    )


def _made(home: Path) -> Path:
    home.mkdir(parents=True)
    return private_directory(home / "run")


def assert_unreachable(result: Result, *words: str) -> None:
    assert result.code == 4
    for word in words:
        assert word in result.err
    assert result.hints
    for hint in result.hints:
        for command in commands_in(hint):
            parse(command)


def test_a_node_above_the_current_folder_is_found(node):
    assert run("ps", "/sys/recorder", "-o", "name").out == "/sys/recorder\n"


def test_a_home_named_by_the_flag_wins_over_the_environment_and_the_folder(project, tmp_path):
    with fake_node(tmp_path / "one") as one, fake_node(tmp_path / "two"):
        result = run("tree", "--home", str(one.home), "-q", home=tmp_path / "two")

        assert result.code == 0
        assert len(one.asked("tree")) == 1


def test_a_home_named_by_the_environment_wins_over_the_folder(node, tmp_path):
    with fake_node(tmp_path / "other") as other:
        run("tree", "-q", home=other.home)

        assert len(other.asked("tree")) == 1
        assert node.asked("tree") == []


@pytest.mark.parametrize("form", ["run/endpoints.json", "run", ""])
def test_an_endpoint_can_be_a_file_its_folder_or_the_home(node, form, tmp_path):
    result = run("tree", "-q", "--endpoint", str(node.home / form), home=tmp_path / "nobody")

    assert result.code == 0, result.err


def test_the_users_own_node_is_found_last(project, tmp_path):
    with fake_node(tmp_path / "user" / ".actors") as own:
        run("tree", "-q")

        assert len(own.asked("tree")) == 1


def test_a_project_without_a_running_node_does_not_fall_back_to_the_users_own(project, tmp_path):
    (project / ".actors").mkdir()
    with fake_node(tmp_path / "user" / ".actors") as own:
        result = run("tree")

        assert_unreachable(result, "not running", str(project / ".actors"))
        assert own.requests == []


def test_nothing_anywhere_names_every_place_and_starts_nothing(project, tmp_path):
    result = run("tree")

    assert_unreachable(result, "not running", str(Path.cwd() / ".actors"), str(tmp_path / "user" / ".actors"))
    assert "actorctl run" in result.hints[0]
    assert list(project.rglob("*")) == [project / "a", project / "a" / "b"]


def test_a_named_home_without_a_node_keeps_its_name_in_the_hint(tmp_path):
    result = run("tree", "--home", str(tmp_path / "there"))

    assert_unreachable(result, "not running", f"{tmp_path / 'there'}", "(--home)")
    assert f"actorctl run --home {tmp_path / 'there'}" in result.hints[0]


def test_a_dead_process_is_called_stale(project):
    claim(project / ".actors", dead_process())

    assert_unreachable(run("tree"), "stale", "is gone")


def test_a_process_id_in_new_hands_is_called_stale(project):
    own = ProcessIdentity.own()
    claim(project / ".actors", replace(own, start=own.start + 100_000))

    assert_unreachable(run("tree"), "stale", "its id has another process now")


def test_a_living_process_that_does_not_answer_is_called_so(project):
    claim(project / ".actors", ProcessIdentity.own())

    assert_unreachable(run("tree"), "no node answers", f"process {os.getpid()}")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"api": "actors/v9"}', "\x00"])
def test_a_damaged_endpoints_file_is_called_unreadable(project, text):
    run_folder = _made(project / ".actors")
    (run_folder / "endpoints.json").write_text(text)

    assert_unreachable(run("tree"), "unreadable", "endpoints.json")


def test_a_node_on_loopback_is_reached_with_the_keys_of_its_home(project):
    with fake_node(project / ".actors", is_tcp=True):
        assert run("tree", "-q").code == 0
        assert run("tap", "--timeout", "200ms").code == 0


def test_a_key_that_the_node_does_not_know_is_denied(project):
    with fake_node(project / ".actors", is_tcp=True) as node:
        stranger = KeyPair.make()
        file = node.home / "run" / "keys" / "local.json"
        file.write_text(json.dumps({"public": stranger.public, "secret": stranger.secret}))

        for command in (["tree"], ["tap", "--timeout", "5s"]):
            result = run(*command)

            assert result.code == 10
            assert "does not authorise this key" in result.err
            assert stranger.secret not in result.err


def test_a_node_whose_key_changed_is_not_trusted(project):
    with fake_node(project / ".actors", is_tcp=True) as node:
        other = structs.replace(node.endpoints, server_key=KeyPair.make().public)
        write_endpoints(node.home / "run", other)

        assert run("tree").code == 10


def test_a_missing_key_is_denied_with_the_file_that_is_missing(project):
    with fake_node(project / ".actors", is_tcp=True) as node:
        (node.home / "run" / "keys" / "local.json").unlink()

        result = run("tree")

        assert result.code == 10
        assert "local.json" in result.err


def test_an_answer_of_another_shape_is_an_error_that_names_the_version(node, monkeypatch):
    from supervisors.views import PingView

    monkeypatch.setitem(node.answers, "tree", lambda _: PingView(name="x", version="9", pid=1))

    result = run("tree")

    assert result.code == 1
    assert "cannot be read" in result.err
    assert "0.1.0" in result.hints[0]


def test_a_tap_ends_when_the_node_has_ended(project):
    script = (
        "import os, sys, threading, time; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from support.fake_node import FakeNode; from actors.events import NodeChanged\n"
        "node = FakeNode(Path(sys.argv[1])); print('up', flush=True)\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n"
        "while True: time.sleep(0.02); node.bus.publish(NodeChanged(time.time(), '/', 'ready'))\n"
    )
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(project / ".actors"), tests], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as node:
        assert node.stdout is not None
        assert node.stdin is not None
        assert node.stdout.readline() == b"up\n"
        tap = subprocess.Popen(
            [sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())", "tap"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ACTORCTL_HOME": str(project / ".actors")},
        )
        assert tap.stdout is not None
        assert "ready" in tap.stdout.readline() + tap.stdout.readline()  # the header, and an event: it follows
        node.stdin.close()  # the node ends without a word, its endpoints file stays

        _, err = tap.communicate(timeout=60)

    assert tap.returncode == 4
    assert "stale" in err
