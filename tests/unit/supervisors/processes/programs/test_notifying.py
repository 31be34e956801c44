"""What a program says by `sd_notify`: any bytes are read without harm."""

from __future__ import annotations

import array
import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.processes.programs.notifying import PER_WAKE, STATUS_LIMIT, NotifySocket, Said, parse


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"READY=1", Said(is_ready=True)),
        (b"READY=0", Said()),
        (b"READY=1\nSTATUS=well\nMAINPID=42\n", Said(is_ready=True, status="well", main_pid=42)),
        (b"STOPPING=1", Said(is_stopping=True)),
        (b"RELOADING=1\nMONOTONIC_USEC=1", Said(is_reloading=True)),
        (b"WATCHDOG=1", Said(watchdog="1")),
        (b"WATCHDOG=trigger", Said(watchdog="trigger")),
        (b"MAINPID=x", Said()),
        (b"MAINPID=-1", Said()),
        (b"nonsense", Said()),
        (b"", Said()),
    ],
)
def test_a_message_says_what_its_lines_assign(data, said):
    assert parse(data) == said


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data):
    said = parse(b"STATUS=" + data)

    assert said.status is None or (len(said.status) <= STATUS_LIMIT and said.status.isprintable())


@pytest.fixture
def notify(tmp_path):
    made = NotifySocket(tmp_path, None)
    yield made
    made.close()


def sender(notify):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.connect(notify.address.replace("@", "\0", 1))
    return made


def test_descriptors_that_are_passed_are_not_kept(notify):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with sender(notify) as out:
        for _ in range(5):
            out.sendmsg([b"READY=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * 3))])
        os.close(writing)

        assert list(notify.take()) == [Said(is_ready=True)] * 5
    assert os.read(reading, 1) == b""  # at its end: nobody can write to it any more
    os.close(reading)


def test_a_flood_is_taken_a_part_at_a_time(notify):
    with sender(notify) as out:
        out.setblocking(False)
        sent = 0
        try:
            while sent < PER_WAKE * 3:
                out.send(b"READY=1")
                sent += 1
        except BlockingIOError:
            pass  # the kernel's own bound

        assert len(list(notify.take())) == min(sent, PER_WAKE)


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs two users")
def test_another_users_word_is_refused(notify):
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            sender(notify).send(b"READY=1")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert list(notify.take()) == []
    assert notify.refused == 1
