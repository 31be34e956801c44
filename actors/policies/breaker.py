"""A circuit breaker: after failures in a row nothing is tried for a while, then a few probes decide. Pure.

    Closed --failures--> Open --open_for seconds--> HalfOpen --probes succeed--> Closed
                          ^                            |
                          +---------- a probe fails ---+

    state, why = admit(state, rule, now)        before an attempt; "" where it may be made
    state = settle(state, rule, now, ok=...)    after it, whatever its outcome

While half open at most `probes` attempts are under way at once, and it closes only after as many have succeeded.
Outcomes of attempts that were begun before it opened do not close it. A probe that is never settled (its runner was
killed) gives its place back after `open_for` seconds.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct


class Breaker(Struct, frozen=True):
    """A rule.

    Attributes:
        failures: Failures in a row that open it; 1 or more.
        within: Seconds in which they must lie; 0 for no limit.
        open_for: Seconds it stays open; positive.
        probes: Attempts let through at once while half open, and successes needed to close; 1 or more.

    Raises:
        ValueError: A number is out of its range.
    """

    failures: int = 5
    within: float = 0.0
    open_for: float = 60.0
    probes: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.failures <= 100_000:
            raise ValueError(f"failures lie in 1..100000, got {self.failures}")
        if not 0 <= self.within < float("inf"):
            raise ValueError(f"within is 0 or more seconds, got {self.within}")
        if not 0 < self.open_for < float("inf"):
            raise ValueError(f"open_for is positive seconds, got {self.open_for}")
        if not 1 <= self.probes <= 1_000:
            raise ValueError(f"probes lie in 1..1000, got {self.probes}")


class Closed(Struct, frozen=True, tag="closed"):
    """Everything is let through; `failed_at` are the instants of the last failures in a row."""

    failed_at: tuple[float, ...] = ()


class Open(Struct, frozen=True, tag="open"):
    """Nothing is let through until the instant `until`."""

    until: float


class HalfOpen(Struct, frozen=True, tag="half-open"):
    """Probes are let through.

    Attributes:
        begun: Instants at which the probes under way began.
        succeeded: Probes that succeeded.
    """

    begun: tuple[float, ...] = ()
    succeeded: int = 0


State = Closed | Open | HalfOpen
"""Instants are of whatever clock the caller passes as `now`; one that is kept across restarts is the wall's."""


def admit(state: State, rule: Breaker, now: float) -> tuple[State, str]:
    """Return the state once an attempt is made at `now`, and "", or the state as it is and why none may be made."""
    match state:
        case Closed():
            return state, ""
        case Open(until):
            if now < until:
                return state, f"breaker open for {until - now:.0f} s more"
            return HalfOpen((now,)), ""
        case HalfOpen(begun, succeeded):
            begun = tuple(at for at in begun if now - at < rule.open_for)
            if len(begun) >= rule.probes:
                return HalfOpen(begun, succeeded), f"breaker half open, {len(begun)} of {rule.probes} probes under way"
            return HalfOpen((*begun, now), succeeded), ""
        case _:
            assert_never(state)


def settle(state: State, rule: Breaker, now: float, *, ok: bool) -> State:
    """Return the state after an attempt that was let through succeeded or failed."""
    match state:
        case Closed(failed_at):
            if ok:
                return Closed() if failed_at else state
            failed_at = (*failed_at, now)[-rule.failures :]
            if rule.within:
                failed_at = tuple(at for at in failed_at if now - at <= rule.within)
            return Open(now + rule.open_for) if len(failed_at) >= rule.failures else Closed(failed_at)
        case Open():
            return state
        case HalfOpen(begun, succeeded):
            if not begun:
                return state  # begun before it opened
            if not ok:
                return Open(now + rule.open_for)
            if succeeded + 1 >= rule.probes:
                return Closed()
            return HalfOpen(begun[1:], succeeded + 1)
        case _:
            assert_never(state)


def forgo(state: State) -> State:
    """Return the state after an attempt that was let through ended without a verdict: it gives its place back."""
    return HalfOpen(state.begun[1:], state.succeeded) if isinstance(state, HalfOpen) else state


def word(state: State) -> str:
    """Return `closed`, `open` or `half-open`."""
    return str(type(state).__struct_config__.tag)
