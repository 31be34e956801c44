"""Which spares to keep: pure decisions over the classes that are wanted and the spares there are.

    Wanted --> Make --> (making) --Ready--> (waiting) --Taken--> a child; another is made soon after
                           |                   |
                        Failed               Failed, Outdated, no longer wanted, no room --> Discard

A stock is what is kept of one class. Bounds: so many of each class as its children's specs say, `count_max` in all, and
`memory_max_bytes` in all, where a spare that is still to be made counts as much as the last one of its class. Whatever
goes wrong delays the next one of that class, longer each time. A stock whose class has no child any more is kept for a
while: the child may be on its way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from actors.policies.backoff import Backoff, delay_of


class Rules(Struct, frozen=True):
    """What spares are held to, in seconds and bytes.

    Attributes:
        count_max: Most spares in all.
        memory_max_bytes: Most memory of all spares.
        prepare_timeout: Longest time to get ready.
        refill_after: Pause after one was used, so that the child which starts has the processor for itself.
        keep: How long spares of a class without a child are kept.
        steady: A spare that waited this long was no failure of its class.
        backoff: Delays after failures.
    """

    count_max: int = 16
    memory_max_bytes: int = 256 * 1024 * 1024
    prepare_timeout: float = 60.0
    refill_after: float = 0.05
    keep: float = 60.0
    steady: float = 10.0
    backoff: Backoff = Backoff(0.1, 2.0, 60.0)


class Spare(Struct, frozen=True, gc=False):
    """One spare: being made since `since`, or waiting since then.

    Attributes:
        slot: Its place among those of its class, from 1; the next one there is its successor.
    """

    number: int
    since: float
    is_ready: bool = False
    size_bytes: int = 0
    slot: int = 1


class Stock(Struct, frozen=True):
    """The spares of one class.

    Attributes:
        wanted: How many to keep.
        spares: Those there are, the oldest first.
        size_bytes: What one took when it was last measured.
        failures: Failures in a row.
        not_before: When the next may be made.
        unused_since: Since when there is no child of the class; None where there is one.
    """

    wanted: int
    spares: tuple[Spare, ...] = ()
    size_bytes: int = 0
    failures: int = 0
    not_before: float = -inf
    unused_since: float | None = None


class State(Struct, frozen=True):
    """All stocks, by class; `last` is the number of the spare that was asked for last."""

    stocks: Mapping[str, Stock] = {}
    last: int = 0


class Wanted(Struct, frozen=True):
    """A child of class `target` is launched, and its spec wants `count` spares."""

    now: float
    target: str
    count: int


class Unused(Struct, frozen=True):
    """The last child of class `target` has ended."""

    now: float
    target: str


class Ready(Struct, frozen=True):
    """A spare has imported its class and takes `size_bytes`."""

    now: float
    number: int
    size_bytes: int


class Failed(Struct, frozen=True):
    """A spare did not get ready, or ended while it waited; it is gone."""

    now: float
    number: int


class Taken(Struct, frozen=True):
    """A spare became a child."""

    now: float
    number: int


class Outdated(Struct, frozen=True):
    """What class `target` is made of has changed: its spares are of no use."""

    now: float
    target: str


class Tick(Struct, frozen=True):
    """Time went by."""

    now: float


Event: TypeAlias = Wanted | Unused | Ready | Failed | Taken | Outdated | Tick


class Make(Struct, frozen=True):
    """Make spare `number` of class `target`, for its place `slot`."""

    number: int
    target: str
    slot: int = 1


class Discard(Struct, frozen=True):
    """End spare `number`; `is_failure` where that is its own fault."""

    number: int
    why: str
    is_failure: bool = False


Effect: TypeAlias = Make | Discard
Step: TypeAlias = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, rules: Rules) -> Step:
    """Return the state after `event` and the effects to perform, in order."""
    effects: list[Effect] = []
    stocks = dict(state.stocks)
    match event:
        case Wanted(_, target, count):
            known = stocks.get(target)
            if known is not None:
                stocks[target] = replace(known, wanted=count, unused_since=None)
            elif count:
                stocks[target] = Stock(count)
        case Unused(now, target):
            if target in stocks:
                stocks[target] = replace(stocks[target], unused_since=now)
        case Ready(now, number, size_bytes):
            slot = next(
                (spare.slot for stock in stocks.values() for spare in stock.spares if spare.number == number), 1
            )
            stocks = _put(stocks, number, Spare(number, now, True, size_bytes, slot), size_bytes=size_bytes)
        case Failed(now, number):
            stocks = _fail(stocks, number, now, rules)
        case Taken(now, number):
            stocks = _put(stocks, number, None, failures=0, not_before=now + rules.refill_after)
        case Outdated(_, target):
            stock = stocks.get(target)
            if stock is not None:
                effects += (Discard(spare.number, "what it imported has changed") for spare in stock.spares)
                stocks[target] = replace(stock, spares=())
        case Tick():
            pass
        case _:
            assert_never(event)
    return _settle(State(stocks, state.last), event.now, rules, effects)


def next_look(state: State, rules: Rules) -> float:
    """Return when time alone changes something; `inf`: never."""
    due = inf
    for stock in state.stocks.values():
        if stock.unused_since is not None:
            due = min(due, stock.unused_since + rules.keep)
        if len(stock.spares) < stock.wanted and stock.not_before > -inf:
            due = min(due, stock.not_before)
        due = min((due, *(spare.since + rules.prepare_timeout for spare in stock.spares if not spare.is_ready)))
    return due


def wait_of(state: State, target: str, now: float, rules: Rules) -> tuple[float, str]:
    """Return how many seconds a place of class `target` without a spare still waits for time, and what it waits for."""
    stock = state.stocks[target]
    if now < stock.not_before:
        return stock.not_before - now, "a pause after the last one" if stock.failures else "the one before was used"
    if stock.unused_since is not None:
        return 0.0, "its class has no child"
    if sum(len(each.spares) for each in state.stocks.values()) >= rules.count_max:
        return 0.0, f"no room: {rules.count_max} spares in all are the most"
    return 0.0, f"no room: spares may take {rules.memory_max_bytes} bytes in all"


def _settle(state: State, now: float, rules: Rules, effects: list[Effect]) -> Step:
    """Bring what there is to what there should be."""
    stocks = dict(state.stocks)
    for target, stock in state.stocks.items():
        if stock.unused_since is not None and now >= stock.unused_since + rules.keep:
            effects += (Discard(spare.number, "its class has no child any more") for spare in stock.spares)
            del stocks[target]
            continue
        for spare in stock.spares:
            if not spare.is_ready and now >= spare.since + rules.prepare_timeout:
                effects.append(Discard(spare.number, f"not ready within {rules.prepare_timeout:g} s", True))
                stocks = _fail(stocks, spare.number, now, rules)
        surplus = stocks[target].spares[stock.wanted :]
        effects += (Discard(spare.number, "fewer are wanted") for spare in surplus)
        stocks[target] = replace(stocks[target], spares=stocks[target].spares[: stock.wanted])
    while (large := _too_large(stocks, rules)) is not None:
        effects.append(Discard(large.number, f"spares may take {rules.memory_max_bytes} bytes in all"))
        stocks = _put(stocks, large.number, None)
    last = state.last
    for target in stocks:
        while _may_make(stocks, target, now, rules):
            last += 1
            made = stocks[target]
            slot = _free_slot(made)
            effects.append(Make(last, target, slot))
            stocks[target] = replace(made, spares=(*made.spares, Spare(last, now, False, made.size_bytes, slot)))
        if len(stocks[target].spares) < stocks[target].wanted and stocks[target].not_before <= now:
            stocks[target] = replace(stocks[target], not_before=-inf)  # what it waits for is room, not time
    return State(stocks, last), tuple(effects)


def _may_make(stocks: Mapping[str, Stock], target: str, now: float, rules: Rules) -> bool:
    stock = stocks[target]
    if len(stock.spares) >= stock.wanted or now < stock.not_before or stock.unused_since is not None:
        return False
    count = sum(len(each.spares) for each in stocks.values())
    return count < rules.count_max and _size(stocks) + stock.size_bytes <= rules.memory_max_bytes


def _free_slot(stock: Stock) -> int:
    """Return the lowest place of a stock that no spare has."""
    taken = {spare.slot for spare in stock.spares}
    return next(slot for slot in range(1, len(taken) + 2) if slot not in taken)


def _too_large(stocks: Mapping[str, Stock], rules: Rules) -> Spare | None:
    """Return the newest spare, where all together take too much."""
    if _size(stocks) <= rules.memory_max_bytes:
        return None
    return max((spare for stock in stocks.values() for spare in stock.spares), key=lambda spare: spare.number)


def _size(stocks: Mapping[str, Stock]) -> int:
    return sum(spare.size_bytes for stock in stocks.values() for spare in stock.spares)


def _fail(stocks: dict[str, Stock], number: int, now: float, rules: Rules) -> dict[str, Stock]:
    for stock in stocks.values():
        for spare in stock.spares:
            if spare.number == number:
                steady = spare.is_ready and now - spare.since >= rules.steady
                failures = 1 if steady else stock.failures + 1
                later = now + delay_of(rules.backoff, failures, 0.5)
                return _put(stocks, number, None, failures=failures, not_before=later)
    return stocks


def _put(stocks: dict[str, Stock], number: int, spare: Spare | None, **changes: object) -> dict[str, Stock]:
    """Return `stocks` with spare `number` replaced, or taken out, and its stock changed; as they are without it."""
    for target, stock in stocks.items():
        if any(each.number == number for each in stock.spares):
            kept = tuple(spare if each.number == number else each for each in stock.spares)
            left = tuple(each for each in kept if each is not None)
            return {**stocks, target: replace(stock, spares=left, **changes)}
    return stocks
