"""What people decided and the node must not undo: which children they stopped, by whom and why.

Kept in `<home>/desired.json` (0600), replaced in one step with every change, so a stop survives a restart of the
supervisor above, of the node, and kill -9. A file that cannot be read is set aside and reported; the tree starts whole.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from supervisors.core.events import Hold
from transport.endpoints import write_private

logger = logging.getLogger(__name__)

FILE_NAME = "desired.json"


class DesiredState:
    """The holds of one node. Methods may be called on any thread.

    Args:
        path: The file.
        holds: The mapping that supervisors read; this object is its only writer.
    """

    def __init__(self, path: Path, holds: dict[str, Hold]) -> None:
        self._path = path
        self._holds = holds
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read the file, if there is one."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            logger.error("cannot read %s: %s; nothing is held stopped", self._path, error)
            return
        try:
            self._holds.update(msgspec.json.decode(data, type=dict[str, Hold]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._path.with_suffix(".corrupt")
            logger.error("%s is damaged (%s), set aside as %s; nothing is held stopped", self._path, error, aside)
            try:
                self._path.replace(aside)
            except OSError as failed:
                logger.error("%s could not be set aside: %s", self._path, failed)

    def hold(self, path: str, hold: Hold) -> None:
        """Keep the child at `path` stopped.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        with self._lock:
            self._write({**self._holds, path: hold})
            self._holds[path] = hold

    def release(self, path: str) -> None:
        """Let the child at `path` run again.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        with self._lock:
            if path not in self._holds:
                return
            self._write({held: hold for held, hold in self._holds.items() if held != path})
            del self._holds[path]

    def _write(self, holds: dict[str, Hold]) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(holds)) + b"\n")
