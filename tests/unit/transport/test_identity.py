"""A process is told from others of the same id, whatever the clock does, and is dead as soon as it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from transport.identity import ProcessIdentity, Sighting, kill_is_pending, read_stat

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

HOLDS_MEMORY = """
import sys, threading
held = bytearray(64 * 1024**2)
for _ in range(4):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child():
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as made:
        assert made.stdout.readline() == b"up\n"
        yield made
        made.kill()


def stat(*, name: str = "python3", state: str = "S", flags: int = 0x400000, start: int = 4711) -> bytes:
    fields = ["12", f"({name})", state, "1", "2", "3", "4", "5", str(flags), *"0" * 12, str(start), "0"]
    return " ".join(fields).encode()


def status(own: int = 0, shared: int = 0) -> bytes:
    return f"Name:\tx\nSigQ:\t0/9\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{1 << 8:016x}\n".encode()


def test_this_process_is_alive_and_the_same_whenever_it_is_looked_at():
    own = ProcessIdentity.own()

    assert own == ProcessIdentity.of(os.getpid())
    assert own.look() is Sighting.ALIVE
    assert own.is_alive


@linux
def test_the_start_is_the_kernels_and_does_not_come_from_the_clock(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil.Process, "create_time", lambda _process: 1.0)

    assert ProcessIdentity.own().start == int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def test_another_process_of_the_same_id_is_not_the_one_that_was_meant():
    own = ProcessIdentity.own()

    assert replace(own, start=own.start + 60_000).look() is Sighting.GONE


@linux
def test_a_process_of_an_earlier_boot_is_gone_even_with_the_same_id_and_start():
    assert replace(ProcessIdentity.own(), boot="of-last-week").look() is Sighting.GONE
    assert replace(ProcessIdentity.own(), boot="").look() is Sighting.ALIVE


@pytest.mark.parametrize("pid", [-5, 0, 2**22 + 1, 2**40])
def test_an_id_that_no_process_has_is_gone(pid):
    assert ProcessIdentity(pid, 1).look() is Sighting.GONE
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(pid)


def test_a_process_that_ended_is_gone_before_it_is_waited_for(child):
    found = ProcessIdentity.of(child.pid)
    assert found.is_alive

    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert found.look() is Sighting.GONE


@linux
@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
def test_a_process_is_gone_from_the_moment_in_which_it_was_killed(child, is_stopped):
    found = ProcessIdentity.of(child.pid)
    if is_stopped:
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert found.is_alive

    child.send_signal(signal.SIGKILL)

    assert found.look() is Sighting.GONE


@linux
def test_a_process_of_somebody_who_hides_is_no_dead_one(monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refused)

    sighting = ProcessIdentity(2**22 + 1, 1).look()

    assert sighting is Sighting.HIDDEN


@pytest.mark.parametrize("name", ["python3", "a b", ") Z 0 (", "x) R 1 2 3"])
def test_a_name_cannot_make_a_process_look_dead(name):
    assert read_stat(stat(name=name)) == (4711, False)


@pytest.mark.parametrize(
    ("state", "flags", "is_ending"),
    [
        ("S", 0, False),
        ("D", 0, False),
        ("T", 0, False),
        ("R", 0x4, True),
        ("D", 0x40000C, True),
        ("Z", 0, True),
        ("X", 0, True),
    ],
)
def test_a_zombie_and_a_process_that_exits_have_ended(state, flags, is_ending):
    assert read_stat(stat(state=state, flags=flags))[1] is is_ending


def test_a_pending_kill_is_seen_and_other_signals_are_not():
    kill, term = 1 << signal.SIGKILL - 1, 1 << signal.SIGTERM - 1

    assert kill_is_pending(status(own=kill))
    assert kill_is_pending(status(shared=kill | term))
    assert not kill_is_pending(status(own=term, shared=term))
