"""External commands, real ones: their output, and that nothing of them outlives the call."""

from __future__ import annotations

import os
import sys
import threading
import time

import psutil
import pytest

from actors.jobs.commands import CommandError, run
from actors.jobs.offload import Cancel, CancelledWorkError


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def gone(pid: int) -> bool:
    """Whether the process ended, waiting for it a while."""
    try:
        process = psutil.Process(pid)
        psutil.wait_procs([process], timeout=60)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_command_reads_text_and_its_output_comes_back():
    output = run(python("import sys; print(sys.stdin.read()[::-1], end='')"), stdin=b"abc", timeout=60, cancel=Cancel())

    assert (output.stdout, output.stderr) == (b"cba", b"")


def test_a_command_that_does_not_read_its_input_hangs_nobody():
    assert run(python("pass"), stdin=b"x" * 10_000_000, timeout=60, cancel=Cancel()).stdout == b""


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path):
    pids = tmp_path / "pids"
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(pids)!r} + '.part', {str(pids)!r})\n"
        "time.sleep(600)"
    )

    timeout = 0.5
    while not pids.exists():  # again where the time was over before the command had come that far
        timeout *= 2
        with pytest.raises(CommandError, match="took too long"):
            run(python(program), timeout=timeout, cancel=Cancel())

    assert [gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


def test_what_a_successful_command_left_running_in_its_group_is_killed(tmp_path):
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)"
    )

    output = run(python(program), timeout=60, cancel=Cancel())

    assert gone(int(output.stdout))


def test_cancelling_kills_the_command(tmp_path):
    cancel, marker = Cancel(), tmp_path / "pid"
    program = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    raised = []

    def call() -> None:
        try:
            run(python(program), timeout=100, cancel=cancel)
        except CancelledWorkError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    deadline = time.monotonic() + 60
    while not (marker.exists() and marker.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cancel.set()
    thread.join(60)

    assert len(raised) == 1
    assert gone(int(marker.read_text()))


@pytest.mark.parametrize(
    ("program", "part", "status"),
    [("import sys; sys.exit('why')", "exit status 1: why", 1), ("import os; os.abort()", "signal 6", -6)],
)
def test_a_failed_command_says_how(program, part, status):
    with pytest.raises(CommandError, match=part) as caught:
        run(python(program), timeout=60, cancel=Cancel())

    assert caught.value.status == status


def test_too_much_output_ends_the_command():
    with pytest.raises(CommandError, match="more than 1000 bytes"):
        run(python("while True: print('x' * 500)"), timeout=60, cancel=Cancel(), limit=1000)


@pytest.mark.parametrize("program", ["no-such-program-here", os.devnull])
def test_a_program_that_cannot_be_run_is_told_as_such(program):
    with pytest.raises(CommandError, match="not installed"):
        run([program], timeout=1, cancel=Cancel())
