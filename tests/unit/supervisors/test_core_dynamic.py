"""Dynamic supervisors (simple_one_for_one): children made from one template, by generated ids, each on its own."""

from __future__ import annotations

from collections import deque

import pytest
from support.supervision import World, child, crashed, launched, make, of, stopped, supervisor

from actors.exits import KILLED, NORMAL, SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.core import (
    ArmTimer,
    AskStop,
    DeleteChild,
    Done,
    Hold,
    Kill,
    Launch,
    Reconfigure,
    Refusal,
    Refused,
    ResetChild,
    RestartChild,
    SpawnChild,
    StartChild,
    StopChild,
    TerminateChild,
    TimerKind,
    count_children,
    describe,
    which_children,
)
from supervisors.specs import (
    Budget,
    ChildSpec,
    ImportStart,
    LocalStart,
    Restart,
    Shutdown,
    Strategy,
    SupervisorSpec,
)


def dynamic(template: ChildSpec | None = None, *, count: int = 0, obeys: bool = True, **fields: object) -> World:
    template = template or child("t")
    world = World(supervisor(template, strategy=Strategy.SIMPLE_ONE_FOR_ONE, **fields), obeys=obeys)
    for _ in range(count):
        world.call(SpawnChild)
    return world


def refusal(result: object) -> Refusal:
    assert isinstance(result, Refused)
    return result.code


def test_it_starts_with_no_child_and_is_ready():
    world = dynamic()

    assert world.is_ready
    assert world.words() == {}


def test_children_get_generated_ids_and_the_answer_names_them():
    world = dynamic()

    assert [world.call(SpawnChild) for _ in range(2)] == [Done("t#1", 1), Done("t#2", 1)]
    assert world.running() == ["t#1", "t#2"]


def test_an_id_is_never_generated_twice():
    world = dynamic(count=2)
    world.call(TerminateChild, "t#2")

    assert world.call(SpawnChild) == Done("t#3", 1)


def test_arguments_are_appended_and_laid_over_the_templates_and_kept_for_restarts():
    template = ChildSpec("t", LocalStart(make, (1,), {"a": 1, "b": 1}))
    world = dynamic(template)
    world.call(SpawnChild, (2,), {"b": 2})

    (launch,) = of(Launch, world.exited("t#1"))

    assert launch.spec.start == LocalStart(make, (1, 2), {"a": 1, "b": 2})


def test_an_imported_template_takes_keyword_arguments_only():
    template = ChildSpec("t", ImportStart("app:Worker", {"a": 1}))
    world = dynamic(template, obeys=False)

    assert refusal(world.call(SpawnChild, (2,))) is Refusal.INVALID
    world.call(SpawnChild, (), {"b": 2})

    (launch,) = of(Launch, world.done[-1][1])
    assert launch.spec.start == ImportStart("app:Worker", {"a": 1, "b": 2})


def test_a_supervisor_as_template_takes_no_arguments():
    world = dynamic(ChildSpec("t", SupervisorSpec()))

    assert refusal(world.call(SpawnChild, (), {"b": 2})) is Refusal.INVALID
    assert world.call(SpawnChild) == Done("t#1", 1)


def test_the_arguments_of_a_temporary_child_are_let_go_once_it_runs():
    world = dynamic(child("t", Restart.TEMPORARY))

    world.call(SpawnChild, (2,))

    assert world.state.children["t#1"].spec is world.state.spec.children[0]


def test_a_temporary_child_that_gets_ready_after_a_new_template_keeps_its_own():
    old, new = child("t", Restart.TEMPORARY, shutdown=1.0), child("t", Restart.PERMANENT, shutdown=2.0)
    world = dynamic(old, count=1, obeys=False)
    world.call(Reconfigure, supervisor(new, strategy=Strategy.SIMPLE_ONE_FOR_ONE))

    world.started("t#1")

    assert world.state.children["t#1"].spec == old


def test_a_child_without_arguments_of_its_own_shares_the_template():
    world = dynamic(count=1)

    assert world.state.children["t#1"].spec is world.state.spec.children[0]


