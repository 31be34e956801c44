from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "asyncio", "numpy", "typer", "pydantic")


@pytest.mark.parametrize("module", ["actors.history", "actors.history.feed", "actors.history.queries"])
def test_what_a_node_and_a_command_line_import_does_not_load_the_database(module):
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == []
