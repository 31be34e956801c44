"""Actors process messages: the kernel (actor, mailbox, dispatcher, refs) and the working actors built on it."""

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
from actors.messages import Message, on

__all__ = [
    "KILLED",
    "NORMAL",
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
    "UnhandledMessageError",
    "on",
]
