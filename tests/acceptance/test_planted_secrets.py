"""Secrets planted wherever a program may drop one; nothing that the node shows, writes or keeps has any of them.

Not looked at: the configuration, the environment and the files that the secrets are kept in, and the payload of a job,
which the queue must keep to run it (in a file for its owner alone).
"""

from __future__ import annotations

import json
import signal
import stat
import urllib.request
import zipfile
from pathlib import Path

import duckdb
import pytest
from support.nodes import TIMEOUT, node, wait_until

SECRETS = {
    "variable": "correct-horse-battery",
    "file": 'staple "of" the\\file',
    "keyring": "of the käyring/ring",
    "program": "of-the-program-alone",
    "argument": "of-a-plain-argument",
    "message": "of-a-message-field",
    "job": "of-a-job-payload",
}

CONFIGURATION = """
version = 1

[secrets]
variable = { env = "PLANTED" }
file = { file = "secret.txt" }
keyring = { keyring = "planted/one" }
program = { env = "OF_PROGRAM" }

[defaults.child]
backoff = { first = "10ms", max = "10ms" }

[supervisors."/keep"]
limit = { restarts = 1000, within = "1s" }

[actors."/keep/thread"]
use = "planted:Careless"
args = { password = "of-a-plain-argument" }
secrets = { variable = "variable", file = "file", keyring = "keyring" }

[actors."/keep/process"]
use = "planted:Careless"
runs_in = "process"
args = { password = "of-a-plain-argument" }
secrets = { variable = "variable", file = "file", keyring = "keyring" }

[programs."/keep/program"]
command = ["sh", "-c", "env; echo $PROGRAM_TOKEN >&2; exec sleep 1000"]
secrets = { PROGRAM_TOKEN = "program" }

[queues.default]
handlers = ["planted"]
workers = 1
retry = { first = "10ms" }
"""

PLANTED = """
import ctypes
import logging
import sys
from urllib.parse import quote

from actors import Actor, Message, on
from actors.jobs.handlers import job

logger = logging.getLogger("planted")


class Drop(Message[None], frozen=True):
    password: str


class Fail(Message[None], frozen=True):
    password: str


class Fault(Message[None], frozen=True):
    pass


class Careless(Actor):
    def __init__(self, variable: str, file: str, keyring: str, password: str) -> None:
        super().__init__()
        self.all = [variable, file, keyring]
        self.plain = ["".join([*secret]) for secret in self.all]  # no longer of the class that hides itself

    @on(Drop)
    def drop(self, message: Drop) -> None:
        for plain in self.plain:
            logger.warning("dropped " + plain + " and %r", [plain], extra={"note": plain, "token": message.password})
            logger.error(f"see https://example.org/?key={quote(plain)}")
            print("printed", plain, flush=True)
            print("printed", repr(plain), file=sys.stderr, flush=True)

    @on(Fail)
    def fail(self, message: Fail) -> None:
        local = "/".join(self.plain)
        found = {"plain": self.plain, "password": message.password}
        raise ValueError(f"refused: {local}", self.plain)

    @on(Fault)
    def fault(self, message: Fault) -> None:
        password = self.plain
        ctypes.string_at(0)

    def state_view(self) -> dict[str, object]:
        return {"plain": self.plain, "all": self.all, "joined": "/".join(self.plain)}


@job("planted.send", queue="default")
def send(letter: dict[str, str]) -> None:
    raise OSError("not sent")
"""

KEYRING = """
def get_password(service, user):
    return "of the k\\u00e4yring/ring"
"""


