"""The life of an instance: its start, its failure, its end. Every function is called by the holder of the turn.

Two sets of rules meet here. An actor started by its class's `start` behaves as pykka documents. One launched by
`ActorSystem.spawn` is supervised: whatever leaves a handler ends it, and its supervisor learns why.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pykka
from pykka._actor import logger as pykka_logger  # what a plain actor logs is pykka's, under pykka's name

from actors.core.cell import ENDED, ENDING, RUNNING
from actors.core.context import here
from actors.core.future import Ask
from actors.core.handlers import is_coroutine
from actors.core.outcomes import Exited, Ignore, Ignored, Started, StartFailed
from actors.core.pool import Pool
from actors.core.tracing import Carried, current, tracing
from actors.errors import ActorExitedError, UnhandledMessageError
from actors.exits import NORMAL, Crash, ExitKind, ExitReason

logger = logging.getLogger(__name__)

_CRASHED = ExitKind.CRASHED

if TYPE_CHECKING:
    from actors.core.actor import Actor
    from actors.core.ref import ActorRef


def start(cell: ActorRef[Any]) -> bool:
    """Construct the actor and run its `on_start`; return whether the turn goes on here."""
    launch = cell._launch
    if launch is None:
        return _start_plain(cell)
    if cell._lane is not None:
        stop = cell._pending_stop()
        if stop is not None:
            finish(cell, stop)
            return False
    here.constructing = cell
    try:
        actor: Actor | None = launch.factory()
        if actor is None or cell._actor is not actor:
            here.constructing = None
            raise TypeError(_why_no_actor(actor))
        result = actor.on_start()
    except BaseException as error:
        here.constructing = None
        if launch.owner.flight is not None:
            launch.owner.flight.crashed(cell, error, error.__traceback__)
        finish(cell, ExitReason.crashed(error))
        return False
    if result is not None and is_coroutine(result):
        launch.owner.loop.begin(cell, result, started, None, None)
        return False
    return started(cell, result)


def _why_no_actor(made: object) -> str:
    """Return why what a factory returned is not the actor that this start is about."""
    kind = type(made)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if isinstance(made, pykka.Actor):
        return f"{name}.__init__ does not call super().__init__(), or the actor was made by an earlier start"
    return f"what was to make an actor returned a {name}"


def started(cell: ActorRef[Any], result: Any) -> bool:
    """Go on after `on_start` returned `result`; return whether the turn goes on here."""
    launch = cell._launch
    if result is not None and isinstance(result, Ignore):
        if launch is not None:
            launch.ignored = result.why
        finish(cell, NORMAL)
        return False
    cell._inline = not cell._table.has_coroutines and isinstance(cell._dispatcher, Pool)
    cell._phase = RUNNING
    if launch is not None:
        launch.is_started = True
        launch.report(Started(cell))
    return True


def _start_plain(cell: ActorRef[Any]) -> bool:
    try:
        result = cell._actor.on_start()
    except Exception:
        cell._actor._handle_failure(*sys.exc_info())
        finish(cell, NORMAL)
        return False
    except BaseException as error:
        _stop_everybody(cell, error)
        return False
    if is_coroutine(result):
        cell._actor.system.loop.begin(cell, result, started, None, None)
        return False
    return started(cell, result)


def ask_failed(cell: ActorRef[Any], ask: Ask[Any], error: BaseException) -> None:
    """Answer an ask whose handler raised `error`; raise it again where it ends the actor."""
    lives_on = outlives(cell, error)
    cell._fail_ask(ask, error if lives_on or isinstance(error, Exception) else ended_by(cell, error))
    if not lives_on:
        raise error


def outlives(cell: ActorRef[Any], error: BaseException) -> bool:
    """Whether the actor lives on after `error` left a handler that somebody asked; logs it as pykka does."""
    if cell._launch is not None:
        return type(error) is UnhandledMessageError and error.target == str(cell)
    if isinstance(error, Exception):
        pykka_logger.info(f"Exception returned from {cell._actor} to caller:", exc_info=error)
        cell._failed += 1
        return True
    return False


def ended_by(cell: ActorRef[Any], error: BaseException) -> ActorExitedError:
    """Return what an asker gets where `error`, no `Exception`, ends the actor: it must not end the asker too."""
    ended = ActorExitedError(str(cell), f"was ended by {type(error).__name__} while handling the message")
    ended.__cause__ = error
    return ended


def failed(cell: ActorRef[Any], error: BaseException, trace: TracebackType | None = None) -> bool:
    """End the actor because `error`, raised along `trace` where known, left a handler; return whether it lives on."""
    item = cell._handling
    if type(item) is Carried and current.get() is not item.trace:
        with tracing(item.trace):
            return failed(cell, error)
    if cell._launch is None:
        cell._failed += 1
        if isinstance(error, Exception):
            _fail_plain(cell, error)
        else:
            _stop_everybody(cell, error)
    elif type(error) is UnhandledMessageError and error.target == str(cell):
        cell._launch.owner.dead_letters.put(cell.path, getattr(item, "message", item), "unhandled")
        return True
    elif isinstance(error, SystemExit):
        end(cell, NORMAL)
    else:
        cell._failed += 1
        if trace is None:
            trace = _trace_of(cell, error)
        if cell._launch.owner.flight is not None:
            cell._launch.owner.flight.crashed(cell, error, trace)
        end(cell, ExitReason(_CRASHED, "", Crash(error, trace=trace)), error)
    return False


def _trace_of(cell: ActorRef[Any], error: BaseException) -> TracebackType | None:
    """Return where `error` was raised, and nothing of what became of it since.

    Whoever asked raises the same error, at the same time perhaps, and every frame that it leaves there is added to it.
    """
    item = cell._handling
    info = item._exc_info if type(item) is Ask and item.done else None
    return info[2] if info is not None and info[1] is error else error.__traceback__


def _fail_plain(cell: ActorRef[Any], error: Exception) -> None:
    """Pykka's answer to an error nobody asked for: log, `on_failure`, stop."""
    actor = cell._actor
    info = (type(error), error, error.__traceback__)
    actor._handle_failure(*info)
    try:
        actor.on_failure(*info)
    except Exception:
        actor._handle_failure(*sys.exc_info())
    finish(cell, ExitReason.crashed(error))


