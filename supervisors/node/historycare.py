"""The care of the history, as control commands ask for it: pruning, and a copy for a backup. The recorder does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from actors.core.system import ActorSystem
from actors.history.protocol import Copy, CopyMade, Prune, Pruned
from supervisors.node.facts import RECORDER
from supervisors.requests import HistoryCopyArguments, HistoryPruneArguments
from supervisors.views import HistoryCopyView, HistoryPrunedView, PrunedView, View, to_wire
from transport.control.protocol import Request
from transport.control.server import Responder

HISTORY: Final = frozenset({"history-prune", "history-copy"})
"""The commands that are carried out here."""


def history_handlers(system: ActorSystem) -> dict[str, Callable[[Any, Request, Responder], None]]:
    """Return what carries out each of the commands."""
    return {"history-prune": partial(prune_history, system), "history-copy": partial(copy_history, system)}


def prune_history(system: ActorSystem, wanted: HistoryPruneArguments, _: Request, responder: Responder) -> None:
    """Have the recorder forget what is too old or too much, or say what that would be."""
    message = Prune(wanted.events_age, wanted.metrics_age, wanted.max_bytes, wanted.dry_run)

    def view(found: Pruned) -> View | None:
        if found.why and not found.parts and not found.used_bytes:
            responder.fail("failed", f"the history was not pruned: {found.why}", "actorctl status")
            return None
        outcome = "would go" if wanted.dry_run else "gone"
        return HistoryPrunedView(
            items=tuple(
                PrunedView(table=p.table, outcome=outcome, rows=p.rows, size_bytes=p.size_bytes, file=p.file)
                for p in found.parts
            ),
            used_bytes=found.used_bytes,
            free_bytes=found.free_bytes,
            why=found.why,
        )

    _ask(system, message, wanted.timeout, view, responder)


def copy_history(system: ActorSystem, wanted: HistoryCopyArguments, _: Request, responder: Responder) -> None:
    """Have the recorder lay a copy of what is stored beside the published files."""

    def view(found: CopyMade) -> View | None:
        if not found.folder:
            responder.fail("failed", f"the history was not copied: {found.why}", "actorctl status")
            return None
        return HistoryCopyView(folder=found.folder, sealed=found.sealed, rows=found.rows)

    _ask(system, Copy(wanted.name), wanted.timeout, view, responder)


def _ask(
    system: ActorSystem, message: Any, timeout: float, view: Callable[[Any], View | None], responder: Responder
) -> None:
    future = system.ref(RECORDER).ask(message, block=False, timeout=timeout)

    def answered() -> None:
        try:
            found = future.get(timeout=0)
        except Exception as error:
            responder.fail("conflict", f"the recorder gave no answer: {error}", f"actorctl why {RECORDER}")
            return
        answer = view(found)
        if answer is not None:
            responder.reply(to_wire(answer))

    future.add_done_callback(answered)
