"""The loop actor: time limits, crashes, stops, rest, and that it stays answerable while its task runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.working import LIMIT, Stage

from actors.agents import tasks
from actors.agents.context import Context, Result, Task
from actors.agents.loop import AgentLoop, GetLoop
from actors.events import RunFinished
from actors.exits import ExitKind
from actors.jobs.cycles import Cycle
from actors.jobs.indexkeeper import GetIndex, IndexKeeper
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from actors.scheduling.scheduler import SchedulerTick
from actors.testing import ManualClock

PATH = "/agents/07"
RULES = {"name": "task", "handlers": ["actors.jobs.indexing"], "workers": ["/work/task#*"]}
SLOW = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture
def still_stage():
    with Stage(clock=ManualClock()) as stage:
        yield stage


def arguments(tmp_path: Path, task: str = "heartbeat", **changes: object) -> dict[str, object]:
    return {
        "index": 7,
        "name": "loop-test",
        "task": task,
        "schedule": "0 0 1 1 *",
        "home": str(tmp_path / "home"),
        "root": str(tmp_path),
        **changes,
    }


def working(stage, ref):
    stage.wait(lambda: ref.ask(GetLoop(), timeout=LIMIT).state == "working" or None, "the task to begin")


def test_a_task_past_its_time_is_cancelled_and_the_loop_lives(stage, tmp_path):
    ref = stage.start(
        PATH, AgentLoop, **arguments(tmp_path, "soul-update", timeout=0.3, options={"model_command": SLOW})
    )

    ref.tell(Cycle(1.0))

    event = stage.event(RunFinished, path=PATH)
    assert (event.outcome, event.detail) == ("timed-out", "not done within 0.3 s")
    assert ref.ask(GetLoop(), timeout=LIMIT).failures == 1


def test_a_loop_is_answerable_while_its_task_runs_and_skips_the_next_slot(stage, tmp_path):
    ref = stage.start(
        PATH, AgentLoop, **arguments(tmp_path, "soul-update", timeout=600.0, options={"model_command": SLOW})
    )
    ref.tell(Cycle(1.0))
    working(stage, ref)

    ref.tell(Cycle(2.0))

    event = stage.event(RunFinished, path=PATH)
    assert (event.outcome, event.detail) == ("skipped", "overlap: the run before it is still under way")


def test_a_stop_cancels_the_task_and_tells_so(stage, tmp_path):
    ref = stage.start(
        PATH, AgentLoop, **arguments(tmp_path, "soul-update", timeout=600.0, options={"model_command": SLOW})
    )
    ref.tell(Cycle(1.0))
    working(stage, ref)

    reason = stage.stop(PATH)

    assert reason.kind is ExitKind.SHUTDOWN
    assert stage.event(RunFinished, path=PATH).outcome == "cancelled"


def test_a_failed_loop_rests_and_a_run_by_hand_wakes_it(still_stage, tmp_path):
    stage = still_stage  # it rests for seconds: by a clock that stands still
    ref = stage.start(PATH, AgentLoop, **arguments(tmp_path, "identity-sync", options={"file": "id.md"}))
    ref.tell(Cycle(1.0))
    stage.event(RunFinished, outcome="failed")

    ref.tell(Cycle(2.0))
    skipped = stage.event(RunFinished, outcome="skipped")
    (tmp_path / "id.md").write_text("me")
    ref.tell(Cycle(3.0, by_hand=True))

    assert skipped.detail.startswith("resting ")
    stage.event(RunFinished, outcome="succeeded")
    assert ref.ask(GetLoop(), timeout=LIMIT).failures == 0


def test_an_error_nobody_expected_is_told_and_ends_the_loop(stage, tmp_path, monkeypatch):
    async def broken(context: Context) -> Result:
        raise KeyError("a mistake in the task")

    monkeypatch.setitem(tasks.TASKS, "heartbeat", Task(broken))
    ref = stage.start(PATH, AgentLoop, **arguments(tmp_path))

    ref.tell(Cycle(1.0))

    assert "KeyError" in stage.event(RunFinished, outcome="failed").detail
    reason = stage.exit_of(PATH)
    assert reason.kind is ExitKind.CRASHED
    assert reason.crash.type_name == "builtins.KeyError"


def test_a_crash_beside_the_task_tells_of_the_run_it_ended(stage, tmp_path):
    options = {"model_command": SLOW}
    wrong = arguments(tmp_path, "soul-update", timeout=600.0, options=options, schedule="0 25 * * *")
    ref = stage.start(PATH, AgentLoop, **wrong)
    ref.tell(Cycle(1.0))
    working(stage, ref)

    stage.start("/sys/scheduler", SchedulerTick)  # it comes late, and refuses the schedule

    assert stage.exit_of(PATH).kind is ExitKind.CRASHED
    event = stage.event(RunFinished, path=PATH)
    assert (event.outcome, event.detail) == ("cancelled", "the loop crashed: ValueError")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"task": "hartbeat"}, "there is no task 'hartbeat'"),
        ({"options": {"speed": 1}}, "has no option 'speed'"),
        ({"priority": "urgent"}, "urgent"),
        ({"schedule": ""}, "one of the two"),
        ({"every": 5.0}, "one of the two"),
        ({"timeout": 0.0}, "positive seconds"),
        ({"requires": ["io/gmail"]}, "no actor path"),
    ],
)
def test_wrong_arguments_fail_the_start(stage, tmp_path, changes, part):
    assert part in stage.failed(PATH, AgentLoop, **arguments(tmp_path, **changes)).crash.message


def test_its_state_shows_who_it_is_and_how_its_last_run_went(stage, tmp_path):
    ref = stage.start(PATH, AgentLoop, **arguments(tmp_path, caps=["all"], title="A Test", tags=["x"], priority="low"))
    ref.tell(Cycle(1.0, next_at=99.0))
    stage.event(RunFinished, outcome="succeeded")

    view = ref.ask(GetLoop(), timeout=LIMIT)

    assert (view.index, view.title, view.caps, view.tags, view.priority) == (7, "A Test", ("all",), ("x",), "low")
    assert (view.next_at, view.last_outcome, view.runs) == (99.0, "succeeded", {"succeeded": 1})


def test_maintenance_has_the_workers_index_the_directory_and_then_only_what_changed(stage, tmp_path):
    root = tmp_path / "root"
    for name in ("a", "b", "sub/c", ".git/objects/x", "node_modules/y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    home = str(root / ".actors")
    stage.start("/work/jobs", JobQueues, home=home, queues=[RULES])
    keeper = stage.start("/work/index", IndexKeeper, home=home)
    stage.start("/work/task#1", JobWorker, queue="task")
    ref = stage.start(PATH, AgentLoop, **arguments(tmp_path, "daily-maintenance", root=str(root), home=home))

    def run(slot: float) -> str:
        before = len(stage.found(RunFinished, path=PATH))
        jobs = keeper.ask(GetIndex(), timeout=LIMIT).gathered
        ref.tell(Cycle(slot, by_hand=True))
        event = stage.wait(lambda: next(iter(stage.found(RunFinished, path=PATH)[before:]), None), "the run")
        if " jobs" in event.detail and " 0 jobs" not in event.detail:
            stage.wait(lambda: keeper.ask(GetIndex(), timeout=LIMIT).gathered > jobs or None, "the jobs")
        stage.wait(lambda: not keeper.ask(GetIndex(), timeout=LIMIT).pending or None, "the index to be on disk")
        return event.detail

    assert run(1.0) == "3 files: 3 new or changed in 1 jobs, 0 gone"
    assert run(2.0) == "3 files, nothing has changed"
    (root / "a").write_text("longer")
    (root / "b").unlink()
    assert run(3.0) == "2 files: 1 new or changed in 1 jobs, 1 gone"
    assert keeper.ask(GetIndex(), timeout=LIMIT).indexed == 2


def test_maintenance_leaves_the_rest_for_the_next_run_when_there_is_much(stage, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for number in range(5):
        (root / str(number)).write_text("x")
    stage.start("/work/jobs", JobQueues, home=str(tmp_path / "home"), queues=[{**RULES, "capacity": 1}])
    changes = arguments(tmp_path, "daily-maintenance", root=str(root), options={"max_files": 3})
    ref = stage.start(PATH, AgentLoop, **changes)

    ref.tell(Cycle(1.0))
    first = stage.event(RunFinished, path=PATH).detail
    ref.tell(Cycle(2.0))
    second = stage.wait(lambda: [*stage.found(RunFinished, path=PATH), None][1], "the second run").detail

    assert first.endswith("3 new or changed in 1 jobs, 0 gone; more are left for the next run")
    assert second.endswith("3 new or changed in 1 jobs, 0 gone; more are left for the next run")  # the job that waits
