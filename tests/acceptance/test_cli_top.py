"""`actorctl top` from outside: once in a pipe, and as a screen with keys on a terminal."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from support.command_line import run
from support.fake_node import FakeNode, fake_node

from supervisors.cli.top import SORTS, Screen

PATIENCE = 60.0
PROGRAM = [sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    with fake_node(tmp_path_factory.mktemp("home") / ".actors") as node:
        yield node


def test_in_a_pipe_it_shows_one_window_and_ends(node):
    result = run("top", "--window", "10ms", "--columns", "path,mailbox,growth", home=node.home)

    assert result.code == 0
    assert result.out.splitlines()[0].split() == ["PATH", "MAILBOX", "GROWTH"]
    assert [request.command for request in node.requests[-2:]] == ["tree", "tree"]


def test_a_selector_chooses_and_an_unknown_one_is_told(node):
    assert run("top", "/io/gmail", "--window", "10ms", "-o", "name", home=node.home).out == "/io/gmail\n"
    assert run("top", "/io/gmial", "--window", "10ms", home=node.home).code == 3


class Terminal:
    """A program on a terminal of its own, 120 columns by 20 lines."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.fd, inner = pty.openpty()
        os.set_blocking(self.fd, False)
        termios.tcsetwinsize(inner, (20, 120))
        environ = {**os.environ, "ACTORCTL_HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1"}
        environ.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments], stdin=inner, stdout=inner, stderr=inner, env=environ, start_new_session=True
        )
        os.close(inner)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Return the newest screen once it has `pattern`."""
        until = monotonic() + PATIENCE
        while monotonic() < until:
            screen = self.seen.rpartition("\x1b[H\x1b[2J")[2]
            if re.search(pattern, screen):
                return screen
            select.select([self.fd], [], [], 1.0)
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except BlockingIOError:
                continue
            except OSError:
                break
        raise AssertionError(f"never saw {pattern!r} in {self.seen[-2000:]!r}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.fd)


@pytest.fixture
def terminal(node: FakeNode) -> Iterator[Terminal]:
    found = Terminal(node.home, "top", "--window", "50ms")
    yield found
    found.close()


def test_on_a_terminal_it_goes_on_and_keys_choose(terminal):
    first = terminal.wait_for("sorted by need")
    assert "/io/gmail" in first
    assert len(first.splitlines()) <= 20
    assert all(len(line) <= 120 for line in first.splitlines())

    terminal.type("s")
    terminal.wait_for("sorted by mailbox")
    terminal.type("/gmail\n")
    filtered = terminal.wait_for("only gmail")
    assert "/io/gmail" in filtered
    assert "/io/browser" not in filtered
    terminal.type("p")
    terminal.wait_for("paused")
    terminal.type("q")

    assert terminal.wait_for(r"\x1b\[\?25h")  # the cursor is there again; unread, its output would hold it up
    assert terminal.process.wait(PATIENCE) == 0


def test_ctrl_c_ends_it_and_leaves_the_cursor(terminal):
    terminal.wait_for("sorted by need")

    terminal.process.send_signal(2)

    assert terminal.wait_for(r"\x1b\[\?25h")
    assert terminal.process.wait(PATIENCE) == 130


def test_the_sort_goes_round_and_a_filter_can_be_corrected():
    screen = Screen("")
    seen = []
    for _ in SORTS:
        screen.press("s")
        seen.append(screen.sort)
    for key in "/abx\x7f\n":
        screen.press(key)

    assert seen == [*SORTS[1:], SORTS[0]]
    assert (screen.wanted, screen.is_typing, screen.is_done) == ("ab", False, False)
    screen.press("\x04")
    assert screen.is_done
