"""Actors process messages: the kernel (actor, mailbox, dispatcher, refs) and the working actors built on it.

What is exported is imported when it is first asked for, so that a part of the package costs no more than itself.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers read; a test holds it against the names below
    from actors.addresses import Address
    from actors.core.actor import Actor
    from actors.core.bus import EventBus
    from actors.core.context import AbandonedError
    from actors.core.deadletters import DeadLetter, DeadLetters
    from actors.core.future import Future
    from actors.core.links import Down, ExitSignal, Monitor
    from actors.core.mailbox import ActorStatistics, MailboxSpec
    from actors.core.outcomes import Exited, Ignore, Ignored, Incarnation, Outcome, Started, StartFailed
    from actors.core.pathref import PathRef
    from actors.core.ref import ActorRef, Ref
    from actors.core.system import ActorSystem, Launch, PathTakenError
    from actors.core.timers import ActorTimer, Timer
    from actors.core.tracing import Trace, new_trace, trace_here, tracing
    from actors.errors import (
        ActorExitedError,
        ActorRuntimeError,
        AddressError,
        AskTimeoutError,
        BlockingAskError,
        MailboxFullError,
        MessageDefinitionError,
        UnhandledMessageError,
    )
    from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitKind, ExitReason
    from actors.flightrecord import SECRET, FlightRule
    from actors.messages import Message, on
else:
    from actors.exporting import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "actors.addresses": ("Address",),
            "actors.core.actor": ("Actor",),
            "actors.core.bus": ("EventBus",),
            "actors.core.context": ("AbandonedError",),
            "actors.core.deadletters": (
                "DeadLetter",
                "DeadLetters",
            ),
            "actors.core.future": ("Future",),
            "actors.core.links": (
                "Down",
                "ExitSignal",
                "Monitor",
            ),
            "actors.core.mailbox": (
                "ActorStatistics",
                "MailboxSpec",
            ),
            "actors.core.outcomes": (
                "Exited",
                "Ignore",
                "Ignored",
                "Incarnation",
                "Outcome",
                "Started",
                "StartFailed",
            ),
            "actors.core.pathref": ("PathRef",),
            "actors.core.ref": (
                "ActorRef",
                "Ref",
            ),
            "actors.core.system": (
                "ActorSystem",
                "Launch",
                "PathTakenError",
            ),
            "actors.core.timers": (
                "ActorTimer",
                "Timer",
            ),
            "actors.core.tracing": (
                "Trace",
                "new_trace",
                "trace_here",
                "tracing",
            ),
            "actors.errors": (
                "ActorExitedError",
                "ActorRuntimeError",
                "AddressError",
                "AskTimeoutError",
                "BlockingAskError",
                "MailboxFullError",
                "MessageDefinitionError",
                "UnhandledMessageError",
            ),
            "actors.exits": (
                "KILLED",
                "NORMAL",
                "SHUTDOWN",
                "ExitKind",
                "ExitReason",
            ),
            "actors.flightrecord": (
                "SECRET",
                "FlightRule",
            ),
            "actors.messages": (
                "Message",
                "on",
            ),
        },
    )

__all__ = [
    "KILLED",
    "NORMAL",
    "SECRET",
    "SHUTDOWN",
    "AbandonedError",
    "Actor",
    "ActorExitedError",
    "ActorRef",
    "ActorRuntimeError",
    "ActorStatistics",
    "ActorSystem",
    "ActorTimer",
    "Address",
    "AddressError",
    "AskTimeoutError",
    "BlockingAskError",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "EventBus",
    "ExitKind",
    "ExitReason",
    "ExitSignal",
    "Exited",
    "FlightRule",
    "Future",
    "Ignore",
    "Ignored",
    "Incarnation",
    "Launch",
    "MailboxFullError",
    "MailboxSpec",
    "Message",
    "MessageDefinitionError",
    "Monitor",
    "Outcome",
    "PathRef",
    "PathTakenError",
    "Ref",
    "StartFailed",
    "Started",
    "Timer",
    "Trace",
    "UnhandledMessageError",
    "new_trace",
    "on",
    "trace_here",
    "tracing",
]
