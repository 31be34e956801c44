"""What a flight record shows of foreign values: small, plain, without secrets, whatever their classes do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import pytest
from msgspec import Meta

from actors import Message
from actors.core.redacting import ITEMS_LIMIT, REDACTED, TEXT_LIMIT, Plainer, secret_fields
from actors.flightrecord import SECRET
from supervisors.node.credentials import Secret


class Raises:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Endless:
    def __repr__(self) -> str:
        while True:
            pass

    __str__ = __iter__ = __len__ = __repr__  # type: ignore[assignment]


class HugeText(str):
    def __len__(self) -> int:
        return 1 << 60

    def __str__(self) -> str:
        return "x" * (1 << 28)


class Colour(Enum):
    RED = 1


class Login(Message[None], frozen=True):
    user: str
    password: str
    note: Annotated[str, SECRET]
    pins: Annotated[dict[str, str], Meta(extra={"secret": True})]
    pin: int = 1234
    pinned: bool = True


@dataclass
class Card:
    number: int
    api_key: str
    inner: Any = None


def plain(value: Any, budget: int = 10_000) -> Any:
    found = Plainer(budget).plain(value)
    json.dumps(found)
    return found


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "text"])
def test_what_is_plain_stays(value: Any) -> None:
    assert plain(value) == value


def test_secrets_are_not_shown_wherever_they_stand() -> None:
    message = Login("ann", "hunter2", "hunter3", {"a": "hunter4"})
    card = Card(7, "hunter5", {"token": "hunter6", "Authorization": "hunter7", "deep": [Secret("hunter8"), message]})

    text = json.dumps(plain([message, card]))

    assert "hunter" not in text
    assert "1234" not in text
    assert text.count(REDACTED) == 8
    assert '"user": "ann"' in text
    assert '"pinned": true' in text
    assert secret_fields(Login) == {"password", "note", "pins", "pin"}


@pytest.mark.parametrize("make", [Raises, Endless, HugeText, object, lambda: type, lambda: print], ids=range(6))
def test_no_code_of_a_values_class_is_run(make: Any) -> None:
    value = make()

    found = plain([value, {"k": value}, Card(1, "", value)])

    assert found[0].startswith("<")


def test_what_is_long_deep_or_wide_is_cut_and_says_so() -> None:
    deep: Any = []
    deep.append(deep)
    plainer = Plainer(1_000_000)

    text = plainer.plain("x" * 10_000_000)
    wide = plainer.plain(list(range(100_000)))
    many = plainer.plain({str(n): n for n in range(1_000)})
    plainer.plain(deep)

    assert len(text) < TEXT_LIMIT + 50
    assert "9999800 characters cut" in text
    assert len(wide) == ITEMS_LIMIT + 1
    assert wide[-1] == f"… {100_000 - ITEMS_LIMIT} more"
    assert many["…"] == f"{1_000 - ITEMS_LIMIT} more"
    assert plainer.cut
    assert len(json.dumps(Plainer(500).plain([[["y" * 100] * 16] * 16] * 16))) < 8_000


def test_numbers_beyond_the_wire_bytes_enums_and_lone_surrogates_have_a_form() -> None:
    assert plain(2**100) == "<int of 101 bits>"
    assert plain(b"secret bytes") == "<12 bytes>"
    assert plain(Colour.RED) == "Colour.RED"
    assert plain("a\ud800") == "a\\ud800"
