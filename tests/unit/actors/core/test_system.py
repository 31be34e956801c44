"""The system as a whole: its end, and the end of the process it lives in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from support.waiting import until

from actors import Actor, ActorSystem, AddressError, Exited, StartFailed
from actors.exits import SHUTDOWN, ExitKind
from actors.testing import PATIENCE, Collector, launch


class Plain(Actor):
    def on_receive(self, message):
        return message


def test_shutdown_stops_every_actor_and_ends_every_thread(placement):
    before = set(threading.enumerate())
    calls = Collector()

    class Hooked(Actor):
        def on_stop(self) -> None:
            calls(self.path)

    class Awaiting(Actor):
        async def on_receive(self, message):
            await asyncio.sleep(1000)

    system = ActorSystem("test")
    launched = [launch(system, Hooked, path=f"/a{n}", placement=placement) for n in range(10)]
    launch(system, Awaiting, path="/awaiting", placement=placement).ref.tell("go")
    system.schedule(1000.0, print)

    assert system.shutdown(PATIENCE)

    assert sorted(calls.all) == sorted(f"/a{n}" for n in range(10))
    assert {one.outcomes.expect(Exited).reason for one in launched} == {SHUTDOWN}
    until(lambda: set(threading.enumerate()) <= before, what="the end of every thread")
    assert len(system.registry) == 0


def test_shutdown_ends_an_event_loop_that_was_first_needed_by_it(placement):
    before = set(threading.enumerate())
    calls = Collector()

    class Parting(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            calls("on_stop")

    system = ActorSystem("test")
    launch(system, Parting, path="/a", placement=placement)

    assert system.shutdown(PATIENCE)

    assert calls.all == ("on_stop",)
    until(lambda: set(threading.enumerate()) <= before, what="the end of every thread")


def test_shutdown_gives_up_who_does_not_end_in_time_and_says_so(placement):
    entered, go_on = threading.Event(), threading.Event()

    class Stuck(Actor):
        def on_receive(self, message):
            entered.set()
            assert go_on.wait(30)

    system = ActorSystem("test")
    launch(system, Stuck, path="/stuck", placement=placement).ref.tell("go")
    assert entered.wait(PATIENCE)

    assert not system.shutdown(0.05)

    assert system.abandoned == ("/stuck",)
    go_on.set()


def test_a_system_that_is_shut_down_starts_nothing_more():
    system = ActorSystem("test")
    system.shutdown()
    outcomes = Collector()

    launched = system.spawn(Plain, path="/a", on_outcome=outcomes)

    reason = outcomes.expect(StartFailed).reason
    assert reason.kind is ExitKind.CRASHED
    assert "shut down" in reason.crash.message
    assert launched.is_finished
    launched.stop(SHUTDOWN)  # harmless
    assert launched.abandon()
    assert system.shutdown()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"name": "a/b"}, AddressError), ({"name": ""}, AddressError), ({"pool_threads": 0}, ValueError)],
)
def test_a_system_that_makes_no_sense_is_refused(wrong, error):
    with pytest.raises(error):
        ActorSystem(**wrong)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"path": "a"}, AddressError), ({"path": "/a/"}, AddressError), ({"placement": "x"}, ValueError)],
)
def test_a_launch_that_makes_no_sense_is_refused(wrong, error, system: ActorSystem):
    with pytest.raises(error):
        system.spawn(Plain, **{"path": "/a", "on_outcome": print, **wrong})


def test_a_thread_the_machine_refuses_is_a_failed_start(system: ActorSystem, monkeypatch):
    def refuse(_thread) -> None:
        raise RuntimeError("can't start new thread")

    outcomes = Collector()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        system.spawn(Plain, path="/a", placement="thread", on_outcome=outcomes)

    assert "can't start new thread" in outcomes.expect(StartFailed).reason.crash.message
    launch(system, Plain, path="/a", placement="thread")  # the path is free


def test_a_spare_the_machine_refuses_leaves_the_pool_working(system: ActorSystem, monkeypatch, caplog):
    release = threading.Event()

    class Blocking(Actor):
        def on_receive(self, message):
            return release.wait(PATIENCE)

    plain = launch(system, Plain, path="/plain").ref
    blocking = launch(system, Blocking, path="/blocking").ref

    def refuse(_thread) -> None:
        release.set()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    blocking.tell("go")

    assert plain.ask(1, timeout=PATIENCE) == 1
    until(lambda: "no thread for a spare" in caplog.text, what="the line in the log")


def test_chance_repeats_with_its_seed():
    assert ActorSystem(seed=1).chance.random() == ActorSystem(seed=1).chance.random()


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)


_CLASS = """
import threading
from actors import Actor, ActorSystem
class Echo(Actor):
    dispatcher = DISPATCHER
    use_daemon_thread = DAEMON
    def on_receive(self, message):
        if message == "stop": self.stop()
        return message
    def on_stop(self): print("stopped", flush=True)
