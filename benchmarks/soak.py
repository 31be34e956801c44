"""Does a node under load stay as it is? Memory, descriptors and threads of each of its processes, once a second.

A real node (`actorctl run`) with its history on: actors on the pool, on a thread, in processes of their own and in a
subtree; messages and asks to all of them; one crash a second and one dead process every ten; a tap reader, and a
person who looks at the tree and asks the history once a minute. What was measured is kept in `results/soak.csv.gz`,
what came of it in `results/soak.json`, and drawn in `docs/explanation/soak.svg`.

    make soak                      30 minutes
    make soak ARGS='--minutes 5'   fewer
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

from supervisors.views import NodeState, TreeView
from transport.control.client import ControlClient
from transport.endpoints import read_endpoints
from transport.errors import ControlError, EndpointError

sys.path.insert(0, str(Path(__file__).parent))

from drawing import Panel, chart
from measuring import RESULTS, machine, say

PICTURE = Path(__file__).parent.parent / "docs" / "explanation" / "soak.svg"
ACTORCTL = str(Path(sys.executable).with_name("actorctl"))
WARM_UP = 1 / 3
"""Share of the time that a process may grow in: pools fill, caches and buffers are made, modules are loaded."""
LOOK_EVERY = 60
START_TIMEOUT = 120.0

FLAT = {"memory": (0.05, 3.0), "descriptors": (0.0, 3.0), "threads": (0.0, 3.0)}
"""How far the last quarter's median may lie above the first's after the warm-up: share of it, and (MiB or a number)
absolutely, the larger of the two."""

CONFIG = """\
version = 1

[runtime]
name = "soak"

[defaults.child]
backoff = { first = "0s" }

[supervisors."/load"]
limit = { restarts = 1000, within = "10s" }

[supervisors."/apart"]
runs_in = "process"
heartbeat = { every = "2s", miss = 15 }
limit = { restarts = 1000, within = "10s" }

[actors."/load/pool"]
use = "soaking:Sink"
runs_in = "pool"

[actors."/load/thread"]
use = "soaking:Sink"
runs_in = "thread"

[actors."/load/process"]
use = "soaking:Sink"
runs_in = "process"

[actors."/load/spared"]
use = "soaking:Sink"
runs_in = "process"
spares = 1

[actors."/apart/pool"]
use = "soaking:Sink"
runs_in = "pool"

[actors."/apart/process"]
use = "soaking:Sink"
runs_in = "process"

[actors."/load/traffic"]
use = "soaking:Traffic"
runs_in = "pool"
args = { parcels = 20, paths = ["/load/pool", "/load/thread", "/load/process", "/apart/pool", "/apart/process"] }

[actors."/load/trouble"]
use = "soaking:Trouble"
runs_in = "pool"
args = { crashing = ["/load/pool", "/load/thread", "/apart/pool"], dying = ["/load/spared"] }
"""


class Sample(Struct, frozen=True):
    """One process in one second; memory is what is its own, in bytes."""

    second: int
    role: str
    pid: int
    memory: int
    descriptors: int
    threads: int


class Node:
    """The node under load, and who looks at it."""

    def __init__(self, folder: Path) -> None:
        (folder / "actors.toml").write_text(CONFIG)
        shutil.copy(Path(__file__).with_name("soaking.py"), folder)
        self._folder = folder
        self._log = (folder / "node.log").open("w")
        quiet: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.process = subprocess.Popen([ACTORCTL, "run"], stderr=self._log, start_new_session=True, **quiet)
        try:
            self._client = self._reached(folder / ".actors" / "run")
        except BaseException:
            self.process.kill()
            raise
        self._reader = subprocess.Popen([ACTORCTL, "tap", "-o", "jsonl"], stderr=subprocess.DEVNULL, **quiet)
        self._roles: dict[int, str] = {}
        self._looking: list[subprocess.Popen[bytes]] = []

    def _reached(self, run: Path) -> ControlClient:
        """Wait until the whole tree is ready, and return a connection."""
        deadline = time.monotonic() + START_TIMEOUT
        why = "nothing was tried"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self._client = ControlClient(read_endpoints(run).control)
                waiting = [node.path for node in self._nodes() if node.state is not NodeState.READY]
                if not waiting:
                    return self._client
                why = f"not ready: {waiting}"
            except (OSError, EndpointError, ControlError) as error:
                why = str(error)
            time.sleep(0.5)
        raise RuntimeError(
            f"the node did not start: {why}; it said: {(run.parent.parent / 'node.log').read_text()[-2000:]}"
        )

    def _nodes(self) -> Sequence[Any]:
        return self._client.call("tree", {"path": "/"}, timeout=30.0, answer=TreeView).nodes

    def sample(self, second: int) -> list[Sample]:
        """Measure every process of the node."""
        found = []
        below = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        if any(process.pid not in self._roles for process in below):
            self._roles = {node.pid: node.path for node in reversed(self._nodes()) if node.pid}
            self._roles[self.process.pid] = "the node"
        for process in below:
            try:
                role = self._roles.get(process.pid) or self._service(process)
                if role:
                    memory = process.memory_full_info().uss
                    sample = Sample(second, role, process.pid, memory, process.num_fds(), process.num_threads())
                    found.append(sample)
            except psutil.Error:
                continue  # it has just ended
        return found

    def _service(self, process: psutil.Process) -> str:
        """Name a process that runs no actor of the tree; "" for what will have a name when it is up."""
        text = " ".join(process.cmdline())
        name = "warden" if "marks.py" in text else "launcher" if "forking" in text or "nursery" in text else ""
        above = self._roles.get(process.ppid(), "") if name else ""
        return f"{name} of {above}" if above else ""

    def look(self) -> None:
        """Do what a person does now and then, without waiting for it."""
        self._looking = [command for command in self._looking if command.poll() is None]
        for command in (["tree"], ["sql", "select type, count(*) from events group by all"]):
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self._looking.append(subprocess.Popen([ACTORCTL, *command], cwd=self._folder, **quiet))

    def facts(self) -> dict[str, Any]:
        """Return what the actors say they did."""
        states = {}
        for path in ("/load/traffic",):
            done = subprocess.run(
                [ACTORCTL, "describe", path, "--state", "-o", "json"],
                cwd=self._folder,
                capture_output=True,
                text=True,
                check=False,
            )
            states[path] = json.loads(done.stdout)["items"][0].get("state") if done.returncode == 0 else done.stderr
        restarts = {node.path: node.restarts for node in self._nodes() if node.restarts}
        return {"traffic": states, "restarts": restarts}

    def close(self) -> int:
        """Stop it in order; return its exit code."""
        self._client.close()
        self._reader.terminate()
        self._reader.wait()
        for command in self._looking:
            command.wait()
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(120)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self._log.close()


def main() -> int:
    """Soak, judge, keep and draw; return 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder for the results; the picture goes beside them"
    )
    options = parser.parse_args()
    seconds = int(options.minutes * 60)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        node = Node(Path(folder))
        samples: list[Sample] = []
        began = time.monotonic()
        try:
            for second in range(seconds):
                time.sleep(max(0.0, began + second - time.monotonic()))
                samples += node.sample(second)
                if second % LOOK_EVERY == LOOK_EVERY // 2:
                    node.look()
            facts = node.facts()
        finally:
            code = node.close()
    report = judge(samples, seconds)
    report |= {"exit_code": code, **facts}
    keep(samples, report, options.out)
    for line in report["lines"]:
        say(line)
    return 0 if report["flat"] and code == 0 else 1


