"""The launchers of one process, by placement; that of processes is made when it is first needed."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.core.system import ActorSystem
from supervisors.children import Launcher, LocalLauncher

if TYPE_CHECKING:
    from supervisors.processes.host import ProcessLauncher


class Placements(Mapping[str, Launcher]):
    """`pool`, `thread` and `process`; any thread may look one up."""

    def __init__(self, system: ActorSystem, make: Callable[[], ProcessLauncher]) -> None:
        """Make those of this process; `make` is called when the first process child is launched."""
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {
            "pool": LocalLauncher(system, "pool"),
            "thread": LocalLauncher(system, "thread"),
        }

    def __getitem__(self, placement: str) -> Launcher:
        with self._lock:
            if placement == "process" and placement not in self._made:
                self._made[placement] = self._make()
            found: Launcher = self._made[placement]
            return found

    def __iter__(self) -> Iterator[str]:
        return iter(("pool", "thread", "process"))

    def __len__(self) -> int:
        return 3

    def close(self, timeout: float = 10.0) -> None:
        """Close the launcher of processes, if there is one."""
        launcher = self._made.get("process")
        if launcher is not None:
            launcher.close(timeout)


class TemporaryRun:
    """A private folder for the sockets of process children, made when it is needed."""

    def __init__(self, run: Path | None) -> None:
        """Use `run`, or a temporary folder where that is None."""
        self._run = run
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def path(self) -> Path:
        """The folder."""
        if self._run is None:
            self._folder = tempfile.TemporaryDirectory(prefix="actors-")
            self._run = Path(self._folder.name)
        return self._run

    def close(self) -> None:
        """Remove the folder, if it was made here."""
        if self._folder is not None:
            self._folder.cleanup()
