from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from actors.history.spool import MAGIC
from actors.history.spool import Spool as _Spool

opened: list[_Spool] = []


def Spool(*args, **options) -> _Spool:
    """Open a spool that is closed when the test is over, as a killed process's is."""
    opened.append(_Spool(*args, **options))
    return opened[-1]


@pytest.fixture(autouse=True)
def _closed():
    yield
    while opened:
        opened.pop().close()


def read_all(spool: _Spool) -> list[bytes]:
    found = []
    while (frame := spool.read_next()) is not None:
        found.append(frame.payload)
    return found


def test_frames_come_back_in_order_after_the_process_is_gone(tmp_path):
    path = tmp_path / "history.spool"
    spool = Spool(path)
    wrote = [bytes([n]) * n for n in range(50)]
    for payload in wrote:
        assert spool.append(payload)
    # not closed, as after kill -9

    assert read_all(Spool(path)) == wrote


def test_frames_that_were_read_but_not_released_are_read_again_by_the_next(tmp_path):
    spool = Spool(tmp_path / "s")
    spool.append(b"a")
    spool.append(b"b")
    frame = spool.read_next()
    assert frame is not None
    spool.release(frame.number)
    spool.close()

    assert read_all(Spool(tmp_path / "s")) == [b"a", b"b"]


def test_the_file_is_emptied_when_the_last_frame_is_released_and_removed_at_the_end(tmp_path):
    path = tmp_path / "s"
    spool = Spool(path)
    for _ in range(3):
        spool.append(b"x" * 1_000)
    frames = [spool.read_next() for _ in range(3)]
    for frame in frames:
        assert frame is not None
        spool.release(frame.number)

    assert path.stat().st_size == len(MAGIC)
    assert spool.append(b"again")
    assert read_all(spool) == [b"again"]
    spool.close()
    assert path.exists()
    spool = Spool(path)
    for frame in [spool.read_next()]:
        assert frame is not None
        spool.release(frame.number)
    spool.close()
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 29))
def test_a_torn_tail_costs_the_torn_frame_alone_and_new_frames_follow_the_whole_ones(tmp_path, cut):
    path = tmp_path / "s"
    spool = Spool(path)
    spool.append(b"first")
    spool.append(b"x" * 20)
    spool.close()
    os.truncate(path, path.stat().st_size - cut)

    spool = Spool(path)
    assert spool.append(b"after")

    assert read_all(spool) == [b"first", b"after"]
    assert spool.damaged_bytes == (28 - cut if cut < 28 else 0)


def test_whatever_bytes_are_damaged_only_whole_frames_come_back(tmp_path):
    wrote = [os.urandom(200) for _ in range(20)]
    chance = random.Random(5)
    for number in range(100):
        path = tmp_path / f"s{number}"
        spool = Spool(path)
        for payload in wrote:
            spool.append(payload)
        spool.close()
        data = bytearray(path.read_bytes())
        at = chance.randrange(len(data))
        data[at] ^= 0xFF
        path.write_bytes(data)

        found = read_all(Spool(path))

        whole = 0 if at < len(MAGIC) else (at - len(MAGIC)) // 208
        assert found == wrote[:whole]


def test_the_limit_holds_and_released_frames_make_room(tmp_path):
    path = tmp_path / "s"
    spool = Spool(path, limit_bytes=10_000)
    while spool.append(b"x" * 900):
        pass
    assert 9_000 < path.stat().st_size <= 10_000
    first = [spool.read_next() for _ in range(5)]
    for frame in first:
        assert frame is not None
        spool.release(frame.number)

    for _ in range(5):
        assert spool.append(b"y" * 900)

    assert path.stat().st_size <= 10_000
    assert [payload[:1] for payload in read_all(spool)] == [b"x"] * 6 + [b"y"] * 5


def test_frames_can_be_released_after_the_file_was_rewritten(tmp_path):
    spool = Spool(tmp_path / "s", limit_bytes=10_000)
    while spool.append(b"x" * 900):
        pass
    frames = [spool.read_next() for _ in range(8)]
    for frame in frames[:5]:
        assert frame is not None
        spool.release(frame.number)
    assert spool.append(b"y")
    for frame in frames[5:]:
        assert frame is not None
        spool.release(frame.number)

    left = read_all(spool)

    assert left[-1] == b"y"
    assert set(left[:-1]) == {b"x" * 900}


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from actors.history.spool import Spool

spool = Spool(Path(sys.argv[1]))
assert spool.append(b"a" * 1_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
assert not spool.append(b"b" * 5_000)
assert spool.append(b"c" * 100)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit on Windows")
def test_a_full_disk_refuses_a_frame_and_spoils_none(tmp_path):
    path = tmp_path / "s"

    subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=True, timeout=60)

    assert read_all(Spool(path)) == [b"a" * 1_000, b"c" * 100]


def test_a_foreign_file_in_its_place_is_counted_as_damage_and_replaced(tmp_path):
    path = tmp_path / "s"
    path.write_bytes(b"something else")

    spool = Spool(path)

    assert spool.damaged_bytes == 14
    assert spool.append(b"a")
    assert read_all(spool) == [b"a"]
