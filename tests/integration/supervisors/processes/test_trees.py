"""Nothing that a process started outlives it: groups, descendants, daemons, and the warden."""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import uuid4

import psutil
import pytest
from msgspec.structs import replace
from support.processes import DAEMON, SLEEPER, TIMEOUT, environment, first_line, instance, is_alive, process, wait_gone

from supervisors.processes import marks
from supervisors.processes.trees import (
    Owner,
    descendants,
    environment_with,
    kill_member,
    kill_tree,
    sweep_leftovers,
    sweep_remains,
)
from supervisors.processes.wardens import Warden
from transport.identity import ProcessIdentity, this_boot

FAMILY = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', '''import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)
print(grandchild.pid, flush=True)
time.sleep(600)'''], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
{SLEEPER}
"""


@pytest.fixture
def mark() -> str:
    return f"test.{uuid4().hex}."


def test_a_kill_of_the_tree_ends_the_group_and_descendants_outside_it():
    with process(FAMILY, start_new_session=True) as child:
        family = [instance(int(pid)) for pid in first_line(child).split()]

        found = kill_tree(child.pid)

        assert [member.pid for member in found] == [p.pid for p in family]
        assert wait_gone(*family, instance(child.pid)) == []


def test_a_daemon_that_left_group_and_tree_is_found_by_its_mark(mark):
    with process(DAEMON, env=environment_with(f"{mark}1", environment())) as child:
        daemon = instance(int(first_line(child)))
        child.wait()
        assert daemon.pid not in [member.pid for member in descendants(os.getpid())]

        left = sweep_remains(f"{mark}1;", [])

        assert left == []
        assert wait_gone(daemon) == []


def test_a_mark_that_another_one_begins_with_is_not_that_one(mark):
    with process(env=environment_with(f"{mark}17", environment())) as other:
        first_line(other)

        assert marks.marked(f"{mark}1;") == []
        assert marks.marked(f"{mark}17;") == [other.pid]


def test_the_mark_of_an_inner_launch_is_added_to_the_outer_one():
    outer = environment_with("a.1", {})

    assert environment_with("b.2", outer)[marks.MARK] == "a.1;b.2;"


def test_an_empty_mark_is_refused_because_every_process_would_match():
    with pytest.raises(ValueError, match="every process"):
        marks.sweep("", timeout=1.0)


def test_a_member_whose_pid_belongs_to_another_process_by_now_is_left_alone():
    with process("print('up', flush=True); print(input(), flush=True); input()", stdin=subprocess.PIPE) as child:
        first_line(child)

        found = ProcessIdentity.of(child.pid)
        kill_member(replace(found, start=found.start + 60_000))
        child.stdin.write(b"still here\n")
        assert first_line(child) == "still here"
        kill_member(found)

        assert child.wait(TIMEOUT) == -9
        child.stdin.close()


def test_leftovers_of_a_dead_launcher_are_ended_and_those_of_a_living_one_are_not():
    home = f"h{uuid4().hex}"
    own = ProcessIdentity.own()
    living = Owner(home, own, "aa")
    dead = Owner(home, replace(own, start=own.start + 60_000), "bb")
    with (
        process(env=environment_with(f"{living.mark}1", environment())) as kept,
        process(env=environment_with(f"{dead.mark}1", environment())) as ended,
    ):
        first_line(kept)
        first_line(ended)

        leftovers = sweep_leftovers(home)

        assert leftovers == [ended.pid]
        assert ended.wait(TIMEOUT) == -9
        assert kept.poll() is None


def test_an_owner_is_read_back_from_its_marks():
    owner = Owner("home", ProcessIdentity(12, 34567, this_boot()), "ab")

    assert Owner.of_mark(f"{owner.mark}7") == owner
    assert Owner.of_mark("") is None
    assert Owner.of_mark("a.b.c.d.e") is None


def test_the_warden_ends_what_carries_the_mark_when_its_launcher_is_killed(mark):
    code = f"""
import subprocess, sys
from supervisors.processes.wardens import Warden
from supervisors.processes.trees import environment_with
import os
warden = Warden({mark!r})
warden.ensure()
child = subprocess.Popen([sys.executable, '-c', {DAEMON!r}], stdout=subprocess.PIPE,
                         env=environment_with({mark + "1"!r}, dict(os.environ)))
print(warden.pid, child.stdout.readline().decode().strip(), flush=True)
import time
time.sleep(600)
"""
    with process(code) as launcher:
        warden, daemon = (instance(int(pid)) for pid in first_line(launcher).split())
        assert is_alive(daemon)

        launcher.kill()

        assert wait_gone(daemon, warden) == []


def test_a_warden_that_was_killed_is_started_again(mark):
    warden = Warden(mark)
    warden.ensure()
    first = warden.pid
    warden.ensure()
    assert warden.pid == first

    psutil.Process(first).kill()
    psutil.Process(first).wait(TIMEOUT)
    warden.ensure()

    assert warden.pid != first
    warden.close(TIMEOUT)
    assert warden.pid is None


def test_the_warden_is_small_and_loads_nothing_but_the_standard_library():
    code = f"import runpy, sys; runpy.run_path({marks.__file__!r}, run_name='warden'); print(*sys.modules)"

    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert not {"psutil", "msgspec", "zmq", "pykka", "subprocess", "threading"} & set(done.stdout.split())
