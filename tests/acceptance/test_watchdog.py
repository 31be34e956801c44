"""The watchdog of a real node ends what is stuck, where it was told to, and the history says who did it."""

from __future__ import annotations

from pathlib import Path

from support.nodes import node, wait_until

STUCK = """
import threading
from actors import Actor, Message, on


class Hang(Message[None], frozen=True):
    pass


class Stuck(Actor):
    @on(Hang)
    def hang(self, message: Hang) -> None:
        threading.Event().wait()
"""

CONFIG = """\
version = 1

[actors."/sys/watchdog"]
args = { every = 0.1, stuck_after = 0.3, restart = ["/stuck"] }

[actors."/stuck"]
use = "stuck:Stuck"
runs_in = "thread"
backoff = { first = "10ms" }

[actors."/left-alone"]
use = "stuck:Stuck"
runs_in = "thread"
shutdown = "brutal_kill"
"""


def test_a_stuck_actor_is_ended_and_started_anew_where_the_watchdog_may_and_left_alone_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as running:
        running.wait_ready()
        for path in ("/left-alone", "/stuck"):
            assert running.ctl("send", path, "Hang").code == 0

        (item,) = wait_until(
            lambda: [i for i in running.items("ps", "/stuck") if i["generation"] == 2 and i["state"] == "ready"],
            "another instance of /stuck",
        )

        assert item["restarts"] == 1
        (other,) = wait_until(
            lambda: [i for i in running.items("ps", "/left-alone") if i["handling"] == "Hang"], "/left-alone to hang"
        )
        assert other["generation"] == 1
        *_, command = wait_until(
            lambda: running.items("events", "--for", "/stuck", "--type", "CommandDone"), "the watchdog's command"
        )
        found = command["data"]
        assert (found["command"], found["caller"], found["code"]) == ("kill", "watchdog", "ok")
        assert found["why"].startswith("watchdog: stuck, handling Hang")
