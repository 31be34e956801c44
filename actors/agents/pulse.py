"""Tasks that say the node lives and how its host and its people are: heartbeat, resources, presence."""

from __future__ import annotations

import os
import time

import msgspec
from msgspec import Struct

from actors.agents.context import Context, Result
from actors.jobs.files import write_atomic
from actors.jobs.offload import Cancel
from actors.telemetry.sampling import HostSampler, ProcessSampler, Sample

HEARTBEAT_FILE = "run/heartbeat.json"
"""Below the runtime's home; `Heartbeat` as JSON."""


class Heartbeat(Struct, frozen=True):
    """The content of the heartbeat file.

    Attributes:
        at: Wall instant, seconds since the epoch.
        pid: The node's process.
        sequence: Counts the beats of one instance of the loop, from 1.
        uptime: Seconds since that instance's first beat.
        actors: How many actors run.
    """

    at: float
    pid: int
    sequence: int
    uptime: float
    actors: int


async def heartbeat(context: Context) -> Result:
    """Replace the heartbeat file."""
    memory = context.memory
    first = memory.setdefault("first", time.monotonic())
    sequence = memory["sequence"] = memory.get("sequence", 0) + 1
    beat = Heartbeat(context.outside.wall(), os.getpid(), sequence, time.monotonic() - first, context.outside.actors())
    await context.blocking(_beat, context, beat)
    context.metric("heartbeat.sequence", float(sequence), "count")
    return Result(f"beat {sequence}, {beat.actors} actors")


def _beat(_: Cancel, context: Context, beat: Heartbeat) -> None:
    write_atomic(context.home / HEARTBEAT_FILE, msgspec.json.encode(beat) + b"\n")


async def resources(context: Context) -> Result:
    """Publish the host's figures and the node process's memory."""
    samples = await context.blocking(_measure, context)
    for sample in samples:
        context.metric(sample.name, sample.value, sample.unit)
    values = {sample.name: sample.value for sample in samples}
    cpu = values.get("host.cpu_ratio")
    shown = [
        f"cpu {cpu:.0%}" if cpu is not None else "cpu from the next run on",
        f"memory {values['host.memory_used_ratio']:.0%}",
        f"node {values['process.rss_bytes'] / 1e6:.0f} MB",
    ]
    return Result(", ".join(shown))


def _measure(_: Cancel, context: Context) -> list[Sample]:
    memory = context.memory
    host: HostSampler = memory.get("host") or memory.setdefault("host", HostSampler((str(context.root),)))
    own: ProcessSampler = memory.get("own") or memory.setdefault("own", ProcessSampler())
    return [*host.sample(), *own.sample({}, context.name)[0].samples]


class Presence(Struct, frozen=True):
    """Who is logged in: sessions, different users, and seconds since the latest input on a terminal (None: unknown)."""

    sessions: int
    users: tuple[str, ...]
    idle: float | None


async def presence(context: Context) -> Result:
    """Find out whether somebody is at the machine: log-in sessions and how long their terminals are idle."""
    found = await context.blocking(_look_for_people)
    context.metric("presence.users", float(len(found.users)), "count")
    context.metric("presence.sessions", float(found.sessions), "count")
    if not found.users:
        return Result("nobody is logged in", idle=True)
    if found.idle is None:
        return Result(f"{', '.join(found.users)}; idle time not known")
    context.metric("presence.idle_seconds", found.idle, "seconds")
    state = "active" if found.idle < context.number("idle_after") else "away"
    return Result(f"{', '.join(found.users)} {state}, idle {found.idle:.0f} s")


def _look_for_people(_: Cancel) -> Presence:
    import psutil

    sessions = psutil.users()
    now = time.time()
    idle: list[float] = []
    for session in sessions:
        terminal = session.terminal or ""
        try:
            if terminal:
                idle.append(max(0.0, now - os.stat(os.path.join("/dev", terminal)).st_atime))
        except OSError:
            continue  # no device of that name: a graphical or remote session
    return Presence(len(sessions), tuple(sorted({s.name for s in sessions})), min(idle, default=None))
