"""Reading the sources of a configuration: files, environment variables, flags. Each becomes a layer, or faults.

A file is read whole, at most `FILE_LIMIT` bytes of UTF-8. An environment variable `ACTORS_A__B` sets the key `a.b`; its
value is taken as text where the key takes text, and is read as a TOML value elsewhere (`false`, `4`, `["a"]`,
`{ env = "X" }`). Paths and other names cannot be spelt in a variable, so a part of its name stands for the existing
entry whose name reads the same with everything but letters and digits turned to `_`: `ACTORS_ACTORS__IO_GMAIL__RESTART`
is `actors."/io/gmail".restart`, `ROOT` is `/`.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from supervisors.errors import Fault
from supervisors.node.faults import cut
from supervisors.node.fields import suggestion
from supervisors.node.layers import Layer, Layered
from supervisors.node.positions import KeyPath, NestingError, index_positions
from supervisors.node.shapes import ROOT, Shape, keys_of
from supervisors.processes.marks import MARK

FILE_LIMIT: Final = 1024 * 1024
"""The largest file read, in bytes."""
PREFIX: Final = "ACTORS_"
"""What a variable's name begins with when it belongs to the configuration; every such variable does but `MARK`."""

_CLOSED: Final = {("supervisors",), ("actors",), ("loops",)}
"""Tables to which a variable cannot add an entry."""
_PLACE: Final = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)\Z")


class Flag(Struct, frozen=True):
    """A value given on the command line.

    Attributes:
        name: The flag as the user typed it, `--home`.
        path: The key it sets, `("runtime", "home")`.
        value: As TOML would give it.
    """

    name: str
    path: tuple[str, ...]
    value: object