@pytest.mark.timeout(300)
def test_no_output_file_event_table_or_record_has_a_planted_secret(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "actors.toml").write_text(CONFIGURATION)
    (folder / "planted.py").write_text(PLANTED)
    (folder / "lib").mkdir()
    (folder / "lib" / "keyring.py").write_text(KEYRING)
    (folder / "secret.txt").write_text(SECRETS["file"] + "\n")
    shown: dict[str, str] = {}
    with node(
        folder, PLANTED=SECRETS["variable"], OF_PROGRAM=SECRETS["program"], PYTHONPATH=str(folder / "lib")
    ) as running:
        running.wait_ready()

        def ctl(*words: str, is_kept: bool = True) -> str:
            done = running.ctl(*words)
            if is_kept:
                shown[f"{len(shown)}: {' '.join(words)}"[:60]] = done.out + done.err
            return done.out + done.err

        with_password = json.dumps({"password": SECRETS["message"]})
        for path in ("/keep/thread", "/keep/process"):
            ctl("ask", path, "Drop", with_password)
            ctl("ask", path, "Fail", with_password)
            wait_until(lambda path=path: "refused: ***" in ctl("why", path, "--record"), f"the crash of {path}")
            wait_until(lambda path=path: running.items("ps", path)[0]["state"] == "ready", f"{path} again")
        ctl("send", "/keep/process", "Fault")
        wait_until(lambda: "SIGSEGV" in ctl("why", "/keep/process", "--record"), "the fault")
        ctl(
            "jobs", "add", "planted.send", json.dumps({"password": SECRETS["job"]}), "--attempts", "1", "--wait", "100s"
        )
        assert "not sent" in ctl("jobs", "list", "--state", "failed", "-o", "json"), list(shown.values())[-2:]
        wait_until(lambda: "PROGRAM_TOKEN=***" in ctl("logs", "/keep/program"), "the program's environment")
        crashes = "select count(*) as n from exits where path like '/keep/%'"
        wait_until(lambda: int(running.items("sql", crashes)[0]["n"]) >= 3, "the crashes in the history")
        for words in (
            ("tree", "-o", "json"),
            ("describe", "/keep/thread", "--state", "-o", "json"),
            ("describe", "/keep/process", "--state", "-o", "json"),
            ("describe", "/keep/program", "-o", "json"),
            ("why", "/keep/process", "-o", "json"),
            ("events", "--limit", "1000", "-o", "json"),
            ("logs", "-n", "10000", "-o", "json"),
            ("logs", "--errors", "-n", "10000"),
            ("config", "show", "-o", "json"),
            ("sql", "select * from events", "-o", "json"),
            ("sql", "select * from commands", "-o", "json"),
            ("jobs", "list", "-o", "json"),
            ("reload", "--dry-run"),
            ("status", "-o", "json"),
            ("report", "--to", "report.html"),
            ("doctor",),
            ("doctor", "--bundle", "bundle.zip"),
            ("check",),
        ):
            ctl(*words)
        at = json.loads((running.home / "run" / "state.json").read_text())["http"]
        for page in ("health", "metrics"):
            shown[page] = urllib.request.urlopen(f"{at}/{page}", timeout=TIMEOUT).read().decode()
        running.signal(signal.SIGINT)
        assert running.wait() == 0
        shown["standard error"] = "\n".join(running.lines)

    kept = {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in running.home.rglob("*") if file.is_file()
    }
    kept |= {file.name: file.read_bytes() for file in folder.glob("core*")} | {"report": _read(folder / "report.html")}
    with zipfile.ZipFile(folder / "bundle.zip") as bundle:
        kept |= {f"bundle {name}": bundle.read(name) for name in bundle.namelist()}
    with duckdb.connect(str(running.home / "history.duckdb"), read_only=True) as history:
        for (table,) in history.execute("select table_name from duckdb_tables()").fetchall():
            kept[f"table {table}"] = repr(
                history.execute(f'select columns(*)::varchar from "{table}"').fetchall()
            ).encode()
    for number, file in enumerate(running.home.rglob("*.parquet")):
        rows = duckdb.sql(f"select columns(*)::varchar from read_parquet('{file}')").fetchall()
        kept[f"rows {number} of {file.name}"] = repr(rows).encode()
    queue = {name for name in kept if name.startswith(".actors/state.db")}
    assert {stat.S_IMODE((folder / name).stat().st_mode) & 0o077 for name in queue} == {0}
    said = "\n".join(shown.values())
    assert "dropped *** and ['***']" in said
    assert "refused: ***/***/***" in said
    assert "table exits" in kept
    assert "bundle logs/node.log" in kept
    found = {
        (name, where)
        for name, secret in SECRETS.items()
        for form in {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        for where, text in {**kept, **{where: text.encode() for where, text in shown.items()}}.items()
        if form.encode() in text and not (name == "job" and where in queue)
    }
    assert found == set()


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
