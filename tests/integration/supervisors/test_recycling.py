"""Actors that ask for their own restart, wherever they run."""

from __future__ import annotations

import pytest
from support.process_actors import Counter, Facts, Get, Renew
from support.waiting import until

from actors.events import ActorStateChanged
from supervisors.running import start_tree
from supervisors.specs import ChildSpec, ImportStart, Restart, SupervisorSpec

COUNTER = ImportStart("support.process_actors:Counter")


@pytest.mark.parametrize("runs_in", ["pool", "thread", "process"])
def test_an_actor_that_asks_for_its_restart_is_replaced_in_order(runs_in):
    spec = ChildSpec("one", COUNTER, restart=Restart.TRANSIENT, runs_in=runs_in, shutdown=60.0)
    said = []
    with start_tree(SupervisorSpec(children=(spec,))) as tree:
        tree.system.bus.subscribe(lambda _seq, event: said.append(event), (ActorStateChanged,))

        tree.ref("/one").ask(Renew("its memory\nis  fragmented"), timeout=60)
        until(lambda: tree.nodes()[1].generation == 2 and tree.nodes()[1].state.value == "ready")

        assert tree.nodes()[1].last_reason == "shutdown (restart-requested: its memory is fragmented)"
        assert tree.nodes()[1].restarts == 1
        assert tree.ref("/one").ask(Facts(), timeout=60)["generation"] == "2"
    assert [(e.state, e.detail) for e in said if e.state == "restart-requested"] == [
        ("restart-requested", "its memory is fragmented")
    ]


def test_only_a_supervised_actor_can_ask():
    ref = Counter.start()
    try:
        with pytest.raises(RuntimeError, match="with a supervisor"):
            ref.ask(Renew("bored"))
        assert ref.ask(Get()) == []
    finally:
        ref.stop()
