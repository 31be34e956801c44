"""Fuzzing of everything that takes bytes from others: `make fuzz`.

    python tests/fuzz/wire.py                 every target, 1,050,000 inputs in all; keeps benchmarks/results/fuzz.json
    python tests/fuzz/wire.py --inputs 20000  fewer, and nothing is kept
    python tests/fuzz/wire.py --target NAME   one target, in this process (what the others are run as)

Each target runs in a process of its own under atheris (libFuzzer), which mutates valid frames and inputs that reached
new code. A target ends with an error on any exception that is not the clear one of its protocol, on an input that takes
longer than 5 s, on more than 600 MiB, and where a stranger had an effect. Memory is read at a quarter of the inputs and
at the end: what lies between them must not be growth.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import atheris
import psutil

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 5
MEMORY_MIB = 600
GROWTH_MIB = 64
"""Memory that may be taken between a quarter of the inputs and the end: libFuzzer's own corpus and tables are in it."""

INSTRUMENTED = [
    "transport.codec",
    "transport.control.protocol",
    "transport.deliveries",
    "transport.envelope",
    "transport.failures",
    "transport.gateway",
    "transport.limits",
    "transport.taps.frames",
    "supervisors.processes.door",
    "supervisors.processes.protocol",
]
"""What libFuzzer sees the inside of: the code that bytes of others reach."""

IS_TARGET = any(argument.startswith("--target") for argument in sys.argv)

with atheris.instrument_imports(include=INSTRUMENTED) if IS_TARGET else contextlib.nullcontext():
    from actors.core.system import ActorSystem
    from supervisors.processes.door import Door
    from supervisors.processes.protocol import Hello, from_payload, to_envelope
    from transport.codec import pack, pack_frame, unpack, unpack_frame
    from transport.control.protocol import (
        Credit,
        Request,
        Response,
        decode_message,
        decode_response,
        encode_message,
        encode_response,
        id_in,
    )
    from transport.envelope import VERSION, Envelope, Kind
    from transport.errors import CodecError
    from transport.gateway import Gateway
    from transport.limits import REQUEST_LIMITS, WIRE_LIMITS
    from transport.security import Gatekeeper
    from transport.taps.frames import decode_body, decode_header, split_topic

Target = Callable[[bytes], None]


def codec(data: bytes) -> None:
    """Untyped msgpack under the limits of a request and of a frame."""
    for limits in (REQUEST_LIMITS, WIRE_LIMITS):
        with contextlib.suppress(CodecError):
            unpack(data, limits)


def envelope(data: bytes) -> None:
    """A frame of envelopes; what is read is written as it can be read again."""
    try:
        found = unpack_frame(data)
    except CodecError:
        return
    if found:
        assert unpack_frame(pack_frame(found)) == found


def control(data: bytes) -> None:
    """What a client says, and what a node answers."""
    try:
        message = decode_message(data)
    except CodecError:
        id_in(data)
    else:
        assert decode_message(encode_message(message)) == message
    with contextlib.suppress(CodecError):
        decode_response(data)


def tap(data: bytes) -> None:
    """The three parts of a tap's message."""
    for decode in (split_topic, decode_header, decode_body):
        with contextlib.suppress(CodecError):
            decode(data)


def process(data: bytes) -> None:
    """The words between a node and its children."""
    with contextlib.suppress(CodecError):
        for found in unpack_frame(data):
            from_payload(found.type_name, found.payload)


def stranger() -> Target:
    """Return a target: a connection at the door of the processes, and a key at the gatekeeper, that nobody knows."""
    door, gatekeeper = Door(ActorSystem("fuzz")), Gatekeeper({})

    def take(data: bytes) -> None:
        door.take(data[:5], [data] if len(data) % 7 else [data, data])
        assert len(door) == 0
        frames = [data[at : at + 32] for at in range(0, min(len(data), 320), 32)]
        assert gatekeeper.answer([b"1.0", *frames])[2] != b"200"
        assert gatekeeper.answer([b"1.0", b"1", b"d", b"a", b"i", b"CURVE", data[:32]])[2] != b"200"

    return take


class _Wire:
    """A channel to nowhere: takes what the gateway says, and hands it to nobody."""

    name = "fuzz"
    capacity = 1_000

    def send(self, *_: Any, **__: Any) -> int:
        return 1

    def accept(self, *_: Any) -> int:
        return 1

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


