"""mypy --strict and pyright infer the reply of a message and refuse the wrong handler."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[2]
MARK = re.compile(r"#\s*error\s*$")


def _expected(case: Path) -> set[int]:
    lines = case.read_text().splitlines()
    found = {number for number, line in enumerate(lines, 1) if MARK.search(line)}
    assert found, f"{case} expects nothing"
    return found


def _mypy(case: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes", str(case)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: dict[int, str] = {}
    for line in done.stdout.splitlines():
        match = re.match(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)", line)
        if match:
            assert Path(match["file"]).name == case.name, line
            found[int(match["line"])] = match["text"]
    return found


def _pyright(case: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(case)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout
    return {
        entry["range"]["start"]["line"] + 1: entry["message"]
        for entry in report["generalDiagnostics"]
        if entry["severity"] == "error"
    }


@pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])
@pytest.mark.parametrize("case", sorted(CASES.glob("*.py")), ids=lambda case: case.stem)
def test_just_the_marked_lines_are_refused(case: Path, checker) -> None:
    found = checker(case)

    assert {line: found.get(line, "accepted") for line in set(found) ^ _expected(case)} == {}
