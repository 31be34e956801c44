"""What a person has at a terminal: the real `actorctl` on a pseudo-terminal, its keys, Ctrl-C and closing it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.nodes import ACTORCTL, TIMEOUT, actorctl, environment, wait_until

from supervisors.node.instance import read_pid_file
from supervisors.node.statefile import read_state

pexpect = pytest.importorskip("pexpect", reason="pseudo-terminals are POSIX's")

WORKERS = """
import threading

from actors import Actor, Message, on


class Work(Message[None], frozen=True):
    pass


class Worker(Actor):
    @on(Work)
    def work(self, message: Work) -> None:
        threading.Event().wait()
"""

CONFIG = """\
version = 1
[runtime]
name = "shop"
drain = "10m"
[actors."/worker"]
use = "workers:Worker"
runs_in = "thread"
shutdown = "10m"
[actors."/child"]
use = "workers:Worker"
runs_in = "process"
shutdown = "10m"
"""

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Desk:
    """A folder with a configuration, and terminals opened in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".actors"
        self._open: list[Any] = []
        (folder / "workers.py").write_text(WORKERS)
        (folder / "actors.toml").write_text(CONFIG)

    def type(self, *words: str, lines: int = 40, columns: int = 160, **env: str) -> Any:
        """Type a command into a new terminal."""
        around = {key: value for key, value in environment().items() if key not in {"NO_COLOR", "COLUMNS"}}
        terminal = pexpect.spawn(
            ACTORCTL[0] if words[0] == "actorctl" else words[0],
            list(words[1:]),
            cwd=str(self.folder),
            env={**around, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env},
            dimensions=(lines, columns),
            timeout=TIMEOUT,
            encoding="utf-8",
            echo=False,
        )
        self._open.append(terminal)
        return terminal

    def run(self) -> Any:
        """Type `actorctl run`, and wait until it is ready."""
        terminal = self.type("actorctl", "run")
        terminal.expect("NodeChanged: running")
        return terminal

    def ctl(self, *words: str) -> None:
        result = actorctl(*words, cwd=self.folder)
        assert result.code == 0, result

    def busy(self, path: str) -> None:
        """Give an actor work that never ends."""
        self.ctl("send", path, "Work")
        wait_until(lambda: "Work" in actorctl("ps", path, "-o", "json", cwd=self.folder).out, f"{path} works")

    def close(self) -> None:
        """End what is still open."""
        process = read_pid_file(self.home)
        if process is not None and process.is_alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).kill()
        for terminal in self._open:
            terminal.close(force=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One with a node that runs in the background."""
    made = Desk(tmp_path_factory.mktemp("shop"))
    made.ctl("up")
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def ended(terminal: Any) -> int:
    """Wait for the command's end and return its exit code."""
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.signalstatus is None, terminal.before
    return int(terminal.exitstatus)


def below(terminal: Any) -> list[psutil.Process]:
    return psutil.Process(terminal.pid).children(recursive=True)


def none_left(processes: list[psutil.Process]) -> None:
    _gone, alive = psutil.wait_procs(processes, timeout=TIMEOUT)
    assert not alive


def test_one_ctrl_c_drains_and_it_ends_with_0(desk: Desk) -> None:
    terminal = desk.run()
    children = below(terminal)

    terminal.sendintr()

    terminal.expect("NodeChanged: draining")
    terminal.expect("NodeChanged: stopped: clean")
    assert ended(terminal) == 0
    none_left(children)


def test_a_second_ctrl_c_hurries_and_what_was_cut_is_named(desk: Desk) -> None:
    terminal = desk.run()
    children = below(terminal)
    desk.busy("/worker")

    terminal.sendintr()
    terminal.expect("NodeChanged: draining")
    terminal.sendintr()

    terminal.expect("killing the rest")
    terminal.expect("killed before they ended: /worker")
    assert ended(terminal) == 130
    none_left(children)


def test_a_third_ctrl_c_ends_it_in_the_middle_and_its_children_die_with_it(desk: Desk) -> None:
    terminal = desk.run()
    children = below(terminal)
    desk.busy("/worker")

    terminal.sendintr()
    terminal.expect("NodeChanged: draining")
    terminal.sendintr()
    terminal.expect("killing the rest")
    terminal.sendintr()

    assert ended(terminal) == 130
    none_left(children)


def test_a_closed_terminal_drains_the_node_that_ran_in_it(desk: Desk) -> None:
    terminal = desk.run()
    children = below(terminal)

    terminal.ptyproc.fileobj.close()  # the window is closed: the system sends SIGHUP to what ran in it

    terminal.wait()
    assert (terminal.exitstatus, terminal.signalstatus) == (0, None)
    record = read_state(desk.home)
    assert record is not None
    assert (record.state, record.detail) == ("stopped", "clean")
    none_left(children)


def test_a_closed_terminal_leaves_a_node_in_the_background_alone(desk: Desk) -> None:
    terminal = desk.type("bash", "--norc", "-i", PS1="ready$ ")
    terminal.sendline(f"{ACTORCTL[0]} up")
    terminal.expect(r"is ready after [^\r]*workers")

    terminal.close(force=True)

    process = read_pid_file(desk.home)
    assert process is not None
    assert process.is_alive
    desk.ctl("tree")
    desk.ctl("down")


def test_colours_and_width_are_the_terminals_and_a_pipe_has_everything_and_no_colours(shared: Desk) -> None:
    narrow = shared.type("actorctl", "ps", columns=60)
    assert ended(narrow) == 0
    shown = narrow.before
    wide = shared.type("actorctl", "ps", columns=200)
    assert ended(wide) == 0

    piped = subprocess.run(
        [*ACTORCTL, "ps"], cwd=shared.folder, env=environment(TERM="xterm-256color"), capture_output=True, text=True
    )

    assert ESCAPE.search(shown)
    assert max(len(ESCAPE.sub("", line)) for line in shown.split("\r\n")) <= 60
    assert max(len(ESCAPE.sub("", line)) for line in wide.before.split("\r\n")) > 60
    assert piped.returncode == 0
    assert "\x1b" not in piped.stdout
    assert all(path in piped.stdout for path in ("/worker", "/child", "/sys/resource-monitor"))


def test_what_would_restart_everything_asks_first_at_a_terminal(shared: Desk) -> None:
    for answer, code, generation in (("n", 1, 1), ("y", 0, 2)):
        asked = shared.type("actorctl", "restart", "/", "--timeout", "100s")
        asked.expect_exact("? [y/N] ")
        asked.sendline(answer)

        assert ended(asked) == code
        (item,) = json.loads(actorctl("ps", "/worker", "-o", "json", cwd=shared.folder).out)["items"]
        assert (item["generation"], item["state"]) == (generation, "ready")


def test_top_shows_a_real_node_follows_the_keys_and_gives_the_terminal_back(shared: Desk) -> None:
    screen = shared.type("actorctl", "top", "--window", "200ms")
    screen.expect("sorted by need")

    screen.send("s")
    screen.expect("sorted by mailbox")
    screen.send("/worker\r")
    screen.expect("only worker")
    screen.send("p")
    screen.expect("paused")
    screen.send("q")

    assert ended(screen) == 0
    assert "\x1b[?25h" in screen.before
