"""Restarts are counted in all and over the last day, however many there are."""

from __future__ import annotations

from actors.core.bus import EventBus
from actors.events import ActorStateChanged, RestartScheduled
from actors.exits import NORMAL
from supervisors.node.restarts import DAY_MINUTES, RestartCount

DAY = DAY_MINUTES * 60.0


def restart(at: float) -> RestartScheduled:
    return RestartScheduled(at, "/a", "/", "one_for_one", 1, 1, 0.0, ("/a",), 1, 3, NORMAL)


def counted(*times: float) -> RestartCount:
    bus, count = EventBus(), RestartCount()
    bus.subscribe(count.take, count.kinds)
    for at in times:
        bus.publish(restart(at))
        bus.publish(ActorStateChanged(at, "/a", 1, "suspended", ""))
    return count


def test_every_restart_counts_and_nothing_else_does():
    count = counted(*[10.0] * 30_000)

    assert (count.total, count.within_day(10.0)) == (30_000, 30_000)


def test_what_lies_more_than_a_day_back_counts_in_all_only():
    count = counted(0.0, 59.0, 60.0, DAY)

    assert count.total == 4
    assert count.within_day(DAY - 60.0) == 4
    assert count.within_day(DAY) == 2
    assert count.within_day(3 * DAY) == 0


def test_a_minute_each_for_a_week_keeps_a_day():
    count = counted(*(60.0 * minute for minute in range(7 * DAY_MINUTES)))

    assert (count.total, count.within_day(7 * DAY - 60.0)) == (7 * DAY_MINUTES, DAY_MINUTES)


def test_a_wall_clock_set_back_loses_no_restart():
    count = counted(10_000.0, 100.0, 10_001.0)

    assert count.within_day(10_060.0) == 3
