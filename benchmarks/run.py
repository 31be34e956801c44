"""Run every benchmark, one after another, each in a process of its own: `python -m benchmarks.run [--peers] [NAME...]`.

Each prints its figures beside the peer or the raw limit measured in the same run, and keeps them in
`benchmarks/results`. `--peers` also runs what other runtimes have to say to the same questions (Erlang/OTP, from
Debian's erlang-base).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main(args: list[str]) -> int:
    """Run what was named, else everything; return 1 where one of them failed."""
    names = [arg for arg in args if not arg.startswith("--")]
    found = sorted(HERE.glob("bench_*.py"))
    failed = 0
    for path in found:
        if names and path.stem.removeprefix("bench_") not in names:
            continue
        _say(f"== {path.stem}")
        failed += subprocess.run([sys.executable, str(path)], check=False).returncode != 0
    if "--peers" in args:
        failed += not erlang()
    return 1 if failed else 0


def erlang() -> bool:
    """Ask Erlang/OTP the kernel's questions, pinned to one core; return whether it could be asked."""
    if shutil.which("erlc") is None:
        _say("Erlang/OTP is not installed: apt-get install erlang-base")
        return False
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["erlc", "-o", folder, str(HERE / "peers" / "peers.erl")], check=True)
        command = ["erl", "-noshell", "-pa", folder, "-s", "peers", "main"]
        if shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    _say(f"== Erlang/OTP {figures['otp']}")
    for name, value in figures.items():
        _say(f"  {name:<16} {value}")
    (HERE / "results" / "erlang.json").write_text(json.dumps(figures, indent=1) + "\n")
    return True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
