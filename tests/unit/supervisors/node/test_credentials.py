"""Secrets: found where they are kept, shown nowhere, handed to the actor that names them."""

import copy
import json
import logging
import pickle
import sys
import traceback

import pytest

from supervisors.node.credentials import (
    SIZE_LIMIT,
    Secret,
    SecretError,
    SecretSource,
    find_secret,
    secret_source,
)

PLAIN = "hunter2"


def test_secret_is_hidden_wherever_it_is_shown(caplog):
    secret = Secret(PLAIN)

    logging.getLogger("test").warning("%s %r", secret, {"token": secret})

    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", "%s" % secret, repr([secret]), caplog.text]  # noqa: UP031
    assert not any(PLAIN in text for text in shown)
    assert all("***" in text for text in shown)


def test_secret_is_text_for_whoever_uses_it():
    secret = Secret(PLAIN)

    assert secret == PLAIN
    assert "Bearer " + secret == "Bearer hunter2"
    assert secret.encode() == b"hunter2"
    assert "".join(["a", secret]) == "ahunter2"
    assert secret.reveal() == PLAIN
    assert type(secret.reveal()) is str
    assert bool(Secret("")) is False


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secret_is_neither_pickled_nor_copied(copied):
    with pytest.raises(TypeError, match="not pickled"):
        copied(Secret(PLAIN))


def test_error_that_holds_a_secret_does_not_show_it():
    try:
        raise ValueError(Secret(PLAIN))
    except ValueError as error:
        text = "".join(traceback.format_exception(error))

    assert PLAIN not in text


def test_secret_is_found_in_the_environment():
    assert find_secret(SecretSource(env="TOKEN"), {"TOKEN": PLAIN}).reveal() == PLAIN


@pytest.mark.parametrize(
    ("written", "read"), [(b"hunter2\n", "hunter2"), (b"hunter2\r\n", "hunter2"), (b"a\nb\n", "a\nb"), (b" x ", " x ")]
)
def test_last_line_break_of_a_file_is_no_part_of_the_secret(tmp_path, written, read):
    (tmp_path / "token").write_bytes(written)

    secret = find_secret(secret_source(None, "token", tmp_path), {})

    assert secret.reveal() == read


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: no such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "is not UTF-8"),
        (b"x" * (SIZE_LIMIT + 1), "is larger than"),
    ],
)
def test_file_without_a_secret_is_refused_by_its_name_alone(tmp_path, content, why):
    if content is not None:
        (tmp_path / "token").write_bytes(content)

    with pytest.raises(SecretError, match=why) as caught:
        find_secret(secret_source(None, "token", tmp_path), {})

    assert str(tmp_path / "token") in str(caught.value)
    assert PLAIN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("environ", "why"), [({}, "TOKEN is not set"), ({"TOKEN": ""}, "TOKEN is empty")])
def test_variable_without_a_secret_is_refused_by_its_name(environ, why):
    with pytest.raises(SecretError, match=why):
        find_secret(SecretSource(env="TOKEN"), environ)


def test_source_of_a_secret_is_plain_data():
    source = SecretSource(env="TOKEN")

    assert json.loads(json.dumps({"env": source.env})) == {"env": "TOKEN"}


class FakeKeyring:
    """The library, as far as it is used."""

    def get_password(self, service: str, user: str) -> str | None:
        if service == "locked":
            raise RuntimeError("the value is hunter2")
        return {("openclaw", "twilio"): "from-the-keyring"}.get((service, user))


def test_a_secret_is_found_in_the_keyring_and_what_is_wrong_there_is_said_without_a_value(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", FakeKeyring())

    assert find_secret(SecretSource(keyring="openclaw/twilio"), {}).reveal() == "from-the-keyring"
    with pytest.raises(SecretError, match="has no secret openclaw/other"):
        find_secret(SecretSource(keyring="openclaw/other"), {})
    with pytest.raises(SecretError, match="RuntimeError") as locked:
        find_secret(SecretSource(keyring="locked/user"), {})
    assert "hunter2" not in str(locked.value)


def test_without_the_keyrings_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(SecretError) as missing:
        find_secret(SecretSource(keyring="openclaw/twilio"), {})

    assert missing.value.hint == "pip install keyring"
