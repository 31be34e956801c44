"""One call of a schedule: a stop that comes at an awkward moment is heard all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors import ActorSystem
from actors.jobs.offload import Cancel, CancelledWorkError
from actors.scheduling.calling import Call, Deadlines
from actors.testing import PATIENCE


class Cutting(Cancel):
    """Lets somebody cut in just after the first check was passed."""

    cut: Callable[[], None] | None = None

    def check(self) -> None:
        super().check()
        cut, self.cut = self.cut, None
        if cut is not None:
            cut()


async def waits() -> None:
    await asyncio.sleep(PATIENCE)


def test_a_coroutine_that_is_stopped_before_there_is_a_task_of_it_does_not_run() -> None:
    ends: list[BaseException | None] = []
    cancel = Cutting()
    with ActorSystem("test") as system:
        call = Call(
            waits,
            True,
            (),
            cancel,
            ("s", 0.0, 0),
            PATIENCE,
            Deadlines(system),
            lambda _key, _began, error, _answer: ends.append(error),
        )
        cancel.cut = call.stop

        call()

    (error,) = ends
    assert isinstance(error, CancelledWorkError)
