"""How long does a command of `actorctl` take from its start to its end?

`version` asks nobody, `tree` asks a running node. Beside them, in turn: the interpreter alone, and the interpreter with
typer, below which no command line made with it can be. Processor time is the children's own, user and system: what the
machine's load cannot change much.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import Spread, percentile, pin, save, say

ROUNDS = 15
TARGET = 0.25
ACTORCTL = str(Path(sys.executable).with_name("actorctl"))
CONFIG = 'version = 1\n[runtime]\nname = "cold"\n'


def once(command: list[str], folder: str) -> tuple[float, float]:
    """Run `command` to its end; return seconds of the clock and of the processor."""
    since = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return time.perf_counter() - since, used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and report."""
    pinned = pin()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import typer": [sys.executable, "-c", "import typer"],
        "actorctl version": [ACTORCTL, "version"],
        "actorctl tree": [ACTORCTL, "tree"],
    }
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        (Path(folder) / "actors.toml").write_text(CONFIG)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        node = subprocess.Popen([ACTORCTL, "run"], cwd=folder, **quiet)
        try:
            subprocess.run([ACTORCTL, "wait", "--timeout", "60s"], cwd=folder, check=False, **quiet)
            deadline = time.monotonic() + 60
            while subprocess.run([ACTORCTL, "wait", "--timeout", "60s"], cwd=folder, check=False, **quiet).returncode:
                assert time.monotonic() < deadline, "the node did not start"
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
            for number in range(ROUNDS + 1):
                for name, command in commands.items():
                    taken = once(command, folder)
                    if number:
                        figures[name].append(taken)
        finally:
            node.terminate()
            node.wait(60)
    result: dict[str, Any] = {"pinned": pinned}
    where = "one core" if pinned else "unpinned"
    say(f"from start to end of a command ({where}), p50 in ms; target {TARGET * 1000:g} ms")
    for name, values in figures.items():
        wall = Spread.of([1000 * seconds for seconds, _ in values])
        cpu = Spread.of([1000 * used for _, used in values])
        verdict = "" if "actorctl" not in name else "met" if wall.median <= TARGET * 1000 else "MISSED"
        say(f"  {name:<18} {wall.show('ms'):<32} processor {cpu.show('ms'):<30} {verdict}")
        result[name] = {
            "p50_ms": wall.median,
            "p90_ms": percentile([1000 * seconds for seconds, _ in values], 0.9),
            "cpu_p50_ms": cpu.median,
            "rounds": values,
        }
    save("cold", result)


if __name__ == "__main__":
    main()
