"""Whole-tree validation: every fault at once, each with its path, key and what would be right; start order by needs."""

from __future__ import annotations

from typing import Any

import pytest
from support.supervision import child, make, supervisor

from supervisors.core import arrange, check_childspecs, faults_of_child, new, validate_tree
from supervisors.errors import SpecError
from supervisors.specs import (
    AutoShutdown,
    Budget,
    ChildSpec,
    ChildType,
    Heartbeat,
    ImportStart,
    LocalStart,
    Restart,
    Strategy,
    SupervisorSpec,
)


def only_fault(spec: SupervisorSpec) -> tuple[str, str, str]:
    (fault,) = validate_tree(spec)
    return fault.path, fault.key, f"{fault.message}; {fault.hint}"


@pytest.mark.parametrize("value", [-1, 1.5, "infinity", True, None])
def test_intensity_is_a_whole_number_from_0(value: Any):
    path, key, text = only_fault(supervisor(intensity=value))

    assert (path, key) == ("/", "intensity")
    assert "0 or more" in text


@pytest.mark.parametrize("value", [0, -1.0, "infinity", float("inf"), float("nan"), True, None])
@pytest.mark.parametrize("key", ["period", "park_every"])
def test_period_is_positive_seconds_and_never_infinite(key: str, value: Any):
    path, found, text = only_fault(supervisor(**{key: value}))

    assert (path, found) == ("/", key)
    assert "positive seconds" in text


@pytest.mark.parametrize("value", [0, 1, 10**6])
def test_every_intensity_from_0_is_legal(value: int):
    assert validate_tree(supervisor(intensity=value)) == []


@pytest.mark.parametrize("value", [0, 0.1, 5, "infinity", "brutal_kill"])
def test_every_shutdown_of_otp_is_legal_0_included(value: Any):
    assert validate_tree(supervisor(child("a", shutdown=value))) == []


@pytest.mark.parametrize("value", [-1, float("inf"), None, True])
def test_other_shutdowns_are_not(value: Any):
    path, key, text = only_fault(supervisor(child("a", shutdown=value)))

    assert (path, key) == ("/a", "shutdown")
    assert "0 or more seconds" in text


@pytest.mark.parametrize(
    ("fields", "key", "hint"),
    [
        ({"restart": "permanant"}, "restart", "Restart.PERMANENT, 'permanent'?"),
        ({"restart": "transient"}, "restart", "Restart.TRANSIENT"),
        ({"restart": "x"}, "restart", "one of permanent, transient, temporary"),
        ({"type": "superviser"}, "type", "ChildType.SUPERVISOR, 'supervisor'?"),
        ({"runs_in": "proces"}, "runs_in", "did you mean 'process'?"),
        ({"shutdown": "brutal-kill"}, "shutdown", "did you mean 'brutal_kill'?"),
        ({"shutdown": "5s"}, "shutdown", "one of infinity, brutal_kill or seconds"),
    ],
)
def test_a_mistyped_word_of_a_child_gets_a_suggestion(fields: dict[str, Any], key: str, hint: str):
    path, found, text = only_fault(supervisor(child("a", **fields)))

    assert (path, found) == ("/a", key)
    assert text.endswith(hint)


@pytest.mark.parametrize(
    ("fields", "key", "hint"),
    [
        ({"strategy": "one_for_al"}, "strategy", "Strategy.ONE_FOR_ALL, 'one_for_all'?"),
        ({"auto_shutdown": "any"}, "auto_shutdown", "one of never, any_significant, all_significant"),
        ({"on_limit": "escalat"}, "on_limit", "OnLimit.ESCALATE, 'escalate'?"),
    ],
)
def test_a_mistyped_word_of_a_supervisor_gets_a_suggestion(fields: dict[str, Any], key: str, hint: str):
    path, found, text = only_fault(supervisor(**fields))

    assert (path, found) == ("/", key)
    assert text.endswith(hint)


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("auto_shutdown", AutoShutdown)
def test_significant_is_refused_for_permanent_children_and_where_nothing_shuts_down(
    restart: Restart, auto_shutdown: AutoShutdown
):
    faults = validate_tree(supervisor(child("a", restart, significant=True), auto_shutdown=auto_shutdown))

    expected = (restart is Restart.PERMANENT) + (auto_shutdown is AutoShutdown.NEVER)
    assert [fault.key for fault in faults] == ["significant"] * expected


@pytest.mark.parametrize("id", ["", "a b", "a/b", "..", "ä", "x" * 65, 7])
def test_an_id_is_one_segment_of_a_path(id: Any):
    _, key, _ = only_fault(supervisor(child(id)))

    assert key == "id"


