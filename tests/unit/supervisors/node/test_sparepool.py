"""The pool of spares is a child of `/sys` where anything of the node's own process asks for spares."""

from __future__ import annotations

from supervisors.children import resolve
from supervisors.node.sparepool import PATH, POOL, with_pool
from supervisors.processes.pool import SparePool, place_name
from supervisors.specs import ChildSpec, ChildType, ImportStart, SupervisorSpec


def tree(*children: ChildSpec, system: tuple[ChildSpec, ...] = ()) -> SupervisorSpec:
    return SupervisorSpec(children=(ChildSpec("sys", SupervisorSpec(children=system)), *children))


def worker(id: str, **options: int) -> ChildSpec:
    return ChildSpec(id, ImportStart("app:Worker"), runs_in="process", **options)


def system_of(found: SupervisorSpec) -> list[str]:
    start = found.children[0].start
    assert isinstance(start, SupervisorSpec)
    return [spec.id for spec in start.children]


def test_a_tree_with_spares_has_the_pool_last_in_sys() -> None:
    found = with_pool(tree(worker("a", spares=1), system=(worker("recorder"),)))

    assert system_of(found) == ["recorder", "spares"]
    start = found.children[0].start
    assert isinstance(start, SupervisorSpec)
    assert start.children[1].type is ChildType.SUPERVISOR
    assert PATH == "/sys/spares"
    assert resolve(POOL) is SparePool


def test_spares_of_a_supervisor_in_a_process_and_of_deeper_children_count() -> None:
    far = ChildSpec("far", SupervisorSpec(children=(worker("x"),)), runs_in="process", spares=1)
    near = ChildSpec("near", SupervisorSpec(children=(worker("x", spares=1),)))

    assert system_of(with_pool(tree(far))) == ["spares"]
    assert system_of(with_pool(tree(near))) == ["spares"]


def test_a_tree_without_spares_of_its_own_process_is_as_it_was() -> None:
    apart = ChildSpec("far", SupervisorSpec(children=(worker("x", spares=1),)), runs_in="process")
    without_sys = SupervisorSpec(children=(worker("a", spares=1),))
    own = tree(worker("a", spares=1), system=(worker("spares"),))

    for given in (tree(worker("a")), tree(apart), without_sys, own):
        assert with_pool(given) is given


def test_a_place_is_named_after_its_class_and_fits_a_path() -> None:
    assert place_name("app.work:Worker", 2, ["app.work:Worker", "app.play:Player"]) == "Worker-2"
    assert place_name("app.work:Worker", 2, ["app.work:Worker", "app.play:Worker"]) == "app.work.Worker-2"
    long = [place_name(f"module:Class{'x' * 80}{end}", 1) for end in "ab"]
    assert all(len(name) <= 64 for name in long)
    assert len(set(long)) == 2
