"""What does a log line cost the actor that writes it, and how many lines a second reach the files?

An actor in the pool logs `info` lines from a handler; each call is timed alone. With the node's handlers (standard
error left out, both files, levels by path, a rule for another actor), in a process of its own, from where they go to
the same handlers, and, in turn, with the standard library's `FileHandler`, which writes on the calling thread.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from log_writers import Write, Writer
from measuring import Spread, percentile, pin, save, say

from actors.core.system import ActorSystem
from supervisors import loglevels
from supervisors.loglevels import LevelRule, Levels
from supervisors.node.logfiles import Limits
from supervisors.node.logs import configure, remove
from supervisors.running import RunningTree, start_tree
from supervisors.specs import ChildSpec, ImportStart, SupervisorSpec

ROUNDS = 7
LINES = 2_000
FLOOD = 50_000
TARGET_US = 5.0
LIMITS = Limits(max_bytes=10_000_000, keep=86_400.0, total_bytes=50_000_000, min_free_bytes=0)


def with_node(ask: Any, folder: Path, own: bool) -> list[float]:
    """Return what each line costs with the node's handlers."""
    handler = configure("info", "json", files=folder, limits=LIMITS, has_stream=False)
    loglevels.current.set(Levels(logging.INFO, (LevelRule("/somebody/else", logging.DEBUG),)))
    try:
        return ask(Write(LINES, 0.002, own))
    finally:
        remove(handler)


def in_a_process(tree: RunningTree) -> Any:
    """Return what measures an actor in a process of its own, in `tree`, with the node's handlers here."""

    def with_process(_ask: Any, folder: Path, own: bool) -> list[float]:
        return with_node(lambda message: tree.ref("/writer").ask(message, timeout=300), folder, own)

    return with_process


def with_file_handler(ask: Any, folder: Path, own: bool) -> list[float]:
    """Return what each line costs with the standard library's `FileHandler`."""
    handler = logging.FileHandler(folder / "plain.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    return _with(handler, ask, own)


def with_nothing(ask: Any, _folder: Path, own: bool) -> list[float]:
    """Return what each line costs where its record is made and thrown away."""
    return _with(logging.NullHandler(), ask, own)


def _with(handler: logging.Handler, ask: Any, own: bool) -> list[float]:
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        return ask(Write(LINES, 0.002, own))
    finally:
        root.removeHandler(handler)
        handler.close()


def flood(ask: Any, folder: Path) -> tuple[float, float, int]:
    """Log without a pause; return lines a second as written, as kept in the file, and how many were dropped."""
    handler = configure("info", "json", files=folder, limits=LIMITS, has_stream=False)
    since = time.perf_counter()
    ask(Write(FLOOD))
    written = time.perf_counter() - since
    deadline = time.monotonic() + 60
    while handler._waiting and time.monotonic() < deadline:  # type: ignore[attr-defined]
        time.sleep(0.01)
    kept = time.perf_counter() - since
    remove(handler)
    lines = sum(
        1 for line in (folder / "node.log").read_text().splitlines() if json.loads(line)["logger"] == "benchmark"
    )
    return FLOOD / written, lines / kept, FLOOD - lines


def main() -> None:
    """Measure and report."""
    pinned = pin()
    system = ActorSystem("benchmark")
    ready = threading.Event()
    system.spawn(Writer, path="/writer", placement="pool", on_outcome=lambda _: ready.set())
    assert ready.wait(60)
    ref = system.ref("/writer")

    def ask(message: Write) -> list[float]:
        found: list[float] = ref.ask(message, timeout=300)
        return found

    spec = ChildSpec("writer", ImportStart(f"{Writer.__module__}:{Writer.__qualname__}"), runs_in="process")
    tree = start_tree(SupervisorSpec(children=(spec,)))
    sides = {
        "node": with_node,
        "process": in_a_process(tree),
        "FileHandler": with_file_handler,
        "no handler": with_nothing,
    }
    taken: dict[tuple[str, bool], list[float]] = {(name, own): [] for name in sides for own in (False, True)}
    worst: list[float] = []
    rates = []
    for number in range(ROUNDS + 1):
        with tempfile.TemporaryDirectory(prefix="logs-") as made:
            for name, own in sorted(taken, reverse=bool(number % 2)):
                values = sides[name](ask, Path(made), own)
                if number:
                    taken[name, own].append(percentile(values, 0.5))
                    if (name, own) == ("node", False):
                        worst.append(percentile(values, 0.99))
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="logs-") as name:
            rates.append(flood(ask, Path(name)))
    system.shutdown(10)
    tree.stop()
    say(f"a log line, for the actor that writes it ({'one core' if pinned else 'unpinned'}), p50 in us")
    added = {}
    for own, what in ((False, "clock"), (True, "processor")):
        for name in sides:
            more = Spread.of(
                [mine - none for mine, none in zip(taken[name, own], taken["no handler", own], strict=True)]
            )
            added[name, own] = more
            verdict = ""
            if name in {"node", "process"}:
                verdict = f"target {TARGET_US:g} more: {'met' if more.median < TARGET_US else 'MISSED'}"
            shown = Spread.of(taken[name, own]).show()
            say(f"  {what:<10} {name:<12} {shown:<24} adds {more.show():<24} {verdict}")
    say(f"  clock, p99   {Spread.of(worst).show('us')}")
    say(f"  flood          {Spread.of([rate for rate, _, _ in rates]).show('lines/s')} from the actor,")
    say(f"                 {Spread.of([rate for _, rate, _ in rates]).show('lines/s')} into the file")
    say(f"  dropped        {[lost for _, _, lost in rates]} of {FLOOD}, told of in the log")
    save(
        "logs",
        {
            "pinned": pinned,
            "added_us": {
                f"{name}, {'processor' if own else 'clock'}": more.median for (name, own), more in added.items()
            },
            "p99_us": Spread.of(worst).median,
            "rounds_p50_us": {f"{name}, {'processor' if own else 'clock'}": v for (name, own), v in taken.items()},
            "flood": rates,
        },
    )


if __name__ == "__main__":
    main()
