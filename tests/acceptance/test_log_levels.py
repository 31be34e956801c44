"""`actorctl level`: more of the log of some actors for a while, wherever they run, and back by itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.nodes import Node, node, wait_until

CONFIG = """\
version = 1

[actors."/pooled"]
use = "talkers:Talker"

[actors."/threaded"]
use = "talkers:Talker"
runs_in = "thread"

[actors."/awaiting"]
use = "talkers:Awaiting"

[actors."/apart"]
use = "talkers:Talker"
runs_in = "process"
backoff = { first = "10ms", max = "10ms" }

[supervisors."/far"]
runs_in = "process"

[actors."/far/pooled"]
use = "talkers:Talker"

[actors."/far/apart"]
use = "talkers:Talker"
runs_in = "process"
"""

TALKERS = """
import asyncio
import logging

from actors import Actor, Message, on

logger = logging.getLogger("talkers")


class Say(Message[None], frozen=True):
    text: str


class Talker(Actor):
    @on(Say)
    def say(self, message: Say) -> None:
        logger.debug("finely %s", message.text, extra={"size": 3})
        logger.info("plainly %s", message.text)


class Awaiting(Actor):
    @on(Say)
    async def say(self, message: Say) -> None:
        await asyncio.sleep(0)
        logger.debug("finely %s", message.text)
        await asyncio.to_thread(logger.info, "plainly %s", message.text)
"""

BESIDE = {
    "/pooled": "/threaded",
    "/threaded": "/awaiting",
    "/awaiting": "/apart",
    "/far/pooled": "/far/apart",
    "/far/apart": "/far/pooled",
}
"""Each place that an actor may be in, and a neighbour that nothing changes for."""

BOTH = {"finely", "plainly"}
RECORDED = ("is debug for 3600 s by", "is as configured again")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("levels")
    (folder / "talkers.py").write_text(TALKERS)
    (folder / "actors.toml").write_text(CONFIG)
    with node(folder) as started:
        started.wait_ready()
        yield started


def said(running: Node, path: str, text: str) -> list[dict[str, Any]]:
    """Have the actor at `path` say `text`; return what it logged, once its last line is there."""
    assert running.ctl("ask", path, "Say", json.dumps({"text": text})).code == 0

    def lines() -> list[dict[str, Any]]:
        found = running.items("logs", "--grep", f"ly {text}$", "-n", "1000")
        return found if any(line["text"] == f"plainly {text}" for line in found) else []

    return wait_until(lines, f"{path} says {text}")


def texts(lines: list[dict[str, Any]]) -> set[str]:
    return {line["text"].partition(" ")[0] for line in lines}


def said_as(running: Node, path: str, text: str, wanted: set[str]) -> list[dict[str, Any]]:
    """Have the actor speak until it says just what is `wanted`: a level is on its way to a process for a moment."""
    numbers = itertools.count()

    def lines() -> list[dict[str, Any]]:
        found = said(running, path, f"{text}{next(numbers)}")
        return found if texts(found) == wanted else []

    return wait_until(lines, f"{path} says {wanted}")


@pytest.mark.parametrize("path", BESIDE)
def test_a_level_for_a_while_counts_for_that_actor_alone_wherever_it_runs(running: Node, path: str) -> None:
    name = path.replace("/", "-")
    before = said(running, path, f"before{name}")

    set_to = running.ctl("level", path, "debug", "--for", "1h", "--reason", "it is slow", "-o", "json")
    during = said_as(running, path, f"during{name}", BOTH)
    (described,) = running.items("describe", path)
    other = said(running, BESIDE[path], f"beside{name}")
    ended = running.ctl("level", path, "default", "-o", "json")
    said_as(running, path, f"after{name}", {"plainly"})

    assert texts(before) == {"plainly"}
    assert {line["path"] for line in during} == {path}
    assert texts(other) == {"plainly"}
    assert [(item["selector"], item["level"], item["why"]) for item in set_to.items] == [(path, "debug", "it is slow")]
    assert described["log_level"]["level"] == "debug"
    assert ended.items == []


def test_a_level_outlives_the_instance_goes_back_by_itself_and_is_recorded(running: Node) -> None:
    assert running.ctl("level", "/apart", "debug", "--for", "1h").code == 0
    (before,) = running.items("ps", "/apart")
    assert running.ctl("restart", "/apart").code == 0
    (anew,) = running.items("ps", "/apart")
    again = said_as(running, "/apart", "again", BOTH)

    assert running.ctl("level", "/apart", "debug", "--for", "300ms").code == 0
    running.wait_line("log level of /apart is as configured again")
    said_as(running, "/apart", "back", {"plainly"})
    assert running.ctl("restart", "/apart").code == 0
    said_as(running, "/apart", "still", {"plainly"})

    assert anew["generation"] > before["generation"]
    assert [line["fields"]["size"] for line in again if line["text"].startswith("finely")] == [3]

    def is_recorded() -> bool:
        events = [event["text"] for event in running.items("events", "/apart", "--type", "LogLevelChanged")]
        return all(any(words in event for event in events) for words in RECORDED)

    wait_until(is_recorded, "both changes among the events")


def test_a_level_may_silence_too_by_glob(running: Node) -> None:
    assert running.ctl("level", "/far/**", "/threaded", "error").code == 0

    assert running.ctl("ask", "/far/pooled", "Say", '{"text": "hushed"}').code == 0
    assert running.ctl("ask", "/threaded", "Say", '{"text": "hushed"}').code == 0
    said(running, "/pooled", "loud")
    quiet = running.items("logs", "--grep", "hushed")
    listed = running.ctl("level")

    assert running.ctl("level", "/far/**", "/threaded", "default").code == 0
    assert quiet == []
    assert "/far/**" in listed.out


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (("/pooled",), 2, "no level"),
        (("debug",), 2, "needs a target"),
        (("/pooled", "loud"), 2, "no level"),
        (("/nobody", "debug"), 3, "no actor at"),
        (("/pooled", "debug", "--for", "2d"), 2, "within a day"),
        (("/pooled", "default"), 3, "already"),
    ],
)
def test_what_is_no_level_or_no_actor_is_refused(running: Node, words: tuple[str, ...], code: int, word: str) -> None:
    refused = running.ctl("level", *words)

    assert (refused.code, word in refused.err) == (code, True), refused
