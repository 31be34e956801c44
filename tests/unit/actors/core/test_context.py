"""What a thread is does not pass to the next thread that gets its number."""

from __future__ import annotations

import threading
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from actors.core.context import enter_loop, leave_loop, never_waiting, on_loop


def on_a_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_with_the_number_of_a_loop_that_ended_without_a_word_is_no_loop():
    first = on_a_thread(lambda: (enter_loop(), on_loop(), get_ident())[1:])
    assert first[0]

    for _ in range(1000):
        is_loop, ident = on_a_thread(lambda: (on_loop(), get_ident()))
        assert not is_loop
        if ident == first[1]:
            return
    raise AssertionError("no thread got the number of the first one")


def test_a_loop_that_must_not_wait_for_a_moment_is_a_loop_still_afterwards():
    def both() -> tuple[bool, bool, bool]:
        enter_loop()
        with never_waiting():
            inside = on_loop()
        after = on_loop()
        leave_loop()
        return inside, after, on_loop()

    assert on_a_thread(both) == (True, True, False)


def test_a_thread_that_must_not_wait_for_a_moment_may_wait_afterwards():
    def both() -> tuple[bool, bool]:
        with never_waiting():
            inside = on_loop()
        return inside, on_loop()

    assert on_a_thread(both) == (True, False)
