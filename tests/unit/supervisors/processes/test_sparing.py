"""Which spares are kept: the bounds hold whatever happens, and what goes wrong is tried again, later each time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.policies.backoff import Backoff
from supervisors.processes.sparing import (
    Discard,
    Event,
    Failed,
    Make,
    Outdated,
    Ready,
    Rules,
    State,
    Taken,
    Tick,
    Unused,
    Wanted,
    next_look,
    step,
    wait_of,
)

RULES = Rules(
    count_max=3,
    memory_max_bytes=100,
    prepare_timeout=60.0,
    refill_after=0.5,
    keep=30.0,
    steady=10.0,
    backoff=Backoff(1.0, 2.0, 8.0),
)


class Book:
    """Feeds events and keeps what was decided."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state = State()
        self.made: list[int] = []
        self.discarded: list[int] = []
        self.alive: set[int] = set()

    def feed(self, event: Event) -> tuple[object, ...]:
        if isinstance(event, (Failed, Taken)):
            self.alive.discard(event.number)
        self.state, effects = step(self.state, event, self.rules)
        for effect in effects:
            if isinstance(effect, Make):
                self.made.append(effect.number)
                self.alive.add(effect.number)
            else:
                self.discarded.append(effect.number)
                self.alive.discard(effect.number)
        return effects

    def kept(self, target: str = "a:A") -> list[int]:
        stock = self.state.stocks.get(target)
        return [spare.number for spare in stock.spares] if stock is not None else []


def test_as_many_are_made_as_are_wanted():
    book = Book()

    assert book.feed(Wanted(0.0, "a:A", 2)) == (Make(1, "a:A", 1), Make(2, "a:A", 2))
    assert book.feed(Wanted(1.0, "a:A", 2)) == ()


def test_nothing_is_kept_for_a_class_that_wants_none():
    book = Book()

    book.feed(Wanted(0.0, "a:A", 0))

    assert book.state == State()
    assert next_look(book.state, RULES) == inf


def test_one_that_was_used_is_replaced_after_a_pause():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Ready(1.0, 1, 10))

    assert book.feed(Taken(2.0, 1)) == ()
    assert next_look(book.state, RULES) == 2.5
    assert book.feed(Tick(2.4)) == ()
    assert book.feed(Tick(2.5)) == (Make(2, "a:A"),)


def test_each_failure_doubles_the_delay_up_to_a_limit_and_a_use_ends_the_row():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    delays = []
    now = 0.0
    for _ in range(5):
        book.feed(Failed(now, book.kept()[0]))
        due = next_look(book.state, RULES)
        delays.append(due - now)
        now = due
        book.feed(Tick(now))
    book.feed(Ready(now, book.kept()[0], 1))
    book.feed(Taken(now, book.kept()[0]))
    now += 1.0
    book.feed(Tick(now))
    book.feed(Failed(now, book.kept()[0]))

    assert delays == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert next_look(book.state, RULES) - now == 1.0


def test_the_end_of_one_that_waited_long_is_no_further_failure_of_its_class():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Failed(0.0, 1))
    book.feed(Tick(1.0))
    book.feed(Ready(2.0, 2, 1))

    book.feed(Failed(12.0, 2))

    assert next_look(book.state, RULES) == 13.0


def test_one_that_does_not_get_ready_is_ended_and_counts_as_a_failure():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))

    assert next_look(book.state, RULES) == 60.0
    assert book.feed(Tick(60.0)) == (Discard(1, "not ready within 60 s", True),)
    assert next_look(book.state, RULES) == 61.0


def test_what_is_ready_is_never_too_late():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Ready(1.0, 1, 1))

    assert book.feed(Tick(1000.0)) == ()


def test_all_of_a_class_are_replaced_when_what_it_is_made_of_changed():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Wanted(0.0, "b:B", 1))

    assert book.feed(Outdated(1.0, "a:A")) == (Discard(1, "what it imported has changed"), Make(3, "a:A"))
    book.feed(Outdated(2.0, "a:A"))
    book.feed(Outdated(2.0, "b:B"))

    assert book.discarded == [1, 3, 2]
    assert book.alive == {4, 5}


def test_spares_outlive_the_last_child_of_their_class_for_a_while_and_serve_the_next():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Unused(1.0, "a:A"))
    book.feed(Wanted(20.0, "a:A", 1))
    book.feed(Tick(40.0))
    kept = book.kept()
    book.feed(Unused(50.0, "a:A"))

    assert kept == [1]
    assert next_look(book.state, RULES) == 60.0  # it is not ready, and must be by then
    book.feed(Ready(55.0, 1, 1))
    assert next_look(book.state, RULES) == 80.0
    assert book.feed(Tick(80.0)) == (Discard(1, "its class has no child any more"),)
    assert book.state.stocks == {}


