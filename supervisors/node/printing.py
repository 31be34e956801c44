"""What actors in the node's own process print: the secrets that were looked up are cut out of it too.

Standard output and standard error are put behind a stream that does it text by text; whoever writes to the descriptors
themselves, as C code does, passes it by. Process children and programs write into pipes, which are read elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from actors.hiding import hidden


class HidingStream:
    """A text stream before another: each text that is written has its secrets cut out; all else is the other's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` without its secrets."""
        self._stream.write(hidden(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def hiding_streams() -> Iterator[None]:
    """Put both streams of this process behind one that hides secrets, until the block ends."""
    out, err = sys.stdout, sys.stderr
    # a process may have none of them: a service on Windows
    sys.stdout = HidingStream(out) if out is not None else out
    sys.stderr = HidingStream(err) if err is not None else err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
