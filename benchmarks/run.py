"""Run benchmarks, one after another, each in a process of its own.

Each prints its figures beside the peer or the raw limit measured in the same run, and keeps them in
`benchmarks/results`. `erlang` asks another runtime the same questions (Erlang/OTP, from Debian's erlang-base).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
OURS = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))
PEERS = ("erlang",)


def main(args: Sequence[str] | None = None) -> int:
    """Run what was named, else every benchmark of ours; return 1 where one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    known = ", ".join((*OURS, *PEERS))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to run: {known}; all but the peers by default")
    parser.add_argument("--peers", action="store_true", help=f"run the peers too: {', '.join(PEERS)}")
    options = parser.parse_args(args)
    unknown = sorted({*options.names} - {*OURS, *PEERS})
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {known}")
    names = [*(options.names or OURS), *(PEERS if options.peers else ())]
    failed = [name for name in dict.fromkeys(names) if not (erlang() if name == "erlang" else ours(name))]
    return 1 if failed else 0


def ours(name: str) -> bool:
    """Run one benchmark of ours; return whether it ended well."""
    _say(f"== {name}")
    return subprocess.run([sys.executable, str(HERE / f"bench_{name}.py")], check=False).returncode == 0


def erlang() -> bool:
    """Ask Erlang/OTP our questions, pinned to one core; return whether it could be asked."""
    if shutil.which("erlc") is None:
        _say("Erlang/OTP is not installed: apt-get install erlang-base")
        return False
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["erlc", "-o", folder, str(HERE / "peers" / "peers.erl")], check=True)
        command = ["erl", "-noshell", "-sname", f"bench{os.getpid()}", "-pa", folder, "-s", "peers", "main"]
        if shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        had_names = subprocess.run(["epmd", "-names"], check=False, capture_output=True).returncode == 0
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        finally:
            if not had_names:
                _end_names()
    figures = json.loads(done.stdout.splitlines()[-1])
    _say(f"== Erlang/OTP {figures['otp']}")
    for name, value in figures.items():
        _say(f"  {name:<16} {value}")
    (HERE / "results" / "erlang.json").write_text(json.dumps(figures, indent=1) + "\n")
    return True


def _end_names() -> None:
    """End the name service that two nodes needed; it goes once it has noticed that they are gone."""
    for _ in range(50):
        if b"Killed" in subprocess.run(["epmd", "-kill"], check=False, capture_output=True).stdout:
            return
        time.sleep(0.1)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