def test_none_is_made_for_a_class_without_a_child():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Unused(1.0, "a:A"))

    book.feed(Failed(2.0, 1))
    book.feed(Tick(10.0))

    assert book.made == [1]


def test_fewer_are_kept_when_fewer_are_wanted():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 3))

    book.feed(Wanted(1.0, "a:A", 1))

    assert book.kept() == [1]
    assert book.discarded == [2, 3]


def test_a_class_whose_spare_does_not_fit_gets_no_other_until_there_is_room():
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    book.feed(Ready(1.0, 1, 60))
    book.feed(Wanted(1.0, "b:B", 1))
    discarded = book.feed(Ready(2.0, 2, 50))
    book.feed(Tick(1000.0))
    before = list(book.made)

    assert discarded == (Discard(2, "spares may take 100 bytes in all"),)
    assert before == [1, 2]
    book.feed(Taken(1001.0, 1))
    assert book.made == [1, 2, 3]  # 60 bytes are free
    assert book.kept("b:B") == [3]


def events() -> st.SearchStrategy[list[tuple[str, float, int, str]]]:
    kinds = ["wanted", "unused", "ready", "failed", "taken", "outdated", "tick"]
    return st.lists(
        st.tuples(
            st.sampled_from(kinds), st.floats(0.0, 20.0), st.integers(0, 60), st.sampled_from(["a:A", "b:B", "c:C"])
        ),
        max_size=60,
    )


@given(events())
def test_the_bounds_hold_and_no_spare_is_forgotten_whatever_happens(script):
    book = Book()
    now = 0.0
    for kind, later, number, target in script:
        now += later
        some = sorted(book.alive)[number % len(book.alive)] if book.alive else 0
        is_ready = {spare.number for stock in book.state.stocks.values() for spare in stock.spares if spare.is_ready}
        match kind:
            case "wanted":
                book.feed(Wanted(now, target, number % 4))
            case "unused":
                book.feed(Unused(now, target))
            case "ready" if some not in is_ready:
                book.feed(Ready(now, some, number))
            case "failed":
                book.feed(Failed(now, some))
            case "taken" if some in is_ready:
                book.feed(Taken(now, some))
            case "outdated":
                book.feed(Outdated(now, target))
            case _:
                book.feed(Tick(now))

        spares = [spare for stock in book.state.stocks.values() for spare in stock.spares]
        assert {spare.number for spare in spares} == book.alive
        assert len(spares) <= RULES.count_max
        assert sum(spare.size_bytes for spare in spares) <= RULES.memory_max_bytes
        assert all(len(stock.spares) <= stock.wanted for stock in book.state.stocks.values())
        assert next_look(book.state, RULES) > now or book.feed(Tick(next_look(book.state, RULES)))


@pytest.mark.parametrize("number", [0, 7])
def test_news_of_a_spare_that_is_not_in_the_book_changes_nothing(number):
    book = Book()
    book.feed(Wanted(0.0, "a:A", 1))
    before = book.state

    for event in (Ready(1.0, number, 5), Failed(1.0, number), Taken(1.0, number)):
        assert book.feed(event) == ()

    assert book.state == before


def test_each_spare_has_a_place_and_the_next_one_takes_the_lowest_that_is_free() -> None:
    book = Book()
    book.feed(Wanted(0.0, "a:A", 2))
    book.feed(Ready(0.0, 1, 10))
    book.feed(Ready(0.0, 2, 10))
    book.feed(Taken(1.0, 1))

    assert book.feed(Tick(2.0)) == (Make(3, "a:A", 1),)
    assert [(spare.number, spare.slot) for spare in book.state.stocks["a:A"].spares] == [(2, 2), (3, 1)]


def test_an_empty_place_says_what_it_waits_for() -> None:
    rules = Rules(count_max=1, backoff=Backoff(8.0, 1.0, 8.0))
    state, _ = step(State(), Wanted(0.0, "a:A", 2), rules)

    assert wait_of(state, "a:A", 0.0, rules) == (0.0, "no room: 1 spares in all are the most")
    failed, _ = step(state, Failed(1.0, 1), rules)
    seconds, why = wait_of(failed, "a:A", 1.0, rules)
    assert seconds > 1.0
    assert why == "a pause after the last one"
    unused, _ = step(state, Unused(1.0, "a:A"), rules)
    assert wait_of(unused, "a:A", 1.0, rules) == (0.0, "its class has no child")
