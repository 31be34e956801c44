"""Bad input, given from outside as a person would by accident or with intent: what is said, and what it ends with.

Each refusal names the thing and what would be right, ends with the code that `actorctl help exit-codes` lists, and
leaves nothing behind. What a running node gets to see is in `test_hostile_visitors`.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from support.command_line import Result, commands_in, parse, run
from support.nodes import ACTORCTL, actorctl, environment, node

from supervisors.node.statefile import NodeRecord
from transport.identity import ProcessIdentity

ACTORS = """
from pathlib import Path
from actors import Actor

class Sound(Actor):
    pass
"""
HEAD = 'version = 1\n[supervisors."/a"]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a space and letters beyond ASCII in its name, an actor's module in it."""
    folder = tmp_path / "ein Ördner ☃"
    folder.mkdir()
    (folder / "my_sound_actors.py").write_text(ACTORS)
    monkeypatch.chdir(folder)
    return folder


def actor(path: str, *lines: str, use: str = "my_sound_actors:Sound") -> str:
    return "\n".join([f'[actors."{path}"]', f'use = "{use}"', *lines, ""])


FAULTY = {
    "unknown key": (HEAD + actor("/a/x", 'restrat = "permanent"'), ["actors.toml:5", "restrat", '"restart"?']),
    "unknown table": (HEAD + "[actorss]\n", ["actors.toml:3", "actorss", '"actors"?']),
    "number for a duration": (HEAD + actor("/a/x", "shutdown = 5"), ["actors.toml:5", "shutdown", '"5s"']),
    "text for a list": (HEAD + actor("/a/x", 'needs = "/a/y"'), ["actors.toml:5", "needs", "a list"]),
    "cycle of needs": (
        HEAD + actor("/a/x", 'needs = ["/a/y"]') + actor("/a/y", 'needs = ["/a/x"]'),
        ["in a circle", "/a/x -> /a/y -> /a/x"],
    ),
    "need of nobody": (HEAD + actor("/a/x", 'needs = ["/a/nobody"]'), ["/a/nobody"]),
    "two of one table": (HEAD + actor("/a/x") + actor("/a/x"), ["actors.toml:5", "twice", "join the two"]),
    "actor and supervisor of one path": (HEAD + actor("/a/x") + '[supervisors."/a/x"]\n', ["two of /a/x", "unique"]),
    "no parent": ("version = 1\n" + actor("/b/x"), ["/b", '[supervisors."/b"]']),
    "no module": (HEAD + actor("/a/x", use="nothing_here:X"), ["actors.toml:4", "no module nothing_here"]),
    "no such class": (HEAD + actor("/a/x", use="my_sound_actors:Sond"), ["has no Sond", '"Sound"?']),
    "no class at all": (HEAD + actor("/a/x", use="my_sound_actors"), ["names no class", "package.module:Class"]),
    "a class that is no actor": (HEAD + actor("/a/x", use="my_sound_actors:Path"), ["is no Actor", "actors.Actor"]),
    "a module that raises": (HEAD + actor("/a/x", use="raising:X"), ["RuntimeError", "boom", "raising.py:1"]),
    "a module that exits": (HEAD + actor("/a/x", use="exiting:X"), ["SystemExit", "exiting.py:1"]),
    "an argument too many": (HEAD + actor("/a/x", "args = { size = 1 }"), ["size", "no arguments"]),
    "no TOML": ('version = 1\n[actors."/a/x"\n', ["actors.toml:2", "not TOML"]),
    "another version": ("version = 99\n", ["actors.toml:1", "version = 1"]),
    "an include that is not there": (
        'include = ["b.toml"]\nversion = 1\n',
        ["b.toml", "no such file", "actors.toml:1 includes it"],
    ),
    "an include that includes": ('include = ["circular.toml"]\nversion = 1\n', ["circular.toml:1", "no others"]),
    "too deep": ("x = " + "[" * 5_000 + "]" * 5_000, ["actors.toml:1"]),
}


@pytest.fixture
def faulty(folder: Path) -> Callable[[str], Path]:
    """Writes `actors.toml` and the modules that the cases name."""

    def write(text: str) -> Path:
        (folder / "raising.py").write_text('raise RuntimeError("boom")\n')
        (folder / "exiting.py").write_text("raise SystemExit(3)\n")
        (folder / "circular.toml").write_text('include = ["actors.toml"]\n')
        (folder / "actors.toml").write_text(text)
        return folder

    return write


def assert_hints_parse(result: Result) -> None:
    for hint in result.hints:
        for command in commands_in(hint):
            parse(command)


