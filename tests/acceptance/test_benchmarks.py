"""Benchmarks are run by name, and asking what there is runs none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["nonsense"], 2), (["--nonsense"], 2)])
def test_a_question_or_a_typo_names_the_benchmarks_and_runs_none(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200
    )

    said = done.stdout + done.stderr
    assert done.returncode == code
    assert "== " not in said
    if "--nonsense" not in arguments:
        for path in (ROOT / "benchmarks").glob("bench_*.py"):
            assert path.stem.removeprefix("bench_") in said
