"""A name for what is moved out of the way: never one that is taken, so that nothing kept is written over."""

from __future__ import annotations

import time
from pathlib import Path


def aside_of(path: Path, word: str) -> Path:
    """Return a free name beside `path`: `<name>.<word>-<instant>`, in UTC, with a number where that is taken.

    Free means that nothing beside it ends like this: a file may take its log and its folder along under their names.

    Args:
        path: What is to be moved; it need not exist.
        word: Why, in one word: "before", "corrupt".
    """
    beside = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
    stamp = f".{word}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    end, number = stamp, 1
    while any(end in name for name in beside):
        number += 1
        end = f"{stamp}-{number}"
    return path.with_name(f"{path.name}{end}")