@pytest.mark.parametrize("case", FAULTY)
def test_check_names_what_is_wrong_and_what_would_be_right(faulty, case):
    text, words = FAULTY[case]
    faulty(text)

    result = run("check")

    assert result.code == 8
    assert [word for word in words if word not in result.out + result.err] == []
    assert_hints_parse(result)


@pytest.mark.parametrize("case", ["unknown key", "cycle of needs", "no module", "a class that is no actor", "no TOML"])
def test_run_refuses_the_same_and_leaves_the_folder_as_it_was(faulty, case):
    text, words = FAULTY[case]
    folder = faulty(text)
    before = sorted(path for path in folder.iterdir() if path.name != "__pycache__")

    result = actorctl("run", cwd=folder)

    assert result.code == 8
    assert [word for word in words if word not in result.err] == []
    assert "nothing was started" in result.err
    assert sorted(path for path in folder.iterdir() if path.name != "__pycache__") == before


def test_a_huge_configuration_is_refused_by_its_size(folder):
    (folder / "actors.toml").write_text("# " + "x" * 2_000_000)

    result = run("check")

    assert result.code == 8
    assert "larger than" in result.out


@pytest.mark.parametrize("kind", ["folder", "broken link", "pipe", "no text"])
def test_what_stands_in_the_place_of_the_configuration_is_named(folder, kind):
    place = folder / "actors.toml"
    match kind:
        case "folder":
            place.mkdir()
        case "broken link":
            place.symlink_to(folder / "gone.toml")
        case "pipe":
            os.mkfifo(place)
        case _:
            place.write_bytes(b"\xff\xfe\x00")

    result = run("check")

    assert result.code == 8
    assert "actors.toml" in result.out


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ACTORS_RUNTIME__NMAE", "x", ["ACTORS_RUNTIME__NAME?"]),
        ("ACTORS_RUNTIM__NAME", "x", ["ACTORS_RUNTIM__NAME", "ACTORS_RUNTIME?"]),
        ("ACTORS_RUNTIME__DRAIN", "soon", ["runtime.drain", '"30s"']),
        ("ACTORS_ACTORS__A_X__RUNS_IN", "proces", ['"process"?']),
        ("ACTORS_FOO", "1", ["ACTORS_FOO", "known here"]),
    ],
)
def test_a_variable_that_means_nothing_is_refused_with_its_name(folder, variable, value, words):
    (folder / "actors.toml").write_text(HEAD + actor("/a/x"))

    result = run("check", env={variable: value})

    assert result.code == 8
    assert [word for word in words if word not in result.out] == []


@pytest.mark.parametrize("arguments", [("check", "other.toml"), ("run", "-c", "other.toml")])
def test_the_hint_names_the_file_that_was_checked(folder, arguments):
    result = actorctl(*arguments, cwd=folder)

    assert result.code == 8
    assert "no such file" in result.out + result.err
    assert "actorctl check other.toml" in result.err


HOMES: dict[str, Callable[[Path], object]] = {
    "a file": lambda home: home.write_text(""),
    "below a file": lambda home: home.parent.rmdir() or home.parent.write_text(""),
    "its run folder a file": lambda home: home.mkdir() or (home / "run").write_text(""),
    "its run folder a broken link": lambda home: home.mkdir() or (home / "run").symlink_to("gone"),
    "its lock a folder": lambda home: (home / "run" / "node.lock").mkdir(parents=True),
    "its endpoints a folder": lambda home: (home / "run" / "endpoints.json").mkdir(parents=True),
}


@pytest.mark.parametrize("kind", HOMES)
def test_a_home_that_cannot_serve_is_named_and_nothing_is_started(folder, kind):
    (folder / "actors.toml").write_text(HEAD + actor("/a/x"))
    home = folder / "some" / "home"
    home.parent.mkdir()
    HOMES[kind](home)

    result = actorctl("run", "--home", "some/home", cwd=folder)

    assert result.code in {1, 8}
    assert "some/home" in result.err
    assert "hint:" in result.err
    assert "ready" not in result.err
    assert "Traceback" not in result.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("part", [".", "run"])
def test_a_home_of_another_user_is_refused_with_what_mends_it(folder, part):
    (folder / "actors.toml").write_text(HEAD + actor("/a/x"))
    home = folder / ".actors"
    (home / "run").mkdir(parents=True)
    os.chown(home / part, 65534, 65534)

    checked = actorctl("doctor", "-o", "json", cwd=folder)
    (found,) = [item for item in checked.items if item["name"] == "home"]
    ran = actorctl("run", cwd=folder) if part == "run" else None

    assert found["outcome"] == "failed"
    assert "belongs to user 65534, not to user 0" in found["detail"]
    assert found["fix"] == "sudo -u '#65534' actorctl run"
    if ran is not None:
        assert ran.code == 1
        assert "belongs to user 65534, not to user 0" in ran.err
        assert not (home / "run" / "endpoints.json").exists()


def test_an_odd_clock_and_a_home_that_others_may_write_are_said_at_the_start(folder):
    (folder / "actors.toml").write_text("version = 1\n")
    run = folder / ".actors" / "run"
    run.mkdir(parents=True)
    run.parent.chmod(0o777)
    ahead = time.time() + 86_400
    gone = ProcessIdentity(2**22, 1, "")
    record = NodeRecord(gone, "local", "0.1.0", str(run.parent), "1", "stopped", written_at=ahead)
    (run / "state.json").write_bytes(msgspec.json.encode(record))

    with node(folder) as started:
        started.wait_ready()

    said = "\n".join(started.lines)
    assert "set the clock, then start again" in said
    assert time.strftime("%Y-%m-%d", time.gmtime(ahead)) in said
    assert "can be written by others" in said
    assert "chmod go-w" in said


def _in_own_mounts(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script where it may mount what nobody else sees; skips where that is not permitted."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"a mount namespace of one's own is not permitted here: {probe.stderr.strip()}")
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**environment(ACTORS_LOG__FORMAT="human"), "PATH": f"{Path(ACTORCTL[0]).parent}:{os.environ['PATH']}"},
    )


def test_a_home_on_a_disk_that_may_only_be_read_is_refused_before_anything_is_made(folder):
    (folder / "actors.toml").write_text(HEAD + actor("/a/x"))
    (folder / "disk").mkdir()

    done = _in_own_mounts("mount -t tmpfs -o ro none disk; actorctl run --home disk/home", folder)

    assert done.returncode == 8, done
    assert "disk may not be written" in done.stderr


def test_a_start_on_a_full_disk_says_so_and_leaves_no_process(folder):
    (folder / "actors.toml").write_text(HEAD + actor("/a/x"))
    (folder / "disk").mkdir()
    script = """
        mount -t tmpfs -o size=64k none disk
        head -c 65536 /dev/zero > disk/filler || true
        actorctl run --home disk/home || echo "code $?"
        ls -A disk/home/run
    """

    done = _in_own_mounts(script, folder)

    assert "No space left on device" in done.stderr, done
    assert "disk/home" in done.stderr
    assert "code 1" in done.stdout
    assert "endpoints.json" not in done.stdout.splitlines()


@pytest.mark.parametrize("command", ["tree", "run", "check", "doctor", "init"])
def test_a_folder_that_is_gone_is_no_bug(tmp_path, command):
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{ACTORCTL[0]}" {command}'

    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment()
    )

    assert done.returncode == 1
    assert "bug" not in done.stderr
    assert "error: " in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("tree", "--home", ""), ("tree", "--endpoint", ""), ("run", "--home="), ("run", "-c", ""), ("check", "")],
)
def test_an_empty_place_is_a_variable_without_a_value_and_chooses_nothing(folder, arguments):
    result = run(*arguments)

    assert result.code == 2
    assert "it is empty" in result.err


@pytest.mark.parametrize("variables", [{"HOME": None}, {"HOME": ""}, {"HOME": "/nowhere/at/all"}])
@pytest.mark.parametrize("arguments", [("tree",), ("check",), ("version",), ("doctor",)])
def test_commands_do_without_a_home_of_the_user(folder, variables, arguments):
    env = {key: value for key, value in environment().items() if key not in variables}
    env |= {key: value for key, value in variables.items() if value is not None}

    done = subprocess.run(
        [*ACTORCTL, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=env
    )

    assert done.returncode == (4 if arguments == ("tree",) else 0), done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("arguments", ["version", "check", "init again"])
def test_closed_streams_hurt_nobody(folder, closed, arguments):
    done = subprocess.run(
        ["sh", "-c", f'"{ACTORCTL[0]}" {arguments} {closed}'],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )

    assert done.returncode == 0, done
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("arguments", [("version",), ("version", "-o", "json"), ("help", "taps"), ("--help",)])
def test_output_that_cannot_be_written_is_an_error_and_no_bug(folder, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ACTORCTL, *arguments],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=environment(),
        )

    assert done.returncode == 1, done
    assert "cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
