"""Jobs from outside: an accepted one survives kill -9 of the node, a failed one waits for a decision."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from support.nodes import TIMEOUT, Node, node, wait_until


def jobs_of(running: Node, *more: str) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in running.items("jobs", "list", "--queue", "task", *more)}


def hash_job(running: Node, path: Path) -> str:
    (job,) = running.items("jobs", "add", "hash-file", json.dumps({"path": str(path)}))
    id: str = job["id"]
    return id


def indexed(running: Node) -> set[str]:
    """Return the paths in the index of the node."""
    try:
        text = (running.folder / ".actors" / "index.jsonl").read_text("utf-8")
    except FileNotFoundError:
        return set()
    return {json.loads(line)["path"] for line in text.splitlines()}


def test_accepted_jobs_survive_the_kill_of_the_node_and_failed_ones_wait_for_a_decision(tmp_path: Path) -> None:
    there, later = tmp_path / "there", tmp_path / "later"
    there.write_text("here I am")
    with node(tmp_path, ACTORS_WORK__COUNT="1") as first:
        first.wait_ready()
        assert first.ctl("stop", "/work/task#1").code == 0
        done, failing = hash_job(first, there), hash_job(first, later)
        states = {id: job["state"] for id, job in jobs_of(first).items()}
        assert (states[done], states[failing]) == ("waiting", "waiting")
        first.signal(signal.SIGKILL)
        first.wait()

    with node(tmp_path, ACTORS_WORK__COUNT="1") as second:
        second.wait_ready()
        assert {done, failing} <= set(jobs_of(second))
        assert second.ctl("start", "/work/task#1").code == 0
        second.wait_line(f"{failing} hash-file for actorctl failed")

        letter = jobs_of(second, "--state", "failed")[failing]
        assert (letter["attempt"], letter["source"]) == (3, "actorctl")
        assert "No such file" in letter["why"]
        refused = second.ctl("jobs", "retry")
        assert refused.code == 2
        assert "--all" in refused.err
        assert second.ctl("jobs", "delete", "job-999").code == 3
        later.write_text("now I am here too")
        assert second.ctl("dlq", "retry", failing).code == 0
        second.wait_line(f"{failing} hash-file for actorctl succeeded")
        wait_until(lambda: {str(there), str(later)} <= indexed(second), "what was found in the index")
        wait_until(lambda: not {done, failing} & set(jobs_of(second, "--state", "succeeded")), "the end of both jobs")
        recovered = second.items("events", "--type", "JobsRecovered")
        assert len(recovered) == 1
        assert "are done again" in recovered[0]["text"]


def test_a_suspended_worker_leaves_jobs_to_others_and_takes_new_options_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("some\nlines\n")
    with node(tmp_path, ACTORS_WORK__COUNT="2") as running:
        running.wait_ready()
        for number in (1, 2):
            assert running.ctl("suspend", f"/work/task#{number}").code == 0
        waiting = hash_job(running, file)
        wait_until(lambda: "suspended" in running.items("jobs", "why", waiting)[0]["why"], "the reason")
        assert running.ctl("resume", "/work/task#2").code == 0
        running.wait_line(f"{waiting} hash-file for actorctl succeeded")
        reload = json.dumps({"settings": {"max_file_bytes": 3}})
        assert running.ctl("ask", "/work/task#2", "Reload", reload).code == 0

        larger = hash_job(running, file)

        running.wait_line(f"{larger} hash-file for actorctl failed")
        assert "larger than 3 bytes" in one_job(running, larger)["why"]


QUEUE = """
[queues.heavy]
handlers = ["shop"]
workers = 1
runs_in = "process"
retry = { first = "10ms" }
"""
SHOP = """
import logging
import time
from pathlib import Path
from actors.jobs.handlers import Run, job

@job("film.cut", queue="heavy")
def cut(gate: str, run: Run) -> int:
    logging.getLogger("film").warning("take %d", run.attempt + run.repeats)
    run.report(0.5, "cutting")
    while not Path(gate).exists():
        run.wait(0.02)
        run.check()
    return run.attempt + run.repeats
"""


def one_job(running: Node, id: str) -> dict[str, Any]:
    (job,) = running.items("jobs", "show", id)
    return job


def wait_for_note(running: Node, id: str, tries: list[int]) -> None:
    """Wait until the job runs, its attempt and repeats as given, and what it says of that is kept."""
    until = time.monotonic() + TIMEOUT
    while True:
        job = one_job(running, id)
        if job["state"] == "running" and job["note"] and [job["attempt"], job["repeats"]] == tries:
            said = [line["text"] for line in running.items("jobs", "logs", id)]
            if f"take {sum(tries)}" in said:  # it is kept, and will outlive a kill
                return
        assert time.monotonic() < until, job


def test_a_job_outlives_the_kill_of_its_worker_and_of_the_node_and_is_marked(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text(QUEUE)
    (tmp_path / "shop.py").write_text(SHOP)
    gate = tmp_path / "gate"
    with node(tmp_path) as first:
        first.wait_ready()
        (added,) = first.items("jobs", "add", "film.cut", json.dumps(str(gate)))
        wait_for_note(first, added["id"], [1, 0])
        (worker,) = first.items("ps", "/work/heavy#1")
        os.kill(worker["pid"], signal.SIGKILL)
        wait_for_note(first, added["id"], [2, 0])
        first.signal(signal.SIGKILL)
        first.wait()

    with node(tmp_path) as second:
        second.wait_ready()
        wait_for_note(second, added["id"], [2, 1])
        gate.touch()
        (done,) = second.items("jobs", "add", "film.cut", json.dumps(str(gate)), "--wait", "60s")
        assert done["state"] == "succeeded"
        found = one_job(second, added["id"])
        assert (found["state"], found["result"], found["repeats"]) == ("succeeded", "3", 1)
        said = second.items("jobs", "logs", added["id"])
        assert [(line["attempt"], line["text"]) for line in said] == [(1, "take 1"), (2, "take 2"), (2, "take 3")]
        found = second.items("jobs", "grep", "TAKE", "--kind", "film.cut")
        assert [line["text"] for line in found if line["id"] == added["id"]] == ["take 1", "take 2", "take 3"]
        assert second.ctl("jobs", "logs", "job-999").code == 3
        assert second.ctl("jobs", "add", "film.cut", "3").code == 2
        assert second.ctl("jobs", "add", "film.cute", "3").code == 2
        assert second.ctl("queue", "show", "heavyy").code == 3
        for command in (("list",), ("delete",)):
            unknown = second.ctl("jobs", *command, "--queue", "heavyy")
            assert (unknown.code, "did you mean heavy?" in unknown.err) == (3, True)
        assert second.ctl("jobs", "list", "--queue", "heavy", "--state", "blocked").code == 0
        later = ("jobs", "add", "film.cut", json.dumps(str(gate)), "--delay", "1h", "--key", "again")
        (kept,) = second.items(*later)
        assert f"{kept['id']} has the key again already" in second.ctl(*later).err
        after = ("--after", kept["id"], "--even-if", "--try-timeout", "9s", "--key", "k", "--window", "1h")
        (blocked,) = second.items("jobs", "add", "film.cut", json.dumps(str(gate)), *after)
        assert (blocked["state"], blocked["after"], blocked["key"]) == ("blocked", [kept["id"]], "k")
        assert second.ctl("jobs", "add", "film.cut", json.dumps(str(gate)), "--window", "1h").code == 2
        capped = second.ctl("jobs", "cancel", "--all", "--most", "1", "--dry-run")
        assert (capped.out.count("would be"), "there may be more" in capped.err) == (1, True)
