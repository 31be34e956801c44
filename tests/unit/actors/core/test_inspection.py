"""Looking at an actor's state shows what can be shown, and ends no actor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from actors import Actor, ActorSystem, Message, on
from actors.core.inspection import ViewState, read_state
from actors.testing import launch


class Ping(Message[str], frozen=True):
    pass


class Unspeakable:
    def __repr__(self) -> str:
        raise SystemExit("no words")


def endless() -> dict[str, Any]:
    view: dict[str, Any] = {"n": 1}
    view["self"] = view
    return view


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth > 1 else []


def failing(error: BaseException) -> Callable[[], dict[str, Any]]:
    def view() -> dict[str, Any]:
        raise error

    return view


class Shown(Actor):
    def __init__(self, view: Callable[[], Any]) -> None:
        super().__init__()
        self.view = view

    def state_view(self) -> dict[str, Any]:
        found: dict[str, Any] = self.view()
        return found

    @on(Ping)
    def ping(self, _message: Ping) -> str:
        return "pong"


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (lambda: {"n": 1, "odd": 1j, "nan": math.nan}, {"n": 1, "odd": "1j", "nan": None}),
        (lambda: {"n": 1, "text": "a\udcff"}, {"n": 1, "text": "a\\udcff"}),
        (
            lambda: {"n": 1, "deep": ["\udcff"]},
            {
                "n": 1,
                "deep": "<cannot be shown: UnicodeEncodeError: 'utf-8' codec can't encode character '\\udcff' in "
                "position 0: surrogates not allowed>",
            },
        ),
        (
            lambda: {"n": 2**64 - 1, "more": [2**64, -(2**63) - 1]},
            {"n": 2**64 - 1, "more": [str(2**64), str(-(2**63) - 1)]},
        ),
        (lambda: {"n": 1, "deep": nested(9)}, {"n": 1, "deep": [[[[[[[["…"]]]]]]]]}),
        (
            lambda: {"n": 1, "long": "x" * 2**20},
            {"n": 1, "long": "<cannot be shown: ValueError: 1,048,578 characters are too many>"},
        ),
        (
            lambda: {str(n): "x" * 1000 for n in range(2000)},
            {"error": "ValueError: 2,018,891 characters are too many to be shown"},
        ),
        (lambda: None, {"error": "TypeError: state_view() returned NoneType, not a dict"}),
        (lambda: {"n": 1, "no": Unspeakable()}, {"n": 1, "no": "<cannot be shown: SystemExit: no words>"}),
        (failing(ValueError("not yet")), {"error": "ValueError: not yet"}),
        (failing(SystemExit("gone")), {"error": "SystemExit: gone"}),
        (failing(KeyboardInterrupt()), {"error": "KeyboardInterrupt: "}),
    ],
    ids=[
        "plain",
        "surrogate",
        "deep surrogate",
        "large",
        "deep",
        "long",
        "many",
        "none",
        "hostile value",
        "raises",
        "raises SystemExit",
        "raises Ctrl-C",
    ],
)
def test_a_state_that_cannot_be_shown_is_said_and_the_actor_lives_on(system: ActorSystem, placement, view, shown):
    ref = launch(system, lambda: Shown(view), path="/a", placement=placement).ref

    assert read_state(ref.ask(ViewState(), timeout=30.0)) == shown
    assert ref.ask(Ping(), timeout=30.0) == "pong"


def test_a_state_that_contains_itself_ends_no_actor(system: ActorSystem, placement):
    ref = launch(system, lambda: Shown(endless), path="/a", placement=placement).ref

    assert "RecursionError" in str(read_state(ref.ask(ViewState(), timeout=30.0)))
    assert ref.ask(Ping(), timeout=30.0) == "pong"
