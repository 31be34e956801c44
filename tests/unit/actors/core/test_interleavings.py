"""Two threads and one actor, in every order: a second thread cuts in at each place where the first one looks.

The first thread's operation runs on a cell whose slots count every access. At the k-th one the second operation runs
from beginning to end, as a thread that was scheduled just then would have run it; then the first goes on. This is done
for every k. Afterwards the workers run what is ready, and the books must balance: every message handled once, in order,
by one thread at a time; every ask answered; nobody left waiting with an idle actor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from actors import Actor, ActorExitedError, ActorSystem, Exited, Message, on
from actors.clock import SystemClock
from actors.core import cell, links
from actors.core.cell import ENDED
from actors.core.future import Ask
from actors.core.pool import Pool
from actors.core.ref import ActorRef
from actors.exits import SHUTDOWN, ExitReason
from actors.testing import Collector

SLOTS = (
    "_attention",
    "_bonds",
    "_handling",
    "_idle",
    "_inline",
    "_lane",
    "_limit",
    "_phase",
    "_queue",
    "_raised",
    "_suspended",
    "_turn",
    "_work",
)


LOCKS = (cell._making, links._lock)


class Add(Message[int], frozen=True):
    n: int


class Boom(Message[None], frozen=True):
    pass


class Counted(ActorRef[Any]):
    """A ref that counts the accesses to its slots and lets somebody cut in at one of them."""

    seen = 0
    cut_at = -1
    cut: Callable[[], None] | None = None

    def look(self) -> None:
        if any(lock.locked() for lock in LOCKS):
            return  # another thread would wait here
        mine = type(self)
        mine.seen += 1
        if mine.seen == mine.cut_at and mine.cut is not None:
            cut, mine.cut = mine.cut, None
            cut()


def _counted(name: str) -> property:
    slot = getattr(ActorRef, name)

    def get(self: Counted) -> Any:
        self.look()
        return slot.__get__(self)

    def put(self: Counted, value: Any) -> None:
        self.look()
        slot.__set__(self, value)

    def delete(self: Counted) -> None:
        self.look()
        slot.__delete__(self)

    return property(get, put, delete)


for _name in SLOTS:
    setattr(Counted, _name, _counted(_name))


class ByHand(Pool):
    """A pool whose turns run when the test says."""

    def __init__(self) -> None:
        super().__init__("by hand", clock=SystemClock())
        self.waiting: list[Any] = []

    def submit(self, cell: Any) -> None:
        assert cell not in self.waiting, "two hold the turn"
        self.waiting.append(cell)

    def run_one(self) -> None:
        if self.waiting:
            cell = self.waiting.pop(0)
            cell._run(cell)


class Ledger(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.handled: list[int] = []
        self.is_inside = False

    @on(Add)
    def add(self, message: Add) -> int:
        assert not self.is_inside, "two threads are inside one actor"
        self.is_inside = True
        self.handled.append(message.n)
        assert self.system  # an access in the middle of the handler
        self.actor_ref.is_alive()
        self.is_inside = False
        return message.n

    @on(Boom)
    def boom(self, _message: Boom) -> None:
        raise ValueError("boom")


class WouldWait(Exception):
    """What a thread that has to wait for the other one does here; its ask must be answered in the end."""


class Scene:
    """One cell, what was done to it, and what must hold in the end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.core.system.ActorRef", Counted)
        self.system = ActorSystem("test")
        self.pool = self.system.pool = ByHand()
        monkeypatch.setattr("actors.core.ref.turns_here", tuple)  # the second one is in earnest another thread
        monkeypatch.setattr(Ask, "wait", lambda ask, timeout=None: self.wait(ask))
        self.made: list[Ledger] = []
        self.outcomes = Collector()
        self.sent: dict[str, list[int]] = {"first": [], "second": []}
        self.asks: list[tuple[int, Ask[int]]] = []
        self.answers: list[int] = []
        self.left: list[Ask[Any]] = []
        self.watches: list[Collector] = []
        self.launch = self.system.spawn(self.make, path="/a", on_outcome=self.outcomes)
        self.pool.run_one()
        self.cell = self.launch._cell

    def make(self) -> Ledger:
        self.made.append(Ledger())
        return self.made[-1]

    def wait(self, ask: Ask[Any]) -> bool:
        while not ask.done:
            if not self.pool.waiting:
                self.left.append(ask)
                raise WouldWait
            self.pool.run_one()
        return True

    def next_number(self, who: str) -> int:
        number = len(self.sent[who]) + (0 if who == "first" else 1000)
        self.sent[who].append(number)
        return number

    def do(self, name: str, who: str) -> None:
        with contextlib.suppress(WouldWait):
            getattr(self, name)(who)

    # -- what a thread may do -----------------------------------------------------------------------

    def tell(self, who: str) -> None:
        self.cell.tell(Add(self.next_number(who)))

    def ask(self, who: str) -> None:
        number = self.next_number(who)
        self.asks.append((number, self.cell.ask(Add(number), block=False)))

    def ask_and_wait(self, who: str) -> None:
        number = self.next_number(who)
        try:
            assert self.cell.ask(Add(number)) == number
        except ActorExitedError:
            return
        self.answers.append(number)

    def ask_boom(self, who: str) -> None:
        with pytest.raises((ValueError, ActorExitedError)):
            self.cell.ask(Boom())

    def tell_boom(self, who: str) -> None:
        self.cell.tell(Boom())

    def work(self, who: str) -> None:
        self.pool.run_one()

    def suspend(self, who: str) -> None:
        self.cell.suspend()

    def resume(self, who: str) -> None:
        self.cell.resume()

    def suspend_and_work(self, who: str) -> None:
        self.cell.suspend()
        self.pool.run_one()

    def stop(self, who: str) -> None:
        self.launch.stop(SHUTDOWN)

    def stop_and_work(self, who: str) -> None:
        self.launch.stop(SHUTDOWN)
        self.pool.run_one()

    def abandon(self, who: str) -> None:
        self.launch.abandon()

    def tell_here(self, who: str) -> None:
        self.cell.tell_system_here(Add(self.next_number(who)))

    def watch(self, who: str) -> None:
        ends = Collector()
        self.cell.watch(ends)
        self.watches.append(ends)

    # -- what must hold ---------------------------------------------------------------------------------

    def settle(self) -> None:
        self.run_all()
        if self.cell._suspended:  # only then: a resume wakes the actor, and would hide a message that sleeps
            self.cell.resume()
            self.run_all()

    def run_all(self) -> None:
        for _ in range(200):
            self.pool.run_one()
        assert self.pool.waiting == []

    def check(self) -> None:
        cell = self.cell
        handled = self.made[0].handled
        letters = [letter.message for letter in self.system.dead_letters.recent()]
        assert len(handled) == len(set(handled)), "a message was handled twice"
        for sent in self.sent.values():
            mine = [n for n in handled if n in sent]
            assert mine == sorted(mine), "a sender's messages were handled out of order"
        asked = {number for number, _ in self.asks}
        for number, ask in self.asks:
            assert ask.done, "an ask was never answered"
            assert (number in handled) == (ask._exc_info is None) or self.launch.is_abandoned
        assert set(self.answers) <= set(handled)
        assert all(ask.done for ask in self.left), "an ask was left waiting"
        has_ended = cell._phase == ENDED
        for number in (n for sent in self.sent.values() for n in sent):
            kept = Add(number) in letters
            if number not in handled:
                assert has_ended, "a message sleeps in an idle actor"
                assert kept or number in asked or number not in self.answers
            else:
                assert not kept, "a message was handled and is a dead letter too"
        assert cell._idle, "nobody holds the turn, and no sender would take it"
        assert cell._turn is None
        assert not cell._queue
        assert not cell._lane
        ends = [outcome for outcome in self.outcomes.all if isinstance(outcome, Exited)]
        assert len(ends) == (1 if has_ended and not self.launch.is_abandoned else 0)
        for watch in self.watches:
            assert [type(reason) for reason in watch.all] == ([ExitReason] if has_ended else [])


