"""Holding what a process uses against its bounds: when to warn, and when to end it. Pure.

A warning is given once, and again only after the use had fallen below nine tenths of its bound. Processor time is
averaged over `CPU_WINDOW` seconds of looking: a burst is no fault, and neither is one look that came late.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from actors.exits import Crash, CrashRecord, ExitKind, ExitReason
from supervisors.processes.measures import CPU_WINDOW
from supervisors.specs import Bounds
from supervisors.usage import Usage

REARMED_AT = 0.9
"""Share of a bound below which a warning may be given anew."""


class Warned(Struct, frozen=True, gc=False):
    """A soft bound was crossed: `resource` is `memory` (bytes) or `cpu` (processors)."""

    resource: str
    used: float
    bound: float


class Meter(Struct, frozen=True):
    """What was seen so far.

    Attributes:
        looks: Instants and processor seconds, oldest first, as far back as the window needs.
        warned: Resources that a warning was given for.
    """

    looks: tuple[tuple[float, float], ...] = ()
    warned: frozenset[str] = frozenset()


class Judged(Struct, frozen=True):
    """What a look means.

    Attributes:
        usage: What is used, with `cpu_ratio` filled in.
        warnings: Soft bounds crossed by it.
        reason: Why the process is to be ended, or None.
    """

    usage: Usage
    warnings: tuple[Warned, ...] = ()
    reason: ExitReason | None = None


def look(meter: Meter, now: float, usage: Usage, bounds: Bounds) -> tuple[Meter, Judged]:
    """Return the meter after a look at `now`, and what the look means.

    Args:
        meter: What was seen before.
        now: Monotonic seconds, not before the last look.
        usage: What is used now.
        bounds: What is allowed.
    """
    before = meter.looks
    looks = (*before, (now, usage.cpu_seconds))
    while len(looks) > 2 and looks[1][0] <= now - CPU_WINDOW:
        looks = looks[1:]
    recent = _ratio(before[-1], looks[-1]) if before else None
    is_full = now - looks[0][0] >= CPU_WINDOW
    average = _ratio(looks[0], looks[-1]) if is_full else None

    warned = set(meter.warned)
    warnings: list[Warned] = []
    for resource, used, bound in (
        ("memory", float(usage.rss_bytes), bounds.memory_warn_bytes),
        ("cpu", average, bounds.cpu_warn),
    ):
        if bound is None or used is None:
            continue
        if used > bound and resource not in warned:
            warned.add(resource)
            warnings.append(Warned(resource, used, float(bound)))
        elif used < bound * REARMED_AT:
            warned.discard(resource)
    reason = None
    if bounds.cpu_max is not None and average is not None and average > bounds.cpu_max:
        text = f"{average:.3g} processors used over {CPU_WINDOW:g} s are over the limit of {bounds.cpu_max:g}"
        reason = ExitReason(ExitKind.KILLED, "cpu-limit", Crash(record=CrashRecord("CpuLimit", text)))
    judged = Judged(replace(usage, cpu_ratio=recent), tuple(warnings), reason)
    return Meter(looks, frozenset(warned)), judged


def _ratio(first: tuple[float, float], last: tuple[float, float]) -> float | None:
    seconds = last[0] - first[0]
    return max(0.0, last[1] - first[1]) / seconds if seconds > 0 else None
