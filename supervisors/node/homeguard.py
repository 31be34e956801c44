"""Whether the home of a running node is still its own: somebody may have removed it, or a part of it.

The lock is what makes the node the only one of its home. Where its file is gone, or is another, a second node could
start beside this one, and all that this one writes is lost with the removed files: it has to end. `endpoints.json` and
`node.pid` are written again. A removed socket cannot be made again while it is in use: that is said, once; signals and
HTTP still reach the node.

`look` is called again and again by one thread; only what is missing twice in a row counts, so a file that is just being
replaced does not.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from transport.endpoints import write_private

logger = logging.getLogger(__name__)

LOCK_FILE: Final = "node.lock"


class HomeGuard:
    """Looks after the files of `run` that make a node findable and the only one.

    Args:
        run: The folder `run` of the home; its lock is held.
        files: Names of files there that are written again, with their contents.
        endpoints: Addresses of the node's sockets.
        on_lost: Called once, with the reason, when the home is no longer this node's.
        on_unreachable: Called once for each socket that was removed, with what that means.
    """

    def __init__(
        self,
        run: Path,
        files: Mapping[str, bytes],
        endpoints: tuple[str, ...],
        on_lost: Callable[[str], object],
        on_unreachable: Callable[[str], object],
    ) -> None:
        self._run = run
        self._files = dict(files)
        self._sockets = [Path(one.removeprefix("ipc://")) for one in endpoints if one.startswith("ipc://")]
        self._on_lost, self._on_unreachable = on_lost, on_unreachable
        self._lock = _identity(run / LOCK_FILE)
        self._missing: set[Path] = set()
        self._is_lost = False

    def look(self) -> None:
        """Look once; say and mend what was missing the last time too."""
        if self._is_lost or self._lock is None:
            return
        lock = self._run / LOCK_FILE
        found = {lock} if _identity(lock) != self._lock else set()
        if not found:
            found = {path for path in (*(self._run / name for name in self._files), *self._sockets) if _is_gone(path)}
        settled = found & self._missing
        self._missing = found
        if lock in settled:
            self._is_lost = True
            self._on_lost(f"{self._run.parent} was removed or replaced: {lock} is no longer this node's")
            return
        for path in sorted(settled):
            if path in self._sockets:
                self._sockets.remove(path)
                self._on_unreachable(f"its socket {path} was removed; restart it: kill -TERM {os.getpid()}")
                continue
            with contextlib.suppress(OSError):  # said by whoever writes the state file there
                write_private(path, self._files[path.name])
                logger.warning("%s was removed; it was written again", path)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what names a file for good as long as it is open, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_gone(path: Path) -> bool:
    """Whether there is surely no such file; one that cannot be looked at may be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
