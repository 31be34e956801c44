"""Texts that must not be shown: the secrets this process has looked up, replaced by `***` in what it says.

Whoever finds a secret gives it to `hide`. What leaves a process as text (log lines, crashes, flight records, output of
children, history, states) goes through `hidden`. A secret that an actor joined into another text, quoted, or wrote into
a URL is found too; one that was encrypted, encoded or cut in pieces is not. Any thread; nothing outlives the process.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "***"
LEAST: Final = 6
"""Characters of the shortest text that is hidden: a shorter one would be found in ordinary words."""

_SOUNDS_SECRET: Final = re.compile(
    r"""((?:password|passwd|secret|token|credential|api_?key|private_?key|authorization|cookie)["']?\s*[:=]\s*)"""
    r"""("[^"]*"|'[^']*'|(?:(?:bearer|basic)\s+)?[^\s,;}\]]+)""",
    re.IGNORECASE,
)

_lock = threading.Lock()
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Have `secret` shown nowhere from now on, nor a line of it; one below `LEAST` characters cannot be hidden."""
    global _pattern  # noqa: PLW0603 (one pattern for the process; replaced whole)
    with _lock:
        if secret in _known:
            return
        _known.add(secret)
        forms: set[str] = set()
        for known in _known:
            for text in (known, *(line.strip() for line in known.splitlines())):
                forms.update((text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]))
                forms.update((repr(text)[1:-1], quote(text), quote(text, safe=""), quote_plus(text)))
        longest_first = sorted((form for form in forms if len(form) >= LEAST), key=len, reverse=True)
        if longest_first:
            _pattern = re.compile("|".join(map(re.escape, longest_first)))


def hidden(text: str) -> str:
    """Return `text` with `***` in the place of each secret."""
    pattern = _pattern
    return text if pattern is None else pattern.sub(REDACTED, text)


def masked(text: str) -> str:
    """Return `text` as `hidden` does, and with `***` for what follows a word that sounds secret: `password=…`.

    For text that others wrote and that is handed on: log lines in a flight record, a bug bundle.
    """
    return _SOUNDS_SECRET.sub(lambda found: f"{found[1]}{REDACTED}", hidden(text))
