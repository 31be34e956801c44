"""What every benchmark shares: interleaved rounds, spread, the machine it ran on, and raw results kept as JSON.

Ratios are formed inside one round only, one side right after the other: this machine and its neighbours drift by more
than the differences that matter. Figures are medians of the rounds with the smallest and the largest beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

RESULTS = Path(__file__).parent / "results"


class Spread(Struct, frozen=True):
    """Several measurements of one thing: the middle one, the extremes, and all of them."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of `values`, at least one."""
        return cls(statistics.median(values), min(values), max(values), tuple(values))

    def show(self, unit: str = "", scale: float = 1.0) -> str:
        """Return "median [low..high] unit"."""
        return f"{_short(self.median * scale)} [{_short(self.low * scale)}..{_short(self.high * scale)}]{unit}"


class Row(Struct, frozen=True):
    """One measure of a benchmark.

    Attributes:
        name: What is measured.
        target: The goal, for people.
        met: Whether the median meets it; None where there is none.
        ours: Our figure.
        plain: Plain pykka's in the same rounds.
        ratio: Ours to plain pykka's, round by round.
        unit: Unit of `ours` and `plain`.
    """

    name: str
    target: str
    met: bool | None
    ours: Spread
    plain: Spread | None
    ratio: Spread | None
    unit: str


def machine() -> dict[str, Any]:
    """Return what a reader needs to place the figures."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "pinned_to": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pykka", "msgspec")},
    }


def rounds(n: int, sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure every side once a round, in turn, for `n` rounds after one to warm up."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(n + 1):
        for name, measure in sides.items():
            value = measure()
            if round_:
                found[name].append(value)
    return found


def ratios(ours: Sequence[float], plain: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(ours, plain, strict=True)]


def arguments(what: str, default_rounds: int) -> argparse.Namespace:
    """Parse the options all benchmarks have: `--rounds`, `--free`, `--only`, `--quick`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rounds", type=int, default=default_rounds, help="interleaved rounds after the first")
    parser.add_argument("--free", action="store_true", help="do not pin to one core")
    parser.add_argument("--only", default="", help="measures to take, by comma")
    parser.add_argument("--no-save", action="store_true", help="keep no results file")
    return parser.parse_args()


def pin() -> bool:
    """Pin this process to one core, where the system can; return whether it is."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.suppress(OSError):
        os.nice(-5)  # only the superuser may
    return True


def report(title: str, name: str, rows: Sequence[Row], *, save: bool = True) -> None:
    """Print the rows as a table and keep them, with machine and versions, in `results/<name>.json`."""
    facts = machine()
    print(f"\n{title}\n{facts['cpu']}, {facts['cores']} cores, pinned to {facts['pinned_to']}, load {facts['load']}")
    print(f"Python {facts['python']}, {facts['versions']}\n")
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        line = f"{row.name:34} {row.ours.show(' ' + row.unit):44}"
        if row.plain is not None and row.ratio is not None:
            line += f" plain {row.plain.show():34} x {row.ratio.show():26}"
        print(f"{line} {row.target:32} {verdict}")
    if save:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps({"title": title, "machine": facts, "rows": msgspec.to_builtins(list(rows))}, indent=1)
        (RESULTS / f"{name}.json").write_text(text + "\n")


@contextlib.contextmanager
def quiet_gc() -> Iterator[None]:
    """Collect garbage before the measurement rather than inside it."""
    import gc

    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
