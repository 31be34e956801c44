"""What a person sees of the spares, and does with them, by `actorctl`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.nodes import Node, node, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the nursery is Linux's")

CONFIG = """\
version = 1

[actors."/w"]
use = "own:Quiet"
runs_in = "process"
spares = 1

[supervisors."/far"]
runs_in = "process"
spares = 1

[actors."/far/a"]
use = "own:Quiet"
"""

POOL = "/sys/spares/"

OWN = """\
from actors import Actor


class Quiet(Actor):
    \"\"\"Does nothing.\"\"\"
"""


def spares(running: Node) -> dict[str, dict[str, Any]]:
    """What is in the pool, by name; nothing while the node does not answer yet."""
    said = running.ctl("ps", "-o", "json")
    found = {item["path"]: item for item in said.items} if said.code == 0 else {}
    return {path.removeprefix(POOL): item for path, item in found.items() if path.startswith(POOL)}


def are_ready(running: Node) -> bool:
    found = spares(running)
    return len(found) == 3 and all(item["state"] == "ready" for item in found.values())


def far(running: Node) -> dict[str, Any]:
    return running.items("tree", "/far")[0]


def test_the_pool_of_spares_is_seen_stopped_and_started_and_a_subtree_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text(CONFIG)
    (tmp_path / "own.py").write_text(OWN)
    with node(tmp_path) as running:
        wait_until(lambda: are_ready(running), "the spares are ready")
        before = spares(running)
        tree = running.ctl("tree", "/sys/spares").out
        described = running.items("describe", "/sys/spares/Quiet-1")[0]
        refused = running.ctl("kill", "/sys/spares/nursery", "--yes")
        successor = next(item["pid"] for name, item in before.items() if name.startswith("subtree."))
        os.kill(far(running)["pid"], signal.SIGKILL)
        wait_until(lambda: far(running)["pid"] == successor, "the spare is the subtree's process")
        wait_until(lambda: are_ready(running), "there is another spare for the subtree")
        taken = running.items("describe", "/far")[0]
        stopped = running.ctl("stop", "/sys/spares", "--yes")
        gone = spares(running)
        started = running.ctl("start", "/sys/spares")
        wait_until(lambda: are_ready(running), "the spares are ready again")
        after = spares(running)

    assert "spare for /w" in tree
    assert all(item["pid"] and item["memory_bytes"] > 0 for item in before.values())
    assert described["spec"]["start"] == "own:Quiet"
    assert refused.code != 0
    assert "keeps its processes by itself" in refused.err + refused.out
    assert taken["spares"]["last_start"] == "spare"
    assert (stopped.code, started.code) == (0, 0)
    assert gone == {}
    assert {item["pid"] for item in after.values()}.isdisjoint(item["pid"] for item in before.values())
