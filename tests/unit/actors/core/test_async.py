"""Handlers and hooks that are coroutines: no thread waits, and a stop or a deadline really ends them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time

import pytest
from support.waiting import until

from actors import (
    Actor,
    ActorExitedError,
    ActorSystem,
    AskTimeoutError,
    BlockingAskError,
    Exited,
    Ignore,
    Ignored,
    MailboxFullError,
    MailboxSpec,
    Message,
    StartFailed,
    on,
)
from actors.exits import NORMAL, SHUTDOWN, ExitKind
from actors.testing import PATIENCE, Collector, ManualClock, launch


class Wait(Message[str], frozen=True, local=True):
    event: object = None
    seconds: float = 0.0


class Hello(Message[str], frozen=True):
    pass


class Raise(Message[None], frozen=True):
    pass


class Hanging(Message[None], frozen=True):
    pass


class Limited(Message[None], frozen=True):
    pass


class Agent(Actor):
    def __init__(self, seen: Collector | None = None) -> None:
        super().__init__()
        self.seen = seen if seen is not None else Collector()

    @on(Wait)
    async def wait(self, message: Wait) -> str:
        await asyncio.sleep(message.seconds)
        return "waited"

    @on(Hanging)
    async def hang(self, _message: Hanging) -> None:
        self.seen("hanging")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            self.seen("cancelled")
            raise

    @on(Limited, timeout=5.0)
    async def limited(self, _message: Limited) -> None:
        self.seen("hanging")
        await asyncio.sleep(1000)

    @on(Raise)
    async def fail(self, _message: Raise) -> None:
        await asyncio.sleep(0)
        raise ValueError("bad")

    @on(Hello)
    def hello(self, _message: Hello) -> str:
        return "hello"

    async def on_stop(self) -> None:
        await asyncio.sleep(0)
        self.seen("on_stop")


def test_plain_and_async_handlers_of_one_actor_take_turns(system: ActorSystem, placement):
    ref = launch(system, Agent, path="/a", placement=placement).ref

    answers = [ref.ask(message, block=False) for message in (Wait(), Hello(), Wait(), Hello())]

    assert [answer.get(timeout=PATIENCE) for answer in answers] == ["waited", "hello"] * 2
    assert ref.ask(Hello()) == "hello"
    assert ref.statistics().handled == 5


@pytest.mark.parametrize("reentrant", [False, True])
def test_async_messages_that_wait_for_the_start_are_awaited(system: ActorSystem, placement, reentrant):
    go_on = threading.Event()

    class Late(Agent):
        def on_start(self) -> None:
            assert go_on.wait(PATIENCE)

    Late.reentrant = reentrant
    system.spawn(Late, path="/a", placement=placement, on_outcome=lambda _outcome: None)
    answers = [system.ref("/a").ask(message, block=False) for message in (Wait(), Hello(), Wait())]
    go_on.set()

    assert [answer.get(timeout=PATIENCE) for answer in answers] == ["waited", "hello", "waited"]


def test_one_message_is_handled_at_a_time(system: ActorSystem, placement):
    class Careful(Actor):
        inside = 0

        async def on_receive(self, message):
            self.inside += 1
            await asyncio.sleep(0.001)
            found = self.inside
            self.inside -= 1
            return found

    ref = launch(system, Careful, path="/a", placement=placement).ref

    assert {ref.ask(n, block=False).get(timeout=PATIENCE) for n in range(5)} == {1}
    assert {answer.get(timeout=PATIENCE) for answer in [ref.ask(n, block=False) for n in range(20)]} == {1}


def test_a_stop_cancels_the_awaiting_handler(system: ActorSystem, placement):
    seen = Collector()
    launched = launch(system, lambda: Agent(seen), path="/a", placement=placement)
    asked = launched.ref.ask(Hanging(), block=False)
    seen.wait_count(1)

    launched.stop(SHUTDOWN)

    assert launched.outcomes.expect(Exited).reason == SHUTDOWN
    with pytest.raises(ActorExitedError, match="was stopped while handling"):
        asked.get(timeout=PATIENCE)
    assert seen.all == ("hanging", "cancelled", "on_stop")


def test_a_coroutine_that_is_cancelled_before_its_first_step_leaves_no_trace(system: ActorSystem):
    held, go_on = threading.Event(), threading.Event()

    def hold_up_the_loop() -> None:
        held.set()
        assert go_on.wait(PATIENCE)

    launched = launch(system, Agent, path="/a")
    system.loop.post(hold_up_the_loop)
    assert held.wait(PATIENCE)
    asked = launched.ref.ask(Hanging(), block=False)
    until(lambda: launched.ref._work is not None)
    system.loop.post(launched.ref._work.cancel, SHUTDOWN)  # comes between the task's making and its first step
    launched.stop(SHUTDOWN)
    go_on.set()

    assert launched.outcomes.expect(Exited).reason == SHUTDOWN
    with pytest.raises(ActorExitedError):
        asked.get(timeout=PATIENCE)
    gc.collect()  # a coroutine that was never awaited would warn here


def test_an_ask_that_times_out_cancels_its_handler_and_the_actor_goes_on(system: ActorSystem, placement):
    seen = Collector()
    ref = launch(system, lambda: Agent(seen), path="/a", placement=placement).ref

    timeout = 0.05
    while not seen.all:  # again where the time was over before the handler was begun
        with pytest.raises(AskTimeoutError):
            ref.ask(Hanging(), timeout=timeout)
        assert ref.ask(Hello(), timeout=PATIENCE) == "hello"
        timeout *= 4

    assert seen.all == ("hanging", "cancelled")


def test_the_deadline_of_an_ask_that_does_not_block_cancels_its_handler_too(system: ActorSystem):
    seen = Collector()
    ref = launch(system, lambda: Agent(seen), path="/a").ref

    asked = ref.ask(Hanging(), block=False, timeout=0.05)

    with pytest.raises(AskTimeoutError):
        asked.get(timeout=PATIENCE)
    assert ref.ask(Hello(), timeout=PATIENCE) == "hello"


def test_a_handler_beyond_its_own_limit_is_cancelled_and_the_actor_crashes():
    clock = ManualClock()
    with ActorSystem("test", clock=clock) as system:
        seen = Collector()
        launched = launch(system, lambda: Agent(seen), path="/a")
        asked = launched.ref.ask(Limited(), block=False)
        seen.wait_count(1)
        until(lambda: system.timers.next_due() is not None)

        clock.advance(4.9)
        assert not asked.done
        clock.advance(0.1)

        with pytest.raises(TimeoutError, match="longer than 5 s"):
            asked.get(timeout=PATIENCE)
        reason = launched.outcomes.expect(Exited).reason
        assert reason.crash.type_name == "builtins.TimeoutError"


def test_a_handler_within_its_limit_leaves_no_timer_behind():
    clock = ManualClock()
    with ActorSystem("test", clock=clock) as system:

        class Quick(Actor):
            @on(Hello, timeout=5.0)
            async def hello(self, _message: Hello) -> str:
                return "hello"

        launched = launch(system, Quick, path="/a")

        assert launched.ref.ask(Hello(), timeout=PATIENCE) == "hello"
        assert clock.advance(100.0) == 0
        assert launched.ref.ask(Hello(), timeout=PATIENCE) == "hello"


def test_an_error_in_an_async_handler_follows_the_failure_rules(system: ActorSystem, placement):
    launched = launch(system, Agent, path="/a", placement=placement)

    with pytest.raises(ValueError, match="bad"):
        launched.ref.ask(Raise(), timeout=PATIENCE)

    reason = launched.outcomes.expect(Exited).reason
    assert reason.kind is ExitKind.CRASHED
    assert "raise ValueError" in reason.crash.traceback


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_an_async_handler_that_ends_the_program_ends_its_actor_only(system: ActorSystem, error, placement):
    class Leaving(Actor):
        async def on_receive(self, message):
            raise error

    bystander = launch(system, Agent, path="/bystander").ref
    launched = launch(system, Leaving, path="/a", placement=placement)
    with pytest.raises(ActorExitedError, match=type(error).__name__):
        launched.ref.ask("go", timeout=PATIENCE)

    reason = launched.outcomes.expect(Exited).reason
    assert reason == NORMAL or reason.crash.type_name == "builtins.KeyboardInterrupt"
    assert bystander.ask(Wait(), timeout=PATIENCE) == "waited"


def test_an_async_on_failure_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match="on_failure"):

        class Late(Actor):
            async def on_failure(self, exception_type, exception_value, traceback):
                pass


def test_a_time_limit_on_a_plain_handler_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match="no coroutine"):

        class Unstoppable(Actor):
            @on(Hello, timeout=1.0)
            def hello(self, _message: Hello) -> str:
                return ""


def test_many_blocking_calls_are_handed_to_threads_at_once(system: ActorSystem):
    together = threading.Barrier(20)

    class Calling(Actor):
        async def on_receive(self, message):
            return await asyncio.to_thread(together.wait, PATIENCE)

    asked = [launch(system, Calling, path=f"/a{n}").ref.ask("go", block=False) for n in range(20)]

    assert sorted(answer.get(timeout=PATIENCE) for answer in asked) == list(range(20))


def test_a_handler_that_cancels_itself_crashes(system: ActorSystem):
    class Odd(Actor):
        async def on_receive(self, message):
            raise asyncio.CancelledError

    launched = launch(system, Odd, path="/a")
    launched.ref.tell("go")

    assert "CancelledError" in launched.outcomes.expect(Exited).reason.crash.type_name


def test_an_async_start_may_succeed_ignore_or_fail(system: ActorSystem, placement):
    class Starting(Actor):
        def __init__(self, what) -> None:
            super().__init__()
            self.what = what

        async def on_start(self):
            await asyncio.sleep(0)
            if self.what is ValueError:
                raise ValueError("no")
            return self.what

    launch(system, lambda: Starting(None), path="/a", placement=placement)
    outcomes = Collector()
    system.spawn(lambda: Starting(Ignore("off")), path="/b", placement=placement, on_outcome=outcomes)
    assert outcomes.expect(Ignored).why == "off"
    system.spawn(lambda: Starting(ValueError), path="/c", placement=placement, on_outcome=outcomes)
    assert outcomes.expect(StartFailed).reason.crash.message == "no"


def test_awaiting_another_actor_blocks_no_thread(system: ActorSystem):
    class Asking(Actor):
        async def on_receive(self, message):
            return await system.ref("/answering").ask_async(Wait(seconds=0.001))

    launch(system, Agent, path="/answering")
    refs = [launch(system, Asking, path=f"/a{n}").ref for n in range(30)]

    assert [answer.get(timeout=PATIENCE) for answer in [ref.ask(0, block=False) for ref in refs]] == ["waited"] * 30


def test_an_awaited_ask_times_out_and_reports_errors(system: ActorSystem):
    class Asking(Actor):
        async def on_receive(self, message):
            try:
                return await launched.ref.ask_async(message, timeout=0.05 if isinstance(message, Hanging) else PATIENCE)
            except (AskTimeoutError, ValueError) as error:
                return type(error).__name__

    launched = launch(system, Agent, path="/answering")
    asking = launch(system, Asking, path="/asking").ref

    assert asking.ask(Hanging(), timeout=PATIENCE) == "AskTimeoutError"
    assert asking.ask(Hello(), timeout=PATIENCE) == "hello"
    assert asking.ask(Raise(), timeout=PATIENCE) == "ValueError"


def test_a_timeout_error_that_is_the_answer_is_not_taken_for_a_late_answer(system: ActorSystem):
    class Late(Actor):
        def on_receive(self, message):
            raise TimeoutError("from within")

    class Asking(Actor):
        async def on_receive(self, message):
            try:
                await late.ref.ask_async("x", timeout=PATIENCE)
            except TimeoutError as error:
                return str(error)

    late = launch(system, Late, path="/late")

    assert launch(system, Asking, path="/asking").ref.ask("go", timeout=PATIENCE) == "from within"


def test_a_blocking_ask_on_the_event_loop_is_refused(system: ActorSystem):
    class Blocking(Actor):
        async def on_receive(self, message):
            with pytest.raises(BlockingAskError, match="ask_async"):
                other.ref.ask(Hello())
            with pytest.raises(BlockingAskError):
                other.ref.ask(Hanging(), block=False).get()
            return "refused"

    other = launch(system, Agent, path="/other")

    assert launch(system, Blocking, path="/a").ref.ask("go", timeout=PATIENCE) == "refused"


def test_the_event_loop_never_waits_for_room_in_a_mailbox(system: ActorSystem):
    gate = threading.Event()

    class Full(Actor):
        mailbox = MailboxSpec(1, "block")

        def on_receive(self, message):
            assert gate.wait(PATIENCE)

    class Telling(Actor):
        async def on_receive(self, message):
            with contextlib.suppress(MailboxFullError):
                for _ in range(10):
                    full.ref.tell("x")
                return "never full"
            return "full"

    full = launch(system, Full, path="/full", placement="thread")

    assert launch(system, Telling, path="/telling").ref.ask("go", timeout=PATIENCE) == "full"
    gate.set()


def test_ten_thousand_actors_await_at_once(system: ActorSystem, monkeypatch):
    monkeypatch.setattr("actors.core.pool.SPARE_IDLE", 0.01)  # a busy machine has the pool make spares, for a while
    release = []
    entered = Collector()

    class Awaiting(Actor):
        async def on_receive(self, message):
            waiter = asyncio.get_running_loop().create_future()
            release.append((asyncio.get_running_loop(), waiter))
            entered(1)
            return await waiter

    n = 10_000
    for k in range(n):
        system.spawn(Awaiting, path=f"/a{k}", on_outcome=lambda _outcome: None)
    threads = threading.active_count()
    answers = [system.ref(f"/a{k}").ask("go", block=False) for k in range(n)]
    entered.wait_count(n)
    until(lambda: threading.active_count() - threads <= 3, what="no more than the loop's thread, and a spare or two")
    for loop, waiter in release:
        loop.call_soon_threadsafe(waiter.set_result, "done")

    assert {answer.get(timeout=PATIENCE) for answer in answers} == {"done"}


def test_a_proxy_call_of_an_async_method_is_awaited(system: ActorSystem):
    class Proxied(Actor):
        async def fetch(self, n: int) -> int:
            await asyncio.sleep(0)
            return n + 1

    ref = Proxied.start()

    assert ref.proxy().fetch(1).get(timeout=PATIENCE) == 2
    assert ref.stop()


class Shared(Actor):
    reentrant = True

    def __init__(self, seen: Collector | None = None) -> None:
        super().__init__()
        self.seen = seen if seen is not None else Collector()
        self.gate: asyncio.Event | None = None
        self.inside = 0

    @on(Wait)
    async def wait(self, _message: Wait) -> str:
        self.inside += 1
        if self.gate is None:
            self.gate = asyncio.Event()
        try:
            await self.gate.wait()
            return "waited"
        finally:
            self.inside -= 1
            self.seen("left")

    @on(Hello)
    def count(self, _message: Hello) -> str:
        return str(self.inside)

    @on(Limited)
    async def open(self, _message: Limited) -> None:
        assert self.gate is not None
        self.gate.set()

    @on(Raise)
    async def fail(self, _message: Raise) -> None:
        raise ValueError("bad")

    def on_stop(self) -> None:
        self.seen("on_stop")

    def on_failure(self, *_args) -> None:
        self.seen("on_failure")


def test_a_reentrant_actor_takes_the_next_message_while_others_await(system: ActorSystem, placement):
    ref = launch(system, Shared, path="/a", placement=placement).ref
    waiting = [ref.ask(Wait(), block=False) for _ in range(10)]

    assert ref.ask(Hello(), timeout=PATIENCE) == "10"
    ref.tell(Limited())

    assert [answer.get(timeout=PATIENCE) for answer in waiting] == ["waited"] * 10
    assert ref.ask(Hello(), timeout=PATIENCE) == "0"


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_reentrant_actor_ends_after_all_its_handlers_were_cancelled(system: ActorSystem, placement, how):
    seen = Collector()
    launched = launch(system, lambda: Shared(seen), path="/a", placement=placement)
    waiting = [launched.ref.ask(Wait(), block=False) for _ in range(5)]
    assert launched.ref.ask(Hello(), timeout=PATIENCE) == "5"

    if how == "stop":
        launched.stop(SHUTDOWN)
    else:
        launched.ref.tell(Raise())

    reason = launched.outcomes.expect(Exited).reason
    assert reason.kind is (ExitKind.SHUTDOWN if how == "stop" else ExitKind.CRASHED)
    for answer in waiting:
        with pytest.raises(ActorExitedError):
            answer.get(timeout=PATIENCE)
    assert seen.all == ("left",) * 5 + ("on_stop" if how == "stop" else "on_failure",)


def test_a_reentrant_actor_has_a_bound_to_what_it_begins(system: ActorSystem, monkeypatch):
    monkeypatch.setattr("actors.core.interleave.IN_FLIGHT_LIMIT", 3)
    ref = launch(system, Shared, path="/a").ref
    waiting = [ref.ask(Wait(), block=False) for _ in range(10)]
    actor = ref._actor_weakref()
    until(lambda: actor.inside == 3)
    until(lambda: ref.statistics().depth == 7)

    assert (actor.inside, ref.statistics().depth) == (3, 7)
    system.loop.post(actor.gate.set)

    assert [answer.get(timeout=PATIENCE) for answer in waiting] == ["waited"] * 10


def test_a_reentrant_actor_ends_normally_when_it_stops_itself(system: ActorSystem):
    class Leaving(Shared):
        @on(Raise)
        async def fail(self, _message: Raise) -> None:
            self.stop()

    launched = launch(system, Leaving, path="/a")
    launched.ref.tell(Raise())

    assert launched.outcomes.expect(Exited).reason == NORMAL


def test_abandoning_a_reentrant_actor_cancels_its_handlers(system: ActorSystem):
    seen = Collector()
    launched = launch(system, lambda: Shared(seen), path="/a")
    waiting = launched.ref.ask(Wait(), block=False)
    assert launched.ref.ask(Hello(), timeout=PATIENCE) == "1"

    launched.launch.abandon()

    seen.expect(str, where=lambda what: what == "left")
    with pytest.raises(ActorExitedError):
        waiting.get(timeout=PATIENCE)


def test_an_asyncio_program_asks_actors_without_blocking(system: ActorSystem):
    ref = launch(system, Agent, path="/a").ref

    async def main():
        began = time.monotonic()
        answers = await asyncio.gather(*(ref.ask_async(Wait()) for _ in range(5)), ref.ask_async(Hello()))
        with pytest.raises(AskTimeoutError):
            await ref.ask_async(Hanging(), timeout=0.01)
        return answers, time.monotonic() - began

    answers, _ = asyncio.run(main())

    assert answers == ["waited"] * 5 + ["hello"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_task_that_would_end_a_program_ends_no_loop(system: ActorSystem, caplog: pytest.LogCaptureFixture, error):
    class Careless(Agent):
        @on(Raise)
        async def raise_in_a_task(self, _: Raise) -> None:
            asyncio.get_running_loop().call_soon(self.leave)

        def leave(self) -> None:
            raise error(3)

    ref = launch(system, Careless, path="/a").ref
    ref.ask(Raise(), timeout=PATIENCE)

    assert ref.ask(Wait(), timeout=PATIENCE) == "waited"
    assert "raised what ends a program" in caplog.text
