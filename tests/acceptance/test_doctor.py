"""`doctor` on real homes: it finds what is wrong, changes nothing by looking, and what it packs up holds no secret."""

from __future__ import annotations

import json
import signal
import socket
import zipfile
from pathlib import Path
from typing import Any

from support.nodes import actorctl, node, wait_until
from support.programs import free_port

PLANTED = "planted-hunter2"

CONFIG = """\
version = 1

[secrets]
token = {{ file = "token.txt" }}

[health]
listen = "127.0.0.1:{port}"
heartbeat = "200ms"
probe = "200ms"
"""


def checks(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    found = actorctl("doctor", *names, "-o", "json", cwd=folder)
    return {item["name"]: item for item in json.loads(found.out)["items"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_wrong_before_a_start_is_found_with_its_remedy_and_nothing_is_changed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "actors.toml").write_text(CONFIG.format(port=taken.getsockname()[1]))
        (tmp_path / "token.txt").write_text(PLANTED)
        (tmp_path / "token.txt").chmod(0o644)
        (tmp_path / ".actors").mkdir(mode=0o700)
        (tmp_path / ".actors" / "state.db.damaged-1").write_bytes(b"no longer a file of state")
        (tmp_path / ".actors" / "state.db.damaged-1-wal").touch()
        (tmp_path / ".actors" / "service.json").write_text('{"kind":"systemd","name":"gone","is_system":true}')
        before = contents(tmp_path)

        found = checks(tmp_path)

        assert contents(tmp_path) == before
    assert {
        name: found[name]["outcome"] for name in ("ports", "secrets", "service", "state", "supervised", "last-end")
    } == {
        "ports": "failed",
        "secrets": "warning",
        "service": "failed",
        "state": "warning",
        "supervised": "skipped",
        "last-end": "ok",
    }
    assert found["state"]["detail"].endswith(
        "what jobs and schedules it had is in " + str(tmp_path / ".actors" / "state.db.damaged-1")
    )
    assert "health.listen" in found["ports"]["detail"]
    assert found["secrets"]["fix"].startswith("chmod go= ")
    assert found["service"]["fix"] == "actorctl service install"
    (tmp_path / "token.txt").unlink()
    assert checks(tmp_path, "secrets")["secrets"]["outcome"] == "failed"


def test_a_living_node_is_well_and_no_fix_touches_it_and_after_kill_it_is_said_what_became_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "actors.toml").write_text(CONFIG.format(port=free_port()))
    (tmp_path / "token.txt").write_text(PLANTED)
    (tmp_path / "token.txt").chmod(0o600)
    with node(tmp_path) as running:
        running.wait_ready()
        wait_until(lambda: checks(tmp_path, "supervised")["supervised"]["outcome"] == "ok", "a heartbeat")
        assert checks(tmp_path, "ports")["ports"]["detail"].endswith("held by the node")
        for fix in ("stale-endpoints", "stale-pid"):
            assert "nothing was changed" in running.ctl("doctor", "instance", "--fix", fix).err
        assert {item["state"] for item in running.items("ps")} == {"ready"}
        log = running.home / "logs" / "node.log"
        with log.open("a") as stream:  # whoever logs a secret by mistake
            stream.write(json.dumps({"text": f"the token is {PLANTED}", "password": "another one"}) + "\n")

        packed = running.ctl("doctor", "--bundle", "bug.zip")

        assert "bug.zip" in packed.err
        with zipfile.ZipFile(tmp_path / "bug.zip") as bundle:
            texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
        assert {"doctor.json", "config.json", "run/state.json", "logs/node.log", "status.json", "tree.json"} <= set(
            texts
        )
        assert "the token is ***" in texts["logs/node.log"]
        assert json.loads(texts["tree.json"])["nodes"]
        assert not [name for name, text in texts.items() if PLANTED in text or "another one" in text]
        assert running.ctl("doctor", "--bundle", "bug.zip").code == 7
        assert running.ctl("doctor", "--bundle", "bug.tar.gz").code == 2
        running.signal(signal.SIGKILL)
        running.wait()
    last = checks(tmp_path, "last-end")["last-end"]
    assert (last["outcome"], "was killed" in last["detail"]) == ("warning", True)
