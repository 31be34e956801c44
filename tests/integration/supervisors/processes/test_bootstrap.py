"""The child's side, started by hand: it does not live without its launcher."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.processes import TIMEOUT

from supervisors.processes.protocol import Handover, pack_word

COMMAND = [sys.executable, "-P", "-m", "supervisors.processes.bootstrap", "/work/one"]


def run(data: bytes, *, close: bool = True) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    assert child.stdin is not None
    child.stdin.write(data)
    child.stdin.flush()
    if close:
        child.stdin.close()
    return child


def handover(tmp_path, parent_pid: int) -> bytes:
    return pack_word(
        Handover(f"ipc://{tmp_path}/nobody.sock", b"token", "/work/one", 1, parent_pid, "node", tuple(sys.path), 1000)
    )


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\x10abc"], ids=["nothing", "half a length", "cut short"])
def test_a_child_whose_launcher_is_gone_before_it_spoke_ends(data):
    child = run(data)

    assert child.wait(TIMEOUT) == 1
    assert b"the launcher was gone" in child.stderr.read()
    child.stderr.close()


def test_a_child_whose_parent_is_not_the_launcher_ends_although_the_pipe_is_open(tmp_path):
    child = run(handover(tmp_path, parent_pid=os.getpid() + 1), close=False)

    assert child.wait(TIMEOUT) == -9
    child.stdin.close()
    child.stderr.close()


def test_a_child_ends_when_the_pipe_to_its_launcher_closes(tmp_path):
    child = run(handover(tmp_path, parent_pid=os.getpid()), close=False)
    assert child.poll() is None

    child.stdin.close()

    assert child.wait(TIMEOUT) == -9
    child.stderr.close()


def test_what_does_not_run_as_a_program_starts_nothing_when_it_is_imported():
    code = (
        "import supervisors.processes.bootstrap, supervisors.processes.host, threading; print(threading.active_count())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT)

    assert done.stdout.strip() == "1"
