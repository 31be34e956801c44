"""Stuck and growing: told once, and told when over."""

from __future__ import annotations

from msgspec.structs import replace

from actors.telemetry.stalls import Figures, Limits, Verdict, judge

LIMITS = Limits(stuck_after=60.0, mailbox=10)


def looks(*rounds: tuple[float, Figures]) -> list[list[tuple[Verdict, str]]]:
    memories, told = {}, []
    for now, figures in rounds:
        memories, findings = judge(memories, (replace(figures, at=now),), LIMITS)
        told.append([(finding.verdict, finding.detail) for finding in findings])
    return told


def figures(depth: int = 0, handling: str = "", since: float = 0.0, generation: int = 1) -> Figures:
    return Figures("/a", generation, depth, handling, since, at=0.0)


def test_an_actor_long_in_one_message_is_told_once_and_again_when_it_got_free():
    told = looks(
        (10.0, figures(1, "Fetch", 5.0)),
        (66.0, figures(2, "Fetch", 5.0)),
        (71.0, figures(3, "Fetch", 5.0)),
        (76.0, figures()),
    )

    assert told == [
        [],
        [(Verdict.STUCK, "handling Fetch for 61 s, 2 messages wait")],
        [],
        [(Verdict.RECOVERED, "0 messages wait")],
    ]


def test_stuck_anew_is_told_anew():
    told = looks((100.0, figures(0, "Fetch", 1.0)), (200.0, figures(0, "Fetch", 120.0)))

    assert [[verdict for verdict, _ in findings] for findings in told] == [[Verdict.STUCK], [Verdict.STUCK]]


def test_an_idle_actor_is_not_stuck_however_long_ago_its_last_message_was():
    assert looks((1000.0, figures(0, "", 0.0))) == [[]]


def test_a_mailbox_is_growing_when_over_its_limit_and_rising_twice():
    told = looks(*((float(n), figures(depth)) for n, depth in enumerate((5, 12, 12, 14, 15, 13, 9))))

    assert told == [
        [],
        [],
        [],
        [],
        [(Verdict.GROWING, "15 messages wait, 12 two looks ago")],
        [],
        [(Verdict.RECOVERED, "9 messages wait")],
    ]


def test_a_deep_mailbox_that_does_not_rise_is_left_alone():
    assert looks(*((float(n), figures(50)) for n in range(4))) == [[], [], [], []]


def test_a_new_instance_begins_without_a_past():
    told = looks((100.0, figures(0, "Fetch", 1.0)), (101.0, figures(0, "", 0.0, generation=2)))

    assert told[1] == []


def test_who_is_gone_is_forgotten():
    memories, _ = judge({}, (figures(),), LIMITS)

    assert judge(memories, (), LIMITS) == ({}, ())