def read_file(
    path: Path, shown: str, missing_hint: str = "actorctl init writes one"
) -> tuple[Layer | None, tuple[Fault, ...]]:
    """Return the layer that a TOML file holds, or the one fault that kept it from being read.

    Args:
        path: The file.
        shown: Its name in faults and origins.
        missing_hint: What to do where there is no such file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return None, (Fault("", "it is a folder, not a file", file=shown),)
        if not stat.S_ISREG(mode):  # reading a pipe would wait for somebody to write
            return None, (Fault("", "it is no regular file", file=shown),)
        with path.open("rb") as stream:
            raw = stream.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        if path.is_symlink():
            return None, (Fault("", "it is a link that leads to no file", "mend or remove the link", file=shown),)
        return None, (Fault("", "there is no such file", missing_hint, file=shown),)
    except OSError as error:
        return None, (Fault("", f"it cannot be read: {error.strerror or error}", file=shown),)
    if len(raw) > FILE_LIMIT:
        return None, (Fault("", f"it is larger than {FILE_LIMIT} bytes", file=shown),)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        return None, (Fault("", "it is not UTF-8 text", "save it as UTF-8", file=shown, line=line, column=column),)
    return read_text(text, shown)


def read_text(text: str, shown: str) -> tuple[Layer | None, tuple[Fault, ...]]:
    """Return the layer that a TOML text holds, or the one fault that kept it from being read."""
    text = text.replace("\r\n", "\n")  # as tomllib counts lines
    try:
        positions = index_positions(text)
        return Layer(shown, tomllib.loads(text), positions), ()
    except NestingError as error:
        return None, (
            Fault(
                "", str(error).partition(" at ")[0], file=shown, line=error.position.line, column=error.position.column
            ),
        )
    except tomllib.TOMLDecodeError as error:
        return None, (_syntax_fault(str(error), text, shown),)
    except (RecursionError, ValueError) as error:  # a number beyond what Python converts, a date that does not exist
        return None, (Fault("", f"it cannot be read: {cut(str(error))}", file=shown),)


def read_environment(environ: Mapping[str, str], below: Layered) -> tuple[list[Layer], tuple[Fault, ...]]:
    """Return one layer for each variable of `environ` that belongs to the configuration, and the faults among them.

    Args:
        environ: The environment.
        below: What the files say; its entries are those that names of variables can stand for.
    """
    layers: list[Layer] = []
    faults: list[Fault] = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name != MARK):
        source = f"environment {cut(variable)}"
        parts = variable[len(PREFIX) :].lower().split("__")
        found = _resolve(parts, below.data)
        if isinstance(found, str):
            faults.append(Fault("", "it names no key of the configuration", found, file=source))
            continue
        path, shape = found
        if path[0] == "include":
            faults.append(Fault("include", "only the main file includes others", "write it there", file=source))
            continue
        try:
            value = _value_of(environ[variable], shape)
        except ValueError as error:
            faults.append(Fault("", f"its value cannot be read: {error}", _value_hint(shape), file=source))
            continue
        layers.append(Layer(source, _nested(path, value)))
    return layers, tuple(faults)


def read_flags(flags: Iterable[Flag]) -> list[Layer]:
    """Return one layer for each flag."""
    return [Layer(f"flag {flag.name}", _nested(flag.path, flag.value)) for flag in flags]


def _syntax_fault(message: str, text: str, shown: str) -> Fault:
    found = _PLACE.search(message)
    line, column = 0, 0
    if found is not None and found.group(1):
        line, column = int(found.group(1)), int(found.group(2))
    elif found is not None:
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    what = cut(message[: found.start()] if found is not None else message)
    return Fault(
        "", f"it is not TOML: {what[:1].lower()}{what[1:]}", _syntax_hint(what), file=shown, line=line, column=column
    )


def _syntax_hint(what: str) -> str:
    if "twice" in what or "overwrite" in what:
        return "each key and each [table] is written once; join the two"
    if what.startswith("Invalid value"):
        return 'text stands in quotes: key = "text"'
    if "key part" in what or what.startswith(("Expected ']' at", "Invalid statement")):
        return 'a path stands in quotes: [actors."/io/gmail"]'
    if what.startswith("Expected '=' after a key"):
        return "write key = value"
    return ""


def _spelling(name: str) -> str:
    """Return how a variable's name spells an entry's name."""
    return "root" if name == "/" else re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _resolve(parts: list[str], data: Any) -> tuple[KeyPath, Shape] | str:
    """Return the key that the parts of a variable's name stand for and its shape, or a hint what would be right."""
    path: KeyPath = ()
    shape = ROOT
    for part in parts:
        here = data if isinstance(data, dict) else {}
        if shape.section is not None:
            known = list(keys_of(shape.section))
            if part not in known:
                return _hint(path, part, known)
            name, shape = part, keys_of(shape.section)[part]
        elif shape.entries is not None or _is_free(shape):
            alike = [key for key in here if _spelling(key) == _spelling(part)]
            if len(alike) > 1:
                return f"it could be any of {', '.join(sorted(alike))}"
            if not alike and (not part or (path[:1] in _CLOSED and not _is_free(shape))):
                return _hint(path, part, [_spelling(key) for key in here])
            name, shape = (alike[0] if alike else part), shape.entries or shape
        else:
            return f"{_spelt(path)} holds no keys"
        path = (*path, name)
        data = here.get(name)
    return path, shape


def _is_free(shape: Shape) -> bool:
    return shape.kind is not None and shape.kind.words == "table"


def _hint(path: KeyPath, part: str, known: list[str]) -> str:
    close = suggestion(part, known)
    names = ", ".join(f"{_spelt(path)}__{name}".upper() if path else f"{PREFIX}{name}".upper() for name in known)
    match = next((name for name in known if f'"{name}"' in close), "")
    near = f"did you mean {PREFIX}{'__'.join([*map(_spelling, map(str, path)), match]).upper()}?" if match else ""
    return near or (f"known here: {names}" if names else "there are no entries there")


def _spelt(path: KeyPath) -> str:
    return PREFIX + "__".join(_spelling(str(step)) for step in path).upper()


def _value_of(text: str, shape: Shape) -> object:
    """Read a variable's value.

    Raises:
        ValueError: It is no TOML value, where one is wanted.
    """
    if shape.kind is not None and shape.kind.is_text:
        return text
    layer, faults = read_text(f"value = {text}", "")
    if layer is None or set(layer.data) != {"value"}:
        if _is_free(shape) or shape.kind is None:
            return text  # a free value: as it stands; a table: refused with the right words later
        raise ValueError(faults[0].message if faults else "it is more than one value")
    return layer.data["value"]


def _value_hint(shape: Shape) -> str:
    return f"{shape.kind.words}, as TOML writes it" if shape.kind is not None else ""


def _nested(path: Iterable[str | int], value: object) -> dict[str, Any]:
    *above, last = map(str, path)
    nested: dict[str, Any] = {last: value}
    for step in reversed(above):
        nested = {step: nested}
    return nested
