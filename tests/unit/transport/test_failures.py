"""Errors that cross a process are caught as what they were."""

from __future__ import annotations

import pytest

from actors.errors import ActorExitedError, AskTimeoutError, MailboxFullError, UnhandledMessageError
from transport.failures import RemoteError, decode_failure, encode_failure


class ShortageError(Exception):
    """An error of a user, whose arguments are not those of its constructor."""

    made = 0

    def __init__(self, need: int, have: int) -> None:
        type(self).made += 1
        super().__init__(f"{need} needed, {have} there")
        self.need = need
        self.have = have
        self.lock = object()


class PickyError(Exception):
    """An error that cannot be made again from its arguments."""

    def __new__(cls, *args: object) -> PickyError:
        if args and args != ("once",):
            raise RuntimeError("no")
        return super().__new__(cls, *args)

    def __init__(self) -> None:
        super().__init__("rebuilt")


def crossed(error: BaseException) -> Exception:
    try:
        raise error
    except BaseException as raised:
        return decode_failure(encode_failure(raised))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no number"),
        KeyError("name"),
        FileNotFoundError(2, "No such file", "/etc/x"),
        ZeroDivisionError(),
        AskTimeoutError("/io/gmail", 1.5),
        ActorExitedError("/io/gmail", "exited"),
        MailboxFullError("/io/gmail", 10),
        UnhandledMessageError("/io/gmail", "Fetch"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_language_or_the_runtime_comes_back_as_it_was(error):
    found = crossed(error)

    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert getattr(found, "errno", None) == getattr(error, "errno", None)


def test_a_users_error_is_rebuilt_without_running_its_constructor():
    made = ShortageError.made

    found = crossed(ShortageError(5, 2))

    assert isinstance(found, ShortageError)
    assert (str(found), found.need, found.have) == ("5 needed, 2 there", 5, 2)
    assert not hasattr(found, "lock")
    assert ShortageError.made == made + 1


def test_the_traceback_of_the_other_side_is_the_cause():
    found = crossed(ValueError("no number"))

    assert "test_failures.py" in str(found.__cause__)
    assert "ValueError: no number" in str(found.__cause__)


def test_an_error_of_a_module_that_is_not_imported_is_a_remote_error_and_imports_nothing():
    data = encode_failure(ValueError("x")).replace(b"builtins:ValueError", b"antigravityy:Errors")

    found = decode_failure(data)

    assert isinstance(found, RemoteError)
    assert found.type_name == "antigravityy:Errors"


@pytest.mark.parametrize("name", [b"builtins:SystemExit", b"builtins:exec      ", b"os:system           "])
def test_a_name_that_is_no_exception_class_is_not_used(name):
    data = encode_failure(ValueError("x")).replace(b"builtins:ValueError", name.strip().ljust(19, b" "))

    assert isinstance(decode_failure(data), RemoteError)


def test_what_cannot_be_rebuilt_is_a_remote_error_with_its_text():
    for error in (PickyError(), ValueError(object()), ValueError("x" * 20_000), OverflowError(2**70)):
        found = crossed(error)

        assert isinstance(found, RemoteError)
        assert type(error).__name__ in str(found)


def test_bytes_that_are_no_failure_are_a_remote_error():
    for data in (b"", b"\xc1", b"\x80", encode_failure(ValueError("x"))[:-3]):
        assert isinstance(decode_failure(data), RemoteError)


def test_a_lone_surrogate_in_the_text_does_not_stop_the_error():
    assert "ValueError" in str(crossed(ValueError("bad \ud800")))
