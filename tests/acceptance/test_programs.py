"""Real programs under a real node: started in order, killed, hung, reconfigured away; nothing of them is left."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support.nodes import actorctl
from support.nodes import node as running
from support.processes import halt, instance, wait_gone
from support.programs import free_port, needs_nginx, needs_redis
from support.waiting import until

NGINX = """\
daemon {daemon};
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "well\\n"; }} }}
}}
"""


def write(folder: Path, text: str) -> None:
    (folder / "actors.toml").write_text(f'[supervisors."/db"]\n{text}', encoding="utf-8")


def node_of(folder: Path, path: str) -> dict:
    (item,) = actorctl("describe", path, "-o", "json", cwd=folder).items
    return item["node"]


def wait_state(folder: Path, path: str, state: str, restarts: int = 0) -> dict:
    found: dict = {}

    def holds() -> bool:
        found.update(node_of(folder, path))
        return found["state"] == state and found.get("restarts", 0) >= restarts

    until(holds, what=f"{path} {state}")
    return found


def ask_redis(port: int, *words: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 60.0) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(1000).decode().strip()


@needs_redis
def test_redis_is_started_killed_restarted_and_stopped(tmp_path):
    port = free_port()
    write(
        tmp_path,
        f'[programs."/db/redis"]\ncommand = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "",'
        ' "--supervised", "systemd"]\nready = { notify = true }\nbackoff = { first = "50ms" }\n',
    )
    with running(tmp_path) as node:
        node.wait_ready()
        first = wait_state(tmp_path, "/db/redis", "ready")
        assert ask_redis(port, "SET", "a", "1") == "+OK"
        assert (first["placement"], first["note"]) == ("program", "Ready to accept connections")

        os.kill(first["pid"], signal.SIGKILL)
        second = wait_state(tmp_path, "/db/redis", "ready", restarts=1)
        assert second["pid"] != first["pid"]
        assert second["last_reason"].endswith("(signal SIGKILL)")
        assert ask_redis(port, "GET", "a") == "$-1"
        (why,) = actorctl("why", "/db/redis", "-o", "json", cwd=tmp_path).items
        assert "Ready to accept connections" in why["causes"][0]["traceback"]

        process = instance(second["pid"])
        assert actorctl("stop", "/db/redis", cwd=tmp_path).code == 0
        assert wait_gone(process) == []
        assert node_of(tmp_path, "/db/redis")["state"] == "stopped"
        sent = actorctl("send", "/db/redis", "Anything", cwd=tmp_path)
        assert sent.code != 0


@needs_redis
def test_a_redis_that_hangs_is_found_by_its_port_and_replaced(tmp_path):
    port = free_port()
    write(
        tmp_path,
        f'[programs."/db/redis"]\ncommand = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", ""]\n'
        f"ready = {{ port = {port} }}\nbackoff = {{ first = '50ms' }}\n"
        f'alive = {{ command = ["redis-cli", "-p", "{port}", "ping"], every = "50ms", timeout = "3s",'
        " failures = 2 }\n",
    )
    with running(tmp_path) as node:
        node.wait_ready()
        first = wait_state(tmp_path, "/db/redis", "ready")

        halt(first["pid"])

        second = wait_state(tmp_path, "/db/redis", "ready", restarts=first.get("restarts", 0) + 1)
        assert second["last_reason"].startswith("killed: ProbeFailed: 2 probes in a row failed")
        assert ask_redis(port, "PING") == "+PONG"


@needs_nginx
@pytest.mark.parametrize("daemon", ["off", "on"])
def test_nginx_and_its_workers_end_with_the_node_however_it_ends(tmp_path, daemon):
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, daemon=daemon))
    forks = 'forks = true\npid_file = "nginx.pid"\n' if daemon == "on" else ""
    write(
        tmp_path,
        f'[programs."/db/nginx"]\ncommand = ["nginx", "-p", ".", "-c", "{tmp_path}/nginx.conf"]\nstop_signal = "QUIT"\n'
        f'{forks}ready = {{ http = "http://127.0.0.1:{port}/" }}\nalive = {{ http = "http://127.0.0.1:{port}/" }}\n',
    )
    with running(tmp_path) as node:
        node.wait_ready()
        first = wait_state(tmp_path, "/db/nginx", "ready")
        master = instance(first["pid"])
        tree = [master, *master.children(recursive=True)]
        assert len(tree) >= 2
        assert "ACTORS_INSTANCE" not in master.environ()  # it overwrote its environment, so no mark leads to it

        master.kill()
        second = wait_state(tmp_path, "/db/nginx", "ready", restarts=1)
        assert wait_gone(*tree) == []

        master = instance(second["pid"])
        tree = [master, *master.children(recursive=True)]
        node.process.kill()
        assert wait_gone(*tree) == []


def test_what_a_program_lacks_is_found_before_anything_starts(tmp_path):
    write(
        tmp_path,
        '[programs."/db/redis"]\ncommand = ["redis-servr-of-that-name"]\nuser = "nobody-of-that-name"\n'
        '[programs."/db/other"]\ncommand = ["true"]\ndirectory = "nowhere"\nstop_signl = "QUIT"\n'
        '[programs."/db/third"]\ncommand = ["true"]\nready = { port = 80, log = "(" }\nstop_signal = "QIUT"\n',
    )

    done = actorctl("check", "-o", "json", cwd=tmp_path)

    faults = json.loads(done.out)["items"]
    found = {(fault["key"].partition('".')[2], fault["message"]) for fault in faults}
    assert done.code == 2 or done.code == 8
    assert {key for key, _ in found} == {"command", "user", "directory", "stop_signl", "ready.log", "stop_signal"}
    assert any(fault["hint"] == 'did you mean "stop_signal"?' for fault in faults)
    assert any("redis-servr-of-that-name" in message for _, message in found)


@needs_nginx
@pytest.mark.parametrize("by", ["signal", "command"])
def test_nginx_reads_its_configuration_again_without_losing_its_process(tmp_path, by):
    port, other = free_port(), free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, port=port, daemon="off"))
    command = f'["nginx", "-p", ".", "-c", "{conf}"'
    ways = {"signal": 'reload_signal = "HUP"', "command": f'reload_command = {command}, "-s", "reload"]'}
    write(
        tmp_path,
        f'[programs."/db/nginx"]\ncommand = {command}]\nstop_signal = "QUIT"\n{ways[by]}\n'
        f'ready = {{ http = "http://127.0.0.1:{port}/" }}\n[programs."/db/plain"]\ncommand = ["sleep", "600"]\n',
    )
    with running(tmp_path) as node:
        node.wait_ready()
        first = wait_state(tmp_path, "/db/nginx", "ready")
        conf.write_text(NGINX.format(folder=tmp_path, port=other, daemon="off"))
        done = actorctl("reread", "/db/nginx", cwd=tmp_path)
        until(lambda: is_open(other) and not is_open(port), what="nginx on its new port alone")

        assert done.code == 0, done
        now = node_of(tmp_path, "/db/nginx")
        assert (now["pid"], now["generation"], now.get("restarts", 0)) == (first["pid"], first["generation"], 0)
        refused = actorctl("reread", "/db/plain", cwd=tmp_path)
        assert refused.code != 0
        assert "reload_signal" in refused.err


def test_a_reload_command_that_fails_is_told_of_and_the_program_runs_on(tmp_path):
    write(
        tmp_path,
        '[programs."/db/plain"]\ncommand = ["sleep", "600"]\n'
        'reload_command = ["sh", "-c", "echo $MAINPID is not well >&2; exit 3"]\n',
    )
    with running(tmp_path) as node:
        node.wait_ready()
        first = wait_state(tmp_path, "/db/plain", "ready")
        assert actorctl("reread", "/db/plain", cwd=tmp_path).code == 0
        until(lambda: "not well" in node_of(tmp_path, "/db/plain").get("note", ""), what="the note of the failure")

        now = node_of(tmp_path, "/db/plain")
        assert f"{first['pid']} is not well" in now["note"]
        assert (now["pid"], now["state"]) == (first["pid"], "ready")


def test_a_temporary_program_that_has_ended_is_still_explained(tmp_path):
    write(
        tmp_path,
        '[programs."/db/once"]\ncommand = ["sh", "-c", "echo no room >&2; exit 3"]\nrestart = "temporary"\n'
        '[programs."/db/plain"]\ncommand = ["sleep", "600"]\n',
    )
    with running(tmp_path) as node:
        node.wait_ready()
        until(lambda: actorctl("describe", "/db/once", cwd=tmp_path).code == 3, what="/db/once to be gone")

        until(lambda: "exit code 3" in actorctl("why", "/db/once", cwd=tmp_path).err, what="its end in the history")
        gone = actorctl("why", "/db/once", cwd=tmp_path)
        never = actorctl("why", "/db/onse", cwd=tmp_path)
        told = actorctl("send", "/db/plain", "Ping", cwd=tmp_path)
        history = actorctl("events", "/db/once", cwd=tmp_path)

    assert gone.code == never.code == told.code == 3
    assert "there is no actor at /db/once any more; the last one ended: crashed" in gone.err
    assert "no room" in gone.err
    assert "exit code 3" in gone.err
    assert "hint: actorctl events /db/once" in gone.err
    assert "exit code 3" in history.out
    assert "any more" not in never.err
    assert "it takes no messages by name" in told.err


def test_the_hint_for_a_program_that_is_not_executable_can_be_pasted(tmp_path):
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    write(folder, '[programs."/db/tool"]\ncommand = ["./tool"]\n')

    (fault,) = json.loads(actorctl("check", "-o", "json", cwd=folder).out)["items"]
    assert shlex.split(fault["hint"])[:2] == ["chmod", "+x"]
    subprocess.run(fault["hint"], shell=True, check=True)

    assert actorctl("check", cwd=folder).code == 0


def is_open(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
