from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actors.history.ledger import Ledger

batches = st.lists(st.integers(1, 40), max_size=60)


def filled(numbers: list[int]) -> Ledger:
    ledger = Ledger()
    for number in numbers:
        ledger.add("a", number)
    return ledger


@given(batches, st.integers(1, 45))
def test_a_batch_is_known_exactly_when_it_was_added(numbers, asked):
    assert (("a", asked) in filled(numbers)) == (asked in numbers)


@given(batches, st.integers(0, 45))
def test_what_is_missing_is_exactly_what_was_not_added(numbers, through):
    missing = [n for first, last in filled(numbers).missing("a", through) for n in range(first, last + 1)]

    assert missing == [n for n in range(1, through + 1) if n not in numbers]


@given(batches)
def test_ranges_are_sorted_apart_and_as_few_as_can_be(numbers):
    ranges = filled(numbers).ranges("a")

    for (_, last), (first, _) in pairwise(ranges):
        assert first > last + 1
    assert sum(last - first + 1 for first, last in ranges) == len(set(numbers))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10)), max_size=20))
def test_whole_ranges_count_as_each_of_their_batches(spans):
    ledger = Ledger()
    for first, more in spans:
        ledger.add("a", first, first + more)

    known = {n for n in range(1, 60) if ("a", n) in ledger}
    assert known == {n for first, more in spans for n in range(first, first + more + 1)}


def test_sources_do_not_know_each_others_batches():
    ledger = filled([1])

    assert ("b", 1) not in ledger
    assert ledger.missing("b", 1) == ((1, 1),)
