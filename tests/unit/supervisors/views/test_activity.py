"""What `top` says a worker did between two looks."""

import pytest
from msgspec import structs
from support.sample_tree import supervisor, worker

from supervisors.views import NodeState, activity


def node(path, **fields):
    return structs.replace(worker(path), **{"generation": 1, **fields})


def test_rates_are_over_the_window():
    before = [node("/a", handled=10, mailbox=8, restarts=1)]
    after = [node("/a", handled=30, mailbox=2, restarts=1)]

    (row,) = activity(before, after, 4.0)

    assert (row.rate, row.growth, row.restarts, row.mailbox, row.window) == (5.0, -1.5, 0, 2, 4.0)


def test_a_new_instance_counts_from_its_start():
    before = [node("/a", handled=1000, restarts=2)]
    after = [node("/a", handled=6, restarts=3, generation=2)]

    (row,) = activity(before, after, 2.0)

    assert (row.rate, row.restarts) == (3.0, 1)


def test_a_worker_that_was_not_there_is_new_in_whole():
    (row,) = activity([], [node("/a", handled=4, mailbox=2)], 2.0)

    assert (row.rate, row.growth) == (2.0, 1.0)


def test_one_look_has_no_rates():
    looks = [node("/a", handled=4, mailbox=2)]

    (row,) = activity(looks, looks, 0.0)

    assert (row.rate, row.growth, row.mailbox) == (0.0, 0.0, 2)


def test_supervisors_and_what_never_ran_are_not_among_them():
    silent = structs.replace(worker("/b"), generation=0, state=NodeState.NOT_CONFIGURED)

    assert [row.path for row in activity([], [supervisor("/s", 0, 0), silent, node("/a")], 1.0)] == ["/a"]


@pytest.mark.parametrize("order", [1, -1])
def test_what_needs_a_look_comes_first(order):
    before = [node(path, mailbox=0) for path in ("/grows", "/long", "/busy", "/idle")]
    before[1] = node("/long", mailbox=900)
    after = [
        node("/grows", mailbox=5),
        node("/long", mailbox=900),
        node("/busy", handled=50),
        node("/idle"),
    ][::order]

    assert [row.path for row in activity(before, after, 1.0)] == ["/grows", "/long", "/busy", "/idle"]
