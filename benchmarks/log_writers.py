"""An actor that logs lines and says what each cost it; apart, so that a process of its own can import it."""

from __future__ import annotations

import logging
import time

from actors import Actor, Message, on

logger = logging.getLogger("benchmark")


class Write(Message[list[float]], frozen=True):
    count: int
    pause: float = 0.0
    own: bool = False


class Writer(Actor):
    """Logs lines, and says how long each took in microseconds."""

    @on(Write)
    def write(self, message: Write) -> list[float]:
        taken = []
        clock = time.thread_time_ns if message.own else time.perf_counter_ns
        for number in range(message.count):
            since = clock()
            logger.info("line %d of %s", number, "somebody", extra={"number": number})
            taken.append((clock() - since) / 1000)
            if message.pause and number % 50 == 49:
                time.sleep(message.pause)
        return taken
