"""The actors that `bench_wire` sends to: a module of its own, since process children import it."""

from __future__ import annotations

from actors.core.actor import Actor
from actors.messages import Message, on


class Parcel(Message[None], frozen=True):
    """100 bytes or so."""

    body: bytes


class Echo(Message[bytes], frozen=True):
    """Answered with its body."""

    body: bytes


class Work(Message[int], frozen=True):
    """Computes for `rounds` rounds; answered with the result."""

    rounds: int


class Count(Message[int], frozen=True):
    """Answered with the parcels handled so far."""


class Sink(Actor):
    """Counts parcels, echoes, computes."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    @on(Parcel)
    def parcel(self, _message: Parcel) -> None:
        self._count += 1

    @on(Count)
    def count(self, _message: Count) -> int:
        return self._count

    @on(Echo)
    def echo(self, message: Echo) -> bytes:
        return message.body

    @on(Work)
    def work(self, message: Work) -> int:
        value = 1
        for _ in range(message.rounds):
            value = value * 1103515245 + 12345 & 0x7FFFFFFF
        return value
