"""Which method takes which message."""

from __future__ import annotations

import pytest
from support.waiting import until

from actors import Actor, ActorSystem, Message, UnhandledMessageError, on
from actors.testing import launch


class Ping(Message[str], frozen=True):
    pass


class LoudPing(Ping, frozen=True):
    pass


class Pong(Message[str], frozen=True):
    pass


class Base(Actor):
    @on(Ping)
    def ping(self, _message: Ping) -> str:
        return "base"


class Replaced(Base):
    def ping(self, _message: Ping) -> str:
        return "replaced"


class Renamed(Base):
    @on(Ping)
    def another(self, _message: Ping) -> str:
        return "renamed"


class Closer(Base):
    @on(LoudPing)
    def loud(self, _message: LoudPing) -> str:
        return "loud"


class TakenAway(Base):
    ping = None  # type: ignore[assignment]


class Everything(Base):
    def on_receive(self, message):
        if isinstance(message, Pong):
            return "mine"
        return super().on_receive(message)


@pytest.mark.parametrize(
    ("actor", "message", "answer"),
    [
        (Base, Ping(), "base"),
        (Base, LoudPing(), "base"),
        (Replaced, Ping(), "replaced"),
        (Renamed, Ping(), "renamed"),
        (Closer, LoudPing(), "loud"),
        (Closer, Ping(), "base"),
        (Everything, Pong(), "mine"),
        (Everything, Ping(), "base"),
    ],
)
def test_a_message_goes_to_the_closest_handler(actor, message, answer, system: ActorSystem):
    ref = launch(system, actor, path="/a").ref

    assert ref.ask(message) == answer  # on this thread
    assert ref.ask(message, timeout=10) == answer  # through the mailbox


@pytest.mark.parametrize("actor", [Base, Everything, TakenAway])
def test_an_ask_without_a_handler_is_answered_with_an_error_and_the_actor_lives(actor, system: ActorSystem, placement):
    ref = launch(system, actor, path="/a", placement=placement).ref
    message = Ping() if actor is TakenAway else "what?"

    for timeout in (None, 10):
        with pytest.raises(UnhandledMessageError, match=type(message).__name__):
            ref.ask(message, timeout=timeout)

    assert ref.is_alive()


def test_a_message_without_a_handler_becomes_a_dead_letter_and_the_next_one_is_handled(system: ActorSystem, placement):
    ref = launch(system, Base, path="/a", placement=placement).ref

    ref.tell("what?")
    ref.tell("and this?")

    assert ref.ask(Ping(), timeout=10) == "base"
    ref.tell("and this?")
    until(lambda: ref.statistics().depth == 0)
    assert ref.ask(Ping(), timeout=10) == "base"
    until(lambda: ref.statistics().handling is None)
    assert [(letter.path, letter.message, letter.why) for letter in system.dead_letters.recent()] == [
        ("/a", "what?", "unhandled"),
        ("/a", "and this?", "unhandled"),
        ("/a", "and this?", "unhandled"),
    ]


def test_two_handlers_of_one_message_in_one_class_are_refused():
    with pytest.raises(TypeError, match=r"first and second both handle Ping"):

        class Twice(Actor):
            @on(Ping)
            def first(self, _message: Ping) -> str:
                return ""

            @on(Ping)
            def second(self, _message: Ping) -> str:
                return ""


def test_a_generator_as_a_handler_is_refused_for_no_message_would_run_it():
    with pytest.raises(TypeError, match=r"Lazy\.pings is a generator .* return a list, or tell each value"):

        class Lazy(Actor):
            @on(Ping)
            def pings(self, _message: Ping):
                yield "never"

    with pytest.raises(TypeError, match=r"LazyAsync\.pings is a generator"):

        class LazyAsync(Actor):
            @on(Ping)
            async def pings(self, _message: Ping):
                yield "never"
