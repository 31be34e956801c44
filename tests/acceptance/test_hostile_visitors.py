"""What a running node does when visitors misbehave: garbage on its sockets, absurd requests, a disk that fills up.

It says what it refused, goes on, and loses nothing that it called stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zmq
from support.command_line import run
from support.nodes import ACTORCTL, Node, actorctl, environment, node, wait_until
from support.processes import halt

from transport.endpoints import read_endpoints

RAW = {
    "noise": b"\xff" * 10_000,
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
    "half a greeting": bytes.fromhex("ff00000000000000017f0300") + b"NULL",
    "a greeting, then noise": bytes.fromhex("ff00000000000000017f0300") + b"NULL" + bytes(48) + b"\xff" * 500,
}
FRAMES = {
    "no msgpack": [b"\xc1\xc1"],
    "empty": [b""],
    "many parts": [b"x"] * 50,
    "deep": [b"\x91" * 100_000],
    "announces more than there is": [b"\xdd\xff\xff\xff\xff"],
    "left over": [b"\x01" * 1_000],
    "an extension type": [msgpack.packb(msgpack.ExtType(1, b"x"))],
    "no map": [msgpack.packb(["tree"])],
    "another version": [msgpack.packb({"v": 99, "kind": "call", "id": "1", "command": "tree"})],
    "unknown command": [msgpack.packb({"kind": "call", "id": "1", "command": "explode", "args": {}})],
    "arguments of another type": [msgpack.packb({"kind": "call", "id": "1", "command": "stop", "args": 5})],
    "text for numbers": [
        msgpack.packb({"kind": "call", "id": "1", "command": "tree", "args": {"path": 1, "depth": "x"}})
    ],
    "too large, by little": [b"\xc6" + (2 << 20).to_bytes(4, "big") + bytes(2 << 20)],
}

ENDLESS = "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with an actor in a process of its own."""
    folder = tmp_path_factory.mktemp("visited")
    assert actorctl("init", cwd=folder).code == 0
    file = folder / "actors.toml"
    file.write_text(file.read_text().replace('# runs_in = "process"', 'runs_in = "process"'))
    with node(folder) as running:
        running.wait_ready()
        yield running


def sockets(running: Node) -> list[Path]:
    found = [path for path in (running.home / "run").iterdir() if path.is_socket()]
    assert {path.name for path in found} == {"control.sock", "taps.sock", "processes.sock"}
    return sorted(found)


def assert_as_before(running: Node) -> None:
    """The tree is whole, in the same processes, and a command works."""
    found = run("ps", "-o", "json", home=running.home)
    assert found.code == 0, found
    workers = {item["path"]: (item["state"], item["restarts"]) for item in json.loads(found.out)["items"]}
    assert set(workers.values()) == {("ready", 0)}, workers
    assert run("ask", "/app/counter", "Top", home=running.home).code == 0


@pytest.mark.parametrize("bytes_of", RAW)
def test_bytes_that_are_no_zeromq_end_that_connection_alone(running, bytes_of):
    for path in sockets(running):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as visitor:
                visitor.settimeout(60)
                visitor.connect(str(path))
                try:
                    visitor.sendall(RAW[bytes_of])
                    visitor.recv(64)
                except (ConnectionResetError, BrokenPipeError):
                    pass  # refused, as it should be

    assert_as_before(running)


def test_frames_that_are_no_requests_are_answered_and_counted(running):
    before = len(running.lines)
    with zmq.Context() as context:
        for path in sockets(running):
            for frames in FRAMES.values():
                with context.socket(zmq.DEALER) as visitor:
                    visitor.linger = 60_000  # until the node has it
                    visitor.connect(f"ipc://{path}")
                    if path.name == "taps.sock":
                        visitor.linger = 0  # a tap takes subscriptions alone
                        continue
                    visitor.send_multipart(frames)
                    if path.name == "control.sock" and frames not in (FRAMES["many parts"],):
                        assert visitor.poll(60_000), frames
                        answer = msgpack.unpackb(visitor.recv_multipart()[-1])
                        assert answer["ok"] is False
                        assert answer["error"]["code"] in {"usage", "denied"}
                        assert answer["error"]["message"]

    running.wait_line("could not be read", before)
    running.wait_line("stranger", before)
    assert_as_before(running)


def test_a_frame_beyond_every_limit_ends_the_connection_and_costs_no_memory(running):
    own = next(process for process in running.processes())
    before = own.memory_info().rss
    with zmq.Context() as context, context.socket(zmq.DEALER) as visitor:
        visitor.linger = 0
        monitor = visitor.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        visitor.connect(read_endpoints(running.home / "run").control)
        for _ in range(3):
            visitor.send(bytes(64 << 20))
        assert monitor.poll(60_000), "the connection was not ended"
        visitor.disable_monitor()
        monitor.close()

    assert_as_before(running)
    assert own.memory_info().rss - before < 64 << 20


