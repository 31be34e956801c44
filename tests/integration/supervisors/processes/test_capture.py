"""What children print becomes bounded log lines, through real pipes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from uuid import uuid4

import pytest
from support.processes import TIMEOUT

from supervisors.processes import marks
from supervisors.processes.capture import LINE_LIMIT, LINES_PER_SECOND, Capture, Lines


class StillClock:
    """A clock that stands until it is moved."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def capture():
    made = Capture()
    yield made
    made.close()


def run(capture: Capture, code: str) -> str:
    """Run Python `code` under capture to its end; return the tail of its stderr."""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    captured = capture.add("/work/one", child.pid, child.stdout, child.stderr)
    child.wait(TIMEOUT)
    done = threading.Event()
    tails: list[str] = []
    capture.finish(captured, lambda tail: (tails.append(tail), done.set()))
    assert done.wait(TIMEOUT)
    assert child.stdout.closed
    assert child.stderr.closed
    return tails[0]


def test_each_line_is_logged_with_its_path_and_stream(capture, caplog):
    caplog.set_level(logging.INFO, "actors.output")

    tail = run(capture, "import sys; print('one'); print('two'); print('bad', file=sys.stderr)")

    lines = [(r.levelname, r.path, r.stream, r.getMessage()) for r in caplog.records]
    assert [line for line in lines if line[2] == "stdout"] == [
        ("INFO", "/work/one", "stdout", "one"),
        ("INFO", "/work/one", "stdout", "two"),
    ]
    assert [line for line in lines if line[2] == "stderr"] == [("WARNING", "/work/one", "stderr", "bad")]
    assert tail == "bad"


def test_a_last_line_without_newline_is_a_line(capture, caplog):
    caplog.set_level(logging.INFO, "actors.output")

    run(capture, "import os; os.write(1, b'no newline')")

    assert [r.getMessage() for r in caplog.records] == ["no newline"]


def test_garbage_is_shown_as_escapes_and_overlong_lines_are_cut(capture, caplog):
    caplog.set_level(logging.INFO, "actors.output")

    run(capture, f"import os; os.write(1, b'\\xff\\x00\\x1b[31m' + b'\\n' + b'x' * {LINE_LIMIT + 10} + b'\\n')")

    garbage, long = (r.getMessage() for r in caplog.records)
    assert garbage == "\\xff\\x00\\x1b[31m"
    assert long == f"{'x' * LINE_LIMIT} … 10 bytes cut"


def test_megabytes_of_output_never_stop_the_child(capture):
    tail = run(
        capture, "import os, sys\nfor _ in range(300): os.write(1, b'y' * 9999 + b'\\n')\nprint('x', file=sys.stderr)"
    )

    assert tail == "x"


def test_what_holds_the_pipe_open_after_the_child_is_not_waited_for(capture, monkeypatch):
    mark = f"test.{uuid4().hex};"
    monkeypatch.setenv(marks.MARK, mark)
    code = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "sys.stderr.write('last words'); sys.stderr.flush(); os._exit(0)"
    )

    assert run(capture, code) == "last words"
    assert marks.sweep(mark, timeout=TIMEOUT) == (1, [])


def test_closing_ends_the_thread_and_leaves_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    capture = Capture()
    run(capture, "print('x')")
    capture.close()

    assert not any(t.name == "processes-output" for t in threading.enumerate())
    assert len(os.listdir("/proc/self/fd")) <= before


def test_more_lines_than_a_second_may_have_are_counted_and_said_in_one_line():
    clock = StillClock()
    logged: list[str] = []
    lines = Lines(logged.append, clock)

    lines.feed(b"line\n" * (LINES_PER_SECOND + 5))
    assert len(logged) == LINES_PER_SECOND
    clock.now = 1.0
    lines.feed(b"next\n")

    assert logged[-2:] == [f"… 5 lines suppressed (more than {LINES_PER_SECOND} in a second)", "next"]
    assert list(lines.tail)[-1] == "next"


def test_bytes_that_arrive_in_pieces_are_put_together():
    logged: list[str] = []
    lines = Lines(logged.append, StillClock())

    for piece in (b"a", b"b\r", b"\nc", b"\n\n"):
        lines.feed(piece)
    lines.finish()

    assert logged == ["ab", "c", ""]
