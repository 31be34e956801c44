"""Commands about actors whose supervisor runs in another process, and about a node that is still starting."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nodes import ACTORCTL, TIMEOUT, Node, environment, node, wait_until

CONFIG = """\
version = 1

[supervisors."/first"]
start_order = -1

[actors."/first/slow"]
use = "own:Slow"
start_timeout = "5m"

[supervisors."/far"]
runs_in = "process"
limit = { restarts = 2, within = "10m" }

[actors."/far/a"]
use = "own:Quiet"

[actors."/far/b"]
use = "own:Quiet"
"""

OWN = """\
import time
from pathlib import Path

from actors import Actor


class Quiet(Actor):
    \"\"\"Does nothing.\"\"\"


class Slow(Actor):
    \"\"\"Is up once there is a file.\"\"\"

    def on_start(self):
        while not Path("go").exists():
            time.sleep(0.02)
"""


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Node]:
    """A node whose first actor waits for the file `go`."""
    (tmp_path / "actors.toml").write_text(CONFIG)
    (tmp_path / "own.py").write_text(OWN)
    with node(tmp_path) as running:
        wait_until(lambda: running.ctl("status", "-o", "json").code == 0, "the node answers")
        yield running


def test_what_is_not_there_while_the_node_starts_is_waited_for_and_never_said_not_to_exist(starting: Node) -> None:
    early = wait_until(
        lambda: (said := starting.ctl("ps", "/far/*", "--timeout", "100ms")).code == 7 and said, "the node's own word"
    )
    refused = starting.ctl("kill", "/far/a", "--dry-run")
    waiting = subprocess.Popen(
        [*ACTORCTL, "ps", "/far/*", "--timeout", "2m", "-o", "name"],
        cwd=starting.folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    (starting.folder / "go").touch()
    out, _ = waiting.communicate(timeout=TIMEOUT)

    assert (early.code, refused.code) == (7, 7)
    assert "the node is starting" in early.err
    assert "the node is starting" in refused.err
    assert waiting.returncode == 0
    assert set(out.split()) <= {"/far/a", "/far/b"}
    starting.wait_ready()
    assert starting.ctl("ps", "/fra/*").code == 3


def test_a_dry_run_below_a_process_says_what_its_supervisor_there_would_do(starting: Node) -> None:
    (starting.folder / "go").touch()
    starting.wait_ready()

    (killed,) = starting.items("kill", "/far/a", "--dry-run")
    (restarted,) = starting.items("restart", "/far/b", "--dry-run")
    (started,) = starting.items("start", "/far/a", "--dry-run")

    limit = {"restarts": 1, "intensity": 2, "period": 600.0}
    assert killed["outcome"] == "planned"
    assert (killed["plan"]["supervisor"], killed["plan"]["starts"]) == ("/far", ["/far/a"])
    assert killed["plan"]["limit"] == limit
    assert (restarted["plan"]["stops"], restarted["plan"]["starts"]) == (["/far/b"], ["/far/b"])
    assert restarted["plan"]["limit"] == {**limit, "restarts": 0}
    assert "running" in started["message"]
    assert starting.items("tree", "/far")[0]["restarts"] == 0
