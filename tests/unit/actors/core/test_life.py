"""Supervised instances: start, failure, end, and what is reported of each."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from support.waiting import until, until_idle

from actors import (
    Actor,
    ActorExitedError,
    ActorSystem,
    AskTimeoutError,
    Exited,
    Ignore,
    Ignored,
    Incarnation,
    Message,
    PathTakenError,
    Started,
    StartFailed,
    on,
)
from actors.core import context
from actors.events import AskFailed, DeadLettered
from actors.exits import NORMAL, SHUTDOWN, ExitKind, ExitReason
from actors.testing import PATIENCE, Collector, launch


class Fail(Message[None], frozen=True, local=True):
    error: BaseException


class Leave(Message[str], frozen=True):
    pass


class Hello(Message[str], frozen=True):
    pass


class Worker(Actor):
    hooks: list[str] = []

    def __init__(self, calls: Collector | None = None) -> None:
        super().__init__()
        self.calls = calls if calls is not None else Collector()

    def on_stop(self) -> None:
        self.calls("on_stop")

    def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.calls(f"on_failure {exception_type.__name__}")

    @on(Hello)
    def hello(self, _message: Hello) -> str:
        return "hello"

    @on(Fail)
    def fail(self, message: Fail) -> None:
        raise message.error

    @on(Leave)
    def leave(self, _message: Leave) -> str:
        self.stop()
        return "bye"


def _spawn(system, factory, placement, path="/a"):
    outcomes = Collector()
    return system.spawn(factory, path=path, placement=placement, on_outcome=outcomes), outcomes


def test_an_instance_is_made_and_started_off_the_callers_thread_and_says_so(system: ActorSystem, placement):
    threads = []

    class Here(Actor):
        def __init__(self) -> None:
            super().__init__()
            threads.append(threading.get_ident())

        def on_start(self) -> None:
            threads.append(threading.get_ident())

    launched, outcomes = _spawn(system, Here, placement)

    started = outcomes.expect(Started)
    assert started.ref is launched.ref
    assert threads[0] == threads[1] != threading.get_ident()


def test_what_an_actor_knows_of_itself_is_there_when_it_is_made(system: ActorSystem, placement):
    seen = {}

    class Curious(Actor):
        def __init__(self) -> None:
            super().__init__()
            seen.update(path=self.path, system=self.system, incarnation=self.incarnation, ref=self.actor_ref)

    incarnation = Incarnation(3, 1, SHUTDOWN)
    launched = launch(system, Curious, path="/io/mail", placement=placement, incarnation=incarnation)

    assert seen == {"path": "/io/mail", "system": system, "incarnation": incarnation, "ref": launched.ref}
    assert launched.ref.generation == 3
    assert str(launched.ref.address) == "test/io/mail@3"


def test_an_ignored_start_says_why_and_runs_no_further_hook(system: ActorSystem, placement):
    calls = Collector()

    class Unwilling(Worker):
        def on_start(self) -> Ignore:
            return Ignore("not configured: set io.mail.host")

    launched, outcomes = _spawn(system, lambda: Unwilling(calls), placement)

    assert outcomes.expect(Ignored).why == "not configured: set io.mail.host"
    assert launched.is_finished
    assert launched.ref is None
    assert (outcomes.wait_count(1), calls.all) == ((Ignored("not configured: set io.mail.host"),), ())
    assert "/a" not in system.registry


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["factory", "on_start"])
def test_a_start_that_raises_is_a_failed_start(error, where, system: ActorSystem, placement):
    class Broken(Worker):
        def on_start(self) -> None:
            raise error

    def factory() -> Actor:
        if where == "factory":
            raise error
        return Broken()

    _, outcomes = _spawn(system, factory, placement)

    reason = outcomes.expect(StartFailed).reason
    assert reason.kind is ExitKind.CRASHED
    assert reason.crash.type_name.endswith(type(error).__name__)
    launch(system, Worker, path="/a", placement=placement)  # the path is free, the thread alive


@pytest.mark.parametrize("factory", [lambda: object(), lambda: None])
def test_a_factory_that_makes_no_actor_is_a_failed_start(factory, system: ActorSystem):
    _, outcomes = _spawn(system, factory, "pool")

    assert "what was to make an actor returned" in outcomes.expect(StartFailed).reason.crash.message


def test_an_actor_whose_init_forgets_super_is_a_failed_start_that_says_so(system: ActorSystem):
    class Forgetful(Actor):
        def __init__(self) -> None:
            self.x = 1

    _, outcomes = _spawn(system, Forgetful, "pool")

    message = outcomes.expect(StartFailed).reason.crash.message
    assert "Forgetful.__init__ does not call super().__init__()" in message


def test_a_factory_may_start_other_actors_on_its_way(system: ActorSystem, placement):
    class Helper(Actor):
        pass

    class Busy(Actor):
        def __init__(self) -> None:
            self.helper = Helper.start()
            super().__init__()

        def on_stop(self) -> None:
            self.helper.stop()

    launched = launch(system, Busy, path="/a", placement=placement)

    assert launched.ref.actor_class is Busy
    assert launched.ref._actor_weakref().helper.actor_class is Helper
    launched.stop(SHUTDOWN)
    launched.outcomes.expect(Exited)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), BaseException("base")])
def test_whatever_leaves_a_handler_ends_the_actor(error, asked, system: ActorSystem, placement):
    calls = Collector()
    launched = launch(system, lambda: Worker(calls), path="/a", placement=placement)
    if asked:
        with pytest.raises(ValueError if isinstance(error, Exception) else ActorExitedError):
            launched.ref.ask(Fail(error), timeout=PATIENCE)
    else:
        launched.ref.tell(Fail(error))

    reason = launched.outcomes.expect(Exited).reason
    assert reason.kind is ExitKind.CRASHED
    assert reason.crash.type_name.endswith(type(error).__name__)
    assert "raise message.error" in reason.crash.traceback
    assert calls.all == (f"on_failure {type(error).__name__}",)
    assert not launched.ref.is_alive()


def test_an_error_on_an_ask_that_this_thread_runs_ends_the_actor_too(system: ActorSystem):
    launched = launch(system, Worker, path="/a")
    until_idle(launched.ref)

    with pytest.raises(ValueError, match="bad"):
        launched.ref.ask(Fail(ValueError("bad")))

    assert launched.outcomes.expect(Exited).reason.kind is ExitKind.CRASHED
    with pytest.raises(ActorExitedError):
        launched.ref.ask(Hello())


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_the_traceback_of_a_crash_has_nothing_of_who_asked(system: ActorSystem, placement, timeout):
    launched = launch(system, Worker, path="/a", placement=placement)
    until_idle(launched.ref)

    def seen_by_the_asker() -> None:
        launched.ref.ask(Fail(ValueError("bad")), timeout=timeout)

    with pytest.raises(ValueError, match="bad") as raised:
        seen_by_the_asker()

    traceback = launched.outcomes.expect(Exited).reason.crash.traceback
    assert "raise message.error" in traceback
    assert "seen_by_the_asker" not in traceback
    assert "seen_by_the_asker" in [entry.name for entry in raised.traceback]


def test_ctrl_c_in_an_ask_that_the_main_thread_runs_reaches_the_main_thread(system: ActorSystem):
    launched = launch(system, Worker, path="/a")
    until_idle(launched.ref)

    with pytest.raises(KeyboardInterrupt):
        launched.ref.ask(Fail(KeyboardInterrupt()))

    assert launched.outcomes.expect(Exited).reason.kind is ExitKind.CRASHED


def test_system_exit_in_a_handler_is_a_normal_end(system: ActorSystem, placement):
    calls = Collector()
    launched = launch(system, lambda: Worker(calls), path="/a", placement=placement)

    launched.ref.tell(Fail(SystemExit()))

    assert launched.outcomes.expect(Exited).reason == NORMAL
    assert calls.all == ("on_stop",)


def test_an_actor_that_stops_itself_handles_what_waits_first_and_ends_normally(system: ActorSystem, placement):
    launched = launch(system, Worker, path="/a", placement=placement)
    launched.ref.suspend()
    left = launched.ref.ask(Leave(), block=False)
    before = launched.ref.ask(Hello(), block=False)
    launched.ref.resume()

    assert (left.get(timeout=PATIENCE), before.get(timeout=PATIENCE)) == ("bye", "hello")
    assert launched.outcomes.expect(Exited).reason == NORMAL


def test_a_stop_overtakes_what_waits_and_those_who_asked_are_told(system: ActorSystem, placement):
    calls = Collector()
    launched = launch(system, lambda: Worker(calls), path="/a", placement=placement)
    launched.ref.suspend()
    asked = launched.ref.ask(Hello(), block=False)
    launched.ref.tell(Hello())

    launched.stop(SHUTDOWN)

    assert launched.outcomes.expect(Exited).reason == SHUTDOWN
    with pytest.raises(ActorExitedError, match="stopped before handling"):
        asked.get(timeout=PATIENCE)
    assert [(letter.path, letter.message, letter.why) for letter in system.dead_letters.recent()] == [
        ("/a", Hello(), "exited")
    ]
    assert calls.all == ("on_stop",)


def test_an_on_stop_that_raises_makes_the_end_a_crash(system: ActorSystem, placement):
    class Messy(Actor):
        def on_stop(self) -> None:
            raise OSError("disk")

    launched = launch(system, Messy, path="/a", placement=placement)

    launched.stop(SHUTDOWN)

    reason = launched.outcomes.expect(Exited).reason
    assert (reason.kind, reason.detail, reason.crash.message) == (ExitKind.CRASHED, "on_stop", "disk")


def test_an_on_failure_that_raises_hides_nothing(system: ActorSystem, placement):
    class Worse(Worker):
        def on_failure(self, *_args) -> None:
            raise OSError("disk")

    launched = launch(system, Worse, path="/a", placement=placement)

    launched.ref.tell(Fail(ValueError("first")))

    assert launched.outcomes.expect(Exited).reason.crash.message == "first"


def test_a_stop_before_the_start_is_a_failed_start_with_its_reason(system: ActorSystem):
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Actor):
        def on_start(self) -> None:
            entered.set()
            go_on.wait(PATIENCE)

    launch(system, Worker, path="/first")
    _, blocking = _spawn(system, Slow, "pool", "/slow")
    assert entered.wait(PATIENCE)
    late, outcomes = _spawn(system, Worker, "pool", "/late")
    late.stop(SHUTDOWN)  # the pool's one thread is still in /slow, or a spare takes it: both before or after its start
    go_on.set()

    blocking.expect(Started)
    first = outcomes.wait_count(1)[0]
    assert first == StartFailed(SHUTDOWN) or isinstance(first, Started)
    if isinstance(first, Started):
        assert outcomes.expect(Exited).reason == SHUTDOWN


def test_a_stop_during_on_start_is_obeyed_after_it(system: ActorSystem, placement):
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Actor):
        def on_start(self) -> None:
            entered.set()
            assert go_on.wait(PATIENCE)

    launched, outcomes = _spawn(system, Slow, placement)
    assert entered.wait(PATIENCE)
    launched.stop(SHUTDOWN)
    go_on.set()

    outcomes.expect(Started)
    assert outcomes.expect(Exited).reason == SHUTDOWN


def test_a_stop_cancels_an_async_start(system: ActorSystem, placement):
    entered = threading.Event()

    class Awaiting(Actor):
        async def on_start(self) -> None:
            entered.set()
            await asyncio.sleep(1000)

    launched, outcomes = _spawn(system, Awaiting, placement)
    assert entered.wait(PATIENCE)

    launched.stop(SHUTDOWN)

    assert outcomes.expect(StartFailed).reason == SHUTDOWN


def test_messages_sent_before_the_start_are_handled_after_it(system: ActorSystem, placement):
    go_on = threading.Event()
    order = Collector()

    class Late(Actor):
        def on_start(self) -> None:
            assert go_on.wait(PATIENCE)
            order("started")

        def on_receive(self, message) -> None:
            order(message)

    _, outcomes = _spawn(system, Late, placement)
    system.ref("/a").tell("one")
    system.ref("/a").tell("two")
    go_on.set()

    assert order.wait_count(3) == ("started", "one", "two")
    outcomes.expect(Started)


def test_a_path_is_taken_until_its_instance_has_ended(system: ActorSystem, placement):
    first = launch(system, Worker, path="/a", placement=placement)

    second, refused = _spawn(system, Worker, placement)
    taken = refused.expect(StartFailed).reason
    first.stop(SHUTDOWN)
    first.outcomes.expect(Exited)

    assert (taken.crash.type_name, second.is_finished) == (f"{PathTakenError.__module__}.PathTakenError", True)
    launch(system, Worker, path="/a", placement=placement)


def test_when_an_end_is_reported_the_path_is_free_and_the_hooks_have_run(system: ActorSystem, placement):
    seen = Collector()
    calls = Collector()

    def report(outcome) -> None:
        seen((type(outcome), "/a" in system.registry, calls.all))

    launched = system.spawn(lambda: Worker(calls), path="/a", placement=placement, on_outcome=report)
    seen.wait_count(1)
    launched.stop(SHUTDOWN)

    assert seen.wait_count(2) == ((Started, True, ()), (Exited, False, ("on_stop",)))


def test_a_failed_ask_is_an_event(system: ActorSystem, placement):
    events = Collector()
    system.bus.subscribe(events, (AskFailed, DeadLettered))
    launched = launch(system, Worker, path="/a", placement=placement)

    with pytest.raises(ValueError, match="bad"):
        launched.ref.ask(Fail(ValueError("bad")), timeout=PATIENCE)

    failed = events.expect(AskFailed)
    assert (failed.path, failed.message_type, failed.error) == ("/a", "Fail", "ValueError: bad")


def test_a_supervisor_that_cannot_take_an_outcome_harms_nobody(system: ActorSystem, placement):
    def report(_outcome) -> None:
        raise RuntimeError("no room")

    launched = system.spawn(Worker, path="/a", placement=placement, on_outcome=report)

    assert system.ref("/a").ask(Hello(), timeout=PATIENCE) == "hello"
    assert launched.ref is not None


def test_the_reason_given_to_a_stop_is_the_reason_of_the_end(system: ActorSystem, placement):
    launched = launch(system, Worker, path="/a", placement=placement)

    launched.stop(ExitReason.shutdown("reload"))

    assert str(launched.outcomes.expect(Exited).reason) == "shutdown (reload)"


def test_a_sender_at_the_end_of_its_stack_takes_no_other_actor_with_it(system: ActorSystem):
    target = launch(system, Worker, path="/target")

    class Recursing(Actor):
        def on_receive(self, how):
            self.deeper(how, 0)

        def deeper(self, how, depth) -> None:
            try:
                self.deeper(how, depth + 1)
            finally:
                if depth > sys.getrecursionlimit() - 100:
                    if how == "tell":
                        target.ref.tell(Hello())
                    else:
                        target.ref.ask(Hello(), timeout=None if how == "ask" else 0.001)

    for how in ("tell", "ask", "ask in time"):
        recursing = launch(system, Recursing, path="/recursing")
        recursing.ref.tell(how)
        recursing.outcomes.expect(Exited)

        assert target.ref.ask(Hello(), timeout=PATIENCE) == "hello"
        assert target.ref.ask(Hello()) == "hello"
    assert context.nested == []  # or asks would stop to be run by their askers


def test_a_watch_that_raises_does_not_keep_others_from_learning_the_end(system: ActorSystem):
    launched = launch(system, Worker, path="/a")
    ends = Collector()

    def broken(_reason) -> None:
        raise RuntimeError("cannot pass it on")

    launched.ref.watch(broken)
    launched.ref.watch(ends)
    launched.stop(SHUTDOWN)

    assert launched.outcomes.expect(Exited).reason == ends.expect(ExitReason) == SHUTDOWN
    launched.ref.watch(broken)  # at once, and as harmless


def test_an_ask_that_came_too_late_is_an_event(system: ActorSystem, placement):
    events = Collector()
    system.bus.subscribe(events, (AskFailed,))
    launched = launch(system, Worker, path="/a", placement=placement)
    launched.ref.suspend()
    until(lambda: launched.ref.statistics().is_suspended)

    with pytest.raises(AskTimeoutError):
        launched.ref.ask(Hello(), timeout=0.01)

    failed = events.expect(AskFailed)
    assert (failed.path, failed.message_type) == ("/a", "Hello")
    assert "within 0.01 s" in failed.error
    assert failed.seconds >= 0.01
