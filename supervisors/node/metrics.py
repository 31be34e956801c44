"""Metrics in Prometheus' text format, read from what the node has published; nobody is asked for them.

Series for single actors are made for the first `ACTORS_MAX` alone, in the order of the tree; how many there are is a
series of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from supervisors.node.facts import NodeFacts
from supervisors.tree import nodes
from supervisors.views import NodeKind, NodeState

if TYPE_CHECKING:
    from supervisors.node.pulse import Pulse

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
ACTORS_MAX: Final = 1000
STATES: Final = ("created", "starting", "running", "paused", "draining", "stopping", "stopped", "failed")


def exposition(facts: NodeFacts, pulse: Pulse) -> bytes:
    """Return the metrics of this moment."""
    from prometheus_client import CollectorRegistry, generate_latest  # only where somebody asks

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(facts, pulse))
    return generate_latest(registry)


class _Collector:
    def __init__(self, facts: NodeFacts, pulse: Pulse) -> None:
        self._facts = facts
        self._pulse = pulse

    def collect(self) -> Iterator[Any]:
        yield from self._node()
        yield from self._tree()
        yield from self._process()
        yield from self._history()

    def _node(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        facts, now = self._facts, self._facts.system.clock.time()
        info = InfoMetricFamily("actorctl_node", "The node.")
        info.add_metric([], {"name": facts.name, "version": facts.version})
        yield info
        state = GaugeMetricFamily("actorctl_node_state", "1 for the state that the node is in.", labels=["state"])
        for word in STATES:
            state.add_metric([word], float(facts.state == word))
        yield state
        yield GaugeMetricFamily("actorctl_uptime_seconds", "Since the node started.", max(0.0, now - facts.started_at))
        supervised = float(self._pulse.is_supervised)
        yield GaugeMetricFamily("actorctl_supervised", "1 while a crash would be restarted.", supervised)
        age = "Since every supervisor answered."
        yield GaugeMetricFamily("actorctl_watchdog_age_seconds", age, self._pulse.age)
        yield CounterMetricFamily("actorctl_restarts", "Restarts decided.", facts.restarts.total)
        yield CounterMetricFamily("actorctl_events", "Events on the bus.", facts.system.bus.head)
        letters = facts.system.dead_letters.count
        yield CounterMetricFamily("actorctl_dead_letters", "Messages that nobody took.", letters)

    def _tree(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        workers = [node for node in nodes(self._facts.services) if node.kind is NodeKind.WORKER]
        counts = Counter(node.state for node in workers)
        states = GaugeMetricFamily("actorctl_workers", "Workers by state.", labels=["state"])
        for state in NodeState:
            states.add_metric([state.value], counts[state])
        yield states
        ready = GaugeMetricFamily("actorctl_actor_ready", "1 while the actor is ready.", labels=["path"])
        depth = GaugeMetricFamily("actorctl_actor_mailbox_messages", "Messages that wait.", labels=["path"])
        handled = CounterMetricFamily("actorctl_actor_handled", "Messages handled by this instance.", labels=["path"])
        failed = CounterMetricFamily("actorctl_actor_failed", "Messages it failed at.", labels=["path"])
        generation = GaugeMetricFamily("actorctl_actor_generation", "Which instance it is.", labels=["path"])
        memory = GaugeMetricFamily(
            "actorctl_actor_memory_bytes", "Resident memory of a process of its own.", labels=["path"]
        )
        for node in workers[:ACTORS_MAX]:
            ready.add_metric([node.path], float(node.state is NodeState.READY))
            depth.add_metric([node.path], node.mailbox or 0)
            handled.add_metric([node.path], node.handled or 0)
            failed.add_metric([node.path], node.failed or 0)
            generation.add_metric([node.path], node.generation or 0)
            if node.memory_bytes is not None:
                memory.add_metric([node.path], node.memory_bytes)
        yield from (ready, depth, handled, failed, generation, memory)

    def _process(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        figures = self._facts.process_figures()
        resident = "Resident memory of the node's own process."
        yield GaugeMetricFamily("actorctl_process_resident_memory_bytes", resident, figures.rss_bytes)
        yield CounterMetricFamily("actorctl_process_cpu_seconds", "Processor time of it.", figures.cpu_seconds)
        yield GaugeMetricFamily("actorctl_process_threads", "Threads of it.", figures.threads)

    def _history(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        feed = self._facts.feed
        if feed is None:
            return
        figures = feed.statistics()
        pending = max(0, figures.rows - figures.acknowledged_rows - figures.lost_rows)
        yield CounterMetricFamily("actorctl_history_rows", "Rows stored.", figures.acknowledged_rows)
        yield GaugeMetricFamily("actorctl_history_pending_rows", "Rows that wait to be stored.", pending)
        lost = figures.lost_rows + figures.dropped_events
        yield CounterMetricFamily("actorctl_history_lost_rows", "Rows that were lost.", lost)
