"""What every benchmark here shares: one core, interleaved rounds, medians, and a file with machine and versions."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def pin(core: int = 0) -> bool:
    """Run on one core from now on; ratios hold there where times drift. Return whether the system could."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[core % len(allowed)]})
    return True


def interleave(rounds: int, **subjects: Callable[[], float]) -> dict[str, list[float]]:
    """Run each subject once a round, in turn, after one round that does not count; return their figures by name."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            figure = subject()
            if number:
                figures[name].append(figure)
    return figures


def ratio(figures: dict[str, list[float]], over: str, under: str) -> float:
    """Return the median of `over`/`under`, formed round by round."""
    return statistics.median(a / b for a, b in zip(figures[over], figures[under], strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    packages = ("pykka", "pyzmq", "msgpack", "msgspec", "duckdb")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "",
        **{package: version(package) for package in packages},
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Keep the figures in `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **result}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def say(text: str) -> None:
    """Print a line of the report."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