def worker() -> Target:
    """Return a target: a child's frames at its parent's gateway, in a system without actors."""
    system = ActorSystem("fuzz")
    gateway = Gateway(system, _Wire(), lambda _: None)  # type: ignore[arg-type]
    threads = threading.active_count()

    def take(data: bytes) -> None:
        gateway.receive(data)
        assert threading.active_count() <= threads + 2

    return take


TARGETS: dict[str, Callable[[], Target]] = {
    "codec": lambda: codec,
    "envelope": lambda: envelope,
    "control": lambda: control,
    "tap": lambda: tap,
    "process": lambda: process,
    "stranger": stranger,
    "worker": worker,
}


def seeds() -> list[bytes]:
    """Return valid frames to begin with."""
    letters = [Envelope(VERSION, kind, target="/a", type_name="m:T", payload=pack([1, "x"]), id=1) for kind in Kind]
    return [
        *(pack_frame([letter]) for letter in letters),
        pack_frame(letters),
        pack_frame([to_envelope(Hello(b"t" * 32, 1, "/a", 1))]),
        encode_message(Request("1", "tree", {"path": "/", "depth": 2}, deadline=1.0, key="k")),
        encode_message(Credit("1", 5)),
        encode_response(Response("1", True, {"items": [1, 2.5, None, b"x", "é"]})),
        pack({"specversion": "1.0", "id": "1", "tseq": 1, "seq": 1, "epoch": "e", "type": "actors.actor_exited"}),
        b"a1/actor.state/io/gmail/",
        b"",
    ]


def run_target(name: str, inputs: int, report: Path, corpus: Path) -> None:
    """Run one target in this process, until `inputs` are done or one fails; does not return."""
    logging.disable(logging.CRITICAL)
    take = TARGETS[name]()
    own = psutil.Process()
    done, quarter = 0, 0

    def one(data: bytes) -> None:
        nonlocal done, quarter
        take(data)
        done += 1
        if done == inputs // 4:
            quarter = own.memory_info().rss
        if done == inputs:
            report.write_text(json.dumps({"inputs": done, "quarter": quarter, "end": own.memory_info().rss}))

    options = [f"-runs={inputs + 1_000}", f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}", "-max_len=512"]
    atheris.Setup(
        [sys.argv[0], *options, "-print_final_stats=1", f"-artifact_prefix={corpus.parent}/", str(corpus)], one
    )
    atheris.Fuzz()


def main() -> int:
    """Run every target, and keep what they showed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_050_000)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--corpus", type=Path)
    given = parser.parse_args()
    if given.target:
        run_target(given.target, given.inputs, given.report, given.corpus)
        return 0
    share = -(-given.inputs // len(TARGETS))
    results: dict[str, Any] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each only waits for a process
        for name, found in zip(TARGETS, pool.map(lambda name: _in_own_process(name, share), TARGETS), strict=True):
            results[name] = found
            sys.stdout.write(f"{name}: {found}\n")
            sys.stdout.flush()
    total = sum(found["inputs"] for found in results.values())
    sys.stdout.write(f"{total:,} inputs, no crash, no hang, no growth of memory\n")
    if total >= 1_000_000:
        sys.path.insert(0, str(ROOT))
        from benchmarks.measuring import save

        save("fuzz", {"inputs": total, "targets": results})
    return 0


def _in_own_process(name: str, inputs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        corpus, report = Path(place) / "corpus", Path(place) / "report"
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / str(number)).write_bytes(seed)
        began = time.monotonic()
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                f"--target={name}",
                f"--inputs={inputs}",
                f"--report={report}",
                f"--corpus={corpus}",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        seconds = time.monotonic() - began
        if done.returncode or not report.exists():
            raise SystemExit(f"{name} failed with {done.returncode}:\n{done.stderr[-4000:]}")
        found = json.loads(report.read_text())
        coverage = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    growth = (found["end"] - found["quarter"]) / 2**20
    if growth > GROWTH_MIB:
        raise SystemExit(f"{name}: memory grew by {growth:.0f} MiB between a quarter of the inputs and the end")
    return {
        "inputs": found["inputs"],
        "seconds": round(seconds, 1),
        "growth_mib": round(growth, 1),
        "memory_mib": round(found["end"] / 2**20, 1),
        "covered_edges": int(coverage[-1][0]) if coverage else 0,
        "kept_inputs": int(coverage[-1][2]) if coverage else 0,
    }


if __name__ == "__main__":
    sys.exit(main())
