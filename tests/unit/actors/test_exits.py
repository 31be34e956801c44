"""A crash says what happened in the same words before and after it was formatted."""

from __future__ import annotations

import pytest

from actors.exits import MESSAGE_LIMIT, Crash, ExitReason


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [ValueError("bad port"), ValueError("x" * 2 * MESSAGE_LIMIT), ValueError("lone \udcff"), Unspeakable(), KeyError()],
    ids=lambda error: type(error).__name__,
)
def test_the_message_is_the_same_before_and_after_the_traceback_was_formatted(error):
    crash = Crash(error)

    before = crash.type_name, crash.message, str(ExitReason.crashed(error))

    assert crash.record.message == before[1] == crash.message
    assert crash.type_name == before[0]
    assert before[2] == f"crashed: {before[0]}: {before[1]}"
    assert len(before[1].encode()) < 2 * MESSAGE_LIMIT


def test_reading_the_message_formats_no_traceback(monkeypatch):
    def fail(*_):
        raise AssertionError("the traceback was formatted")

    monkeypatch.setattr("actors.exits._format", fail)

    assert str(ExitReason.crashed(ValueError("bad port"))) == "crashed: builtins.ValueError: bad port"
