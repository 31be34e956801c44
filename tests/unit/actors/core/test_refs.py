"""Refs of instances and of paths; statistics; suspending; pykka's side of a ref."""

from __future__ import annotations

import threading

import pykka
import pytest
from support.waiting import until

from actors import (
    Actor,
    ActorExitedError,
    ActorSystem,
    AddressError,
    BlockingAskError,
    Exited,
    Incarnation,
    Message,
    StartFailed,
    on,
)
from actors.exits import SHUTDOWN
from actors.testing import PATIENCE, Collector, Probe, launch


class Hello(Message[str], frozen=True):
    pass


class Hold(Message[None], frozen=True, local=True):
    entered: threading.Event
    go_on: threading.Event


class Polite(Actor):
    def __init__(self, name: str = "x") -> None:
        super().__init__()
        self.name = name

    @on(Hello)
    def hello(self, _message: Hello) -> str:
        return self.name

    @on(Hold)
    def hold(self, message: Hold) -> None:
        message.entered.set()
        assert message.go_on.wait(PATIENCE)


def test_a_path_ref_survives_a_restart(system: ActorSystem, placement):
    stable = system.ref("/a")
    first = launch(system, lambda: Polite("first"), path="/a", placement=placement)
    assert stable.ask(Hello(), timeout=PATIENCE) == "first"

    first.stop(SHUTDOWN)
    first.outcomes.expect(Exited)
    launch(system, lambda: Polite("second"), path="/a", placement=placement)

    assert stable.ask(Hello()) == "second"


def test_a_path_with_nobody_there_keeps_tells_and_fails_asks_at_once(system: ActorSystem):
    stable = system.ref("/a")

    stable.tell("lost")
    system.registry.set_absent("/a", "restarting")
    stable.tell("lost too")
    with pytest.raises(ActorExitedError, match="test/a is restarting"):
        stable.ask(Hello())
    with pytest.raises(ActorExitedError):
        stable.ask(Hello(), block=False).get(timeout=PATIENCE)

    letters = [(letter.path, letter.message, letter.why) for letter in system.dead_letters.recent()]
    assert letters == [("/a", "lost", "not running"), ("/a", "lost too", "restarting")]
    assert (stable.is_alive(), stable.generation, stable.statistics()) == (False, 0, None)


def test_path_refs_of_one_path_are_one(system: ActorSystem):
    assert {system.ref("/a"), system.ref("/a"), system.ref("/b")} == {system.ref("/a"), system.ref("/b")}
    assert system.ref("/a").identity == "test/a"
    with pytest.raises(AddressError):
        system.ref("a")


def test_what_is_told_to_an_instance_that_has_ended_becomes_a_dead_letter(system: ActorSystem):
    launched = launch(system, Polite, path="/a")
    launched.stop(SHUTDOWN)
    launched.outcomes.expect(Exited)

    launched.ref.tell("late")

    assert [letter.why for letter in system.dead_letters.recent()] == ["exited"]
    with pytest.raises(pykka.ActorDeadError):
        launched.ref.ask(Hello())


def test_a_suspended_actor_takes_system_messages_only(system: ActorSystem, placement):
    probe = Probe(system, placement=placement)
    probe.ref.suspend()
    probe.ref.tell("user")
    probe.ref.tell("user")
    probe.ref.tell_system("system")
    assert probe.expect(str) == "system"
    until(lambda: probe.ref.statistics().is_suspended)
    asked = probe.ref.ask("asked", block=False)
    assert (probe.ref.statistics().depth, asked.done) == (3, False)

    probe.ref.resume()

    assert asked.get(timeout=PATIENCE) is None
    assert probe.received.all == ("system", "user", "user", "asked")
    assert not probe.ref.statistics().is_suspended


def test_an_idle_actor_that_is_suspended_is_not_run_by_an_asker(system: ActorSystem):
    ref = launch(system, Polite, path="/a").ref
    ref.suspend()
    until(lambda: ref.statistics().is_suspended)

    with pytest.raises(pykka.Timeout):
        ref.ask(Hello(), timeout=0.02)
    ref.resume()

    assert ref.ask(Hello()) == "x"


def test_the_system_lane_overtakes_the_user_lane(system: ActorSystem, placement):
    entered, go_on = threading.Event(), threading.Event()
    seen = Collector()

    class Two(Polite):
        def on_receive(self, message):
            if isinstance(message, Hold):
                return self.hold(message)
            return seen(message)

    ref = launch(system, Two, path="/a", placement=placement).ref
    ref.tell(Hold(entered, go_on))
    assert entered.wait(PATIENCE)
    for n in range(5):
        ref.tell(n)
    ref.tell_system("first")
    go_on.set()

    assert seen.wait_count(6) == ("first", 0, 1, 2, 3, 4)


