"""The kinds of value that only programs have: environments, resource limits, umasks, signals, exit codes, patterns."""

from __future__ import annotations

import re
import signal
from typing import Annotated

from supervisors.node.faults import cut, hints
from supervisors.node.fields import (
    Kind,
    ListOf,
    read_environment_name,
    read_size,
    read_text,
    refuse,
    suggestion,
    toml_type,
)
from supervisors.programs import RLIMITS, signal_number


def _word(value: object) -> str:
    text = read_text(value)
    if "\0" in text or len(text) > 100_000:
        refuse("a word of a command has at most 100,000 characters and no null character")
    return text


def _texts_by_name(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        refuse(f"expected a table, got {toml_type(value)}", '{ NAME = "text" }')
    for name, text in value.items():
        read_environment_name(name)
        if not isinstance(text, str) or "\0" in text:
            refuse(f"expected text for {cut(name)}, got {toml_type(text)}", "write it in quotes")
    return value


def _rlimits(value: object) -> dict[str, int | None]:
    if not isinstance(value, dict):
        refuse(f"expected a table, got {toml_type(value)}", "{ nofile = 4096 }")
    read: dict[str, int | None] = {}
    for name, limit in value.items():
        if name not in RLIMITS:
            refuse(f"there is no resource limit {cut(name)!r}", hints(suggestion(name, RLIMITS), ", ".join(RLIMITS)))
        if limit == "infinity":
            read[name] = None
        elif isinstance(limit, str):
            read[name] = read_size(limit)
        elif isinstance(limit, int) and not isinstance(limit, bool) and 0 <= limit < 2**63:
            read[name] = limit
        else:
            refuse(f"{name} is a number, a size or infinity", f'{name} = 4096, {name} = "1GiB", {name} = "infinity"')
    return read


def _umask(value: object) -> int:
    text = read_text(value)
    if re.fullmatch(r"0?[0-7]{3}", text) is None:
        refuse(f"{cut(text)!r} is no umask", 'three octal digits in quotes, such as "077"')
    return int(text, 8)


def _signal(value: object) -> str:
    text = read_text(value)
    if signal_number(text) is None:
        known = [name.name for name in signal.Signals]
        near = suggestion(text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}", known)
        refuse(f"{cut(text)!r} is no signal", hints(near, '"SIGTERM", "SIGINT", "SIGQUIT", …'))
    return text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"


def _exit_code(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        refuse(f"{cut(str(value))} is no exit code", "0 to 255; 143 is the end by SIGTERM")
    return value


def _pattern(value: object) -> str:
    text = read_text(value)
    try:
        re.compile(text)
    except re.error as error:
        refuse(f"it is no regular expression: {cut(str(error))}", r'"Ready to accept", "listening on .*:[0-9]+"')
    return text


Command = Annotated[tuple[str, ...], ListOf("list of text", _word)]
Environment = Annotated[dict[str, str], Kind("table of texts", _texts_by_name, is_text=False)]
Rlimits = Annotated[dict[str, int | None], Kind("table of limits", _rlimits, is_text=False)]
Umask = Annotated[int, Kind("octal digits", _umask)]
Signal = Annotated[str, Kind("signal", _signal)]
ExitCodes = Annotated[tuple[int, ...], ListOf("list of exit codes", _exit_code)]
Pattern = Annotated[str, Kind("regular expression", _pattern)]
