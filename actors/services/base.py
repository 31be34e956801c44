"""What every I/O service has: settings it needs, a probe at its start, blocking calls off the loop, bounded and timed.

    on_start:  a setting is missing    -> ignore "not configured: set io.gmail.host"
               the probe fails         -> start error, with the reason
    a request: the breaker is open     -> `Fault`, at once; the outside is left in peace
               works out               -> its answer
               the outside fails       -> `Fault`; after `FAILING_LIMIT` in a row the service crashes, so that its
                                          supervisor starts it afresh, with a probe and by its own back-off

After three faults in a row the breaker opens; every ten seconds one request goes through and decides. Requests run
side by side, at most `concurrency` at once; further ones wait their turn inside their deadline.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from actors import Actor, Ignore, on
from actors.events import BreakerChanged
from actors.exits import said
from actors.jobs.offload import Cancel, Offload
from actors.jobs.requests import Fault, GetService, ServiceView
from actors.policies import breaker as breakers
from actors.policies.breaker import Breaker
from actors.services.errors import ServiceUnreachableError

T = TypeVar("T")

FAILING_LIMIT: Final = 5


class Service(Actor):
    """Base of the I/O services. A subclass names what it needs, probes, and answers its requests through `call`.

    Args:
        timeout: Seconds one call may take.
        concurrency: Most calls at once.

    Raises:
        ValueError: One of the two is not positive.
    """

    # Every handler is a coroutine, so that all of them run on the event loop's one thread and share the state.
    reentrant = True

    breaker: ClassVar[Breaker] = Breaker(failures=3, open_for=10.0)

    def __init__(self, *, timeout: float, concurrency: int) -> None:
        super().__init__()
        if timeout <= 0 or concurrency < 1:
            raise ValueError("timeout is positive seconds and concurrency 1 or more")
        self._timeout = timeout
        self._limit = concurrency
        self._offload: Offload | None = None
        self._about = ""
        self._calls = self._faults = self._failing = self._refused = 0
        self._breaker: breakers.State = breakers.Closed()
        self._last_error = ""

    # -- for subclasses ---------------------------------------------------------------------------

    def settings(self) -> dict[str, object]:
        """Return the settings this service cannot do without, by name; an empty value is a missing one."""
        return {}

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown; it is cut out of every error's text."""
        return ()

    @abstractmethod
    def probe(self, cancel: Cancel) -> str:
        """Use the outside once, blocking; return one line on it. What it raises is the start's error."""

    async def call(self, function: Callable[..., T], *arguments: object) -> T | Fault:
        """Return what the blocking `function(cancel, *arguments)` returns, or the fault it ended with.

        While the breaker is open the fault says so, and nothing is called.

        Raises:
            ServiceUnreachableError: It was the last of `FAILING_LIMIT` faults in a row.
        """
        admitted, why = breakers.admit(self._breaker, self.breaker, self.system.clock.monotonic())
        self._turn(admitted)
        if why:
            self._refused += 1
            return Fault(f"{why}; the last call ended with {self._last_error}")
        try:
            result = await self._bounded(function, *arguments)
        except asyncio.CancelledError:
            self._turn(breakers.forgo(self._breaker))
            raise
        except Exception as error:  # whatever the outside does wrong becomes an answer
            self._calls += 1
            self._faults += 1
            self._failing += 1
            self._last_error = self._text(error)
            self._settle(ok=False)
            if self._failing >= FAILING_LIMIT:
                why = f"{self._failing} calls in a row failed, the last with {self._last_error}"
                raise ServiceUnreachableError(self.path, why) from None
            return Fault(self._last_error)
        self._calls += 1
        self._failing = 0
        self._settle(ok=True)
        return result

    # -- the actor --------------------------------------------------------------------------------

    async def on_start(self) -> Ignore | None:  # type: ignore[override] # a hook may be a coroutine
        key = self.path.strip("/").replace("/", ".")
        missing = [f"{key}.{name}" for name, value in self.settings().items() if not value]
        if missing:
            return Ignore(f"not configured: set {', '.join(missing)}")
        self._offload = Offload(key, limit=self._limit)
        try:
            self._about = await self._bounded(self.probe)
        except Exception as error:  # the reason is all that matters here; its text may hold a secret
            raise ServiceUnreachableError(self.path, self._text(error)) from None
        return None

    @on(GetService)
    async def get_service(self, _: GetService) -> ServiceView:
        return self._view()

    def state_view(self) -> dict[str, object]:
        view = self._view()
        return {name: getattr(view, name) for name in view.__struct_fields__}

    async def _bounded(self, function: Callable[..., T], *arguments: object) -> T:
        assert self._offload is not None  # made before anything is called
        cancel = Cancel()
        try:
            return await asyncio.wait_for(self._offload.run(function, cancel, *arguments, cancel=cancel), self._timeout)
        except TimeoutError as error:
            if str(error):
                raise  # the function's own
            raise TimeoutError(f"not done within {self._timeout:g} s") from None

    def _settle(self, *, ok: bool) -> None:
        self._turn(breakers.settle(self._breaker, self.breaker, self.system.clock.monotonic(), ok=ok))

    def _turn(self, state: breakers.State) -> None:
        """Keep the breaker's state; publish it where it is another one."""
        before, self._breaker = self._breaker, state
        if type(before) is not type(state):
            word = breakers.word(state)
            self.system.bus.publish(BreakerChanged(self.system.clock.time(), self.path, self.path.strip("/"), word))

    def _text(self, error: BaseException) -> str:
        text = said(error)
        for secret in self.secrets():
            text = text.replace(secret, "***") if secret else text
        return text

    def _view(self) -> ServiceView:
        return ServiceView(
            about=self._about,
            active=self._offload.running if self._offload is not None else 0,
            limit=self._limit,
            calls=self._calls,
            faults=self._faults,
            failing=self._failing,
            last_error=self._last_error,
            breaker=breakers.word(self._breaker),
            refused=self._refused,
        )


def words(name: str, value: list[str] | tuple[str, ...] | None) -> list[str]:
    """Return a command given as a list of words.

    Raises:
        TypeError: It is one text, or holds something else than texts.
    """
    found: Any = value if value is not None else []
    if isinstance(found, str) or not all(isinstance(word, str) for word in found):
        raise TypeError(f'{name} is a list of words such as ["espeak-ng", "--stdin"], got {value!r}')
    return list(found)
