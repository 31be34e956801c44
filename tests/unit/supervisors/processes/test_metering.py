"""Use held against bounds: told once, and ended only when it lasts."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from supervisors.processes.measures import CPU_WINDOW, usage_of
from supervisors.processes.metering import Meter, Warned, look
from supervisors.specs import Bounds
from supervisors.usage import Usage


def looks(bounds, *seen):
    """What a row of looks at (instant, memory, processor seconds) means, one after another."""
    meter, judged = Meter(), []
    for now, rss, cpu in seen:
        meter, found = look(meter, now, Usage(rss, cpu, 1), bounds)
        judged.append(found)
    return judged


def test_a_soft_bound_is_told_once_until_the_use_fell_well_below():
    seen = [(n, rss, 0.0) for n, rss in enumerate((50, 101, 150, 95, 120, 80, 130))]

    told = [found.warnings for found in looks(Bounds(memory_warn_bytes=100), *seen)]

    assert told == [(), (Warned("memory", 101.0, 100.0),), (), (), (), (), (Warned("memory", 130.0, 100.0),)]


def test_a_burst_of_processor_time_is_no_fault():
    seen = [(float(n), 1, min(n, 5) * 1.0) for n in range(30)]

    assert all(found.reason is None for found in looks(Bounds(cpu_max=0.9), *seen))


def test_processors_used_over_the_whole_window_end_it():
    seen = [(n / 2, 1, n / 2 * 0.8) for n in range(60)]

    judged = looks(Bounds(cpu_warn=0.5, cpu_max=0.7), *seen)

    first = next(n for n, found in enumerate(judged) if found.reason is not None)
    assert seen[first][0] >= CPU_WINDOW
    assert judged[first].reason.detail == "cpu-limit"
    assert "0.8 processors" in judged[first].reason.crash.message
    assert [w.resource for found in judged for w in found.warnings] == ["cpu"]


def test_figures_have_the_use_since_the_look_before():
    assert [found.usage.cpu_ratio for found in looks(Bounds(), (0.0, 1, 0.0), (2.0, 1, 1.0), (3.0, 1, 3.0))] == [
        None,
        0.5,
        2.0,
    ]


@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 1)), min_size=1, max_size=60), st.floats(0.05, 2))
def test_nothing_is_ended_whose_every_look_was_within_its_bound(steps, bound):
    now = cpu = 0.0
    seen = []
    for seconds, share in steps:
        now += seconds
        cpu += seconds * share * bound * 0.99
        seen.append((now, 1, cpu))

    assert all(found.reason is None for found in looks(Bounds(cpu_max=bound), *seen))


@given(st.lists(st.floats(0.01, 60), min_size=1, max_size=100))
def test_what_is_remembered_does_not_grow_beyond_the_window(steps):
    meter, now = Meter(), 0.0
    for seconds in steps:
        now += seconds
        meter, _ = look(meter, now, Usage(1, now, 1), Bounds())
        kept = [at for at, _ in meter.looks]
        assert len([at for at in kept if at < now - CPU_WINDOW]) <= 1


def test_this_process_uses_something():
    usage = usage_of([os.getpid(), 2**22 + 1])

    assert usage.rss_bytes > 1_000_000
    assert usage.cpu_seconds > 0
    assert usage.threads >= 1
    assert usage.open_files >= 3
    assert usage_of([]) is None
