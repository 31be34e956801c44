"""A secret reaches the actor that names it, in a thread and in a process, and nothing that the node shows or keeps."""

from __future__ import annotations

import hashlib
import json
import signal
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from support.nodes import TIMEOUT, Node, actorctl, node, wait_until

VARIABLE_SECRET = "correct-horse-battery"
FILE_SECRET = "staple-of-the-file"

CONFIGURATION = """\
    [secrets]
    mail_token = { env = "MAIL_TOKEN" }

    [defaults.child]
    backoff = { first = "10ms", max = "10ms" }

    [supervisors."/keep"]
    limit = { restarts = 100, within = "1s" }

    [actors."/keep/thread"]
    use = "keepers:Keeper"
    secrets = { token = "mail_token", key = "key" }

    [actors."/keep/process"]
    use = "keepers:Keeper"
    runs_in = "process"
    secrets = { token = "mail_token", key = "key" }

    [secrets.key]
    file = "key.txt"
    """

KEEPERS = """\
    import hashlib
    import logging
    from actors import Actor, Message, on


    class Fingerprints(Message[list[str]], frozen=True):
        pass


    class Fail(Message[None], frozen=True):
        pass


    class Keeper(Actor):
        def __init__(self, token: str, key: str) -> None:
            super().__init__()
            self.token, self.key = token, key

        @on(Fingerprints)
        def fingerprints(self, message: Fingerprints) -> list[str]:
            logging.getLogger(__name__).warning("asked with %s and %r", self.token, [self.key])
            return [hashlib.sha256(secret.encode()).hexdigest() for secret in (self.token, self.key)]

        @on(Fail)
        def fail(self, message: Fail) -> None:
            raise ValueError(f"refused: {self.token}", self.key)

        def state_view(self) -> dict[str, object]:
            return {"token": str(self.token), "key": repr(self.key)}
    """


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("keep")
    (folder / "actors.toml").write_text(dedent(CONFIGURATION))
    (folder / "keepers.py").write_text(dedent(KEEPERS))
    (folder / "key.txt").write_text(f"{FILE_SECRET}\n")
    with node(folder, MAIL_TOKEN=VARIABLE_SECRET) as started:
        started.wait_ready()
        yield started


@pytest.mark.parametrize("path", ["/keep/thread", "/keep/process"])
def test_actor_gets_its_secrets_where_it_runs_and_after_a_crash_again(running: Node, path: str) -> None:
    expected = [hashlib.sha256(secret.encode()).hexdigest() for secret in (VARIABLE_SECRET, FILE_SECRET)]

    def answer() -> object:
        done = running.ctl("ask", path, "Fingerprints")
        return json.loads(done.out) if done.code == 0 else None

    before = answer()
    failed = running.ctl("send", path, "Fail")
    wait_until(lambda: int(running.items("ps", path)[0]["restarts"]) >= 1, "the restart")
    after = wait_until(answer, "an answer of the next instance")

    assert failed.code == 0
    assert before == after == expected


def test_nothing_that_is_shown_or_kept_holds_a_secret(running: Node) -> None:
    for path in ("/keep/thread", "/keep/process"):
        running.ctl("ask", path, "Fingerprints")
        running.ctl("send", path, "Fail")
        wait_until(lambda path=path: "refused: ***" in running.ctl("why", path).out, "the crash in why")
    crashes = "select count(*) as n from exits where path like '/keep/%'"
    wait_until(lambda: int(running.items("sql", crashes)[0]["n"]) >= 2, "the crashes in the history")

    shown = [
        running.ctl(*command)
        for command in (
            ("tree", "-o", "json"),
            ("describe", "/keep/process", "-o", "json"),
            ("describe", "/keep/thread", "--state", "-o", "json"),
            ("describe", "/keep/process", "--spec"),
            ("why", "/keep/process"),
            ("events", "/keep/process", "-o", "json"),
            ("config", "show", "-o", "json"),
            ("sql", "select * from events", "-o", "json"),
            ("doctor",),
            ("doctor", "--bundle", "bundle.zip"),
            ("reload", "--dry-run"),
            ("check",),
        )
    ]
    address = json.loads((running.home / "run" / "state.json").read_text())["http"]
    pages = [urllib.request.urlopen(f"{address}/{page}", timeout=TIMEOUT).read() for page in ("health", "metrics")]
    running.signal(signal.SIGINT)
    code = running.wait()

    said = "\n".join([*running.lines, *(result.out + result.err for result in shown)])
    assert "refused: ***" in said
    assert "asked with *** and [Secret('***')]" in said
    kept = {str(file): file.read_bytes() for file in running.home.rglob("*") if file.is_file()}
    kept.update({f"page {number}": page for number, page in enumerate(pages)})
    with zipfile.ZipFile(running.folder / "bundle.zip") as bundle:
        kept.update({f"bundle {name}": bundle.read(name) for name in bundle.namelist()})
    assert "bundle logs/node.log" in kept
    assert any(name.endswith("history.duckdb") for name in kept)
    for secret in (VARIABLE_SECRET, FILE_SECRET):
        assert secret not in said
        assert [name for name, content in kept.items() if secret.encode() in content] == []
    assert code == 0


def test_node_whose_secrets_are_missing_does_not_start_and_names_them(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text(dedent(CONFIGURATION))
    (tmp_path / "keepers.py").write_text(dedent(KEEPERS))

    done = actorctl("run", cwd=tmp_path)

    assert done.code == 8
    assert "actors.toml:2: secrets.mail_token: environment variable MAIL_TOKEN is not set" in done.err
    line = dedent(CONFIGURATION).splitlines().index("[secrets.key]") + 1
    assert f"actors.toml:{line}: secrets.key: secret file" in done.err
    assert not (tmp_path / ".actors").exists()