def _stop_everybody(cell: ActorRef[Any], error: BaseException) -> None:
    """Pykka's answer to a `BaseException`: this actor stops, then all the others."""
    pykka_logger.debug(f"{error!r} in {cell._actor}. Stopping all actors.")
    end(cell, ExitReason.crashed(error))
    pykka.ActorRegistry.stop_all()


def end(cell: ActorRef[Any], reason: ExitReason, error: BaseException | None = None) -> None:
    """End the actor: refuse messages, run its last hook, then `finish`.

    Args:
        cell: The actor; its turn is held.
        reason: Why it ends.
        error: What it crashed with; `on_failure` runs in place of `on_stop`.
    """
    work = cell._work
    if work is not None and not work.quiet(cell, reason, error):
        return  # its other coroutines are being cancelled; the last of them leads back here
    actor = cell._actor
    cell._phase = ENDING
    cell._limit = -1
    launch = cell._launch
    if launch is not None and launch.is_abandoned:
        finish(cell, reason)
        return
    if launch is None:
        retire(cell)
        pykka_logger.debug(f"Stopped {actor}")
    result = None
    try:
        if error is None:
            result = actor.on_stop()
        elif cell._table.has_failure_hook:
            actor.on_failure(type(error), error, error.__traceback__)
    except BaseException as raised:
        if launch is None:
            actor._handle_failure(*sys.exc_info())
        elif error is None:
            reason = ExitReason.crashed(raised, "on_stop")
        else:
            logger.exception("on_failure failed", extra={"path": cell.path})
    if result is not None and is_coroutine(result):
        system = launch.owner if launch is not None else actor.system
        system.loop.begin(cell, result, Stopping(reason), None, None)
        return
    finish(cell, reason)


class Stopping:
    """What follows an `async def on_stop`: the end, for the reason known before it."""

    __slots__ = ("reason",)

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason

    def __call__(self, cell: ActorRef[Any], _result: Any) -> bool:
        finish(cell, self.reason)
        return False


def hook_failed(cell: ActorRef[Any], then: Any, reason: ExitReason, error: BaseException) -> None:
    """End the actor because its `async` hook was cancelled or raised `error`.

    Args:
        cell: The actor.
        then: What would have followed the hook.
        reason: Why it ends, for a start that failed.
        error: What the hook raised.
    """
    if isinstance(then, Stopping):
        reason = ExitReason.crashed(error, "on_stop") if isinstance(error, Exception) else then.reason
    if cell._launch is None:
        cell._actor._handle_failure(type(error), error, error.__traceback__)
    finish(cell, reason)


def retire(cell: ActorRef[Any]) -> None:
    """Take a plain actor out of pykka's registry and set its `actor_stopped`."""
    cell._limit = -1
    if cell._phase < ENDING:
        cell._phase = ENDING
    pykka.ActorRegistry.unregister(cell)
    if cell._stopped is not None:
        cell._stopped.set()


def finish(cell: ActorRef[Any], reason: ExitReason) -> None:
    """Let go of all the actor had, tell whoever watches, and give the turn back for good."""
    before = cell._phase
    cell._reason = reason
    cell._phase = ENDED
    cell._limit = -1
    cell._inline = False
    cell._handling = None
    cell._suspended = False
    launch = cell._launch
    if launch is None and before < ENDING:
        retire(cell)
    if cell._timers is not None:
        for timer in tuple(cell._timers):
            timer.cancel()
        cell._timers = None
    if cell._pressure is not None:
        cell._make_room()
    if cell._queue or cell._lane:
        cell._drain()
    if launch is not None:
        launch.owner.registry.release(cell.path, cell)
    if cell._bonds is not None:
        cell._bonds.broken(reason)
    if launch is not None:
        if before >= RUNNING:
            launch.report(Exited(reason))
        elif launch.ignored is not None:
            launch.report(Ignored(launch.ignored))
        else:
            launch.report(StartFailed(reason))
    elif cell._owner is not None:
        cell._owner.plain_ended(cell)
    if cell._waiting is not None:
        for ask in cell._waiting:
            ask.settle(None, None)
    cell._actor = None
    cell._idle = True
    cell._turn = None
    if cell._queue or cell._lane:  # refused by whoever takes the turn
        cell._wake()
