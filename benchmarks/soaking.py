"""The actors of the soak: a module of its own, since process children import it."""

from __future__ import annotations

import os

from actors.core.actor import Actor
from actors.errors import ActorRuntimeError
from actors.messages import Message, on

BODY = b"x" * 100


class Parcel(Message[None], frozen=True):
    """100 bytes or so."""

    body: bytes


class Echo(Message[bytes], frozen=True):
    """Answered with its body."""

    body: bytes


class Crash(Message[None], frozen=True):
    """Raise an error in the handler."""


class Die(Message[None], frozen=True):
    """End the whole process without a word."""


class Tick(Message[None], frozen=True):
    """Send the next messages."""


class Sink(Actor):
    """Takes parcels, echoes, crashes and dies."""

    @on(Parcel)
    def parcel(self, _message: Parcel) -> None:
        pass

    @on(Echo)
    def echo(self, message: Echo) -> bytes:
        return message.body

    @on(Crash)
    def crash(self, _message: Crash) -> None:
        raise ValueError("crashed, as asked")

    @on(Die)
    def die(self, _message: Die) -> None:
        os._exit(3)


class Traffic(Actor):
    """Every tenth of a second: `parcels` messages to each of `paths`, and one that is answered.

    Args:
        paths: Whom to send to.
        parcels: Messages to each a tick.
    """

    def __init__(self, paths: list[str], parcels: int) -> None:
        super().__init__()
        self._paths = paths
        self._parcels = parcels
        self._sent = self._answered = self._failed = 0

    def on_start(self) -> None:
        self.every(0.1, Tick())

    @on(Tick)
    async def tick(self, _message: Tick) -> None:
        parcel = Parcel(BODY)
        for path in self._paths:
            ref = self.system.ref(path)
            for _ in range(self._parcels):
                ref.tell(parcel)
            self._sent += self._parcels
            try:
                await ref.ask_async(Echo(BODY), timeout=5.0)
                self._answered += 1
            except (ActorRuntimeError, TimeoutError):
                self._failed += 1

    def state_view(self) -> dict[str, object]:
        return {"sent": self._sent, "answered": self._answered, "failed": self._failed}


class Trouble(Actor):
    """Has one of `crashing` crash each second, in turn, and one of `dying` die every ten seconds."""

    def __init__(self, crashing: list[str], dying: list[str]) -> None:
        super().__init__()
        self._crashing = crashing
        self._dying = dying
        self._ticks = 0

    def on_start(self) -> None:
        self.every(1.0, Tick())

    @on(Tick)
    def tick(self, _message: Tick) -> None:
        self._ticks += 1
        self.system.ref(self._crashing[self._ticks % len(self._crashing)]).tell(Crash())
        if self._ticks % 10 == 0:
            self.system.ref(self._dying[self._ticks // 10 % len(self._dying)]).tell(Die())
