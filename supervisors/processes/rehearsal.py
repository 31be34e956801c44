"""A rehearsal: a spare goes once through what it will do when it takes over, with an actor and a peer of its own.

A copy shares its memory with the nursery until it writes there, page by page, and many things are made at their first
use: decoders, locks, a thread's stack. All of that would fall into the milliseconds in which a child is away. Nothing
of the rehearsal remains but what it warmed: its actor system is shut down, its frames go nowhere.
"""

from __future__ import annotations

import threading
from typing import Final

from actors.core.actor import Actor
from actors.core.outcomes import Incarnation, Outcome
from actors.core.system import ActorSystem
from actors.exits import SHUTDOWN
from actors.messages import Message, on
from supervisors.processes.childside import Ground
from transport.channels import Channel
from transport.codec import Codec, pack_frame
from transport.deliveries import pack_message
from transport.envelope import Kind, envelope
from transport.gateway import Gateway

TIMEOUT: Final = 2.0
"""Seconds that one step may take; a rehearsal that is not over by then is left."""

PATH: Final = "/rehearsal"


class Line(Message[int], frozen=True):
    """Answered with its number."""

    number: int


class Understudy(Actor):
    """Answers."""

    @on(Line)
    def line(self, message: Line) -> int:
        return message.number


def rehearse(ground: Ground) -> bool:
    """Start an actor and have it answer an ask that came in a frame; return whether it did."""
    system = ActorSystem("rehearsal")
    started, answered, ended = threading.Event(), threading.Event(), threading.Event()

    def take(outcome: Outcome) -> None:
        (ended if started.is_set() else started).set()

    channel = Channel("rehearsal", lambda _frame: answered.set(), ground.reactor.post, window=1)
    gateway = Gateway(system, channel, lambda _what: None, window=1)
    launch = system.spawn(
        Understudy, path=PATH, placement="thread", incarnation=Incarnation(), mailbox=None, on_outcome=take
    )
    done = started.wait(TIMEOUT)
    type_name, payload = pack_message(Codec(), Line(1))
    frame = pack_frame([envelope(Kind.ASK, PATH, type_name, payload, id=1)])
    ground.reactor.post(lambda: gateway.receive(frame))
    done = answered.wait(TIMEOUT) and done
    launch.stop(SHUTDOWN)
    done = ended.wait(TIMEOUT) and done
    system.shutdown(TIMEOUT)
    return done