def test_a_flood_of_garbage_does_not_fill_the_log(running):
    before = len(running.lines)
    with zmq.Context() as context:
        for path in sockets(running):
            if path.name == "taps.sock":
                continue
            with context.socket(zmq.DEALER) as visitor:
                visitor.linger = 60_000
                visitor.connect(f"ipc://{path}")
                for _ in range(3_000):
                    visitor.send(b"\xc1")

    assert_as_before(running)
    assert len(running.lines) - before < 100


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("describe", "/app/countr"), 3, ["did you mean /app/counter?"]),
        (("why", "/app/countr"), 3, ["/app/counter"]),
        (("stop", "/app/nobody"), 3, ["/app/nobody"]),
        (("ps", "app"), 2, ["did you mean /app?"]),
        (("ps", "@redy"), 2, ["did you mean @ready?"]),
        (("ask", "/app/counter", "Tpo"), 3, ["did you mean Top?"]),
        (("ask", "/app/counter", "Top", "{bad"), 2, ["is no JSON", "quote it"]),
        (("send", "/app/counter", "Count", "[1]"), 2, ["no JSON object"]),
        (("send", "/app/counter", "Count", '{"nope": 1}'), 2, ["Count"]),
        (("send", "/app/counter", "Count", "[" * 50_000), 2, ["too deeply"]),
        (("wait", "/app/counter", "--for", "state=redy"), 2, ["redy", "ready"]),
        (("wait", "/nobody", "--timeout", "100ms"), 6, ["nothing matches"]),
        (("tap", "actor.exits"), 3, ["did you mean actor.exit?"]),
        (("sql", "drop table events"), 10, ["DROP", "SELECT"]),
        (("sql", "select 1; delete from exits"), 10, ["one at a time"]),
        (("sql", "select * from read_text('/etc/passwd')"), 10, ["read_text"]),
        (("sql", "select * from '/etc/passwd'"), 2, ["does not exist"]),
        (("sql", "copy exits to 'x.csv'"), 10, ["COPY"]),
        (("sql", "attach 'x.db'"), 10, ["ATTACH"]),
        (("sql", "select getenv('HOME')"), 2, ["getenv"]),
        (("sql", "", "--timeout", "1s"), 2, ["empty"]),
        (("sql", ENDLESS, "--timeout", "500ms"), 6, ["interrupted"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_absurd_requests_are_refused_with_what_would_be_right(running, arguments, code, words):
    result = run(*arguments, home=running.home)

    assert result.code == code, result
    assert [word for word in words if word not in result.err] == []
    assert "Traceback" not in result.err


def test_nothing_of_all_that_harmed_the_node(running):
    assert_as_before(running)


@pytest.mark.parametrize("command", ["tree", "wait /app/counter --timeout 30s --for state=stopped"])
def test_a_node_that_is_killed_while_a_command_asks_is_told_as_unreachable(tmp_path, command):
    assert actorctl("init", cwd=tmp_path).code == 0
    with node(tmp_path) as running:
        running.wait_ready()
        halt(running.process.pid)  # it takes the connection, and answers nothing
        asking = subprocess.Popen(
            [*ACTORCTL, *command.split()],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        wait_until(lambda: _has_connected(asking.pid), "the command has connected")
        running.signal(signal.SIGKILL)
        running.wait()
        _out, err = asking.communicate(timeout=60)

    assert asking.returncode == 4, (asking.returncode, err)
    assert "hint: " in err
    assert "Traceback" not in err


def _in_own_mounts(script: str, cwd: Path) -> tuple[int, str, str]:
    """Run a script where it may mount what nobody else sees; return its code and what it said. Nothing outlives it."""
    running = subprocess.Popen(
        ["unshare", "-m", "bash", "-ec", script],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**environment(ACTORS_LOG__FORMAT="human"), "PATH": f"{Path(ACTORCTL[0]).parent}:{os.environ['PATH']}"},
    )
    try:
        out, err = running.communicate(timeout=280)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(60)
    return running.returncode, out, err


def _has_connected(pid: int) -> bool:
    """Whether the process holds a socket that leads somewhere."""
    try:
        links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(row[6] in inodes and row[5] == "03" for row in rows)


def test_a_disk_that_fills_up_costs_no_actor_and_no_stored_event(tmp_path):
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"a mount namespace of one's own is not permitted here: {probe.stderr.strip()}")
    assert actorctl("init", cwd=tmp_path).code == 0
    (tmp_path / "disk").mkdir()
    script = """
        mount -t tmpfs -o size=24m none disk
        actorctl run --home disk/home 2> log &
        node=$!
        trap 'kill -KILL $node 2> /dev/null || true' EXIT
        export ACTORCTL_HOME=disk/home
        until actorctl wait /app/reader --for state=ready --timeout 30s -q > /dev/null 2>&1; do
            kill -0 $node
        done
        until actorctl sql "select count(*) from starts where path = '/app/reader'" -o csv -q | grep -qx 1; do
            kill -0 $node
        done
        head -c 100000000 /dev/zero > disk/filler 2> /dev/null || true
        actorctl restart /app/counter --reason full > /dev/null
        head -c 100000000 /dev/zero >> disk/filler 2> /dev/null || true
        actorctl stop /app/reader > stop.out 2>&1 && echo "stop was kept" || echo "stop: $?"
        until actorctl status -o json -q | grep -q "No space left"; do
            kill -0 $node
            actorctl restart /app/counter -q > /dev/null
        done
        actorctl tree -q > tree.out
        rm disk/filler
        actorctl start /app/reader -q > /dev/null
        until actorctl sql "select count(*) from commands where why = 'full'" -o csv -q | grep -qx 1; do
            kill -0 $node
        done
        kill -INT $node
        wait $node
        echo "ended: $?"
    """

    code, out, err = _in_own_mounts(script, tmp_path)

    said = (tmp_path / "log").read_text()
    assert code == 0, (out, err, said)
    assert "stop: 1" in out
    stopped = (tmp_path / "stop.out").read_text()
    assert "could not be kept" in stopped
    assert "No space left on device" in stopped
    assert "desired.json" in stopped
    assert "/ " in (tmp_path / "tree.out").read_text()
    assert "history is not being stored: disk full" in said
    assert "ended: 0" in out
