"""How much a process child may say about itself: what is more is dropped before it is decoded, counted, and told of.

Messages between actors are bounded by credit, log records and output by what their readers take. What is left are words
that a child may say whenever it likes: how it is, its heartbeats, its wishes; and what it puts on the bus. Each has an
allowance a second. A child that floods therefore fills neither the node's history nor its time, and harms nobody else;
what waits beyond the socket's bound waits in the child's own memory.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from actors.core.system import ActorSystem
from actors.events import PeerRefused
from supervisors.processes.protocol import Beat, Letter, RestartWanted, Status
from supervisors.refusals import Refusals
from transport.envelope import Envelope, Kind
from transport.rates import Allowance

WORDS_RATE: Final = 100.0
"""Words of each kind about itself that a child may say a second; twice as many at once."""

EVENTS_RATE: Final = 20_000.0
"""Events and dead letters that a child may pass on a second; ten times as many at once, as a large subtree starts."""

MALFORMED: Final = "it says what makes no sense"

_WORDS: Final = {f"process:{word.__name__}": word.__name__ for word in (Beat, Status, RestartWanted)}
_LETTER: Final = f"process:{Letter.__name__}"


class WordLimits:
    """The allowances of one child. Belongs to the launcher's reactor.

    Args:
        system: On whose bus it is told of.
        path: The child.
        pid: Returns its process, None where there is none yet.
    """

    def __init__(self, system: ActorSystem, path: str, pid: Callable[[], int | None]) -> None:
        self._system = system
        self._path = path
        self._pid = pid
        self._words = Allowance(WORDS_RATE, int(2 * WORDS_RATE), self._exceeded)
        self._events = Allowance(EVENTS_RATE, int(10 * EVENTS_RATE), self._exceeded)
        self._refusals = Refusals(lambda _address, _peer, why, count: self._tell(why, count))

    @property
    def refused(self) -> int:
        """How many words and events were dropped."""
        return self._words.refused + self._events.refused

    def allow(self, what: Envelope) -> bool:
        """Whether `what`, which is for the runtime, is within what the child may say."""
        word = _WORDS.get(what.type_name) if what.kind is Kind.SYSTEM else None
        if word is not None:
            return self._words.take(word, monotonic())
        if what.kind is Kind.EVENT or what.type_name == _LETTER:
            return self._events.take("event", monotonic())
        return True

    def malformed(self) -> None:
        """Tell, once in a while, that the child says what makes no sense."""
        self._refusals.refused("", "", MALFORMED)

    def _exceeded(self, word: str, count: int) -> None:
        rate = EVENTS_RATE if word == "event" else WORDS_RATE
        self._tell(f"it sends more than {rate:g} {word} messages a second", count)

    def _tell(self, why: str, count: int) -> None:
        pid = self._pid()
        peer = f"pid {pid}" if pid is not None else ""
        self._system.bus.publish(PeerRefused(self._system.clock.time(), self._path, "", peer, why, count))
