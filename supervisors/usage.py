"""What a process uses, as a value: the launcher measures it, a tree shows it."""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True, gc=False):
    """What a process uses, or several together.

    Attributes:
        rss_bytes: Resident memory; what several share is counted in each.
        cpu_seconds: Processor time used so far, user and system.
        threads: Threads.
        open_files: Open descriptors; None where they may not be counted.
        cpu_ratio: Processors used on average since the look before; None before the second look.
    """

    rss_bytes: int
    cpu_seconds: float
    threads: int
    open_files: int | None = None
    cpu_ratio: float | None = None
