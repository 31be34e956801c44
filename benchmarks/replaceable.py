"""The actor that `bench_replace` kills: a module of its own, since a process child imports it."""

from __future__ import annotations

import os

from actors.core.actor import Actor
from actors.messages import Message, on


class Ping(Message[int], frozen=True):
    """Answered with the process."""


class Answering(Actor):
    """Answers."""

    @on(Ping)
    def ping(self, _message: Ping) -> int:
        return os.getpid()