@pytest.mark.parametrize(("outcome", "answer"), [("fail", "start_failed"), ("ignore", "ok")])
def test_a_start_that_fails_or_says_ignore_stores_nothing(outcome: str, answer: str):
    world = dynamic()
    world.starts["t#1"] = deque([outcome])

    result = world.call(SpawnChild)

    assert (refusal(result).value if isinstance(result, Refused) else "ok") == answer
    assert world.words() == {}
    assert count_children(world.state).active == 0


def test_a_restart_that_says_ignore_deletes_the_child():
    world = dynamic(count=1)
    world.starts["t#1"] = deque(["ignore"])

    world.exited("t#1")

    assert world.words() == {}
    assert count_children(world.state).active == 0


@pytest.mark.parametrize(
    ("restart", "reason", "stays"),
    [
        (Restart.PERMANENT, NORMAL, True),
        (Restart.PERMANENT, crashed(), True),
        (Restart.TRANSIENT, NORMAL, False),
        (Restart.TRANSIENT, SHUTDOWN, False),
        (Restart.TRANSIENT, crashed(), True),
        (Restart.TEMPORARY, NORMAL, False),
        (Restart.TEMPORARY, crashed(), False),
    ],
)
def test_an_end_restarts_the_same_id_or_removes_it_and_leaves_the_others(restart: Restart, reason: object, stays: bool):
    world = dynamic(child("t", restart), count=3)

    effects = world.exited("t#2", reason)  # type: ignore[arg-type]

    assert launched(effects) == (["t#2"] if stays else [])
    assert world.running() == (["t#1", "t#2", "t#3"] if stays else ["t#1", "t#3"])
    assert describe(world.state, world.now).restarts == (1 if stays else 0)


def test_the_limit_of_children_counts_what_there_is_and_does_not_drift():
    world = dynamic(max_children=2, intensity=99, count=2)
    assert refusal(world.call(SpawnChild)) is Refusal.MAX_CHILDREN
    for _ in range(5):
        world.exited("t#1")
    assert refusal(world.call(SpawnChild)) is Refusal.MAX_CHILDREN

    world.call(TerminateChild, "t#1")

    assert world.call(SpawnChild) == Done("t#3", 1)


def test_a_waiting_child_counts_in_the_limit():
    world = dynamic(child("t", backoff=Backoff(first=9.0)), max_children=1, count=1)
    world.exited("t#1")

    assert refusal(world.call(SpawnChild)) is Refusal.MAX_CHILDREN


@pytest.mark.parametrize(
    ("call", "args"),
    [(StartChild, (child("x"),)), (RestartChild, ("t#1",)), (DeleteChild, ("t#1",))],
)
def test_calls_by_static_id_are_not_supported(call: type, args: tuple[object, ...]):
    world = dynamic(count=1)

    assert refusal(world.call(call, *args)) is Refusal.NOT_SUPPORTED
    assert world.running() == ["t#1"]


def test_a_static_supervisor_spawns_nothing():
    world = World(supervisor(child("a")))

    assert refusal(world.call(SpawnChild)) is Refusal.NOT_SUPPORTED


def test_a_running_child_can_be_restarted_by_a_person():
    world = dynamic(count=2)

    assert world.call(RestartChild, "t#1", stop_first=True) == Done("t#1", 2)
    assert describe(world.state, world.now).restarts == 0


@pytest.mark.parametrize(
    "call", [lambda id, **f: TerminateChild(id, **f), lambda id, **f: StopChild(id, Hold("ann"), **f)]
)
def test_a_stopped_child_is_gone(call: type):
    world = dynamic(count=2)

    assert isinstance(world.call(call, "t#1"), Done)

    assert world.words() == {"t#2": "running"}


def test_terminating_one_that_is_gone_is_fine_and_a_stranger_is_not_found():
    world = dynamic(count=1)
    world.call(TerminateChild, "t#1")

    assert world.call(TerminateChild, "t#1") == Done("t#1")
    assert refusal(world.call(TerminateChild, "t#2")) is Refusal.NOT_FOUND
    assert refusal(world.call(TerminateChild, "x#1")) is Refusal.NOT_FOUND
    assert refusal(world.call(TerminateChild, "t#x")) is Refusal.NOT_FOUND
    assert refusal(world.call(TerminateChild, "t")) is Refusal.NOT_FOUND


