"""Levels of log records by actor: which rule counts, and which records pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from supervisors.loglevels import LevelRule, Levels, LogLevels

RULES = (
    LevelRule("/io", logging.ERROR),
    LevelRule("/io/*", logging.DEBUG),
    LevelRule("/io/sms", logging.WARNING),
)


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("/io", logging.ERROR),
        ("/io/mail", logging.DEBUG),
        ("/io/mail/in", logging.ERROR),
        ("/io/sms", logging.WARNING),
        ("/io/sms/out", logging.WARNING),
        ("/iot", None),
        ("/", None),
    ],
)
def test_the_last_rule_about_an_actor_counts(path: str, level: int | None) -> None:
    assert Levels(logging.INFO, RULES).of(path) == level


def test_the_root_lets_through_what_any_rule_asks_for() -> None:
    assert Levels(logging.WARNING, RULES).lowest() == logging.DEBUG
    assert Levels(logging.INFO, (LevelRule("/io", logging.ERROR),)).lowest() == logging.INFO


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level = root.level
    yield root
    root.setLevel(level)


def record(level: int, path: str = "", name: str = "some.logger") -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 0, "text", None, None)
    if path:
        made.path = path
    return made


def test_a_record_passes_by_its_actors_level_or_the_base(root: logging.Logger) -> None:
    levels = LogLevels()
    levels.set(Levels(logging.INFO, RULES))

    assert root.level == logging.DEBUG
    assert levels.filter(record(logging.DEBUG, "/io/mail"))
    assert not levels.filter(record(logging.INFO, "/io/sms"))
    assert levels.filter(record(logging.INFO, "/work"))
    assert not levels.filter(record(logging.DEBUG, "/work"))
    assert not levels.filter(record(logging.DEBUG))


def test_a_logger_that_was_given_a_level_keeps_it_where_no_rule_is_about(root: logging.Logger) -> None:
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)
    try:
        levels = LogLevels()
        levels.set(Levels(logging.INFO, RULES))

        assert levels.filter(record(logging.DEBUG, "/work", "chatty.part"))
        assert not levels.filter(record(logging.INFO, "/io/sms", "chatty.part"))
    finally:
        chatty.setLevel(logging.NOTSET)


class Listener:
    def __init__(self) -> None:
        self.heard: list[Levels] = []

    def take_levels(self, levels: Levels) -> None:
        self.heard.append(levels)


def test_who_follows_hears_each_change_and_at_once_of_rules_that_are_there(root: logging.Logger) -> None:
    levels = LogLevels()
    early, late = Listener(), Listener()
    levels.follow(early)
    changed = Levels(logging.INFO, RULES)
    levels.set(changed)
    levels.follow(late)

    levels.set(Levels(logging.INFO))

    assert early.heard == [changed, Levels(logging.INFO)]
    assert late.heard == [changed, Levels(logging.INFO)]
