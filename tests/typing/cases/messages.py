"""How typed messages are checked: lines that end in `# error` must be refused, the others must not be."""

from __future__ import annotations

from typing import assert_type

from msgspec import Struct

from actors import Actor, ActorRef, Future, Message, PathRef, on


class Mail(Struct, frozen=True):
    subject: str


class Fetch(Message[list[Mail]], frozen=True):
    label: str = "INBOX"


class Count(Message[int], frozen=True):
    pass


class Ping(Message[None], frozen=True):
    pass


class Box(Actor):
    @on(Fetch)
    def fetch(self, message: Fetch) -> list[Mail]:
        return [Mail(message.label)]

    @on(Count, timeout=5.0)
    async def count(self, message: Count) -> int:
        return 1

    @on(Ping)
    def ping(self, message: Ping) -> None:
        self.actor_ref.tell(Count())

    @on(Ping)
    async def ping_slowly(self, message: Ping) -> None:
        answer = await self.actor_ref.ask_async(Count())
        assert_type(answer, int)


class WrongReturns(Actor):
    @on(Fetch)  # error
    def fetch(self, message: Fetch) -> int:
        return 1

    @on(Count)  # error
    async def count(self, message: Count) -> str:
        return "one"

    @on(Ping)  # error
    def ping(self, message: Ping) -> int:
        return 1


class WrongMessages(Actor):
    @on(Fetch)  # error
    def fetch(self, message: Ping) -> list[Mail]:
        return []

    @on(Count)  # error
    async def count(self, message: Fetch) -> int:
        return 1


def ask_refs(ref: ActorRef[Box], path: PathRef) -> object:
    assert_type(ref.ask(Fetch()), list[Mail])
    assert_type(ref.ask(Count(), timeout=1.0), int)
    assert_type(ref.ask(Fetch(), block=False), Future[list[Mail]])
    assert_type(ref.ask(Fetch(), block=False).get(timeout=1.0), list[Mail])
    assert_type(path.ask(Count()), int)
    assert_type(path.ask(Count(), block=False), Future[int])
    subject: str = ref.ask(Fetch())[0].subject
    wrong: int = ref.ask(Fetch())  # error
    wrong_too: str = path.ask(Count())  # error
    return subject, wrong, wrong_too


async def await_refs(ref: ActorRef[Box], path: PathRef) -> None:
    assert_type(await ref.ask_async(Fetch(), timeout=1.0), list[Mail])
    assert_type(await path.ask_async(Count()), int)
    assert_type(await ref.ask(Count(), block=False), int)
    answer = await ref.ask_async(Count())
    answer.upper()  # error


def start_actors() -> None:
    assert_type(Box.start(), ActorRef[Box])
    Box.start().ask("any object may be sent, as in pykka")
    Fetch(label=1)  # error
    on(int)  # error