FIRST: dict[str, tuple[str, ...]] = {
    "told, run": ("tell", "work"),
    "told twice, run": ("tell", "tell", "work"),
    "asks here": ("ask_and_wait",),
    "asks here twice": ("ask_and_wait", "ask_and_wait"),
    "asks": ("ask", "work"),
    "stopped, run": ("tell", "stop", "work"),
    "crashes": ("tell_boom", "tell", "work", "work"),
    "crashes here": ("ask_boom", "work", "tell"),
    "suspended, resumed": ("suspend", "work", "tell", "resume", "work"),
    "told here": ("tell_here", "tell_here", "work"),
    "watched, stopped": ("watch", "stop", "work"),
    "abandoned": ("tell", "abandon", "work"),
}
SECOND = (
    "tell",
    "tell_here",
    "ask",
    "ask_and_wait",
    "ask_boom",
    "tell_boom",
    "work",
    "suspend",
    "suspend_and_work",
    "resume",
    "stop",
    "stop_and_work",
    "abandon",
    "watch",
)


def _places(first: str, second: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Play the scene with the cut at each place in turn, until there is no such place any more."""
    place = 0
    while True:
        place += 1
        scene = Scene(monkeypatch)
        Counted.seen, Counted.cut_at = 0, place
        Counted.cut = _bound(scene, second)
        for step in FIRST[first]:
            scene.do(step, "first")
        was_cut = Counted.cut is None
        Counted.cut = None
        scene.settle()
        scene.check()
        if not was_cut:
            return
        yield place


def _bound(scene: Scene, name: str) -> Any:
    return staticmethod(lambda: scene.do(name, "second"))


@pytest.mark.parametrize(("first", "second"), list(product(FIRST, SECOND)))
def test_the_books_balance_wherever_a_second_thread_cuts_in(first, second, monkeypatch):
    assert sum(1 for _ in _places(first, second, monkeypatch)) > 10
