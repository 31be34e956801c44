"""Jobs from outside: an accepted one survives kill -9 of the node, a failed one waits for a decision."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from support.nodes import Node, node


def submit(running: Node, *paths: str) -> list[str]:
    """Have the queue hash files; return the ids of the jobs."""
    jobs = [{"type": "hash-file", "path": path} for path in paths]
    (answer,) = running.items("ask", "/work/queue", "Submit", json.dumps({"jobs": jobs, "source": "somebody"}))
    accepted: list[str] = answer["reply"]["accepted"]
    return accepted


def jobs_of(running: Node, *more: str) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in running.items("jobs", "list", "--queue", "/work/queue", *more)}


def test_accepted_jobs_survive_the_kill_of_the_node_and_failed_ones_wait_for_a_decision(tmp_path: Path) -> None:
    there, later = tmp_path / "there", tmp_path / "later"
    there.write_text("here I am")
    with node(tmp_path, ACTORS_WORK__COUNT="1") as first:
        first.wait_ready()
        assert first.ctl("stop", "/work/task#1").code == 0
        done, failing = submit(first, str(there), str(later))
        assert {key: job["state"] for key, job in jobs_of(first).items() if key in {done, failing}} == {
            done: "waiting",
            failing: "waiting",
        }
        first.signal(signal.SIGKILL)
        first.wait()

    with node(tmp_path, ACTORS_WORK__COUNT="1") as second:
        second.wait_ready()
        assert {done, failing} <= set(jobs_of(second))
        assert second.ctl("start", "/work/task#1").code == 0
        second.wait_line(f"{failing} hash {later} for somebody failed")

        letter = jobs_of(second, "--state", "failed")[failing]
        assert (letter["attempt"], letter["source"]) == (3, "somebody")
        assert "No such file" in letter["why"]
        refused = second.ctl("jobs", "retry", "--queue", "/work/queue")
        assert refused.code == 2
        assert "--all" in refused.err
        assert second.ctl("jobs", "delete", "job-999", "--queue", "/work/queue").code == 3
        later.write_text("now I am here too")
        assert second.ctl("jobs", "retry", failing, "--queue", "/work/queue").code == 0
        second.wait_line(f"{failing} hash {later} for somebody succeeded")
        assert jobs_of(second, "--state", "failed") == {}
        recovered = second.items("events", "--type", "JobsRecovered")
        assert len(recovered) == 1
        assert "are done again" in recovered[0]["text"]
