"""Looking after a history while it is written: published files that were damaged, and a file that cannot be read.

What is done here is done on the publisher's thread, so that nothing is sealed or published meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import duckdb

from actors.history.errors import HistoryError
from actors.history.files import is_damage
from actors.history.publishing import Publisher
from actors.history.schema import TABLES
from actors.history.store import HistoryStore
from actors.messages import Message

_log = logging.getLogger(__name__)

Writing = Callable[[Callable[[HistoryStore], Any]], Any]

SUSPICION_INTERVAL = 60.0
"""Seconds between two looks at every row of the file, however often something could not be read."""


class Tend(Message[None], frozen=True):
    """The recorder's own reminder to look after its file."""


class Publish(Message[None], frozen=True):
    """The recorder's own reminder to publish what it stored."""


class Reopen(Message[None], frozen=True):
    """The recorder's own reminder to try again to open its file."""


def tend_published(publisher: Publisher) -> None:
    """Put published files right that somebody deleted or damaged."""
    try:
        publisher.mend()
    except (duckdb.Error, OSError) as error:
        _log.warning("published history is not looked after: %s", error)


def take_turn(publisher: Publisher, writing: Writing) -> None:
    """Publish; where the open file is no more at its path, begin a new one then and bring back what was published."""
    store: HistoryStore | None = writing(lambda store: store)
    is_in_place = store is None or store.is_in_place()
    publisher.turn(is_last=not is_in_place)
    if not is_in_place:
        writing(lambda store: store.reopen(f"{store.path.name} was deleted or replaced while it was open"))


def replace_if_damaged(publisher: Publisher, writing: Writing) -> None:
    """Read every row of the file; where that shows damage, move it aside, begin a new one and bring back the published.

    What was told damaged may as well be a sealed file, which no new history file would mend.
    """
    store: HistoryStore | None = writing(lambda store: store)
    if store is None:
        return
    try:
        with store.reading() as connection:
            for table in TABLES:
                connection.execute(f"SELECT bit_xor(hash(t)) FROM main.{table.name} t").fetchall()
    except duckdb.Error as error:
        if is_damage(error):
            found = error
            publisher.turn(is_last=True)
            writing(lambda store: store.condemn(found))
    except HistoryError:
        return  # it is not open now: opening it finds what there is to find
