"""Figures of the host and of processes, by psutil: what is measured, and rates as differences between two looks.

A sampler keeps the counters of its last look, so each user has one of its own. The calls read the system and take some
milliseconds: not for the event loop, and one thread at a time for a sampler. psutil is imported by the first sampler
that is made.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    import psutil

_MINIMUM: Final = 0.05
"""Two looks closer than this, in seconds, give no rate: it would be noise."""


class Sample(Struct, frozen=True, gc=False):
    """One measured value; `unit` as in `MetricSampled`."""

    name: str
    value: float
    unit: str


class ProcessSamples(Struct, frozen=True):
    """The figures of one process. `path` is the actor that runs in it, or "" where that is not known."""

    pid: int
    path: str
    samples: tuple[Sample, ...]


class HostSampler:
    """Measures the host.

    Args:
        disks: Directories whose file systems are measured; one that is gone gives no figures.
    """

    def __init__(self, disks: Sequence[str] = (".",)) -> None:
        import psutil

        self._psutil = psutil
        self._disks = tuple(disks)
        self._at = time.monotonic()
        self._cpu = psutil.cpu_times()
        self._network: Any = psutil.net_io_counters()  # None on a host without interfaces, whatever its types say

    def sample(self) -> tuple[Sample, ...]:
        """Return the figures now; rates are over the time since the last look (none when that was just now)."""
        psutil = self._psutil
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        found = [
            Sample("host.memory_used_ratio", memory.percent / 100, "ratio"),
            Sample("host.memory_available_bytes", float(memory.available), "bytes"),
            Sample("host.swap_used_bytes", float(swap.used), "bytes"),
            Sample("host.cpus", float(psutil.cpu_count() or 1), "count"),
            Sample("host.uptime_seconds", time.time() - psutil.boot_time(), "seconds"),
        ]
        with contextlib.suppress(OSError):
            found.append(Sample("host.load_1m", psutil.getloadavg()[0], "count"))
        for disk in self._disks:
            with contextlib.suppress(OSError):
                usage = psutil.disk_usage(disk)
                label = f"[{os.path.abspath(disk)}]" if len(self._disks) > 1 else ""
                found.append(Sample(f"host.disk_used_ratio{label}", usage.percent / 100, "ratio"))
                found.append(Sample(f"host.disk_free_bytes{label}", float(usage.free), "bytes"))
        found.extend(self._rates())
        return tuple(found)

    def _rates(self) -> list[Sample]:
        now = time.monotonic()
        passed = now - self._at
        if passed < _MINIMUM:
            return []
        cpu = self._psutil.cpu_times()
        network: Any = self._psutil.net_io_counters()
        found = [Sample("host.cpu_ratio", _busy(self._cpu, cpu), "ratio")]
        if network is not None and self._network is not None:
            sent = max(0, network.bytes_sent - self._network.bytes_sent)
            received = max(0, network.bytes_recv - self._network.bytes_recv)
            found.append(Sample("host.network_sent_bytes", sent / passed, "per_second"))
            found.append(Sample("host.network_received_bytes", received / passed, "per_second"))
        self._at, self._cpu, self._network = now, cpu, network
        return found


class ProcessSampler:
    """Measures this process and everything it started."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._cpu: dict[tuple[int, float], tuple[float, float]] = {}

    def sample(self, paths: Mapping[int, str], own_path: str) -> tuple[ProcessSamples, ...]:
        """Return the figures of this process and its descendants, this one first.

        Args:
            paths: Actor path by the process that runs it.
            own_path: The path this process's figures are about.
        """
        own = self._psutil.Process()
        found, seen = [], {}
        for process in (own, *own.children(recursive=True)):
            path = own_path if process.pid == own.pid else paths.get(process.pid, "")
            with contextlib.suppress(self._psutil.Error):  # it ended while it was looked at, or is somebody else's
                key, cpu, samples = self._measure(process)
                seen[key] = cpu
                found.append(ProcessSamples(process.pid, path, samples))
        self._cpu = seen
        return tuple(found)

    def _measure(self, process: psutil.Process) -> tuple[tuple[int, float], tuple[float, float], tuple[Sample, ...]]:
        with process.oneshot():
            key = (process.pid, process.create_time())
            times = process.cpu_times()
            cpu = (time.monotonic(), times.user + times.system)
            samples = [
                Sample("process.rss_bytes", float(process.memory_info().rss), "bytes"),
                Sample("process.threads", float(process.num_threads()), "count"),
            ]
            if hasattr(process, "num_fds"):
                samples.append(Sample("process.fds", float(process.num_fds()), "count"))
        before = self._cpu.get(key)
        if before is not None and cpu[0] - before[0] >= _MINIMUM:
            samples.append(Sample("process.cpu_ratio", max(0.0, (cpu[1] - before[1]) / (cpu[0] - before[0])), "ratio"))
        return key, cpu, tuple(samples)


def _busy(before: Any, now: Any) -> float:
    """Return the share of the time between two `cpu_times` in which the processors worked; 0..1."""
    names = [name for name in now._fields if name not in {"guest", "guest_nice"}]  # they are part of user and nice
    spent = {name: max(0.0, getattr(now, name) - getattr(before, name)) for name in names}
    total = sum(spent.values())
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return (total - idle) / total if total > 0 else 0.0
