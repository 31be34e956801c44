"""Where an error may come out of nowhere: Ctrl-C, which Python raises in the main thread between any two steps."""

from __future__ import annotations

import signal
import threading


def can_be_torn() -> bool:
    """Whether this thread can be torn off between any two steps; what it takes off a socket then could be lost."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
