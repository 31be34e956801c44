"""Running a turn: an actor handles what waits in its mailbox, one message at a time, until it is empty or time is up.

`run` is for actors with plain handlers only. `run_mixed` also serves `async def` handlers: calling one makes a
coroutine, which goes to the event loop together with the turn; the thread is free, and the turn comes back to the
dispatcher when the coroutine has ended (`actors.core.loop`). Both are called by whoever holds the turn, and no error
of an actor leaves them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from pykka._envelope import Envelope  # what foreign code may put into `actor_inbox`; read in pykka 4.5.0
from pykka.messages import _ActorStop

from actors.core.cell import NEW
from actors.core.context import turn_codes
from actors.core.flight import THROUGHPUT, keep, ring_of
from actors.core.future import Ask
from actors.core.handlers import DEFERRED, PROXY_HANDLERS, Handler, is_coroutine
from actors.core.life import ask_failed, end, failed, finish, start
from actors.core.signals import Resume, Stop, Suspend
from actors.core.tracing import Carried, current, handle_carried
from actors.errors import AskTimeoutError
from actors.exits import NORMAL

if TYPE_CHECKING:
    from actors.core.interleave import Interleaved
    from actors.core.ref import ActorRef


def run(cell: ActorRef[Any]) -> None:
    """Run one turn of an actor whose handlers are all plain; the caller holds the turn."""
    if cell._attention:
        if not attend(cell):
            return
        if cell._run is not run:  # the actor was made in this turn, and is of another kind
            cell._run(cell)
            return
    queue = cell._queue
    if queue:
        actor = cell._actor
        table = cell._table
        popleft = queue.popleft
        ring = cell._ring
        if ring is None:
            ring = ring_of(cell)
        mask = len(ring) - 1
        left = begun = cell._ringed or THROUGHPUT
        cell._turn_at = cell._dispatcher.now
        try:
            while left:
                left -= 1
                ring[left & mask] = cell._handling = item = popleft()
                table[type(item)](actor, item)
                if cell._attention or not queue:
                    break
        except BaseException as error:
            cell._ringed = left
            cell._handled += begun - left
            if failed(cell, error):
                cell._handling = None
                cell._dispatcher.submit(cell)
            return
        cell._ringed = left
        cell._handled += begun - left
        cell._handling = None
        if cell._pressure is not None:
            cell._make_room()
    if cell._queue or cell._attention:
        cell._dispatcher.submit(cell)
        return
    cell._idle = True
    cell._turn = None
    if cell._queue or cell._attention:
        cell._wake()


def run_mixed(cell: ActorRef[Any]) -> None:
    """Run one turn of an actor that has coroutine functions; the caller holds the turn."""
    if cell._attention and not attend(cell):
        return
    queue = cell._queue
    left = THROUGHPUT
    cell._turn_at = cell._dispatcher.now
    while queue and left and not cell._attention:
        left -= 1
        item = queue.popleft()
        keep(cell, item)
        if not step(cell, item):
            return
    cell._handling = None
    if cell._pressure is not None:
        cell._make_room()
    if cell._queue or cell._attention:
        cell._dispatcher.submit(cell)
        return
    cell._give_back()


def step(cell: ActorRef[Any], item: Any) -> bool:
    """Handle one message; return False where the turn went to the event loop or the actor has ended."""
    if type(item) is Carried:
        token = current.set(item.trace)
        try:
            return step(cell, item.item)
        finally:
            current.reset(token)
    ask = item if type(item) is Ask else None
    message = item if ask is None else ask.message
    actor = cell._actor
    cell._handling = item
    try:
        if ask is None:
            result = cell._table[type(item)](actor, item)
        elif is_late(cell, ask):
            return True
        else:
            result = cell._table[type(message)](actor, message)
    except BaseException as error:
        return step_failed(cell, ask, error)
    if result is not None and is_coroutine(result):
        if cell._pressure is not None:
            cell._make_room()
        timeout = cell._table.timeouts.get(type(message))
        if cell._work is not None:  # a re-entrant actor: the next message may begin meanwhile
            cast("Interleaved", cell._work).add(cell, result, ask, timeout)
            return True
        actor.system.loop.begin(cell, result, None, ask, timeout)
        return False
    cell._handled += 1
    if ask is not None:
        reply(cell, ask, result)
    return True


def step_failed(cell: ActorRef[Any], ask: Ask[Any] | None, error: BaseException) -> bool:
    """Apply the failure rules to `error`, which left a handler; return whether the actor lives on."""
    cell._handled += 1
    if ask is not None:
        try:
            ask_failed(cell, ask, error)
        except BaseException:
            return failed(cell, error)
        return True
    return failed(cell, error)


def reply(cell: ActorRef[Any], ask: Ask[Any], result: Any) -> None:
    """Answer `ask` with what its handler returned, now or, for a stop, when the actor has ended."""
    if result is DEFERRED:
        if cell._waiting is None:
            cell._waiting = []
        cell._waiting.append(ask)
    else:
        ask.settle(result, None)


def attend(cell: ActorRef[Any]) -> bool:
    """Do what comes before user messages; return whether they may be handled now."""
    cell._attention = False
    launch = cell._launch
    if launch is not None and launch.is_abandoned:
        cell._work = None
        finish(cell, NORMAL)
        return False
    raised = cell._raised
    if raised is not None:
        cell._raised = None
        if not failed(cell, *raised):
            return False
    work = cell._work
    if work is not None:
        if not work.conclude(cell):
            return False
    elif cell._phase == NEW and not start(cell):
        return False
    lane = cell._lane
    if lane is not None:
        is_plain = cell._run is run
        while lane:
            item = lane.popleft()
            kind = type(item)
            if kind is Stop:
                end(cell, item.reason)
                return False
            if kind is Suspend:
                cell._suspended = True
            elif kind is Resume:
                cell._suspended = False
            elif is_plain and kind is not Ask:  # what a supervisor gets: the same as `step` does, without its questions
                cell._handling = item
                try:
                    cell._table[kind](cell._actor, item)
                except BaseException as error:
                    if not step_failed(cell, None, error):
                        return False
                else:
                    cell._handled += 1
            elif not step(cell, item):
                return False
        cell._handling = None
    if cell._stopping:
        end(cell, NORMAL)
        return False
    if cell._suspended:
        cell._attention = True
        cell._handling = None
        cell._give_back()
        return False
    return True


def is_late(cell: ActorRef[Any], ask: Ask[Any]) -> bool:
    """Whether nobody waits for the answer any more, so that a supervised actor need not work for it."""
    timeout = ask.timeout
    if timeout is None or cell._launch is None or time.monotonic() < ask.asked_at + timeout:
        return False
    if cell._owner is not None:
        cell._owner.dead_letters.put(cell.path, ask.message, "deadline passed")
    cell._fail_ask(ask, AskTimeoutError(cell.path, timeout))
    return True


def _answer(actor: Any, ask: Ask[Any]) -> None:
    """Handle what is asked and answer it (plain handlers)."""
    cell = actor._actor_ref
    if ask.timeout is not None and is_late(cell, ask):
        return
    message = ask.message
    try:
        result = cell._table[type(message)](actor, message)
    except BaseException as error:
        ask_failed(cell, ask, error)
        return
    if result is DEFERRED:
        reply(cell, ask, result)
    else:
        ask.settle(result, None)


def _answer_envelope(actor: Any, envelope: Envelope[Any]) -> None:
    """Handle a pykka envelope that was put into `actor_inbox` by hand."""
    if envelope.reply_to is None:
        actor._actor_ref._table[type(envelope.message)](actor, envelope.message)
        return
    ask: Ask[Any] = Ask(envelope.message)
    target = envelope.reply_to

    def forward() -> None:
        try:
            target.set(ask.get())
        except Exception:
            target.set_exception()

    ask.add_done_callback(forward)
    _answer(actor, ask)


def _stop_asked(actor: Any, _message: Any) -> Any:
    """End the actor after the message in hand: the answer to pykka's stop message."""
    cell = actor._actor_ref
    cell._stopping = True
    cell._attention = True
    return DEFERRED


RUNTIME_HANDLERS: Final[dict[type, Handler]] = {
    Ask: _answer,
    Carried: handle_carried,
    Envelope: _answer_envelope,
    _ActorStop: _stop_asked,
    **PROXY_HANDLERS,
}

turn_codes[id(run.__code__)] = turn_codes[id(run_mixed.__code__)] = "cell"
