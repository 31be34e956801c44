"""`actorctl logs --trace`: what followed from one message, run or job, through whichever actors and processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.nodes import Node, node, wait_until

CONFIG = """\
version = 1

[actors."/front"]
use = "relays:Front"

[actors."/threaded"]
use = "relays:Relay"
runs_in = "thread"
args = { next = "/awaiting" }

[actors."/awaiting"]
use = "relays:Awaiting"
args = { next = "/apart" }

[actors."/apart"]
use = "relays:Relay"
runs_in = "process"
args = { next = "/back" }

[actors."/back"]
use = "relays:Later"

[schedules.nightly]
cron = "0 3 1 1 *"
handler = "relays:nightly"

[queues.heavy]
handlers = ["relays"]
workers = 1
runs_in = "process"
retry = { first = "10ms" }
"""

RELAYS = """
import asyncio
import logging

import structlog

from actors import Actor, Message, on
from actors.jobs.handlers import job

plain = logging.getLogger("relays")
bound = structlog.get_logger("relays.bound")


class Pass(Message[None], frozen=True):
    text: str


class Relay(Actor):
    def __init__(self, next: str) -> None:
        super().__init__()
        self._next = next

    @on(Pass)
    def take(self, message: Pass) -> None:
        bound.bind(size=3).info("relayed " + message.text, path="mine", password="hunter2")
        self.system.ref(self._next).tell(message)


class Front(Relay):
    def __init__(self) -> None:
        super().__init__("/threaded")

    @on(Pass)
    def take(self, message: Pass) -> None:
        super().take(message)
        if message.text == "boom":
            raise ValueError("as asked")


class Awaiting(Actor):
    def __init__(self, next: str) -> None:
        super().__init__()
        self._next = next

    @on(Pass)
    async def take(self, message: Pass) -> None:
        await asyncio.sleep(0)
        await bound.ainfo("relayed " + message.text)
        await asyncio.to_thread(plain.info, "from a thread")
        self.system.ref(self._next).tell(message)


class Arrived(Message[None], frozen=True):
    text: str


class Later(Actor):
    @on(Pass)
    def take(self, message: Pass) -> None:
        plain.info("relayed %s", message.text)
        self.after(0.01, Arrived(message.text))

    @on(Arrived)
    def arrived(self, message: Arrived) -> None:
        plain.warning("arrived %s", message.text)


def nightly() -> None:
    plain.info("it is night")


@job("count", queue="heavy")
def count(payload: dict[str, int]) -> int:
    structlog.get_logger().info("counting", up_to=payload["n"])
    return payload["n"]
"""

ROUTE = ["/front", "/threaded", "/awaiting", "/awaiting", "/apart", "/back", "/back"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("traces")
    (folder / "relays.py").write_text(RELAYS)
    (folder / "actors.toml").write_text(CONFIG)
    with node(folder) as started:
        started.wait_ready()
        yield started


def traced(running: Node, trace: str, last: str, route: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the lines of `trace`, once `last` is one of them and there is one for each stage of `route`.

    A line of another process comes by a way of its own, later than what its message led to maybe.
    """

    def lines() -> list[dict[str, Any]]:
        found = running.items("logs", "--trace", trace, "-n", "1000")
        missing = Counter(route) - Counter(line["path"] for line in found)
        return found if any(last in line["text"] for line in found) and not missing else []

    return wait_until(lines, f"{last!r} in the log")


def test_a_trace_goes_with_a_message_through_actors_threads_coroutines_timers_and_processes(running: Node) -> None:
    (one,) = running.items("send", "/front", "Pass", json.dumps({"text": "one"}))
    (two,) = running.items("send", "/front", "Pass", json.dumps({"text": "two"}))

    lines = traced(running, one["trace"], "arrived one", ROUTE)
    others = traced(running, two["trace"][:8], "arrived two", ROUTE)

    assert sorted(line["path"] for line in lines) == sorted(ROUTE)
    assert {line["fields"]["trace"] for line in lines} == {one["trace"]} != {two["trace"]}
    assert all(line["text"].split()[-1] in {"one", "thread"} for line in lines)
    assert sorted(line["path"] for line in others) == sorted(ROUTE)


def test_lines_of_structlog_are_lines_of_the_node_with_fields_of_their_own_and_without_secrets(running: Node) -> None:
    (sent,) = running.items("send", "/front", "Pass", json.dumps({"text": "bound"}))

    lines = traced(running, sent["trace"], "arrived bound", ROUTE)
    apart = next(line for line in lines if line["path"] == "/apart")

    assert (apart["logger"], apart["level"], apart["text"]) == ("relays.bound", "info", "relayed bound")
    assert apart["fields"]["size"] == 3
    assert apart["fields"]["path_"] == "mine"
    assert apart["fields"]["pid"] > 0
    assert "hunter2" not in json.dumps(lines)
    assert "hunter2" not in "\n".join(running.lines)


def test_the_crash_over_a_message_is_a_line_of_its_trace(running: Node) -> None:
    (sent,) = running.items("send", "/front", "Pass", json.dumps({"text": "boom"}))

    lines = traced(running, sent["trace"], "ActorExited")

    assert any(line["path"] == "/front" and "as asked" in line["text"] for line in lines)


def test_a_run_and_a_job_are_traces_that_are_found_by_their_names(running: Node) -> None:
    assert running.ctl("cron", "run", "nightly").code == 0
    (added,) = running.items("jobs", "add", "count", '{"n": 3}')
    job = added["id"]

    counted = traced(running, job, "counting")
    (line,) = [line for line in counted if line["text"] == "counting"]
    night = wait_until(
        lambda: [line for line in running.items("logs", "--grep", "it is night") if "run" in line["fields"]],
        "the run's line",
    )[0]
    run = traced(running, night["fields"]["run"], "it is night")

    assert line["fields"]["job"] == job
    assert line["fields"]["up_to"] == 3
    assert line["fields"]["pid"] > 0
    assert night["fields"]["run"].startswith("nightly@20")
    assert {line["fields"].get("trace") for line in run} <= {night["fields"]["trace"], None}
    assert traced(running, night["fields"]["run"], "RunFinished")
    assert running.ctl("logs", "--trace", "!").code == 2