def test_terminating_a_waiting_child_cancels_its_restart_and_it_counts_no_more():
    world = dynamic(child("t", backoff=Backoff(first=9.0)), count=2)
    world.exited("t#1")

    world.call(TerminateChild, "t#1")
    world.pass_time(20.0)

    assert world.running() == ["t#2"]
    assert count_children(world.state).active == 1


def test_a_quarantined_child_stays_listed_until_it_is_reset_or_terminated():
    world = dynamic(child("t", budget=Budget(0, 9.0)), count=2, intensity=9)
    world.exited("t#1")
    world.exited("t#2")
    assert world.words() == {"t#1": "quarantined", "t#2": "quarantined"}

    world.call(ResetChild, "t#1")
    world.call(TerminateChild, "t#2")

    assert world.words() == {"t#1": "running"}


def spawned(shutdown: Shutdown, count: int = 3) -> World:
    world = dynamic(child("t", shutdown=shutdown), obeys=False)
    for n in range(1, count + 1):
        world.call(SpawnChild)
        world.started(f"t#{n}")
    return world


def test_all_are_asked_at_once_with_one_shared_time_and_the_rest_is_killed_together():
    world = spawned(5.0)

    effects = world.stop()
    assert [e.id for e in of(AskStop, effects)] == ["t#3", "t#2", "t#1"]
    assert [timer.delay for timer in of(ArmTimer, effects)] == [5.0]
    world.exited("t#2", SHUTDOWN)
    effects = world.pass_time(5.0)
    assert of(Kill, effects) == [Kill("t#3", 1), Kill("t#1", 1)]
    world.exited("t#1", KILLED)
    assert world.ended is None
    world.exited("t#3", KILLED)

    assert world.ended == SHUTDOWN


@pytest.mark.parametrize(
    ("shutdown", "asks", "kills", "timers"),
    [("brutal_kill", 0, 3, 0), (0, 3, 3, 0), ("infinity", 3, 0, 0), (2.0, 3, 0, 1)],
)
def test_the_templates_rule_is_everybodys(shutdown: Shutdown, asks: int, kills: int, timers: int):
    world = spawned(shutdown)

    effects = world.stop()

    assert (len(of(AskStop, effects)), len(of(Kill, effects))) == (asks, kills)
    assert sum(timer.kind is TimerKind.STOP_ALL for timer in world.timers) == timers


def test_a_late_shared_timer_is_fenced():
    world = spawned(5.0, count=1)
    world.stop()
    timer = world.timer(TimerKind.STOP_ALL)
    world.exited("t#1", SHUTDOWN)
    world.timers[timer] = world.now

    assert world.fire(timer) == []


def test_starting_and_waiting_children_are_stopped_too():
    world = dynamic(child("t", backoff=Backoff(first=9.0)), obeys=False)
    world.call(SpawnChild)
    world.started("t#1")
    world.exited("t#1")
    world.call(SpawnChild)

    effects = world.stop()

    assert stopped(effects) == ["t#2"]
    world.start_failed("t#2", SHUTDOWN)
    assert world.ended == SHUTDOWN
    assert isinstance(world.replies[2], Refused)


def test_giving_up_stops_all_at_once():
    world = dynamic(count=3, intensity=0)

    effects = world.exited("t#2")

    assert stopped(effects) == ["t#3", "t#1"]
    assert world.ended is not None
    assert world.ended.detail == "gave-up"


def test_counts_and_lists_of_a_dynamic_supervisor():
    world = dynamic(child("t", backoff=Backoff(first=9.0)), count=3, intensity=9)
    world.exited("t#2")

    counts = count_children(world.state)

    assert (counts.specs, counts.active, counts.workers) == (1, 2, 3)
    assert {line.id: line.instance for line in which_children(world.state)} == {
        "t#1": "running",
        "t#2": "restarting",
        "t#3": "running",
    }


def test_ten_thousand_children_and_one_end_touch_one_child():
    world = dynamic(count=0, intensity=10**6)
    for _ in range(10_000):
        world.call(SpawnChild)
    before = world.state.children

    world.exited("t#77")

    after = world.state.children
    changed = [page for page, old in zip(after.pages, before.pages, strict=True) if page is not old]
    assert len(changed) == 1
    assert len(world.running()) == 10_000
