"""Programs in Node.js that tests run: `tests/node`, with its packages installed by `make node`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "node"


def node_program(name: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `tests/node/<name>` with pipes for its input and output; skip the test where there is no Node.js.

    `.ci/run` installs both, so that nothing is skipped there.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip("the packages of tests/node are not installed: make node")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([node, str(FOLDER / name), *arguments], **{**pipes, **options})
