"""Names of actors: paths inside a node, and addresses that name the node too.

A path is absolute and made of segments: `/`, `/io`, `/io/gmail`. A segment is 1 to 64 characters of letters, digits,
`_`, `-`, `.`, `#` (`work#2`), so a path is at once a file name, a tap topic and a SQL key. An address is `node` + path,
`openclaw/io/gmail`. Globs select paths: `*` is any run of characters inside a segment, `**` any number of segments.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from actors.errors import AddressError

ROOT = "/"
SEGMENT_LIMIT = 64
PATH_LIMIT = 1024

_SEGMENT = re.compile(r"[A-Za-z0-9_.#-]{1,64}\Z")


def check_segment(name: str) -> str:
    """Return `name` if it can be one segment of a path.

    Raises:
        AddressError: It is empty, too long, `.` or `..`, or holds other characters.
    """
    if _SEGMENT.match(name) is None or name in {".", ".."}:
        raise AddressError(f"{name!r} is no actor name: 1 to {SEGMENT_LIMIT} of letters, digits, _ - . #")
    return name


def check_path(path: str) -> str:
    """Return `path` if it is an absolute path without a trailing slash.

    Raises:
        AddressError: It is not.
    """
    if path == ROOT:
        return path
    if not path.startswith("/") or len(path) > PATH_LIMIT:
        raise AddressError(f"{path!r} is no actor path: it starts with / and has at most {PATH_LIMIT} characters")
    for segment in path[1:].split("/"):
        check_segment(segment)
    return path


def join(parent: str, name: str) -> str:
    """Return the path of the child `name` of `parent`. Both are taken as valid."""
    return f"/{name}" if parent == ROOT else f"{parent}/{name}"


def parent_of(path: str) -> str | None:
    """Return the path above `path`, or None for the root."""
    if path == ROOT:
        return None
    return path.rpartition("/")[0] or ROOT


def name_of(path: str) -> str:
    """Return the last segment of `path`; `/` for the root."""
    return path.rpartition("/")[2] or ROOT


def is_within(path: str, ancestor: str) -> bool:
    """Whether `path` is `ancestor` or lies below it."""
    return ancestor in {ROOT, path} or path.startswith(ancestor + "/")


@lru_cache(maxsize=512)
def _compiled(glob: str) -> re.Pattern[str]:
    parts: list[str] = []
    for segment in glob.strip("/").split("/"):
        if segment == "**":
            parts.append("(?:/[^/]+)*")
        else:
            text = "".join("[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c) for c in segment)
            parts.append("/" + text)
    return re.compile("".join(parts) + r"\Z")


def matches(path: str, glob: str) -> bool:
    """Whether `path` is selected by `glob`: `/io/*`, `/agents/**` (which selects `/agents` too), `/work/task#?`."""
    if glob == ROOT:
        return path == ROOT
    if path == ROOT:
        return glob in {"**", "/**"}
    return _compiled(glob).match(path) is not None


class Address(Struct, frozen=True, order=True):
    """The serialisable name of an actor: node and path. It survives restarts; `generation` tells instances apart.

    Attributes:
        node: Name of the node; one segment.
        path: Absolute path inside the node.
        generation: Which instance, counted from 1; 0 means whichever is there now.
    """

    node: str
    path: str
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.node}{self.path}" + (f"@{self.generation}" if self.generation else "")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that `str()` of it wrote.

        Raises:
            AddressError: `text` is not `node/path` or `node/path@generation`.
        """
        body, at, generation = text.partition("@")
        node, slash, rest = body.partition("/")
        if not slash or (at and not generation.isdecimal()):
            raise AddressError(f"{text!r} is no address: node/path or node/path@generation")
        return cls(check_segment(node), check_path("/" + rest), int(generation) if at else 0)
