"""Actors with secrets: their specs hold places, their instances the values, and everything else is the class's own."""

import sys

import msgspec
import pytest

from actors import Actor, Message, on
from supervisors.children import resolve
from supervisors.core.validation import validate_tree
from supervisors.node.credentials import Secret, SecretError, SecretSource
from supervisors.node.secretive import secretive, secretive_start
from supervisors.specs import ChildSpec, SupervisorSpec

PLAIN = "hunter2"


class Who(Message[str], frozen=True):
    pass


class Mailer(Actor):
    """Sends mail."""

    dispatcher = "pool"

    def __init__(self, host: str, token: str, key: str) -> None:
        super().__init__()
        self.all = host, token, key

    @on(Who)
    def who(self, message: Who) -> str:
        return self.all[0]


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("k\n")
    monkeypatch.setenv("MAIL_TOKEN", PLAIN)
    places = {"token": SecretSource(env="MAIL_TOKEN"), "key": SecretSource(file=str(tmp_path / "key"))}
    return secretive_start(f"{__name__}:Mailer", {"host": "h"}, places)


def test_actor_gets_its_secrets_as_arguments(start):
    mailer = resolve(start.target)(**start.kwargs)

    assert isinstance(mailer, Mailer)
    assert mailer.all == ("h", PLAIN, "k")
    assert all(isinstance(secret, Secret) for secret in mailer.all[1:])


def test_spec_holds_places_only_and_can_cross_a_process(start):
    assert PLAIN not in repr(start)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(start.kwargs)) == start.kwargs
    assert validate_tree(SupervisorSpec(children=(ChildSpec("mail", start, runs_in="process"),))) == []


def test_class_is_its_own_in_everything_else(start):
    cls = resolve(start.target)

    assert issubclass(cls, Mailer)
    assert cls is secretive(Mailer)
    assert (cls.__name__, cls.__module__, cls.__qualname__) == ("Mailer", __name__, "Mailer")
    assert (cls.dispatcher, cls.__doc__, cls.who) == ("pool", "Sends mail.", Mailer.who)


def test_a_started_one_answers_as_its_class(start):
    ref = resolve(start.target).start(**start.kwargs)
    try:
        assert ref.ask(Who(), timeout=10) == "h"
    finally:
        ref.stop()


def test_actor_whose_secret_is_gone_does_not_start(start, monkeypatch):
    monkeypatch.delenv("MAIL_TOKEN")

    with pytest.raises(SecretError, match="MAIL_TOKEN is not set"):
        resolve(start.target)(**start.kwargs)


def test_secret_is_looked_up_anew_for_each_instance(start, tmp_path):
    (tmp_path / "key").write_text("turned\n")

    assert resolve(start.target)(**start.kwargs).all[2] == "turned"


@pytest.mark.parametrize(
    ("use", "error"),
    [
        ("no_such_module:X", ModuleNotFoundError),
        ("os.path:Nothing", TypeError),
        ("fails_to_import:X", ZeroDivisionError),
    ],
)
def test_class_that_is_not_there_is_an_error_as_without_secrets(tmp_path, monkeypatch, use, error):
    (tmp_path / "fails_to_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(error):
        resolve.__wrapped__(secretive_start(use, {}, {"a": SecretSource(env="A")}).target)
    sys.modules.pop("fails_to_import", None)


def test_class_in_a_package_is_found(tmp_path, monkeypatch):
    (tmp_path / "a_package_of_mail").mkdir()
    (tmp_path / "a_package_of_mail" / "__init__.py").write_text("")
    (tmp_path / "a_package_of_mail" / "sub.py").write_text(
        "class Box:\n    def __init__(self, size, token): self.all = size, token\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("A", "x")

    start = secretive_start("a_package_of_mail.sub:Box", {"size": 1}, {"token": SecretSource(env="A")})

    assert resolve(start.target)(**start.kwargs).all == (1, "x")
