"""A crash says what happened in the same words before and after it was formatted."""

from __future__ import annotations

import traceback

import pytest

from actors import exits
from actors.exits import MESSAGE_LIMIT, Crash, ExitReason


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unending(BaseException):
    def __str__(self) -> str:
        raise SystemExit("no way back")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad port"),
        ValueError("x" * 2 * MESSAGE_LIMIT),
        ValueError("lone \udcff"),
        Unspeakable(),
        Unending(),
        KeyError(),
    ],
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


def crash_here(depth: int, error: BaseException) -> None:
    if depth:
        crash_here(depth - 1, error)
    raise error


def noted() -> ValueError:
    error = ValueError("with a note")
    error.add_note("seen on a Monday")
    return error


def linked() -> KeyError:
    error = KeyError("what came of it")
    error.__cause__ = ValueError("what it came of")
    return error


def syntax() -> SyntaxError:
    try:
        compile("a b", "<typed>", "exec")
    except SyntaxError as error:
        return error.with_traceback(None)
    raise AssertionError


@pytest.mark.parametrize("depth", [0, 1, 2, 9, 200])
@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("plain"),
        lambda: ValueError("two\nlines"),
        lambda: ExceptionGroup("a group", [ValueError("inside"), KeyError("as well")]),
        noted,
        linked,
        syntax,
    ],
    ids=["plain", "two lines", "group", "noted", "linked", "syntax"],
)
def test_a_crash_seen_before_has_the_traceback_of_the_first_look(make, depth):
    for _ in range(3):
        with pytest.raises(Exception) as caught:  # noqa: PT011 # errors of many kinds
            crash_here(depth, make())
        assert Crash(caught.value).traceback == "".join(traceback.format_exception(caught.value))


def test_an_error_that_was_never_raised_has_no_frames():
    assert Crash(ValueError("never")).traceback == "ValueError: never\n"


def test_crashes_at_ever_new_places_do_not_fill_the_memory():
    for n in range(2 * exits.FRAMES_KEPT):
        space: dict = {}
        exec(compile(f"def place_{n}(): raise ValueError({n})", f"<made {n}>", "exec"), space)
        with pytest.raises(ValueError, match=str(n)) as caught:
            space[f"place_{n}"]()
        assert f"place_{n}" in Crash(caught.value).traceback

    assert len(exits._frames) <= exits.FRAMES_KEPT
