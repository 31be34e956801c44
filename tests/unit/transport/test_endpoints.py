"""Where a node is: private directories, short socket paths, an endpoints file that is whole, and whether it is true."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import msgspec
import pytest
from msgspec.structs import replace

from transport.endpoints import (
    SOCKET_PATH_LIMIT,
    Endpoints,
    Presence,
    ipc_endpoint,
    private_directory,
    read_endpoints,
    remove_endpoints,
    tcp_endpoint,
    verify,
    write_endpoints,
    write_private,
)
from transport.errors import EndpointError
from transport.identity import ProcessIdentity, this_boot

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")


def endpoints(**changes) -> Endpoints:
    fields = {
        "process": ProcessIdentity.own(),
        "name": "openclaw",
        "version": "0.1.0",
        "control": "ipc:///x/control.sock",
        "taps": "ipc:///x/taps.sock",
        "started_at": 1.0,
        "epoch": "1",
    }
    return Endpoints(**{**fields, **changes})


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read(tmp_path):
    written = endpoints(server_key="k" * 40)

    path = write_endpoints(tmp_path / "run", written)

    assert read_endpoints(tmp_path / "run") == written
    assert read_endpoints(path) == written
    assert set(msgspec.json.decode(path.read_bytes())) == set(Endpoints.__struct_fields__)


@posix
def test_the_file_and_its_directory_are_the_owner_s_alone_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        path = write_endpoints(tmp_path / "a" / "run", endpoints())
    finally:
        os.umask(old)

    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_readers_see_the_old_file_or_the_new_one_and_nothing_else(tmp_path):
    run = tmp_path / "run"
    write_endpoints(run, endpoints(epoch="0", name="a" * 5_000))
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(len(read_endpoints(run).name))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(100):
        write_endpoints(run, endpoints(name="ab"[n % 2] * (5_000 + n % 2)))
    stop.set()
    reader.join()

    assert set(seen) <= {5_000, 5_001}
    assert [path.name for path in run.iterdir()] == ["endpoints.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    write_private(tmp_path / "f", b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


@posix
def test_a_directory_others_may_enter_is_closed_to_them(tmp_path):
    (tmp_path / "run").mkdir(mode=0o755)

    assert mode(private_directory(tmp_path / "run")) == 0o700


def test_a_link_or_a_file_is_no_private_directory(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()

    for name in ("link", "file"):
        with pytest.raises(EndpointError, match="is no directory"):
            private_directory(tmp_path / name)
    with pytest.raises(EndpointError, match="cannot make the directory"):
        private_directory(tmp_path / "file" / "below")


@posix
def test_somebody_else_s_directory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4_242)

    with pytest.raises(EndpointError, match="not to user 4242"):
        private_directory(tmp_path / "run")


@posix
def test_a_short_path_lies_in_the_run_directory_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = private_directory(tmp_path / "r")
    if len(str(base)) > 80:
        pytest.skip("the temporary directory itself is too long here")

    assert ipc_endpoint(base, "control") == f"ipc://{base}/control.sock"


@posix
def test_a_long_path_falls_back_to_a_short_private_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path) if len(str(tmp_path)) < 40 else "")
    runs = [tmp_path / ("x" * 60) / ("y" * 60) / str(n) / "run" for n in range(2)]

    paths = [ipc_endpoint(run, "control").removeprefix("ipc://") for run in runs]

    assert ipc_endpoint(runs[0], "control") == f"ipc://{paths[0]}"
    assert paths[0] != paths[1]
    for path in paths:
        assert len(os.fsencode(path)) <= SOCKET_PATH_LIMIT
        assert mode(type(tmp_path)(path).parent) == 0o700
        os.rmdir(os.path.dirname(path))


def test_a_name_that_fits_nowhere_is_an_error_that_says_what_would_be_right(tmp_path):
    with pytest.raises(EndpointError, match="use a shorter home, or transport tcp"):
        ipc_endpoint(tmp_path / "run", "n" * 100)


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ((), "tcp://127.0.0.1:*"),
        (("127.0.0.1", 5555), "tcp://127.0.0.1:5555"),
        (("::1", 5555), "tcp://[::1]:5555"),
        (("[::1]", 0), "tcp://[::1]:*"),
    ],
)
def test_tcp_endpoints(given, endpoint):
    assert tcp_endpoint(*given) == endpoint


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(EndpointError, match="no tcp port"):
        tcp_endpoint("127.0.0.1", port)


def test_a_process_that_runs_is_running(tmp_path):
    write_endpoints(tmp_path, endpoints())

    verdict = verify(tmp_path)

    assert verdict.presence is Presence.RUNNING
    assert verdict.endpoints == endpoints()


def test_no_file_is_not_running_and_says_where_it_looked(tmp_path):
    verdict = verify(tmp_path / "nowhere" / "run")

    assert verdict.presence is Presence.ABSENT
    assert verdict.looked_at == str(tmp_path / "nowhere" / "run" / "endpoints.json")


def test_a_process_that_ended_is_stale(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_endpoints(tmp_path, endpoints(process=ProcessIdentity(ended.pid, 1, this_boot())))

    assert verify(tmp_path).presence is Presence.STALE


def test_a_process_that_ended_and_was_not_waited_for_is_stale(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as zombie:
        made = ProcessIdentity.of(zombie.pid)
        zombie.stdout.read()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        write_endpoints(tmp_path, endpoints(process=made))

        assert verify(tmp_path).presence is Presence.STALE


def test_a_process_id_that_was_used_again_is_stale(tmp_path):
    own = ProcessIdentity.own()
    write_endpoints(tmp_path, endpoints(process=replace(own, start=own.start + 60_000)))

    assert verify(tmp_path).presence is Presence.STALE


@pytest.mark.parametrize("pid", [-5, 2**40])
def test_a_process_id_that_cannot_be_is_stale(tmp_path, pid):
    write_endpoints(tmp_path, endpoints(process=ProcessIdentity(pid, 1, this_boot())))

    assert verify(tmp_path).presence is Presence.STALE


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"process": "x"}', b'{"api": "actors/v2"}', b"x" * 100_000],
    ids=["empty", "cut short", "no object", "no UTF-8", "wrong type", "fields missing", "huge"],
)
def test_a_file_that_cannot_be_understood_is_unreadable(tmp_path, data):
    (tmp_path / "endpoints.json").write_bytes(data)

    verdict = verify(tmp_path)

    assert verdict.presence is Presence.UNREADABLE
    assert str(tmp_path / "endpoints.json") in verdict.detail


def test_a_file_of_a_later_layout_is_unreadable_and_says_so(tmp_path):
    write_endpoints(tmp_path, endpoints(api="actors/v2"))

    verdict = verify(tmp_path)

    assert verdict.presence is Presence.UNREADABLE
    assert "'actors/v2'" in verdict.detail


def test_unknown_fields_of_the_file_are_ignored(tmp_path):
    path = write_endpoints(tmp_path, endpoints())
    path.write_bytes(path.read_bytes().replace(b"{", b'{"from_the_future": 1, ', 1))

    assert read_endpoints(tmp_path) == endpoints()


def test_a_file_one_may_not_read_belongs_to_another_user(tmp_path, monkeypatch):
    write_endpoints(tmp_path, endpoints())

    def refused(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "open", refused)

    verdict = verify(tmp_path)

    assert verdict.presence is Presence.OTHER_USER
    assert f"(user {os.getuid() if os.name == 'posix' else 0})" in verdict.detail


def test_only_the_run_that_wrote_the_file_removes_it(tmp_path):
    write_endpoints(tmp_path, endpoints(epoch="2"))

    assert remove_endpoints(tmp_path, "1") is False
    assert remove_endpoints(tmp_path, "2") is True
    assert remove_endpoints(tmp_path, "2") is False
    assert verify(tmp_path).presence is Presence.ABSENT
