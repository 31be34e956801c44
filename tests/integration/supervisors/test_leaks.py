"""What a dynamic supervisor leaves behind after many children have come and gone: nothing."""

from __future__ import annotations

from support.waiting import until

from actors import Actor
from supervisors.running import start_tree
from supervisors.specs import ChildSpec, LocalStart, Restart, Strategy, SupervisorSpec


class Worker(Actor):
    pass


def test_children_that_are_gone_leave_no_record_path_or_view() -> None:
    template = ChildSpec("worker", LocalStart(Worker), restart=Restart.TEMPORARY)
    pool = SupervisorSpec(Strategy.SIMPLE_ONE_FOR_ONE, children=(template,))

    with start_tree(SupervisorSpec(children=(ChildSpec("pool", pool),))) as tree:
        for _ in range(50):
            id = tree.spawn_child("/pool").id
            tree.nodes()
            tree.terminate_child(f"/pool/{id}")

        supervisor = tree.services.supervisors["/pool"]
        assert len(supervisor.published.children) == 0
        until(lambda: supervisor.handles == {}, what="no handle left")  # the answer may come before the turn is over
        tree.nodes()
        assert supervisor.lines.blocks == ()
        until(lambda: supervisor._announcer.paths == {}, what="no path left")
        until(lambda: tree.system.registry._absent == {}, what="no reason left")
        assert len(tree.system.registry.below("/pool")) == 1  # the supervisor itself
