"""Breakers between the rules of a schedule and what is done: they see what ended, and bar what they do not let begin.

A breaker belongs to one schedule, or by its key to several; the states of all are the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.policies import breaker as breakers
from actors.scheduling import core
from actors.scheduling.states import Barred, Begin, Effect, Entry, Hold, Now, Settle

_FAILED: Final = frozenset({"failed", "timed-out"})
_FORGONE: Final = frozenset({"cancelled", "missed", "merged"})  # they say nothing of what they would have done


def guarded(
    states: dict[str, breakers.State], changed: set[str], id: str, entry: Entry, made: Iterable[Effect], now: Now
) -> tuple[Entry, list[Effect]]:
    """Pass what the rules made of a schedule that has a breaker; return its entry and what is left to be done.

    Args:
        states: Of each breaker by key; brought up to date.
        changed: Gets the breaker's key where it is in another state than before.
        id: The schedule.
        entry: It, as the rules left it.
        made: What they want done.
        now: The clocks.
    """
    rule = entry.plan.schedule.breaker
    assert rule is not None
    key = entry.plan.schedule.breaker_key or id
    waiting = list(made)
    passed: list[Effect] = []
    while waiting:
        effect: Effect | None = waiting.pop(0)
        state = before = states.get(key, breakers.Closed())
        if isinstance(effect, Begin):
            state, why = breakers.admit(state, rule, now.wall)
            if why:
                entry, more = core.step(entry, Barred(effect.run, why), now)
                waiting = [*more, *waiting]
                effect = None  # barred
        elif isinstance(effect, Hold) and effect.state == "retrying":
            state = breakers.settle(state, rule, now.wall, ok=False)
        elif isinstance(effect, Settle) and effect.state == "succeeded":
            state = breakers.settle(state, rule, now.wall, ok=True)
        elif isinstance(effect, Settle) and effect.state in _FAILED and not effect.why.startswith("not tried again"):
            state = breakers.settle(state, rule, now.wall, ok=False)
        elif isinstance(effect, Settle) and effect.state in _FORGONE:
            state = breakers.forgo(state)
        if effect is not None:
            passed.append(effect)
        if state is not before:
            states[key] = state
            if type(state) is not type(before):
                changed.add(key)
    return entry, passed