"""


def _script(dispatcher: str, daemon: bool, rest: str) -> str:
    return _CLASS.replace("DISPATCHER", repr(dispatcher)).replace("DAEMON", repr(daemon)) + rest


@pytest.mark.parametrize("dispatcher", ["thread", "pool"])
def test_a_program_ends_when_its_plain_actors_have_stopped(dispatcher):
    done = _run(_script(dispatcher, False, "ref = Echo.start(); print(ref.ask(1)); ref.stop()\n"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "1\nstopped\n", "")


@pytest.mark.parametrize("dispatcher", ["thread", "pool"])
def test_a_program_stays_while_a_plain_actor_lives(dispatcher):
    rest = (
        "ref = Echo.start()\n"
        "def stop():\n"
        "    threading.main_thread().join()\n"
        "    ref.tell('stop')\n"
        "threading.Thread(target=stop, daemon=True).start()  # keeps no program up\n"
        "print('main is over', flush=True)\n"
    )

    done = _run(_script(dispatcher, False, rest))

    assert (done.returncode, done.stdout, done.stderr) == (0, "main is over\nstopped\n", "")


@pytest.mark.parametrize("dispatcher", ["thread", "pool"])
def test_a_program_does_not_stay_for_a_daemon_actor(dispatcher):
    done = _run(_script(dispatcher, True, "ref = Echo.start(); print(ref.ask(1))\n"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("placement", ["thread", "pool"])
def test_a_system_nobody_shut_down_is_shut_down_at_exit(placement):
    rest = (
        "from actors.testing import launch\n"
        f"ref = launch(ActorSystem(), Echo, path='/a', placement={placement!r}).ref; print(ref.ask(1))\n"
    )

    done = _run(_script("pool", False, rest))

    assert (done.returncode, done.stdout) == (0, "1\nstopped\n")
    assert "was not shut down" in done.stderr


@pytest.mark.parametrize("placement", ["thread", "pool"])
def test_a_stuck_actor_does_not_keep_a_program_that_was_shut_down(placement):
    rest = (
        "from actors.testing import launch\n"
        "class Stuck(Actor):\n"
        "    def on_receive(self, message):\n"
        "        entered.set()\n"
        "        threading.Event().wait()\n"
        "entered = threading.Event()\n"
        "system = ActorSystem()\n"
        f"launch(system, Stuck, path='/a', placement={placement!r}).ref.tell(1)\n"
        "entered.wait()\n"
        "print(system.shutdown(0.1))\n"
    )

    done = _run(_script("pool", False, rest))

    assert (done.returncode, done.stdout) == (0, "False\n")


def test_importing_actors_loads_no_event_loop_and_no_database():
    heavy = {"asyncio", "duckdb", "zmq", "typer", "croniter", "psutil", "pydantic"}

    done = _run(f"import sys, actors; print(sorted({heavy!r} & set(sys.modules)))")

    assert done.stdout == "[]\n"
