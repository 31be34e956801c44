"""Threads of their own: one actor a thread, also where threads are kept ready."""

from __future__ import annotations

import threading

from support.waiting import until, until_idle

from actors import Actor, ActorSystem, Exited, Incarnation
from actors.core.threads import SPARES
from actors.exits import SHUTDOWN
from actors.testing import Launched, launch

local = threading.local()


class Marking(Actor):
    """Leaves a mark in its thread, and tells what it found there."""

    def on_start(self) -> None:
        self.thread = threading.current_thread()
        self.found = getattr(local, "mark", None)
        local.mark = self.path


def run(system: ActorSystem, generation: int, path: str = "/a") -> Launched:
    return launch(system, Marking, path=path, placement="thread", incarnation=Incarnation(generation))


def end(launched: Launched) -> None:
    launched.stop(SHUTDOWN)
    launched.outcomes.expect(Exited)


def actor_of(launched: Launched) -> Marking:
    found = launched.ref._actor
    assert isinstance(found, Marking)
    return found


def restart(system: ActorSystem) -> None:
    """Have an actor end and start again, and wait until threads are ready for the next ones."""
    end(run(system, 1, "/first"))
    end(run(system, 2, "/first"))
    until(lambda: len(system.threads) == SPARES, what="a full set of fresh threads")


def test_no_thread_is_kept_ready_before_the_first_restart(system: ActorSystem) -> None:
    before = set(threading.enumerate())

    actor = actor_of(run(system, 1))

    assert len(system.threads) == 0
    assert set(threading.enumerate()) - before == {actor.thread}


def test_a_restarted_actor_runs_on_a_thread_that_waited_for_it_and_is_named_for_it(system: ActorSystem) -> None:
    restart(system)
    ready = set(threading.enumerate())

    actor = actor_of(run(system, 3))

    assert actor.thread in ready
    assert actor.thread.name.startswith("/a-")
    assert actor.thread.daemon


def test_no_actor_finds_what_another_left_in_its_thread(system: ActorSystem) -> None:
    restart(system)
    threads = set()

    for generation in range(3, 3 + 3 * SPARES):
        launched = run(system, generation)
        actor = actor_of(launched)
        threads.add(actor.thread)
        end(launched)

        assert actor.found is None
    assert len(threads) == 3 * SPARES


def test_fresh_threads_are_made_again_when_they_run_low(system: ActorSystem) -> None:
    restart(system)

    for n in range(SPARES - 1):
        run(system, 1, f"/b{n}")

    until(lambda: len(system.threads) == SPARES, what="a full set of fresh threads")


def test_fresh_threads_and_those_of_ended_actors_are_gone_with_their_system() -> None:
    before = set(threading.enumerate())
    system = ActorSystem("test")
    restart(system)
    left = run(system, 3)
    until_idle(left.ref)

    assert left.launch.abandon()  # nobody is inside of it: its thread has nothing to wait for
    assert system.shutdown(60.0)

    until(lambda: set(threading.enumerate()) <= before, what="the end of every thread")


def test_an_abandoned_thread_runs_nothing_after_its_actor(system: ActorSystem) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Stuck(Marking):
        def on_receive(self, message: object) -> None:
            entered.set()
            go_on.wait(60.0)

    restart(system)
    stuck = launch(system, Stuck, path="/stuck", placement="thread")
    thread = actor_of(stuck).thread
    stuck.ref.tell("stop here")
    assert entered.wait(60.0)
    assert not stuck.launch.abandon()

    others = [actor_of(run(system, generation, f"/c{generation}")).thread for generation in range(2, 2 + 2 * SPARES)]
    go_on.set()
    thread.join(60.0)

    assert not thread.is_alive()
    assert thread not in others
