"""Events whose fields hold what nobody should publish: for tests of what the history makes of them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from actors.events import (
    ActorReported,
    ActorStarted,
    CommandDone,
    DeadLettered,
    Event,
    MetricSampled,
    RestartScheduled,
    RunFinished,
)
from actors.exits import ExitReason

FIRST_INSTANT = -62_135_596_800.0
"""The first of January of the year 1, in seconds since the epoch: the earliest instant that Python has."""

AFTER_INSTANTS = 253_402_300_800.0
"""The first second of the year 10000."""


class Foreign(Event, frozen=True):
    """An event class of a program's own, which the history has never heard of."""

    TOPIC = "job"
    thing: object


class Mute:
    """A value that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("mute")


def nested(depth: int) -> list[Any]:
    """Return lists inside one another."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def repeated(depth: int) -> list[Any]:
    """Return a few lists that, written out, are 2 ** `depth`: each holds the one before it twice."""
    inner: list[Any] = ["x"]
    for _ in range(depth):
        inner = [inner, inner]
    return inner


def endless() -> list[Any]:
    """Return a list that holds itself, twice."""
    inner: list[Any] = []
    inner += [inner, inner]
    return inner


MONSTERS: dict[str, object] = {
    "nested ten thousand deep": nested(10_000),
    "nested as deep as is encoded": nested(400),
    "a list that holds itself": endless(),
    "a few lists that are a trillion": repeated(40),
    "a million numbers": list(range(1_000_000)),
    "a thousand long texts": ["x" * 100_000] * 1_000,
    "a million keys": {f"key {n}": n for n in range(1_000_000)},
    "control characters": ["\0" * 100_000] * 100,
    "a text of ten megabytes": "\U0001f600" * 2_500_000,
    "bytes of ten megabytes": b"\xff" * 10_000_000,
    "an integer of ten thousand digits": 10**10_000,
    "keys that are no texts": {(1, 2): {None: 3}, 4.5: {b"\xff": 6}},
    "a value that is mute": Mute(),
    "a set of odd things": {math.nan, math.inf, -0.0, "\ud800", b"\xff"},
}
"""Values of fields, each of which once cost a row, its neighbours or the thread."""

texts = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["", "\0", "\ud800", "a\udfffb", "\x1b[31m", "'; DROP TABLE events; --", "x" * 5_000, "é\U0001f600\u2028", "NaN"]
)
numbers = st.one_of(
    st.floats(),
    st.sampled_from([-0.0, 5e-324, 1.7976931348623157e308, 2.0**63]),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([1 << 63, 1 << 64, -(1 << 63) - 1, 10**400]),
)
instants = st.one_of(
    st.floats(FIRST_INSTANT, AFTER_INSTANTS - 1.0),
    st.floats(-3e9, 3e10),
    st.sampled_from([0.0, -0.0, -1.5, 1_750_000_000.0, 9_214_646_400.0, -2_208_988_800.0]),
)
no_instants = st.sampled_from(
    [
        math.nan,
        math.inf,
        -math.inf,
        1e30,
        -1e30,
        FIRST_INSTANT - 86_400.0,
        AFTER_INSTANTS + 86_400.0,
        10**400,
        None,
        "noon",
        [],
        dt.datetime(2026, 11, 21, 14, 2),  # noqa: DTZ001 (naive is the point)
        dt.datetime(2026, 11, 21, 14, 2, tzinfo=dt.UTC),
    ]
)
odd = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.binary(max_size=40) | st.just(Decimal("NaN")) | st.builds(Mute),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


@st.composite
def hostile_events(draw: st.DrawFn) -> Event:
    """Return an event whose fields are anything at all."""
    at: Any = draw(instants | no_instants)
    path = draw(texts)
    anything: Any = odd
    kind = draw(st.integers(0, 7))
    match kind:
        case 0:
            return MetricSampled(at, path, draw(texts), draw(numbers | anything), draw(texts))
        case 1:
            return CommandDone(at, path, draw(texts), draw(texts), draw(texts), draw(texts), draw(numbers))
        case 2:
            return RunFinished(at, path, draw(texts), draw(texts), draw(numbers), draw(anything))
        case 3:
            return ActorReported(at, path, draw(numbers), draw(texts), draw(st.dictionaries(texts, anything)))
        case 4:
            return ActorStarted(at, path, draw(anything), draw(texts), draw(numbers), draw(numbers))
        case 5:
            return DeadLettered(at, path, draw(anything), draw(texts), draw(texts))
        case 6:
            group = tuple(draw(st.lists(texts, max_size=3)))
            return RestartScheduled(at, path, "/", "one_for_one", 1, 1, 0.5, group, 1, 5, ExitReason.killed())
        case _:
            return Foreign(at, path, draw(anything))
