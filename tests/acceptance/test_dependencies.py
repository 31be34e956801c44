"""`runtime.wait_for`: a node starts once what it needs is there, and says what is missing where that takes too long."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from support.nodes import actorctl, node

CONFIG = """\
version = 1

[runtime]
wait_for = {names}
wait_for_timeout = "{timeout}"
"""


def write(folder: Path, names: list[str], timeout: str) -> None:
    quoted = ", ".join(f'"{name}"' for name in names)
    (folder / "actors.toml").write_text(CONFIG.format(names=f"[{quoted}]", timeout=timeout))


def test_a_node_starts_once_a_port_a_socket_and_a_file_are_there(tmp_path: Path) -> None:
    file, path = tmp_path / "über all.txt", tmp_path / "db.sock"
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as local:
        port.bind(("127.0.0.1", 0))  # not listening yet, and nobody else can take it
        number = port.getsockname()[1]
        uri = file.as_uri()
        write(tmp_path, [f"tcp://127.0.0.1:{number}", f"unix://{path}", uri], "100s")
        with node(tmp_path) as started:
            waiting = started.wait_line("waiting for")
            assert (tmp_path / ".actors" / "history.duckdb").exists() is False
            port.listen()
            local.bind(str(path))
            local.listen()
            assert not any("NodeChanged: running" in line for line in started.lines)
            file.touch()
            started.wait_ready()

    assert all(name in waiting for name in (f"tcp://127.0.0.1:{number}", f"unix://{path}", uri))


def test_what_does_not_come_in_time_is_named_and_the_start_has_failed(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    write(tmp_path, [f"file://{tmp_path}", f"file://{missing}"], "300ms")

    with node(tmp_path) as started:
        code = started.wait()

    said = "\n".join(started.lines)
    assert code == 1
    assert f"not there within 0.3 s: file://{missing}; runtime.wait_for" in said
    assert "Traceback" not in said
    assert not (tmp_path / ".actors" / "run" / "endpoints.json").exists()


def test_a_node_that_waits_ends_at_the_first_signal(tmp_path: Path) -> None:
    write(tmp_path, [f"file://{tmp_path}/missing"], "100s")

    with node(tmp_path) as started:
        started.wait_line("waiting for")
        started.signal(signal.SIGTERM)

        assert started.wait() == 0


def test_addresses_that_cannot_be_waited_for_are_faults_with_their_places(tmp_path: Path) -> None:
    names = ["http://db", "tcp://db", "tcp://db:port", "file://relative", "/absolute"]
    write(tmp_path, names, "1s")

    checked = actorctl("check", "-o", "json", cwd=tmp_path)

    assert checked.code == 8
    said = checked.out + checked.err
    assert [name for name in names if f"'{name}' is nothing that can be waited for" not in said] == []
    assert "tcp://host:port" in said
