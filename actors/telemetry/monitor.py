"""The resource monitor: figures of the host and of the node's processes on the bus, every few seconds.

Host figures and those of the node's own process are about this actor's path; those of a child process are about the
actor that runs in it. Processes of the node that no actor is known for are summed as `children.*`. One look takes some
milliseconds of its thread, more with many processes.
"""

from __future__ import annotations

from actors import Actor, on
from actors.events import ActorExited, ActorStarted, Event, MetricSampled
from actors.messages import Message
from actors.telemetry.sampling import HostSampler, ProcessSampler, ProcessSamples, Sample


class Look(Message[None], frozen=True):
    """Measure now."""


class GetFigures(Message[dict[str, float]], frozen=True):
    """Ask for the latest figures of the host and the node by name."""


class ResourceMonitor(Actor):
    """Measures and publishes; see the module.

    Args:
        every: Seconds between two measurements.
        disks: Directories whose file systems are measured.

    Raises:
        ValueError: `every` is not positive.
    """

    def __init__(self, every: float = 10.0, disks: list[str] | None = None) -> None:
        super().__init__()
        if every <= 0:
            raise ValueError(f"every is positive seconds, got {every}")
        self._every = every
        self._disks = tuple(disks) if disks is not None else (".",)
        self._paths: dict[int, str] = {}  # written on publishing threads, one key at a time
        self._latest: dict[str, float] = {}
        self._processes = 0
        self._looks = 0

    def on_start(self) -> None:
        self._subscription = self.system.bus.subscribe(self._note, (ActorStarted, ActorExited))
        self._host = HostSampler(self._disks)
        self._own = ProcessSampler()
        self.every(self._every, Look())
        self.actor_ref.tell(Look())

    def on_stop(self) -> None:
        self._subscription.cancel()

    def state_view(self) -> dict[str, object]:
        return {"every": self._every, "looks": self._looks, "processes": self._processes, **self._latest}

    @on(GetFigures)
    def figures(self, _: GetFigures) -> dict[str, float]:
        return dict(self._latest)

    @on(Look)
    def look(self, _: Look) -> None:
        host = self._host.sample()
        processes = self._own.sample(dict(self._paths), self.path)
        self._looks += 1
        self._processes = len(processes)
        samples = (*host, *_unattributed(processes))
        for found in processes:
            if found.path == self.path:
                samples += found.samples
            elif found.path:
                self._publish(found.path, found.samples)
        self._publish(self.path, samples)
        self._latest = {sample.name: sample.value for sample in samples}

    def _publish(self, path: str, samples: tuple[Sample, ...]) -> None:
        at = self.system.clock.time()
        for sample in samples:
            self.system.bus.publish(MetricSampled(at, path, sample.name, sample.value, sample.unit))

    def _note(self, _: int, event: Event) -> None:
        """Keep which actor runs in which process; runs on the publishing thread."""
        if isinstance(event, ActorStarted):
            if event.placement == "process":
                self._paths[event.pid] = event.path
        else:
            for pid in [pid for pid, path in tuple(self._paths.items()) if path == event.path]:
                self._paths.pop(pid, None)


def _unattributed(processes: tuple[ProcessSamples, ...]) -> tuple[Sample, ...]:
    """Return the sums over the node's processes that no actor is known for; empty where there are none."""
    others = [process for process in processes if not process.path]
    if not others:
        return ()
    sums: dict[tuple[str, str], float] = {}
    for process in others:
        for sample in process.samples:
            key = (sample.name.replace("process.", "children."), sample.unit)
            sums[key] = sums.get(key, 0.0) + sample.value
    found = [Sample(name, value, unit) for (name, unit), value in sums.items()]
    return (Sample("children.processes", float(len(others)), "count"), *found)
