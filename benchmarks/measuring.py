"""What every benchmark shares: one core, interleaved rounds, medians with their spread, and a file of raw results.

Ratios are formed inside one round only, one side right after the other: a machine and its neighbours drift by more
than the differences that matter. Figures are medians of the rounds with the smallest and the largest beside them, and
`benchmarks/results` keeps them all with machine, load and versions.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("pykka", "pyzmq", "msgpack", "msgspec", "duckdb")


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

    def show(self, unit: str = "") -> str:
        """Return "median [low..high] unit"."""
        return f"{_short(self.median)} [{_short(self.low)}..{_short(self.high)}]{unit and ' ' + unit}"


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


def arguments(what: str, default_rounds: int) -> argparse.Namespace:
    """Parse the options of a benchmark: `--rounds`, `--free`, `--only`, `--no-save`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rounds", type=int, default=default_rounds, help="interleaved rounds after the first")
    parser.add_argument("--free", action="store_true", help="do not pin to one core")
    parser.add_argument("--only", default="", help="measures to take, by comma")
    parser.add_argument("--no-save", action="store_true", help="keep no results file")
    return parser.parse_args()


def pin() -> bool:
    """Run this process on one core from now on, where the system can; return whether it does."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.suppress(OSError):
        os.nice(-5)  # only the superuser may
    return True


@contextlib.contextmanager
def quiet_gc() -> Iterator[None]:
    """Collect garbage before the measurement rather than inside it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def interleave(rounds: int, sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure every side once a round, in turn, for `rounds` rounds after one to warm up; return figures by name."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, measure in sides.items():
            figure = measure()
            if number:
                figures[name].append(figure)
    return figures


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Return the spread of `over`/`under`, formed round by round."""
    return Spread.of([a / b for a, b in zip(over, under, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


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
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Keep `result`, with machine and versions, in `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **result}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def say(text: str) -> None:
    """Print a line of the report."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report(title: str, name: str, rows: Sequence[Row], *, keep: bool = True) -> None:
    """Print the rows as a table and keep them in `results/<name>.json`."""
    facts = machine()
    say(f"\n{title}\n{facts['cpu']}, {facts['cores']} cores, pinned to {facts['pinned_to']}, load {facts['load']}")
    say(f"Python {facts['python']}, {facts['versions']}\n")
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        line = f"{row.name:34} {row.ours.show(row.unit):44}"
        if row.plain is not None and row.ratio is not None:
            line += f" plain {row.plain.show():34} x {row.ratio.show():26}"
        say(f"{line} {row.target:32} {verdict}")
    if keep:
        save(name, {"title": title, "rows": msgspec.to_builtins(list(rows))})


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
