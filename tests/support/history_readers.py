"""Foreign queries by the thousand beside a recorder that publishes: none fails, none is wrong.

    python tests/support/history_readers.py --queries 100000 --result benchmarks/results/history-readers.json

A process publishes as fast as it is told, seals days of a minute and drops them (`history_publisher`); for each version
of DuckDB named and for this one a process asks (`history_reader`); this process verifies the published files again and
again meanwhile. Versions are installed below `build`, once. A trial may take several sittings: `--result` keeps each,
and what is left of the queries is asked next time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from actors.history.catalog import folder_of
from actors.history.verifying import Soundness, check_published

ROOT = Path(__file__).parents[2]
READER = Path(__file__).with_name("history_reader.py")
VERSIONS = ("1.2.2", "1.4.4")
SLICE = 1_000
"""Queries of each reader before the next look at what was found."""

VERIFY_EVERY = 1.0
"""Seconds between two verifications: without them the readers, which this trial is about, get half a core."""


@contextmanager
def publishing(folder: Path, *, every: float, day: float) -> Iterator[Path]:
    """A process that publishes into a history in `folder`; gives the folder of what is published."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.history_publisher", str(folder), str(every), str(day)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"published\n"
        yield folder_of(folder / "history.duckdb")
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(120.0) == 0


def read(pythons: Sequence[Path | str], folder: Path, queries: int, *, timeout: float) -> list[dict[str, Any]]:
    """Have each of `pythons` ask `queries` questions of `folder`, all at once; return what they say."""
    asking = [
        subprocess.Popen(
            [str(python), str(READER), str(folder), str(queries), str(seed)], stdout=subprocess.PIPE, text=True
        )
        for seed, python in enumerate(pythons)
    ]
    try:
        said = [reader.communicate(timeout=timeout)[0] for reader in asking]
    finally:
        for reader in asking:
            reader.kill()
            reader.wait()
    return [json.loads(line) for line in said]


def verify(folder: Path, ended: threading.Event) -> tuple[int, list[str]]:
    """Verify what is published in `folder` until `ended`; return how often, and what was called unsound."""
    times = 0
    unsound: list[str] = []
    while not ended.wait(VERIFY_EVERY):
        times += 1
        unsound += [str(checked) for checked in check_published(folder) if checked.found is not Soundness.OK]
    return times, unsound


def main(queries: int, versions: Sequence[str], every: float, day: float, most_seconds: float) -> dict[str, Any]:
    """Run the trial in slices until there were `queries`, or time is up, or SIGINT comes; return what is to be told."""
    pythons = [sys.executable, *(_python_with(version) for version in versions)]
    ended = threading.Event()
    verified: list[tuple[int, list[str]]] = []
    by_version: dict[str, int] = {}
    errors: list[str] = []
    wrong: list[str] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, publishing(Path(folder), every=every, day=day) as published:
        verifier = threading.Thread(target=lambda: verified.append(verify(published, ended)))
        verifier.start()
        try:
            while sum(by_version.values()) < queries and not errors and not wrong:
                for said in read(pythons, published, min(SLICE, queries), timeout=3_600.0):
                    by_version[said["duckdb"]] = by_version.get(said["duckdb"], 0) + said["queries"]
                    errors += said["errors"]
                    wrong += said["wrong"]
                sys.stderr.write(f"{sum(by_version.values())} queries, {len(errors)} errors, {len(wrong)} wrong\n")
                if time.monotonic() - begun > most_seconds:
                    break
        except KeyboardInterrupt:
            sys.stderr.write("told to end; the slice under way does not count\n")
        finally:
            ended.set()
            verifier.join()
        manifest = json.loads((published / "manifest.json").read_bytes())
    ((times, unsound),) = verified
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "queries": sum(by_version.values()),
        "by_duckdb": by_version,
        "errors": errors,
        "wrong": wrong,
        "verifications": times,
        "called_unsound": unsound,
        "publications": manifest["turns"][0],
        "merges": manifest["turns"][1] + manifest["turns"][2],
        "sealed_through": manifest["sealed"],
        "publish_every_seconds": every,
        "seconds": round(time.monotonic() - begun),
    }


def add_sitting(result: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Add one sitting to those that `result` keeps, whatever it found; return them with their sums."""
    sittings = [*sittings_of(result), told]
    sums = {
        "queries": sum(sitting["queries"] for sitting in sittings),
        "errors": sum(len(sitting["errors"]) for sitting in sittings),
        "wrong": sum(len(sitting["wrong"]) for sitting in sittings),
    }
    result.write_text(json.dumps({**sums, "sittings": sittings}, indent=1) + "\n")
    return sums


def sittings_of(result: Path) -> list[dict[str, Any]]:
    """Return what earlier sittings found; nothing where there was none."""
    if not result.exists():
        return []
    found: list[dict[str, Any]] = json.loads(result.read_bytes())["sittings"]
    return found


def _python_with(version: str) -> Path:
    """Return a Python that has this version of DuckDB."""
    folder = ROOT / "build" / f"reader-{version}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"duckdb=={version}"]
        subprocess.run(command, check=True, timeout=600)
        (folder / "installed").touch()
    return python


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--versions", nargs="*", default=VERSIONS, metavar="VERSION", help="of DuckDB, beside this one")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between publications")
    parser.add_argument("--day", type=float, default=60.0, help="seconds that a day takes")
    parser.add_argument("--most-seconds", type=float, default=4 * 3_600.0)
    parser.add_argument("--result", type=Path)
    given = parser.parse_args()
    before = sum(sitting["queries"] for sitting in sittings_of(given.result)) if given.result is not None else 0
    told = main(given.queries - before, given.versions, given.every, given.day, given.most_seconds)
    if given.result is not None:
        sys.stdout.write(json.dumps(add_sitting(given.result, told), indent=1) + "\n")
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    sys.exit(1 if told["errors"] or told["wrong"] or told["called_unsound"] else 0)
