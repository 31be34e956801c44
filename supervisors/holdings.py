"""What a supervisor holds of the messages for its children while it restarts them (`when_down = "hold"`)."""

from __future__ import annotations

from collections.abc import Mapping

from actors.core.holding import Holding
from actors.core.system import ActorSystem
from supervisors.core import Down, DownWhy, Ended, Restarting, Running, Starting, State, Stopping
from supervisors.specs import ChildSpec


class Holdings:
    """The holdings of one supervisor's children; used on that supervisor's turns alone.

    Attributes:
        held: By child id; empty where no child says `hold`.
    """

    def __init__(self, system: ActorSystem, paths: Mapping[str, str]) -> None:
        """Begin with none; `paths` are the children's, by id."""
        self._system = system
        self._paths = paths
        self.held: dict[str, Holding] = {}

    def started(self, spec: ChildSpec, id: str) -> None:
        """Have messages for the child `id`, which is ready, delivered, and held from its next end on."""
        holding = self.held.get(id)
        if holding is None:
            path = self._paths[id]
            self.held[id] = holding = Holding(self._system, path, spec.held_max)
            self._system.registry.hold(path, holding)
        holding.open()

    def judge(self, id: str, state: State) -> None:
        """Have messages for the child `id` held, delivered or refused, as the state it is in now asks for."""
        holding = self.held.get(id)
        if holding is None:
            return
        child = state.children.get(id)
        now = child.state if child is not None else None
        if isinstance(now, Starting | Restarting | Ended | Stopping) or (
            isinstance(now, Down) and now.why is DownWhy.WAITING
        ):
            holding.close()
        elif not isinstance(now, Running):
            self._end(id, self._system.registry.why_absent(self._paths[id]))

    def close(self) -> None:
        """Refuse everything: the supervisor has ended."""
        for id in tuple(self.held):
            self._end(id, "not running: its supervisor has ended")

    def _end(self, id: str, why: str) -> None:
        holding = self.held.pop(id)
        self._system.registry.hold(self._paths[id], None)
        holding.end(why)
