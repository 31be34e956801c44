"""`send` and `ask` from outside: a message named by its type, its fields as plain data, to whoever is at a path."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

import msgspec
import pykka

from actors.core.actor import Actor
from actors.core.context import never_waiting
from actors.core.tracing import new_trace, tracing
from actors.errors import ActorExitedError, AskTimeoutError
from actors.exits import said
from actors.jobs.workers import Reload, Task
from actors.messages import HANDLES, Handles, Message
from supervisors.branches import record_of
from supervisors.children import resolve
from supervisors.core import Stopping
from supervisors.lines import is_up
from supervisors.programs import ProgramStart
from supervisors.requests import SendArguments
from supervisors.selectors import SelectorError, not_found
from supervisors.specs import ImportStart, LocalStart
from supervisors.supervisor import Services
from supervisors.tree import find, paths
from supervisors.views import AnswerView, NodeKind, SentView, to_wire
from transport.control.server import Responder


def message_types(services: Services, path: str) -> dict[str, type[Message[Any]]]:
    """Return the message types that the actor at `path` handles, by their class names; empty where that is unknown.

    The class comes from the child's spec, so it is known whether or not an instance runs; a class named by its import
    path is imported.

    Raises:
        SelectorError: There is no such child.
    """
    found = find(services, path)
    record = record_of(services, path) if found is None else None
    if found is None and record is None:
        if path == "/" or path in services.supervisors:
            return {}
        raise not_found(path, paths(services))
    start = found[1].spec.start if found is not None else None
    if record is not None:
        if record.spec is None or record.view.kind is NodeKind.SUPERVISOR:
            return {}
        make: Any = resolve(record.spec.start)
    elif isinstance(start, ImportStart):
        make = resolve(start.target)
    elif isinstance(start, LocalStart):
        make = start.make
    elif isinstance(start, ProgramStart) and start.speaks:
        return {kind.__name__: kind for kind in (Task, Reload)}
    else:
        return {}
    if not (inspect.isclass(make) and issubclass(make, Actor)):
        ref = services.system.registry.get(path)
        make = getattr(ref, "actor_class", None)
        if make is None:
            return {}
    types: dict[str, type[Message[Any]]] = {}
    for name in dir(make):
        handles = getattr(getattr(make, name, None), HANDLES, None)
        if isinstance(handles, Handles) and issubclass(handles.message, Message):
            types[handles.message.__name__] = handles.message
    return types


def send_to_actor(services: Services, wanted: SendArguments) -> SentView:
    """Put the message into the mailbox of the actor.

    Raises:
        SelectorError: No such actor, message type or field, or it is being stopped.
        MailboxFullError: Its mailbox is full.
    """
    message = _message(services, wanted)
    ref = services.system.ref(wanted.path)
    record = record_of(services, wanted.path)
    if not ref.is_alive() or (record is not None and not is_up(record.view.state)):
        raise SelectorError("conflict", f"{wanted.path} is not running", f"actorctl why {wanted.path}")
    _check_stays(services, wanted.path)
    trace = new_trace()
    with never_waiting(), tracing(trace):
        ref.tell(message)
    if record is not None:  # of another process: what it said last, since asking it would wait
        return SentView(path=wanted.path, message=wanted.message, mailbox=record.view.mailbox, trace=trace.id)
    figures = ref.statistics()
    depth = figures.depth if figures is not None else 0
    return SentView(path=wanted.path, message=wanted.message, mailbox=depth, trace=trace.id)


def ask_actor(services: Services, wanted: SendArguments, responder: Responder) -> None:
    """Ask the actor and answer the call when its reply comes, in time or not.

    Raises:
        SelectorError: No such actor, message type or field, or it is being stopped.
    """
    message = _message(services, wanted)
    _check_stays(services, wanted.path)
    clock = services.system.clock
    since = clock.monotonic()
    trace = new_trace()
    with never_waiting(), tracing(trace):
        future: Any = services.system.ref(wanted.path).ask(message, block=False, timeout=wanted.timeout)
    late = services.system.schedule(
        wanted.timeout,
        lambda: responder.fail(
            "timeout", str(AskTimeoutError(wanted.path, wanted.timeout)), f"actorctl describe {wanted.path}"
        ),
    )

    def answered() -> None:
        late.cancel()
        seconds = clock.monotonic() - since
        try:
            reply = future.get(timeout=0)
            view = AnswerView(
                path=wanted.path,
                message=wanted.message,
                reply=msgspec.to_builtins(reply, enc_hook=repr),
                seconds=seconds,
                trace=trace.id,
            )
            responder.reply(to_wire(view))
        except ActorExitedError as error:
            responder.fail("conflict", str(error), f"actorctl why {wanted.path}")
        except pykka.Timeout as error:
            responder.fail("timeout", str(error), f"actorctl describe {wanted.path}")
        except Exception as error:
            responder.fail("failed", said(error), f"actorctl why {wanted.path}")

    future.add_done_callback(answered)


def _check_stays(services: Services, path: str) -> None:
    """See that the actor at `path` is not being stopped: what it gets now it would not handle, unless it is held.

    Raises:
        SelectorError: `conflict`.
    """
    found = find(services, path)
    is_held = services.system.registry.holding(path) is not None
    if found is not None and isinstance(found[1].state, Stopping) and not is_held:
        raise SelectorError("conflict", f"{path} is being stopped and takes no more messages", f"actorctl why {path}")


def _message(services: Services, wanted: SendArguments) -> Message[Any]:
    types = message_types(services, wanted.path)
    name = wanted.message.rpartition(".")[2].rpartition(":")[2]
    kind = types.get(name)
    if kind is None:
        near = get_close_matches(name, types, n=1)
        known = f"it takes: {', '.join(sorted(types))}" if types else "it takes no messages by name"
        hint = f"did you mean {near[0]}?" if near else known
        raise SelectorError("not_found", f"{wanted.path} has no handler for {wanted.message}", hint)
    unknown = [field for field in wanted.payload if field not in kind.__struct_encode_fields__]
    if unknown:
        near = get_close_matches(unknown[0], kind.__struct_encode_fields__, n=1)
        fields = ", ".join(kind.__struct_encode_fields__) or "none"
        hint = f"did you mean {near[0]}?" if near else f"fields of {name}: {fields}"
        raise SelectorError("usage", f"{name} has no field {unknown[0]}", hint)
    try:
        message: Message[Any] = msgspec.convert(wanted.payload, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(kind.__struct_fields__) or "none"
        raise SelectorError("usage", f"{name}: {error}", f"fields of {name}: {fields}") from None
    return message
