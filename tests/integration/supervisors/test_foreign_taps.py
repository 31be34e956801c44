"""Taps read by a program in another language, written from the documentation of the wire."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.node_programs import FOLDER, node_program
from support.tapnode import tap_node
from support.wire import PATIENCE, run_directory

from actors.events import ActorExited, ActorStateChanged, MetricSampled
from actors.exits import ExitReason
from transport.taps.schema import asyncapi, json_schemas


@pytest.fixture
def run() -> Iterator[Path]:
    with run_directory() as path:
        yield path


class Reader:
    """`tests/node/tap.js` at work; what it prints, line by line."""

    def __init__(self, endpoints: Path, *arguments: str) -> None:
        self._process = node_program("tap.js", str(endpoints), *arguments, stderr=subprocess.PIPE)

    def line(self) -> dict[str, Any]:
        """Return the next thing it says."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said, self._process.communicate(timeout=PATIENCE)
        return json.loads(said)  # type: ignore[no-any-return]

    def rest(self) -> list[dict[str, Any]]:
        """Return everything it says until it ends well."""
        out, err = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def endpoints_file(run: Path, made: Any) -> Path:
    path = run / "endpoints.json"
    path.write_text(json.dumps({"control": made.server.endpoint, "taps": made.publisher.endpoint}))
    return path


def check(line: dict[str, Any], kind: str) -> None:
    """What arrived is what the published schemas promise."""
    schemas = json_schemas()
    jsonschema.validate(line["header"], {**schemas, "$ref": "#/$defs/TapHeader"})
    jsonschema.validate(line["body"], {**schemas, "$ref": f"#/$defs/{kind}"})


def test_a_foreign_reader_joins_with_a_snapshot_and_goes_on_with_the_tap(run: Path) -> None:
    with tap_node(run) as made:
        for n in range(1, 4):
            made.bus.publish(ActorStateChanged(float(n), "/io/gmail", n, "running"))
        made.bus.publish(ActorStateChanged(9.0, "/iot", 9, "running"))
        reader = Reader(endpoints_file(run, made), "actor.state", "/io", "live", "2")
        try:
            snapshot, joined = reader.line(), reader.line()
            for n in range(4, 6):
                made.bus.publish(ActorStateChanged(float(n), "/io/gmail", n, "running"))
            live = reader.rest()
        finally:
            reader.close()

    assert (snapshot["from"], snapshot["topic"]) == ("snapshot", "a1/actor.state/io/gmail/")
    assert joined == {"from": "joined", "seq": 4}
    assert [line["body"]["generation"] for line in (snapshot, *live)] == [3, 4, 5]
    assert [line["header"]["tseq"] for line in (snapshot, *live)] == [3, 4, 5]
    for line in (snapshot, *live):
        check(line, "ActorStateChanged")


def test_a_foreign_reader_gets_a_replay_with_one_part_at_a_time(run: Path) -> None:
    with tap_node(run) as made:
        made.bus.publish(ActorExited(1.5, "/io", 1, ExitReason.crashed(ValueError("ünï")), 2.5, "running", False))
        for n in range(1_200):
            made.bus.publish(MetricSampled(float(n), "/io", "m", n / 2, "count"))
            made.bus.publish(ActorExited(float(n), "/io", n, ExitReason.shutdown("x"), 0.0, "stopping", True))
        reader = Reader(endpoints_file(run, made), "actor.exit", "/", "replay", "1")
        try:
            *lines, end = reader.rest()
        finally:
            reader.close()

    assert end == {"from": "end", "result": {"events": 1_201}}  # what is at its default is left out
    assert [line["header"]["seq"] for line in lines] == [1, *range(3, 2_402, 2)]
    assert lines[0]["body"]["reason"]["crash"]["message"] == "ünï"
    for line in (*lines[:3], lines[-1]):
        check(line, "ActorExited")


def test_the_document_of_the_taps_is_asyncapi_3() -> None:
    written = FOLDER / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
    if not written.exists():
        pytest.skip("the packages of tests/node, which bring the specification, are not installed: make node")
    specification = json.loads(written.read_text("utf-8"))
    made = asyncapi()

    jsonschema.Draft7Validator(specification).validate(made)

    del made["info"]["version"]
    assert list(jsonschema.Draft7Validator(specification).iter_errors(made)), "the specification checks nothing"
