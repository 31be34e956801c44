"""Secrets that a process has looked up are found in what it says, in the forms that programs give them."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

import pytest

from actors import hiding
from actors.hiding import hidden, hide, masked


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_known", set())
    monkeypatch.setattr(hiding, "_pattern", None)


@pytest.mark.parametrize("secret", ["correct-horse", 'with "quotes" and \\', "schlüssel/bund +1", "ab{6}.*c$"])
@pytest.mark.parametrize("form", [str, repr, json.dumps, quote, quote_plus, lambda text: json.dumps([text])])
def test_a_secret_is_hidden_in_each_form(secret, form):
    hide(secret)

    said = hidden(f"before {form(secret)} after")

    assert re.fullmatch(r"before \W*\*\*\*\W* after", said), said


def test_each_line_of_a_secret_is_one():
    hide("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n")

    assert hidden("got MIIEvQIBADANBg") == "got ***"


def test_the_longest_counts_where_one_is_in_another():
    hide("battery")
    hide("horse-battery-staple")

    assert hidden("horse-battery-staple, battery") == "***, ***"


def test_what_is_too_short_to_be_told_from_words_is_left_as_it_is():
    hide("admin")
    hide("")

    assert hidden("an admin said it") == "an admin said it"


def test_without_secrets_a_text_is_the_same_object():
    text = "anything"

    assert hidden(text) is text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("logging in bob with password=hunter2, again", "logging in bob with password=***, again"),
        ("token: abc123 Api_Key='a b' n=1", "token: *** Api_Key=*** n=1"),
        ('{"secret": "a, b", "n": 1}', '{"secret": ***, "n": 1}'),
        ("Authorization: Bearer abc.def\tx", "Authorization: ***\tx"),
        ("the password was wrong", "the password was wrong"),
    ],
)
def test_what_follows_a_word_that_sounds_secret_is_masked(text, shown):
    assert masked(text) == shown