def test_an_id_twice_is_refused():
    path, key, text = only_fault(supervisor(child("a"), child("b"), child("a")))

    assert (path, key) == ("/", "children")
    assert "'a' is there twice" in text


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (ChildSpec("a", "app:Main"), "start"),  # type: ignore[arg-type]
        (ChildSpec("a", LocalStart("app:Main")), "start"),  # type: ignore[arg-type]
        (ChildSpec("a", ImportStart("app.Main")), "start"),
        (ChildSpec("a", ImportStart("app:")), "start"),
        (ChildSpec("a", LocalStart(make), runs_in="process"), "start"),
        (ChildSpec("a", SupervisorSpec(), type=ChildType.WORKER), "type"),
        (child("a", start_timeout=0), "start_timeout"),
        (child("a", budget=Budget(-1, 5.0)), "budget.intensity"),
        (child("a", budget=Budget(1, 0)), "budget.period"),
        (child("a", budget=(1, 5.0)), "budget"),
        (child("a", backoff=1.0), "backoff"),
        (child("a", Restart.TEMPORARY, budget=Budget(1, 5.0)), "budget"),
        (child("a", Restart.PERMANENT, restart_on_gave_up=True), "restart_on_gave_up"),
        (child("a", heartbeat=Heartbeat(1.0)), "heartbeat"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", heartbeat=Heartbeat(0.0)), "heartbeat.every"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", heartbeat=Heartbeat(1.0, 0)), "heartbeat.misses"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", heartbeat=3), "heartbeat"),  # type: ignore[arg-type]
        (child("a", memory_max_bytes=10**9), "memory_max_bytes"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", memory_max_bytes=0), "memory_max_bytes"),
        (child("a", spares=1), "spares"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", spares=-1), "spares"),
        (ChildSpec("a", ImportStart("a:B"), runs_in="process", spares=1.5), "spares"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_combination_is_one_fault_at_its_key(spec: ChildSpec, key: str):
    path, found, _ = only_fault(supervisor(spec))

    assert (path, found) == ("/a", key)


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        pytest.param(ChildSpec(["a"], LocalStart(make)), "id", id="id-list"),  # type: ignore[arg-type]
        pytest.param(child("a", needs="b"), "needs", id="needs-text"),
        pytest.param(child("a", needs=3), "needs", id="needs-number"),
        pytest.param(child("a", needs=("b", 3)), "needs", id="needs-mixed"),
        pytest.param(child("a", flight=3), "flight", id="flight"),
        pytest.param(child("a", mailbox=3), "mailbox", id="mailbox"),
        pytest.param(child("a", significant="yes"), "significant", id="significant"),
        pytest.param(child("a", restart_on_gave_up=1), "restart_on_gave_up", id="restart_on_gave_up"),
        pytest.param(ChildSpec("a", LocalStart(make, 3)), "start", id="args"),  # type: ignore[arg-type]
        pytest.param(ChildSpec("a", LocalStart(make, (), {1: 2})), "start", id="kwargs"),  # type: ignore[dict-item]
        pytest.param(ChildSpec("a", ImportStart(3)), "start", id="target"),  # type: ignore[arg-type]
        pytest.param("a", "children", id="child"),
        pytest.param(ChildSpec("a", SupervisorSpec(children=("x",))), "children", id="below"),  # type: ignore[arg-type]
    ],
)
def test_a_field_of_a_wrong_kind_is_one_fault_whoever_checks(spec: Any, key: str):
    _, found, _ = only_fault(supervisor(spec))

    assert found == key
    assert [fault.key for fault in faults_of_child(spec, "/")] == [key]
    assert [fault.key for fault in check_childspecs([spec])] == [key]


@pytest.mark.parametrize("children", ["ab", None, 3], ids=["text", "none", "number"])
def test_children_that_are_no_list_are_one_fault(children: Any):
    path, key, _ = only_fault(SupervisorSpec(children=children))

    assert (path, key) == ("/", "children")


def test_what_a_process_child_may_have_is_no_fault():
    spec = ChildSpec(
        "a",
        ImportStart("pkg.mod:Cls.Inner"),
        runs_in="process",
        heartbeat=Heartbeat(1.0),
        memory_max_bytes=2**30,
        spares=2,
    )

    assert validate_tree(supervisor(spec)) == []


@pytest.mark.parametrize("count", [0, 2])
def test_a_dynamic_supervisor_has_exactly_one_template(count: int):
    spec = supervisor(*(child(f"t{n}") for n in range(count)), strategy=Strategy.SIMPLE_ONE_FOR_ONE)

    _, key, _ = only_fault(spec)

    assert key == "children"


def test_only_a_dynamic_supervisor_limits_its_children():
    assert only_fault(supervisor(max_children=3))[1] == "max_children"
    dynamic = supervisor(child("t"), strategy=Strategy.SIMPLE_ONE_FOR_ONE, max_children=-1)
    assert only_fault(dynamic)[1] == "max_children"


def test_all_faults_of_a_whole_tree_are_found_at_once_with_their_paths():
    tree = supervisor(
        child("a", restart="never"),
        ChildSpec(
            "io",
            supervisor(child("mail", shutdown=-1), child("mail"), intensity=-1, strategy=Strategy.REST_FOR_ONE),
        ),
        child("c", needs=("a", "iO")),
        period=0,
    )

    faults = {(fault.path, fault.key) for fault in validate_tree(tree)}

    assert faults == {
        ("/", "period"),
        ("/a", "restart"),
        ("/io", "intensity"),
        ("/io/mail", "shutdown"),
        ("/io", "children"),
        ("/c", "needs"),
    }


def test_a_fault_says_where_what_and_what_would_be_right():
    (fault,) = validate_tree(supervisor(child("a", restart="permanant")), "/top")

    assert str(fault) == "/top/a: restart: 'permanant' is none of its words (hint: Restart.PERMANENT, 'permanent'?)"


def test_a_supervisor_with_faults_is_not_made_and_all_faults_are_told():
    with pytest.raises(SpecError) as caught:
        new(supervisor(child("a", restart="x"), intensity=-1))

    assert [fault.key for fault in caught.value.faults] == ["intensity", "restart"]
    assert "/a: restart" in str(caught.value)


def test_child_specs_can_be_checked_without_a_supervisor():
    specs = [child("a", Restart.TRANSIENT, significant=True), child("a")]

    assert [fault.key for fault in check_childspecs(specs)] == ["significant", "children"]
    assert [fault.key for fault in check_childspecs(specs, AutoShutdown.ANY_SIGNIFICANT)] == ["children"]
    assert faults_of_child(specs[0], "/s", AutoShutdown.ALL_SIGNIFICANT) == []


@pytest.mark.parametrize(
    ("need", "hint"),
    [("gmial", "did you mean 'gmail'?"), ("/io/gmal", "did you mean '/io/gmail'?"), ("zebra", "")],
)
def test_a_need_that_nobody_meets_gets_a_suggestion(need: str, hint: str):
    tree = supervisor(ChildSpec("io", supervisor(child("gmail"), child("b", needs=(need,)))))

    (fault,) = validate_tree(tree)

    assert (fault.path, fault.key, fault.hint) == ("/io/b", "needs", hint)


@pytest.mark.parametrize("need", ["/io/b", "b", "/io", "/"])
def test_nothing_can_need_itself_or_what_holds_it(need: str):
    tree = supervisor(ChildSpec("io", supervisor(child("b", needs=(need,)))))

    assert [fault.key for fault in validate_tree(tree)] == ["needs"]


def test_a_supervisor_cannot_need_what_is_below_it():
    tree = supervisor(ChildSpec("io", supervisor(child("b")), needs=("/io/b",)))

    assert [(fault.path, fault.key) for fault in validate_tree(tree)] == [("/io", "needs")]


def test_a_branch_alone_takes_needs_of_other_branches_as_met_and_checks_its_own():
    branch = supervisor(child("one", needs=("/io/mail", "two", "/agents/three")), child("two"))

    (fault,) = validate_tree(branch, "/agents")

    assert (fault.path, fault.message) == ("/agents/one", "there is no '/agents/three'")
    assert [spec.id for spec in arrange(supervisor(*branch.children), "/agents").children] == ["two", "one"]


@pytest.mark.parametrize("need", ["a b", "", 3])
def test_a_need_is_an_id_or_a_path(need: Any):
    assert [fault.key for fault in validate_tree(supervisor(child("b", needs=(need,))))] == ["needs"]


def test_a_circle_of_needs_is_told_as_a_circle():
    tree = supervisor(child("a", needs=("c",)), child("b", needs=("a",)), child("c", needs=("b",)), child("d"))

    path, key, text = only_fault(tree)

    assert (path, key) == ("/", "needs")
    assert text == "a circle, so none of them can be first: a needs c needs b needs a; "


def test_a_circle_between_branches_is_found_where_they_part():
    tree = supervisor(
        ChildSpec("x", supervisor(child("p", needs=("/y/q",)))),
        ChildSpec("y", supervisor(child("q", needs=("/x",)))),
    )

    path, key, text = only_fault(tree)

    assert (path, key) == ("/", "needs")
    assert "x needs y needs x" in text


def test_children_start_as_written_but_after_what_they_need():
    tree = supervisor(child("a", needs=("c",)), child("b"), child("c"), child("d", needs=("a", "b")))

    assert [spec.id for spec in arrange(tree).children] == ["b", "c", "a", "d"]


def test_a_need_in_another_branch_orders_the_branches():
    tree = supervisor(
        ChildSpec("agents", supervisor(child("one", needs=("/io/mail",)), child("two"))),
        ChildSpec("io", supervisor(child("mail", needs=("disk",)), child("disk"))),
    )

    arranged = arrange(tree)

    assert [spec.id for spec in arranged.children] == ["io", "agents"]
    inner = arranged.children[0].start
    assert isinstance(inner, SupervisorSpec)
    assert [spec.id for spec in inner.children] == ["disk", "mail"]


def test_a_tree_with_a_circle_cannot_be_arranged():
    with pytest.raises(ValueError, match="circle"):
        arrange(supervisor(child("a", needs=("b",)), child("b", needs=("a",))))
