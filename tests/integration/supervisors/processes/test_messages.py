"""Messages, monitors, events, dead letters and logs between a node and its process children."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading

import pytest
from support.process_actors import (
    Add,
    AskOther,
    Counter,
    CustomError,
    Do,
    Facts,
    Fail,
    Get,
    Linked,
    Seen,
    TellOther,
    Watcher,
    WatchOther,
)
from support.processes import TIMEOUT
from support.waiting import until

from actors import ActorExitedError, AskTimeoutError, ExitKind, ExitReason, MailboxFullError, MailboxSpec, Message
from actors.core.context import enter_loop, leave_loop
from actors.errors import BlockingAskError, UnhandledMessageError
from actors.events import DeadLettered, RunFinished
from actors.exits import SHUTDOWN
from supervisors.processes.capture import logger as output
from transport.errors import EncodingError, UnknownTypeError


class NotThere(Message[int], frozen=True):
    """A message that the child cannot know: this module is not imported there."""


@pytest.fixture
def local(host):
    """A counter of the node itself, at /io/counter."""
    started = threading.Event()
    host.system.spawn(Counter, path="/io/counter", placement="thread", on_outcome=lambda _: started.set())
    assert started.wait(TIMEOUT)
    return host.system.ref("/io/counter")


def test_tells_arrive_in_order_and_none_is_lost(any_host):
    ref = any_host.start("Counter").started()

    for n in range(20_000):
        ref.tell(Add(n))

    assert ref.ask(Get()) == list(range(20_000))


def test_the_path_leads_to_the_child_as_it_would_to_a_local_actor(host):
    host.start("Counter").started()

    assert host.system.ref("/work/one").ask(Add(2), timeout=TIMEOUT) == 2


def test_an_error_of_a_handler_reaches_the_asker_as_what_it_is_and_ends_the_child(any_host):
    child = any_host.start("Counter")
    ref = child.started()

    with pytest.raises(CustomError) as caught:
        ref.ask(Fail(kind="CustomError"))

    assert caught.value.need == 7
    assert "process_actors.py" in str(caught.value.__cause__)
    assert child.exited().crash.type_name.endswith("CustomError")


def test_plain_data_without_a_handler_is_refused_and_the_child_lives(host):
    ref = host.start("Counter").started()

    with pytest.raises(UnhandledMessageError):
        ref.ask({"plain": [1, "two", None, b"x"]})

    assert ref.ask(Add(1)) == 1


def test_a_message_whose_type_the_child_cannot_know_is_refused_and_the_child_lives(host):
    ref = host.start("Counter").started()

    with pytest.raises(UnknownTypeError):
        ref.ask(NotThere())

    assert ref.ask(Add(1)) == 1


def test_what_cannot_cross_is_refused_where_it_is_sent(host):
    ref = host.start("Counter").started()

    with pytest.raises(EncodingError):
        ref.tell(object())
    with pytest.raises(EncodingError):
        ref.ask({"x": threading.Lock()})


def test_an_ask_that_is_not_answered_in_time_says_so_and_the_child_lives(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.suspend()

    for n in (1, 2):  # the first one's time is over at the far side too when that of the second is over here
        with pytest.raises(AskTimeoutError):
            ref.ask(Add(n), timeout=0.2)
    child.handle.resume()

    assert 1 not in ref.ask(Get(), timeout=TIMEOUT)  # nobody waited for it: it was passed over


def test_a_suspended_child_handles_its_messages_when_it_is_resumed(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.suspend()
    answer = ref.ask(Add(1), block=False)
    assert ref.ask(Do("stop"), block=False).done is False

    child.handle.resume()

    assert answer.get(timeout=TIMEOUT) == 1


def test_an_answer_can_be_awaited(host):
    ref = host.start("Counter").started()

    async def ask() -> int:
        with pytest.raises(AskTimeoutError):
            await ref.ask_async(Do("sleep"), timeout=0.1)
        return await other.ask_async(Add(4), timeout=TIMEOUT)

    other = host.start("Counter", "/work/two").started()

    assert asyncio.run(ask()) == 4


def test_a_blocking_ask_on_an_event_loops_thread_is_refused(host):
    ref = host.start("Counter").started()
    enter_loop()
    try:
        with pytest.raises(BlockingAskError):
            ref.ask(Add(1))
    finally:
        leave_loop()


@pytest.mark.parametrize("what", ["exit_3", "segfault"])
def test_asks_in_flight_are_answered_at_once_when_the_process_ends(any_host, what):
    child = any_host.start("Counter")
    ref = child.started()
    ref.tell(Do(what))
    answers = [ref.ask(Add(1), block=False) for _ in range(10)]

    for answer in answers:
        with pytest.raises(ActorExitedError):
            answer.get(timeout=TIMEOUT)


def test_tells_in_flight_when_the_process_ends_become_dead_letters(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.suspend()
    for n in range(5):
        ref.tell(Add(n))
    child.handle.kill()
    child.exited()

    letters = [(d.path, d.message.n) for d in host.system.dead_letters.recent()]
    assert letters == [("/work/one", n) for n in range(5)]


def test_a_message_that_crashed_its_actor_was_handled_and_is_no_dead_letter(host):
    child = host.start("Counter")
    ref = child.started()
    ref.tell(Add(1))
    ref.tell(Fail("asked to"))

    assert child.exited().crash.message == "asked to"
    assert [d.message for d in host.system.dead_letters.recent()] == []


def test_what_waited_behind_a_message_that_crashed_its_actor_is_a_dead_letter_once(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.suspend()
    ref.tell(Fail("asked to"))
    for n in range(600):
        ref.tell(Add(n))
    child.handle.resume()
    child.exited()

    assert [d.message.n for d in host.system.dead_letters.recent(1000)] == list(range(600))


def test_what_is_sent_to_an_ended_child_is_a_dead_letter_or_an_error_at_once(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.kill()
    child.exited()

    ref.tell(Add(1))
    host.system.ref("/work/one").tell(Add(2))

    assert [d.message.n for d in host.system.dead_letters.recent()] == [1, 2]
    for gone in (ref, host.system.ref("/work/one")):
        with pytest.raises(ActorExitedError):
            gone.ask(Add(1))


def test_a_slow_child_never_makes_the_sender_grow(host):
    child = host.start("Counter", mailbox=MailboxSpec(capacity=50, full="reject"))
    ref = child.started()
    child.handle.suspend()
    sent = refused = 0
    while sent < 20_000 or not refused:
        sent += 1
        try:
            ref.tell(Add(1))
        except MailboxFullError:
            refused += 1

    figures = child.handle._channel.statistics()
    assert refused == figures.rejected
    assert figures.waiting <= 50
    assert figures.under_way <= 1000


def test_a_sender_to_a_full_child_waits_and_every_message_arrives(host):
    child = host.start("Counter", mailbox=MailboxSpec(capacity=20, block_timeout=TIMEOUT))
    ref = child.started()

    for n in range(5_000):
        ref.tell(Add(n))

    assert ref.ask(Get()) == list(range(5_000))


def test_a_child_asks_and_tells_actors_of_the_node(host, local):
    ref = host.start("Counter").started()

    assert ref.ask(AskOther("/io/counter", 5), timeout=TIMEOUT) == 5
    ref.ask(TellOther("/io/counter", 6), timeout=TIMEOUT)
    assert ref.ask(AskOther("/io/counter", 0), timeout=TIMEOUT) == 11


def test_children_ask_each_other_through_the_node(any_host):
    one = any_host.start("Counter").started()
    any_host.start("Counter", "/work/two", kwargs={"start": 7}).started()

    assert one.ask(AskOther("/work/two", 1), timeout=TIMEOUT) == 8


def test_an_ask_passed_on_is_answered_when_the_process_it_went_to_ends(host):
    one = host.start("Counter")
    ref = one.started()
    two = host.start("Counter", "/work/two")
    two.started()
    two.handle.suspend()
    answer = ref.ask(AskOther("/work/two", 1), block=False)
    until(lambda: two.handle.gateway.statistics().asking, what="the ask passed on")

    two.handle.kill()

    with pytest.raises(ActorExitedError):
        answer.get(timeout=TIMEOUT)


def test_a_child_that_asks_nobody_gets_the_error_at_once(host):
    child = host.start("Counter")

    with pytest.raises(ActorExitedError, match="not running"):
        child.started().ask(AskOther("/nobody/here", 1), timeout=TIMEOUT)


def test_what_a_child_tells_nobody_is_a_dead_letter_of_the_node(host):
    host.start("Counter").started().ask(TellOther("/nobody/here", 3), timeout=TIMEOUT)
    wait = host.wait_event(DeadLettered)
    letters = host.system.dead_letters.recent()
    if not letters:
        wait()
        letters = host.system.dead_letters.recent()

    assert [(d.path, d.message, d.why) for d in letters] == [("/nobody/here", Add(3), "not running")]


def test_an_actor_of_the_node_that_monitors_a_child_gets_its_reason(host):
    started = threading.Event()
    host.system.spawn(Watcher, path="/io/watcher", placement="pool", on_outcome=lambda _: started.set())
    assert started.wait(TIMEOUT)
    child = host.start("Counter")
    child.started().tell(Add(1))
    watcher = host.system.ref("/io/watcher")
    watcher.ask(WatchOther("/work/one"))

    child.handle.ref.tell(Do("exit_3"))
    child.exited()

    assert watcher.ask(Seen()) == [("node/work/one", "crashed", "exit code 3")]


def test_a_child_that_monitors_an_actor_of_the_node_gets_its_reason(host, local):
    ref = host.start("Watcher").started()
    ref.ask(WatchOther("/io/counter"), timeout=TIMEOUT)
    ref.ask(WatchOther("/nobody"), timeout=TIMEOUT)
    gone = threading.Event()
    local.watch(lambda _: gone.set())

    local.tell(Do("stop"))
    assert gone.wait(TIMEOUT)
    until(lambda: len(ref.ask(Seen(), timeout=TIMEOUT)) == 2)

    seen = ref.ask(Seen(), timeout=TIMEOUT)
    assert ("node/io/counter", "normal", "") in seen
    assert ("node/nobody", "crashed", "noproc") in seen


def test_a_child_that_monitors_another_child_gets_its_reason(host):
    ref = host.start("Watcher").started()
    other = host.start("Counter", "/work/two")
    other.started()
    ref.ask(WatchOther("/work/two"), timeout=TIMEOUT)

    other.handle.kill()
    until(lambda: ref.ask(Seen(), timeout=TIMEOUT))

    assert ref.ask(Seen(), timeout=TIMEOUT) == [("node/work/two", "killed", "")]


def test_a_watch_that_was_cancelled_is_not_called(host):
    child = host.start("Counter")
    ref = child.started()
    calls: list[ExitReason] = []
    kept = threading.Event()
    ref.watch(calls.append).cancel()
    ref.watch(lambda _: kept.set())

    child.handle.kill()

    assert kept.wait(TIMEOUT)
    assert calls == []


def test_an_exit_signal_ends_a_child_with_its_reason(host):
    child = host.start("Counter")

    child.started().exit(ExitReason.shutdown("linked"), "node/io/other")

    assert child.exited() == ExitReason.shutdown("linked")


def test_a_child_linked_to_an_actor_of_the_node_shares_its_fate(host, local):
    child = host.start("Linked")
    child.started().ask(WatchOther("/io/counter"), timeout=TIMEOUT)
    gone: queue.Queue[ExitReason] = queue.Queue()
    local.watch(gone.put)

    local.tell(Fail("disk"))

    reason = child.exited()
    assert (reason.kind, reason.crash.message) == (ExitKind.CRASHED, "disk")
    assert gone.get(timeout=TIMEOUT) == reason


def test_a_killed_child_takes_along_the_actor_of_the_node_it_linked_itself_to(host, local):
    child = host.start("Linked")
    child.started().ask(WatchOther("/io/counter"), timeout=TIMEOUT)
    gone: queue.Queue[ExitReason] = queue.Queue()
    local.watch(gone.put)

    child.handle.kill()

    assert gone.get(timeout=TIMEOUT) == child.exited()


def test_an_actor_of_the_node_linked_to_a_child_shares_its_fate(host):
    outcomes: queue.Queue = queue.Queue()
    host.system.spawn(Linked, path="/io/linked", placement="pool", on_outcome=outcomes.put)
    outcomes.get(timeout=TIMEOUT)
    child = host.start("Counter")
    child.started()
    host.system.ref("/io/linked").ask(WatchOther("/work/one"))

    child.handle.ref.tell(Do("exit_3"))

    assert outcomes.get(timeout=TIMEOUT).reason == child.exited()


def test_events_of_a_child_arrive_on_the_nodes_bus(any_host):
    wait = any_host.wait_event(RunFinished)
    any_host.start("Counter").started().ask(Do("publish"))

    event = wait()

    assert (event.path, event.run, event.outcome, event.seconds, event.detail) == (
        *("/work/one", "run", "succeeded", 0.5, "detail"),
    )


def test_dead_letters_of_a_child_are_kept_by_the_node_once(host):
    wait = host.wait_event(DeadLettered)
    host.start("Counter").started().ask(Do("dead_letter"))

    event = wait()

    assert (event.path, event.message_type, event.why, event.sender) == ("/nowhere", "Add", "unwanted", "/work/one")
    assert [d.message for d in host.system.dead_letters.recent()] == [Add(5)]


def test_log_records_of_a_child_are_handled_by_the_node_under_their_own_logger(host, caplog):
    caplog.set_level(logging.INFO)
    child = host.start("Counter")
    child.started().ask(Do("log"))
    child.handle.stop(SHUTDOWN)
    child.exited()

    (record,) = [r for r in caplog.records if r.name == "my.actor"]
    assert (record.levelname, record.getMessage(), record.path) == ("WARNING", "from inside", "/work/one")
    assert record.pid == child.handle.pid
    assert output.name not in {r.name for r in caplog.records}


def test_a_child_loads_only_what_its_actor_needs(host):
    loaded = set(host.start("Counter").started().ask(Facts())["modules"].split())

    assert not loaded & {"duckdb", "typer", "pydantic", "croniter", "rich", "sqlite3", "supervisors.core.machine"}
    assert "supervisors.processes.host" not in loaded


def test_the_statistics_of_the_far_side_can_be_asked_for(host, local):
    local.ask(Add(1))
    gateway = host.start("Counter").started().way

    from transport.remote import AskStatistics

    assert gateway.ask("/work/one", AskStatistics(), TIMEOUT).get(timeout=TIMEOUT).failed == 0


def test_a_crash_is_told_to_who_watches_with_its_record(host):
    child = host.start("Counter")
    ref = child.started()
    reasons: list[ExitReason] = []
    told = threading.Event()
    ref.watch(lambda reason: (reasons.append(reason), told.set()))
    ref.tell(Fail("disk"))

    assert told.wait(TIMEOUT)
    assert reasons[0].kind is ExitKind.CRASHED
    assert reasons[0].crash.message == "disk"
    assert child.exited() == reasons[0]
