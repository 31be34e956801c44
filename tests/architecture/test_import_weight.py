"""What an import costs: heavy libraries are loaded where they are used, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = "import sys; import {}; print('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("actors", {"zmq", "msgpack", "duckdb", "typer", "rich", "pydantic", "croniter", "psutil", "sqlite3"}),
        ("actors.testing", {"zmq", "msgpack", "duckdb", "typer", "rich", "pydantic", "croniter", "psutil", "sqlite3"}),
        ("transport", {"duckdb", "typer", "rich", "pydantic", "croniter"}),
        ("supervisors", {"duckdb", "croniter", "typer", "rich", "textual", "nats", "pydantic", "zmq"}),
        ("supervisors.running", {"duckdb", "croniter", "typer", "rich", "textual", "nats", "pydantic"}),
        ("supervisors.processes.bootstrap", {"duckdb", "croniter", "typer", "rich", "textual", "nats", "pydantic"}),
    ],
)
def test_an_import_loads_no_library_that_only_others_need(module: str, heavy: set[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert module.partition(".")[0] in loaded
    assert not loaded & heavy
