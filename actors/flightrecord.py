"""The flight record of a crash: what an actor did last, in plain data that is bounded and holds no secret."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from msgspec import Meta, Struct

from actors.eventbase import Event

SECRET: Final = Meta(extra={"secret": True})
"""Marks a field of a message as a secret, which no flight record shows: `pin: Annotated[str, SECRET]`. Fields that are
called so (password, token, secret, api_key, credential, cookie, authorization, pin) need no mark."""


class FlightRule(Struct, frozen=True, omit_defaults=True, gc=False):
    """What is kept of a crash of one child.

    Attributes:
        messages: How many of the last messages; 0: none. They are held, as they are, until others took their place.
        state: Whether the actor's `state_view()` is asked for as it crashes.
        locals: Whether the traceback's frames are kept with their variables.
        stacks: Whether the stacks of all threads of the process are kept.
    """

    messages: int = 4
    state: bool = False
    locals: bool = False
    stacks: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.messages <= MESSAGES_MAX:
            raise ValueError(f"messages lies in 0..{MESSAGES_MAX}, got {self.messages}")


MESSAGES_MAX = 64
"""Most messages that a rule may keep."""


class LastMessage(Struct, frozen=True, omit_defaults=True):
    """One of the last messages.

    Attributes:
        type: Its class.
        fields: Its fields in plain data: shortened, secrets as `***`, what is no plain data by its class.
        at: When it was taken up, seconds since the epoch, where that is known; else 0.0.
        in_hand: Whether the actor was handling it.
    """

    type: str
    fields: dict[str, Any] = {}
    at: float = 0.0
    in_hand: bool = False


class FrameRecord(Struct, frozen=True, omit_defaults=True):
    """One frame of a traceback, outermost first, with its variables as a message's fields are shown."""

    place: str
    function: str
    variables: dict[str, Any] = {}


class StackRecord(Struct, frozen=True, omit_defaults=True):
    """The stack of one thread, innermost last, one `file:line function` a frame."""

    thread: str
    frames: tuple[str, ...] = ()


class FlightRecord(Struct, frozen=True, omit_defaults=True):
    """What is known of an instance's last moments.

    Attributes:
        source: `actor`: the process itself told; `shared-memory`: its process was ended from outside, and this is what
            it left in memory that it shared: the types of messages and when each was taken up, no more.
        messages: The last messages, oldest first.
        handled: Messages handled in all, the last one included.
        handler: The function that took the message in hand.
        seconds: How long that message had been in hand; coarse, some 10 ms.
        waiting: Messages left in the mailbox.
        state: The actor's view of its state, where its rule asks for it.
        frames: The traceback's frames with their variables, where its rule asks for them.
        stacks: The stacks of all threads; at most once a second, in a storm of crashes others go without.
        log: The process's last log lines.
        suppressed: Crashes of this path since the last record that have none, because there were too many.
        cut: Whether something was left out to keep the record small.
    """

    source: str = "actor"
    messages: tuple[LastMessage, ...] = ()
    handled: int = 0
    handler: str = ""
    seconds: float = 0.0
    waiting: int = 0
    state: dict[str, Any] | None = None
    frames: tuple[FrameRecord, ...] = ()
    stacks: tuple[StackRecord, ...] = ()
    log: tuple[str, ...] = ()
    suppressed: int = 0
    cut: bool = False


class CrashRecorded(Event, frozen=True):
    """What an instance that crashed, or whose process was ended by a signal, did last.

    Attributes:
        generation: Which instance.
        reason: Why it ended, in one line.
        record: Its flight record.
    """

    TOPIC: ClassVar[str] = "actor.crash"
    SEVERITY: ClassVar[str] = "error"

    generation: int
    reason: str
    record: FlightRecord
