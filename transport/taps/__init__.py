"""Event taps: what happens in a node, published while it happens, for any reader in any language.

`publisher` puts the bus's events on the wire, `reader` follows them and knows exactly what it missed, `frames` is what
both agree on. `docs/reference/wire.md` describes the bytes.
"""

from __future__ import annotations

from transport.taps.frames import BEAT, CLASSES, TapHeader, topic_of
from transport.taps.publisher import TapPublisher, TapSnapshot, TapStatistics
from transport.taps.reader import Gap, Origin, Restarted, TapEvent, TapItem, TapReader

__all__ = [
    "BEAT",
    "CLASSES",
    "Gap",
    "Origin",
    "Restarted",
    "TapEvent",
    "TapHeader",
    "TapItem",
    "TapPublisher",
    "TapReader",
    "TapSnapshot",
    "TapStatistics",
    "topic_of",
]