def test_statistics_say_what_an_actor_does(system: ActorSystem, placement):
    ref = launch(system, Polite, path="/a", placement=placement).ref
    entered, go_on = threading.Event(), threading.Event()
    before = ref.statistics()
    ref.tell(Hold(entered, go_on))
    assert entered.wait(PATIENCE)
    ref.tell(Hello())
    during = ref.statistics()
    go_on.set()
    assert ref.ask(Hello(), timeout=PATIENCE) == "x"
    until(lambda: ref.statistics().handling is None)
    after = ref.statistics()

    assert (before.handled, before.handling, before.last_handled) == (0, None, None)
    assert (during.handling, during.depth) == ("Hold", 1)
    assert during.handling_since is not None
    assert (after.handled, after.failed, after.handling_since, after.depth) == (3, 0, None, 0)
    assert after.last_handled is not None


def test_failures_are_counted(system: ActorSystem, placement):
    class Failing(Actor):
        def on_receive(self, message):
            raise ValueError

    launched = launch(system, Failing, path="/a", placement=placement)
    launched.ref.tell(1)
    launched.outcomes.expect(Exited)

    assert (launched.ref.statistics().handled, launched.ref.statistics().failed) == (1, 1)


def test_a_proxy_works_on_a_supervised_actor(system: ActorSystem, placement):
    ref = launch(system, lambda: Polite("y"), path="/a", placement=placement).ref

    proxy = ref.proxy()
    proxy.name = "z"

    assert proxy.name.get(timeout=PATIENCE) == "z"
    assert proxy.hello(Hello()).get(timeout=PATIENCE) == "z"


def test_a_supervised_actor_is_not_in_pykkas_registry_and_a_plain_one_is(system: ActorSystem):
    supervised = launch(system, Polite, path="/a").ref
    plain = Polite.start()

    everybody = pykka.ActorRegistry.get_all()

    assert plain in everybody
    assert supervised not in everybody
    assert pykka.ActorRegistry.get_by_urn(plain.actor_urn) is plain
    assert plain.stop()
    assert plain not in pykka.ActorRegistry.get_all()


def test_stop_of_a_supervised_actor_waits_for_its_end(system: ActorSystem, placement):
    launched = launch(system, Polite, path="/a", placement=placement)

    assert launched.ref.stop()
    assert not launched.ref.stop()

    assert launched.outcomes.expect(Exited).reason.kind.value == "normal"


def test_an_envelope_put_into_the_inbox_by_hand_is_answered():
    from pykka._envelope import Envelope

    ref = Polite.start()
    answer = pykka.ThreadingFuture()

    ref.actor_inbox.put(Envelope(Hello(), reply_to=answer))

    assert answer.get(timeout=PATIENCE) == "x"
    assert ref.stop()


def test_an_ask_nobody_waits_for_any_more_is_passed_over(system: ActorSystem, placement):
    seen = Collector()

    class Seeing(Polite):
        @on(Hello)
        def hello(self, _message: Hello) -> str:
            seen("hello")
            return ""

    ref = launch(system, Seeing, path="/a", placement=placement).ref
    entered, go_on = threading.Event(), threading.Event()
    ref.tell(Hold(entered, go_on))
    assert entered.wait(PATIENCE)
    with pytest.raises(pykka.Timeout, match=r"no answer from /a within 0\.01 s"):
        ref.ask(Hello(), timeout=0.01)
    go_on.set()
    assert ref.ask(Hello(), timeout=PATIENCE) == ""

    assert seen.all == ("hello",)
    assert [(letter.message, letter.why) for letter in system.dead_letters.recent()] == [(Hello(), "deadline passed")]


class Own(Message[str], frozen=True):
    """Have an actor ask itself."""


class Selfish(Actor):
    @on(Own)
    def own(self, _message: Own) -> str:
        return self.system.ref(self.actor_ref.path).ask(Own())


class SelfishStart(Actor):
    def on_start(self) -> None:
        self.actor_ref.ask(Own(), timeout=60.0)


@pytest.mark.parametrize("timeout", [None, 10.0])
def test_an_actor_that_waits_for_itself_is_told_so_at_once(system: ActorSystem, placement, timeout):
    ref = launch(system, Selfish, path="/a", placement=placement).ref

    with pytest.raises(BlockingAskError, match=r"ask\(/a\) waits for the handler it is made in; call the method"):
        ref.ask(Own(), timeout=timeout)


def test_an_actor_that_asks_itself_before_it_has_started_fails_to_start(system: ActorSystem, placement):
    outcomes = Collector()

    system.spawn(SelfishStart, path="/a", placement=placement, incarnation=Incarnation(), on_outcome=outcomes)

    failed = outcomes.expect(StartFailed, timeout=PATIENCE)
    assert "waits for the handler it is made in" in str(failed.reason)


@pytest.mark.parametrize(
    ("timeout", "error"), [(float("nan"), ValueError), ("5", TypeError), (float("-inf"), ValueError)]
)
def test_a_timeout_that_is_none_is_refused_where_it_is_given_and_the_actor_lives_on(
    system: ActorSystem, placement, timeout, error
):
    ref = launch(system, Polite, path="/a", placement=placement).ref

    with pytest.raises(error):
        ref.ask(Hello(), timeout=timeout)

    assert ref.ask(Hello(), timeout=PATIENCE) == "x"
    assert ref.generation == 1
