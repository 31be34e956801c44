"""Whether a failed attempt is made again, and when: four strategies, filters by kind and text of the error. Pure.

    attempt 1 --failed--> again_after(...) --seconds--> attempt 2 --failed--> ... --why not--> failed for good

Attempts are counted per run: a run that failed yesterday has all of its attempts today. What must not be retried is
looked at first. A custom strategy is a list of delays, or in Python any function of the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import assert_never

from msgspec import Struct

from actors.exits import said


class Strategy(Enum):
    """How delays grow."""

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    CUSTOM = "custom"


class Retry(Struct, frozen=True):
    """A rule of retries.

    Attributes:
        attempts: Tries in all, the first included; 1 means none again.
        strategy: How the delay grows.
        first: Delay before the second attempt, in seconds; with `linear` also what each further one adds.
        factor: With `exponential`, growth from one to the next; 1 or more.
        max: Longest delay, before jitter; seconds.
        jitter: Share of the delay that chance may take away or add; 0..1.
        delays: With `custom`, the delays in seconds, one after another; the last one stays.
        only: Retry nothing else: names of error classes, or parts of the error's text; empty for everything.
        never: Do not retry these, whatever `only` says.

    Raises:
        ValueError: A number is out of its range.
    """

    attempts: int = 1
    strategy: Strategy = Strategy.EXPONENTIAL
    first: float = 1.0
    factor: float = 2.0
    max: float = 30.0
    jitter: float = 0.0
    delays: tuple[float, ...] = ()
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 1_000:
            raise ValueError(f"attempts lie in 1..1000, got {self.attempts}")
        if not (0 <= self.first < float("inf") and 0 <= self.max < float("inf")):
            raise ValueError(f"first and max are 0 or more seconds, got {self.first} and {self.max}")
        if not 1 <= self.factor <= 1_000:
            raise ValueError(f"factor lies in 1..1000, got {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter lies in 0..1, got {self.jitter}")
        if any(not 0 <= delay < float("inf") for delay in self.delays):
            raise ValueError(f"delays are 0 or more seconds, got {list(self.delays)}")
        if self.strategy is Strategy.CUSTOM and not self.delays and self.attempts > 1:
            raise ValueError("the custom strategy needs delays")


class Failure(Struct, frozen=True):
    """Why an attempt failed.

    Attributes:
        kinds: Names of the error's class and of those above it, as `TimeoutError`; with or without their modules.
        text: The error's text.
    """

    kinds: tuple[str, ...] = ()
    text: str = ""


class Again(Struct, frozen=True):
    """Make the next attempt after `delay` seconds."""

    delay: float


class Enough(Struct, frozen=True):
    """Make no further attempt; `why` in words, "" where none was ever to be made."""

    why: str


def failure_of(error: BaseException) -> Failure:
    """Return what the filters see of `error`."""
    kinds: list[str] = []
    for cls in type(error).__mro__:
        if cls is BaseException:
            break
        kinds += [cls.__name__, f"{cls.__module__}.{cls.__qualname__}"]
    return Failure(tuple(kinds), said(error))


def again_after(
    rule: Retry,
    attempt: int,
    failure: Failure,
    chance: float = 0.5,
    *,
    delay: Callable[[int], float] | None = None,
) -> Again | Enough:
    """Return whether and when the next attempt is made.

    Args:
        rule: The rule.
        attempt: Attempts made, counted from 1.
        failure: How the last of them failed.
        chance: A random number in [0, 1) for the jitter; 0.5 gives the delay without it.
        delay: A custom strategy in Python, of the attempts made; `max` and the jitter apply to what it says.

    Raises:
        ValueError: `attempt` is below 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, got {attempt}")
    if attempt >= rule.attempts:
        return Enough(f"after {attempt} attempts" if rule.attempts > 1 else "")
    hit = _first_match(rule.never, failure)
    if hit:
        return Enough(f"not retried: {hit!r} is never")
    if rule.only and not _first_match(rule.only, failure):
        return Enough("not retried: only others are")
    seconds = max(0.0, min(rule.max, delay(attempt) if delay is not None else _delay(rule, attempt)))
    return Again(seconds * (1 + rule.jitter * (2 * chance - 1)))


def _delay(rule: Retry, attempt: int) -> float:
    match rule.strategy:
        case Strategy.FIXED:
            return rule.first
        case Strategy.LINEAR:
            return rule.first * attempt
        case Strategy.EXPONENTIAL:
            try:
                return rule.first * rule.factor ** (attempt - 1)
            except OverflowError:
                return rule.max
        case Strategy.CUSTOM:
            return rule.delays[min(attempt, len(rule.delays)) - 1]
        case _:
            assert_never(rule.strategy)


def _first_match(patterns: Sequence[str], failure: Failure) -> str:
    for pattern in patterns:
        if pattern and (pattern in failure.kinds or pattern in failure.text):
            return pattern
    return ""
