"""What does an operator wait for: a start, a command, a reload, a stop?

The node is a tree of 28 actors beside `/sys`, half of them loops of their own threads; `run` is timed from the start of
its process to the line that says it is running, a stop from TERM to the end of the process, a reload from its command
to its end, with one child changed (every other actor has to be the same instance afterwards). `tree` is a command from
the start of its process to its end. Beside them, in turn, the interpreter alone and with the libraries without which
there is no command line that asks a node. Compiled modules are kept, as they are after an installation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import Spread, save, say

ROUNDS = int(os.environ.get("DAEMON_ROUNDS", "5"))
COMMANDS = int(os.environ.get("DAEMON_COMMANDS", "11"))
TARGETS = {"run to ready": 3.0, "actorctl tree": 0.25, "stop": 1.0}
ACTORCTL = str(Path(sys.executable).with_name("actorctl"))
ACTORS = """
from actors import Actor


class Idle(Actor):
    pass
"""
ACTOR = """
[actors."/app/a{number:02}"]
use = "idle:Idle"
runs_in = "{where}"
"""


def config(last: str) -> str:
    """Return a configuration of 28 idle actors, the last of which runs in `last`."""
    text = 'version = 1\n[runtime]\nname = "daemon"\n[supervisors."/app"]\n'
    for number in range(28):
        where = last if number == 27 else "thread" if number % 2 else "pool"
        text += ACTOR.format(number=number, where=where)
    return text


class Trial:
    """Commands and nodes in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        self.environ |= {
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
            "ACTORS_LOG__FORMAT": "human",
            "NO_COLOR": "1",
        }
        (folder / "idle.py").write_text(ACTORS)
        (folder / "actors.toml").write_text(config("thread"))

    def command(self, *words: str) -> tuple[float, float]:
        """Run a command to its end; return seconds of the clock and of the processor."""
        since = time.perf_counter()
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(words, cwd=self.folder, env=self.environ, stdout=quiet, stderr=quiet)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{words} ended with {process.returncode}"
        return time.perf_counter() - since, used.ru_utime + used.ru_stime

    def start(self) -> tuple[subprocess.Popen[str], float]:
        """Start a node; return it, and the seconds until it said that it runs."""
        since = time.perf_counter()
        process = subprocess.Popen(
            [ACTORCTL, "run"], cwd=self.folder, env=self.environ, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "NodeChanged: running" in line:
                return process, time.perf_counter() - since
        raise AssertionError(f"the node ended with {process.wait()}")

    def stop(self, process: subprocess.Popen[str]) -> float:
        """End a node with TERM; return the seconds until it was gone."""
        since = time.perf_counter()
        process.terminate()
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait() == 0
        return time.perf_counter() - since

    def instances(self) -> dict[str, tuple[int, str]]:
        """Return each actor's generation, and where it runs."""
        done = subprocess.run(
            [ACTORCTL, "ps", "/app/*", "-o", "json"],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return {item["path"]: (item["generation"], item["placement"]) for item in json.loads(done.stdout)["items"]}


def main() -> None:
    """Measure and report."""
    figures: dict[str, list[float]] = {"run to ready": [], "stop": [], "reload of one child": []}
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import typer, zmq, msgspec": [sys.executable, "-c", "import typer, zmq, msgspec"],
        "actorctl tree": [ACTORCTL, "tree"],
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    touched = 0
    with tempfile.TemporaryDirectory(prefix="daemon-") as folder:
        trial = Trial(Path(folder))
        for number in range(ROUNDS + 1):
            node, seconds = trial.start()
            try:
                before = trial.instances()
                (trial.folder / "actors.toml").write_text(config("thread" if number % 2 else "pool"))
                reloaded, _ = trial.command(ACTORCTL, "reload")
                after = trial.instances()
                if number == ROUNDS:
                    for count in range(COMMANDS + 1):
                        for name, words in commands.items():
                            figure = trial.command(*words)
                            if count:
                                taken[name].append(figure)
            finally:
                stopped = trial.stop(node)
            assert before["/app/a27"] != after["/app/a27"], "the changed one goes on as it was"
            touched = max(touched, sum(before[path] != after[path] for path in before) - 1)
            if number:  # the first one compiles
                for name, value in zip(figures, (seconds, stopped, reloaded), strict=True):
                    figures[name].append(value)
    result: dict[str, Any] = {"others_touched_by_reload": touched}
    say(f"a node of 28 idle actors, {ROUNDS} rounds; seconds of the clock")
    for name, values in figures.items():
        spread = Spread.of(values)
        say(f"  {name:<28} {spread.show('s'):<34} {_verdict(name, spread.median)}")
        result[name] = {"p50": spread.median, "rounds": values}
    say(f"  other actors that the reload of one touched: {touched}")
    base = Spread.of([1000 * used for _, used in taken["import typer, zmq, msgspec"]]).median
    for name, pairs in taken.items():
        wall = Spread.of([1000 * seconds for seconds, _ in pairs])
        cpu = Spread.of([1000 * used for _, used in pairs])
        ratio = f"{cpu.median / base:.2f} of the libraries alone"
        verdict = _verdict(name, wall.median / 1000)
        say(f"  {name:<28} {wall.show('ms'):<34} processor {cpu.show('ms'):<30} {ratio} {verdict}")
        result[name] = {"p50_ms": wall.median, "cpu_p50_ms": cpu.median, "rounds": pairs}
    save("daemon", result)


def _verdict(name: str, seconds: float) -> str:
    target = TARGETS.get(name)
    return "" if target is None else f"target {target:g} s: {'met' if seconds <= target else 'MISSED'}"


if __name__ == "__main__":
    main()
