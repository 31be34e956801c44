"""A query that takes long, at a terminal: how far it is, and Ctrl-C, which ends it where it runs.

Both go to the node through a connection of their own, since the first waits for the answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import structs

from supervisors.cli.calling import Call
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError
from supervisors.cli.texts import duration
from supervisors.requests import SqlArguments
from supervisors.views import SqlView

FIRST: Final = 1.0
"""Seconds after which a query counts as long."""

EVERY: Final = 0.5
_ANSWER: Final = 2.0


@contextmanager
def shown(call: Call, arguments: SqlArguments) -> Iterator[None]:
    """Show how far the query is while the block waits for it; let Ctrl-C end it at the recorder."""
    is_over = threading.Event()
    thread = threading.Thread(target=_show, args=(call, arguments, is_over), daemon=True)
    if call.output.err_terminal.is_tty and not call.choice.is_quiet:
        thread.start()
    try:
        yield
    except KeyboardInterrupt:
        _ask(call, arguments, "cancel")
        raise
    finally:
        is_over.set()
        if thread.ident is not None:
            thread.join()


def _show(call: Call, arguments: SqlArguments, is_over: threading.Event) -> None:
    began = time.monotonic()
    is_shown = False
    wait = FIRST
    while not is_over.wait(wait):
        wait = EVERY
        percent = _ask(call, arguments, "progress")
        if is_over.is_set():
            break
        far = f", {percent:.0f} %" if isinstance(percent, float) and percent > 0 else ""
        call.output.err.write(f"\r\x1b[K{duration(time.monotonic() - began)}{far} (Ctrl-C ends it)")
        call.output.err.flush()
        is_shown = True
    if is_shown:
        call.output.err.write("\r\x1b[K")
        call.output.err.flush()


def _ask(call: Call, arguments: SqlArguments, verb: str) -> object:
    wanted = structs.replace(arguments, query="", parameters={}, verb=verb, timeout=_ANSWER)
    try:
        with connect(call) as node:
            view: SqlView = node.request("sql", wanted, SqlView, timeout=_ANSWER)
    except CommandError:
        return None
    return view.rows[0][0]
