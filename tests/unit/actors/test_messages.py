"""Messages are checked when they are defined: what could not cross a process is refused there and then."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
import pytest
from msgspec import Struct

from actors import Message, MessageDefinitionError, on
from actors.messages import HANDLES, Handles, is_local, reply_type

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


class Mail(Struct, frozen=True):
    subject: str
    answers: tuple[Mail, ...] = ()


@dataclass(frozen=True)
class Point:
    x: int
    y: float


class Everything(Message[dict[str, list[Mail]]], frozen=True):
    n: int
    text: str
    raw: bytes
    maybe: float | None
    at: datetime
    colour: Colour
    point: Point
    mail: Mail
    several: tuple[Mail, ...] = ()


class Ask(Message[T], Generic[T], frozen=True):
    pass


class AskMail(Ask[Mail], frozen=True):
    pass


class AskMailAgain(AskMail, frozen=True):
    again: bool = True


def test_a_message_comes_back_from_msgpack_as_it_was():
    message = Everything(
        1, "x", b"y", None, datetime(2026, 1, 1, tzinfo=UTC), Colour.RED, Point(1, 2.0), Mail("s", (Mail("t"),))
    )

    again = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Everything)

    assert again == message


@pytest.mark.parametrize(
    ("message", "reply"),
    [(Everything, dict[str, list[Mail]]), (AskMail, Mail), (AskMailAgain, Mail), (int, Any)],
)
def test_a_message_knows_its_reply(message, reply):
    assert reply_type(message) == reply


@pytest.mark.parametrize("wrong", [object, Any, threading.Thread, list[object], dict[str, Any], Exception])
def test_a_field_that_could_not_cross_is_refused_by_its_name(wrong):
    with pytest.raises(MessageDefinitionError, match="'odd'"):
        type(Message)("Odd", (Message,), {"__annotations__": {"odd": wrong}, "__module__": __name__}, frozen=True)


def test_a_field_deep_inside_is_named_with_its_way():
    class Box(Struct):
        content: object

    with pytest.raises(MessageDefinitionError, match=r"field 'box' > .*Box\.content"):
        type(Message)("Odd", (Message,), {"__annotations__": {"box": Box}, "__module__": __name__}, frozen=True)


def test_a_reply_that_could_not_cross_is_refused():
    with pytest.raises(MessageDefinitionError, match="reply"):

        class Odd(Message[threading.Thread], frozen=True):
            pass


def test_a_local_message_may_hold_anything_and_so_may_those_derived_from_it():
    class Local(Message[object], frozen=True, local=True):
        thread: threading.Thread

    class Derived(Local, frozen=True):
        anything: Any = None

    assert Derived(threading.current_thread()).anything is None
    assert [is_local(cls) for cls in (Local, Derived, Everything)] == [True, True, False]


def test_messages_are_frozen_and_compare_by_value():
    assert AskMailAgain() == AskMailAgain(True)
    with pytest.raises(AttributeError):
        AskMailAgain().again = False  # type: ignore[misc]


def test_on_leaves_what_it_declares_on_the_handler():
    @on(AskMail, timeout=2.0)
    async def handler(self, message):
        return Mail("x")

    assert getattr(handler, HANDLES) == Handles(AskMail, 2.0, True)
    with pytest.raises(ValueError, match="positive"):
        on(AskMail, timeout=0.0)
