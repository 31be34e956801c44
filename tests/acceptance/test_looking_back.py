"""The tree as it was, from the history: of a node that runs, and after it was killed, ended and started again."""

from __future__ import annotations

import re
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.nodes import Node, actorctl, node, wait_until

ACTORS = """
from actors import Actor, Message, on


class Fail(Message[None], frozen=True):
    pass


class Worker(Actor):
    @on(Fail)
    def fail(self, message: Fail) -> None:
        raise ValueError("asked to")
"""

CONFIG = """\
version = 1

[defaults.child]
runs_in = "pool"
backoff = { first = "1h", max = "1h", jitter = 0.0 }

[supervisors."/"]
limit = { restarts = 20, within = "1h" }

[supervisors."/near"]
strategy = "rest_for_one"
limit = { restarts = 20, within = "1h" }

[actors."/near/a"]
use = "worker:Worker"

[actors."/near/b"]
use = "worker:Worker"

[actors."/near/c"]
use = "worker:Worker"
budget = { restarts = 0, within = "1h" }

[supervisors."/far"]
runs_in = "process"
limit = { restarts = 20, within = "1h" }

[actors."/far/d"]
use = "worker:Worker"
backoff = { first = "1ms" }

[actors."/e"]
use = "worker:Worker"
runs_in = "process"
"""

SAME = (
    "path", "kind", "state", "why", "placement", "pid", "generation", "restart", "strategy", "restarts", "attempt",
    "next_at", "last_reason", "stopped_by", "stopped_why", "ready", "total", "budget", "limit",
)  # fmt: skip


def written(folder: Path) -> Path:
    (folder / "worker.py").write_text(ACTORS)
    (folder / "actors.toml").write_text(CONFIG)
    return folder


def told(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must be the same; of the next try, whether there is one."""
    found = []
    for item in items:
        kept = {name: item[name] for name in SAME}
        kept["next_at"] = kept["next_at"] is not None
        found.append(kept)
    return found


def settled(running: Node, path: str, **wanted: Any) -> tuple[str, list[dict[str, Any]]]:
    """Wait until the node at `path` is as wanted; return that instant and the tree then."""

    def look() -> tuple[str, list[dict[str, Any]]] | None:
        items = running.items("ps", "--supervisors")
        (item,) = [item for item in items if item["path"] == path]
        if any(item[name] != value for name, value in wanted.items()):
            return None
        return datetime.fromtimestamp(time.time(), UTC).isoformat(), items

    found: tuple[str, list[dict[str, Any]]] = wait_until(look, f"{path} to be {wanted}")
    return found


def test_the_tree_of_every_instant_is_what_it_was_while_the_node_runs_and_after_it_was_killed(tmp_path: Path) -> None:
    with node(written(tmp_path)) as running:
        running.wait_ready()
        seen = [settled(running, "/e", state="ready")]
        for command, path, wanted in (
            (["stop", "/near/b", "--reason", "for a test"], "/near/b", {"state": "stopped"}),
            (["send", "/near/c", "Fail"], "/near/c", {"state": "quarantined"}),
            (["send", "/near/a", "Fail"], "/near/a", {"state": "restarting"}),
            (["send", "/far/d", "Fail"], "/far/d", {"state": "ready", "generation": 2}),
            (["suspend", "/far/d"], "/far/d", {"state": "suspended"}),
            (["restart", "/e"], "/e", {"state": "ready", "generation": 2}),
            (["start", "/near/b"], "/near/b", {"state": "ready"}),
        ):
            assert running.ctl(*command).code == 0
            seen.append(settled(running, path, **wanted))

        for at, live in seen:
            assert told(running.items("ps", "--supervisors", "--at", at)) == told(live), at
        (change,) = [c for c in running.items("tree", "--diff", seen[0][0], seen[1][0]) if c["path"] == "/near/b"]
        assert (change["before"]["state"], change["after"]["state"]) == ("ready", "stopped")
        running.signal(signal.SIGKILL)
        running.wait()

        for at, live in (seen[2], seen[-1]):
            items = actorctl("ps", "--supervisors", "--at", at, "-o", "json", cwd=tmp_path).items
            assert told(items) == told(live), at
        after = actorctl("tree", "--at", "now", cwd=tmp_path)
        assert re.search("last word was|without a word", after.err)
        page = actorctl("report", "--since", "1h", cwd=tmp_path).out
        assert page.startswith("<!doctype html>")
        assert not re.search(r"https?://|<script|<link|<img|src=|@import|url\(", page)
        assert "/near/a" in page
        assert page.count("<svg") >= 3
        text = actorctl("report", "--since", "1h", "-o", "md", cwd=tmp_path).out
        assert re.search(r"\| /near/a \| 1 \| 1 \| .* builtins.ValueError: asked to \|", text)
        described = actorctl("describe", "/near/b", "--at", seen[1][0], cwd=tmp_path)
        assert "for a test" in described.out
        page = actorctl("tree", "/near", "--at", seen[2][0], cwd=tmp_path)
        assert "quarantined" in page.out
        assert "mbox" not in page.out


def test_an_instant_without_a_node_is_said_to_be_one_and_one_before_the_history_too(tmp_path: Path) -> None:
    with node(written(tmp_path)) as running:
        running.wait_ready()
        began, _ = settled(running, "/e", state="ready")
        wait_until(lambda: running.ctl("tree", "--at", began).code == 0, "the history to have the tree")
        assert running.ctl("down", "--now").code == 0
        running.wait()
    between = datetime.fromtimestamp(time.time(), UTC).isoformat()

    down = actorctl("tree", "--at", between, cwd=tmp_path)
    with node(tmp_path) as running:
        running.wait_ready()
        again = running.ctl("tree", "--at", between)
        first = running.items("ps", "--at", began)
        differ = running.ctl("tree", "--diff", began, between)
    early = actorctl("tree", "--at", "1000d", cwd=tmp_path)

    assert (again.code, early.code) == (3, 3)
    assert re.search("last word was|had ended, it said: ", down.err)  # as far as it was stored by then
    assert "it said: stopped" in again.err  # that was in the spool until the next start
    assert "the next began at" in again.err
    assert [item["state"] for item in first if item["path"] == "/near/a"] == ["ready"]
    assert "- /near/a" in differ.out
    assert "does not reach back that far; it begins at" in early.err
    hint = early.err.rpartition("hint: actorctl ")[2].split()
    named = actorctl(*hint, cwd=tmp_path)  # the command that the hint names shows a tree
    assert named.code == 0, named.err
    assert "as of" in named.out
    assert actorctl(*hint[:-1], between, cwd=tmp_path).code == 3
