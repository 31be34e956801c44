"""What a new tree changes in an old one, step by step."""

from __future__ import annotations

from msgspec.structs import replace

from supervisors.node.reloadplan import Action, ReloadPlan, plan_reload
from supervisors.specs import ChildSpec, ImportStart, Restart, Strategy, SupervisorSpec


def worker(id: str, *, restart: Restart = Restart.PERMANENT, **kwargs: object) -> ChildSpec:
    return ChildSpec(id, ImportStart("a:B", kwargs), restart=restart)


def above(id: str, *children: ChildSpec, **flags: object) -> ChildSpec:
    return ChildSpec(id, SupervisorSpec(children=children, **flags))


def tree(*children: ChildSpec) -> SupervisorSpec:
    return SupervisorSpec(children=children)


def steps(plan: ReloadPlan) -> list[tuple[str, str]]:
    return [(step.path, step.action.value) for step in plan.steps]


def test_equal_trees_need_nothing() -> None:
    both = tree(worker("a"), above("s", worker("b"), worker("c#1")))

    assert plan_reload(both, both) == ReloadPlan((), 3)


def test_each_child_gets_the_step_that_its_difference_asks_for() -> None:
    old = tree(worker("a"), worker("b", n=1), above("s", worker("c"), worker("d")), worker("gone"))
    new = tree(worker("a"), worker("b", n=2), above("s", worker("c"), worker("e")), above("t", worker("f")))

    plan = plan_reload(old, new)

    assert steps(plan) == [
        ("/b", "replace"),
        ("/s/e", "add"),
        ("/s/d", "remove"),
        ("/t", "add"),
        ("/t/f", "add"),
        ("/gone", "remove"),
    ]
    assert plan.unchanged == 2
    assert plan.steps[0].changes == ("n: 1 → 2",)


def test_several_instances_of_one_worker_roll_and_a_single_one_is_replaced() -> None:
    old = tree(worker("w#1", n=1), worker("w#2", n=1), worker("v#1", n=1), worker("v#2", n=2))
    new = tree(worker("w#1", n=2), worker("w#2", n=2), worker("v#1", n=2), worker("v#2", n=2))

    assert steps(plan_reload(old, new)) == [("/w#1", "rolling"), ("/w#2", "rolling"), ("/v#1", "replace")]


def test_rules_of_a_supervisor_change_without_touching_what_it_has() -> None:
    old = tree(above("s", worker("a")))
    new = tree(above("s", worker("a"), intensity=7, strategy=Strategy.REST_FOR_ONE))

    (step,) = plan_reload(old, new).steps

    assert (step.path, step.action) == ("/s", Action.UPDATE)
    assert step.changes == ("strategy: one_for_one → rest_for_one", "intensity: 1 → 7")


def test_a_supervisor_that_is_run_in_another_way_is_replaced_with_all_below() -> None:
    inner = above("s", worker("a"), worker("b"))

    plan = plan_reload(tree(inner), tree(replace(inner, runs_in="process")))

    assert steps(plan) == [("/s", "replace")]
    assert plan.unchanged == 0


def test_values_that_sound_secret_are_hidden_and_long_ones_cut() -> None:
    old = worker("a", password="old", args={"api_key": "old", "list": [{"token": "old"}]}, text="x")
    new = worker("a", password="new", args={"api_key": "new", "list": [{"token": "new"}]}, text="y" * 500)

    (step,) = plan_reload(tree(old), tree(new)).steps

    said = "\n".join(step.changes)
    assert "old" not in said
    assert "new" not in said
    assert max(map(len, step.changes)) < 120
    assert step.changes[0] == "args.api_key: *** → ***"