def judge(samples: Sequence[Sample], seconds: int) -> dict[str, Any]:
    """Say of each process that was there to the end how its last quarter compares with its first after the warm-up."""
    begin = int(seconds * WARM_UP)
    quarter = (seconds - begin) // 4
    figures: dict[str, Any] = {}
    lines, is_flat = [], True
    roles = dict.fromkeys(sample.role for sample in samples)
    for role in roles:
        own = [sample for sample in samples if sample.role == role and sample.second >= begin]
        first = [sample for sample in own if sample.second < begin + quarter]
        last = [sample for sample in own if sample.second >= seconds - quarter]
        if len(first) < quarter / 2 or len(last) < quarter / 2:
            continue  # a process that came and went
        figures[role] = {"processes": len({sample.pid for sample in own})}
        for name, (share, absolute) in FLAT.items():
            scale = 1 << 20 if name == "memory" else 1
            before, after = (
                statistics.median(getattr(sample, name) for sample in part) / scale for part in (first, last)
            )
            most = max(getattr(sample, name) for sample in own) / scale
            grew = after - before > max(absolute, share * before)
            is_flat &= not grew
            verdict = "GREW" if grew else "flat"
            figures[role][name] = {"first": before, "last": after, "most": most, "flat": not grew}
            lines.append(f"{role:<16} {name:<12} {before:8.1f} -> {after:8.1f}   most {most:8.1f}   {verdict}")
    assert figures, "no process was there from the first quarter to the last"
    return {"seconds": seconds, "warm_up_seconds": begin, "flat": is_flat, "figures": figures, "lines": lines}


def keep(samples: Sequence[Sample], report: dict[str, Any], out: Path) -> None:
    """Write the samples, the report and the picture."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Sample.__struct_fields__)
    rows.writerows([getattr(sample, field) for field in Sample.__struct_fields__] for sample in samples)
    out.mkdir(exist_ok=True)
    (out / "soak.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    (out / "soak.json").write_text(json.dumps({"machine": machine(), **report}, indent=1) + "\n")
    picture = PICTURE if out == RESULTS else out / PICTURE.name
    picture.write_text(picture_of(samples, report))


def picture_of(samples: Sequence[Sample], report: dict[str, Any]) -> str:
    """Draw memory, descriptors and threads over the minutes, a line a process; the highest value of each interval."""
    step = max(1, report["seconds"] // 300)
    panels = []
    for title, name, scale in (
        ("memory of its own, MiB", "memory", 1 << 20),
        ("descriptors", "descriptors", 1),
        ("threads", "threads", 1),
    ):
        lines: dict[str, list[tuple[float, float]]] = {}
        for role in report["figures"]:
            most: dict[int, float] = defaultdict(float)
            for sample in samples:
                if sample.role == role:
                    at = sample.second // step
                    most[at] = max(most[at], getattr(sample, name) / scale)
            lines[role] = [(at * step / 60, value) for at, value in sorted(most.items())]
        panels.append(Panel(title, lines))
    minutes = report["seconds"] / 60
    return chart(f"A node under load for {minutes:g} minutes", panels, x_label="minutes", x_most=minutes)


if __name__ == "__main__":
    sys.exit(main())
