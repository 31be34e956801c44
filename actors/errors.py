"""The root of every error the three packages raise, and the branch that belongs to actors.

`ActorRuntimeError` is the root; `transport.errors` and `supervisors.errors` hold the other branches. An error
carries its facts as attributes and derives from the built-in (or pykka's) class a caller would expect. Nothing here
derives from `BaseException` directly: pykka 4.5 answers one raised in a handler by stopping every actor in the process.
"""

from __future__ import annotations

import pykka


class ActorRuntimeError(Exception):
    """Root of the errors raised by actors, transport and supervisors."""


class MessageDefinitionError(ActorRuntimeError, TypeError):
    """A message class could not cross a process unchanged; raised while the class is being defined."""

    def __init__(self, message: str, field: str, why: str) -> None:
        super().__init__(f"message {message}: {field}: {why}")
        self.message = message
        self.field = field


class AddressError(ActorRuntimeError, ValueError):
    """Text that is not an actor path or address."""


class AskTimeoutError(ActorRuntimeError, pykka.Timeout, TimeoutError):
    """The answer to an ask did not come in time; the message may still be processed."""

    def __init__(self, target: str, timeout: float) -> None:
        super().__init__(f"no answer from {target} within {timeout:g} s; the message may still be processed")
        self.target = target
        self.timeout = timeout


class BlockingAskError(ActorRuntimeError, RuntimeError):
    """A blocking ask was made where it could not end: on an event loop's thread, or by the very actor that is asked."""

    def __init__(self, target: str, *, is_own: bool = False) -> None:
        super().__init__(
            f"ask({target}) waits for the handler it is made in; call the method, or tell and get the answer by message"
            if is_own
            else f"ask({target}) would block the event loop; write: await ref.ask_async(...)"
        )
        self.target = target


class MailboxFullError(ActorRuntimeError, BufferError):
    """The mailbox is at its capacity and its answer to full is `reject` (or the sender is the actor itself)."""

    def __init__(self, target: str, capacity: int) -> None:
        super().__init__(f"mailbox of {target} is full ({capacity} messages)")
        self.target = target
        self.capacity = capacity


class ActorExitedError(ActorRuntimeError, pykka.ActorDeadError):
    """The actor ended before it handled the message: the work was not done, so asking again is safe.

    Derives from `pykka.ActorDeadError`, which is what pykka's callers catch.
    """

    def __init__(self, target: str, why: str) -> None:
        super().__init__(f"{target} {why}")
        self.target = target
        self.why = why


class UnhandledMessageError(ActorRuntimeError, TypeError):
    """A supervised actor has no handler for the message it was asked."""

    def __init__(self, target: str, message_type: str) -> None:
        super().__init__(f"{target} has no handler for {message_type}")
        self.target = target
        self.message_type = message_type


class StartTimeoutError(ActorRuntimeError, TimeoutError):
    """An actor did not become ready before its start deadline."""

    def __init__(self, target: str, timeout: float) -> None:
        super().__init__(f"{target} was not ready within {timeout:g} s")
        self.target = target
        self.timeout = timeout
