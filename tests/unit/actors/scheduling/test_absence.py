"""A month in which nothing ran: what is caught up on is bounded, and what is not is counted."""

from __future__ import annotations

import pytest

from actors.scheduling.engine import Engine
from actors.scheduling.plans import Missed, MissedPolicy, Schedule, plan_of
from actors.scheduling.states import Begin, Ended, Now, Settle, Standing

BEGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
MINUTES = 30 * 1440


@pytest.mark.parametrize(
    ("policy", "runs", "state"),
    [
        (MissedPolicy.ALL, 5, "missed"),
        (MissedPolicy.ONCE, 1, "merged"),
        (MissedPolicy.SKIP, 1, "missed"),  # the last one is not a minute late
    ],
)
def test_a_month_away_runs_no_more_than_the_policy_says_and_counts_the_rest(policy, runs, state):
    engine = Engine()
    missed = Missed(policy, window=60 * 86_400.0, most=5)
    schedule = Schedule(id="s", cron="* * * * *", handler="os:getpid", missed=missed)
    engine.put(plan_of(schedule), Now(BEGIN, 0.0), Standing(since=BEGIN))
    now = Now(BEGIN + MINUTES * 60.0 + 1.0, 10.0)

    effects, begun, rows, counted = [], [], 0, 0
    while engine.wait(now) == 0.0 or effects:
        effects = effects or engine.look(now)
        following = []
        for id, effect in effects:
            if isinstance(effect, Begin):
                begun.append(effect.run.slot_at)
                following += engine.feed(id, Ended(effect.run.slot_at, effect.run.round, "succeeded"), now)
            elif isinstance(effect, Settle) and effect.state == state:
                rows += 1
                counted += effect.count
        effects = following

    assert begun == [BEGIN + 60.0 * number for number in range(MINUTES - runs + 1, MINUTES + 1)]
    assert counted == MINUTES - runs
    assert rows < 50  # a row for each piece of the absence, not for each slot
