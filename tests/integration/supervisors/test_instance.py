"""One node per home, and none that has to wait for a person after a kill."""

from __future__ import annotations

import os
import sys

import pytest
from support.processes import first_line, process

from supervisors.errors import AlreadyRunningError
from supervisors.node.instance import InstanceLock, read_pid_file
from transport.identity import ProcessIdentity

HOLDER = """
import sys
from pathlib import Path
from supervisors.node.instance import InstanceLock
lock = InstanceLock(Path({home!r}))
lock.acquire()
held = bytearray(200 * 1024**2)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / ".actors"


@pytest.fixture
def holder(home):
    with process(HOLDER.format(home=str(home)), stdin=-1) as made:
        assert first_line(made) == "held"
        yield made
        made.stdin.close()


def test_a_second_instance_is_refused_and_told_who_is_there(home, holder):
    with pytest.raises(AlreadyRunningError) as error:
        InstanceLock(home).acquire()

    assert error.value.pid == holder.pid
    assert read_pid_file(home) == ProcessIdentity.of(holder.pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the dying cannot be told from the living")
def test_a_node_that_was_killed_and_has_not_gone_yet_does_not_keep_the_next_one_out(home, holder):
    holder.kill()

    with InstanceLock(home):
        assert read_pid_file(home) == ProcessIdentity.own()


def test_the_pid_file_goes_with_the_lock(home):
    with InstanceLock(home):
        assert read_pid_file(home).pid == os.getpid()

    assert read_pid_file(home) is None


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pid": "x", "start": 1}', "\0"])
def test_a_pid_file_that_is_none_of_ours_names_nobody(home, text):
    (home / "run").mkdir(parents=True)
    (home / "run" / "node.pid").write_text(text)

    assert read_pid_file(home) is None
