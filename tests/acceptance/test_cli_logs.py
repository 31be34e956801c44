"""`actorctl logs`: what the node wrote, from outside, while it runs and after."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support.nodes import ACTORCTL, Node, actorctl, environment, node, wait_until

CONFIG = """\
version = 1

[actors."/talker"]
use = "talker:Talker"
"""

TALKER = """
import logging
from typing import ClassVar

from actors import Actor, Message, on

logger = logging.getLogger("talker")


class Say(Message[None], frozen=True):
    text: str


class Talker(Actor):
    @on(Say)
    def say(self, message: Say) -> None:
        logger.warning("said %s", message.text, extra={"path": self.path})
        if message.text == "boom":
            raise ValueError("as asked")
"""


def say(started: Node, text: str) -> int:
    return started.ctl("ask", "/talker", "Say", json.dumps({"text": text})).code


def test_logs_shows_filters_and_follows_what_the_node_wrote(tmp_path: Path) -> None:
    (tmp_path / "talker.py").write_text(TALKER)
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as started:
        started.wait_ready()
        assert say(started, "one") == 0
        started.wait_line("said one")
        follow = [*ACTORCTL, "logs", "-f", "-n", "1", "/talker", "--grep", "said", "-o", "jsonl"]
        with subprocess.Popen(follow, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment()) as follower:
            try:
                assert follower.stdout is not None
                first = json.loads(follower.stdout.readline())
                assert (first["level"], first["path"], first["text"]) == ("warning", "/talker", "said one")
                assert say(started, "boom") != 0
                assert json.loads(follower.stdout.readline())["text"] == "said boom"
            finally:
                follower.kill()
        started.wait_line("ActorExited")
        wait_until(
            lambda: any("as asked" in line["text"] for line in started.items("logs", "/talker", "--level", "error")),
            "the crash in the file",
        )

    errors = started.items("logs", "--errors")
    assert errors
    assert {line["level"] for line in errors} == {"error"}
    assert started.ctl("logs", "--level", "loud").code == 2
    assert started.ctl("logs", "--grep", "(").code == 2


def test_logs_without_files_says_so(tmp_path: Path) -> None:
    (tmp_path / ".actors").mkdir()

    found = actorctl("logs", cwd=tmp_path)

    assert found.code == 3
    assert "no log files" in found.err


def test_a_node_can_be_told_to_write_no_files(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text("version = 1\n[log]\nfiles = false\n")
    with node(tmp_path) as started:
        started.wait_ready()

        assert not (started.home / "logs").exists()
