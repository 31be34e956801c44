"""Runs `actorctl` in this process: command line in, exit code and both streams out.

A terminal is a stream that says it is one; its width is `COLUMNS`. For what only a real process or a real terminal
shows there is `run_process`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from msgspec import Struct

from supervisors.cli.main import main, make_group

UTF8 = {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
PATIENCE = {"ACTORCTL_TIMEOUT": "60s"}
"""A machine that stalls for a while is no fault of a command."""
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CLEARED = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LC_CTYPE", "LANG", "ACTORCTL_HOME", "ACTORCTL_GLYPHS")


class Result(Struct, frozen=True):
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def hints(self) -> list[str]:
        """The hints it printed."""
        return [line.removeprefix("hint: ") for line in self.err.splitlines() if line.startswith("hint: ")]


class Sink(io.TextIOWrapper):
    """A stream that keeps what is written, and says whether it is a terminal."""

    def __init__(self, encoding: str, is_tty: bool) -> None:
        self.kept = io.BytesIO()
        self.is_tty = is_tty
        super().__init__(self.kept, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return self.is_tty

    def text(self) -> str:
        self.flush()
        return self.kept.getvalue().decode(self.encoding)


class _Keys(io.StringIO):
    def __init__(self, text: str, is_tty: bool) -> None:
        super().__init__(text)
        self.is_tty = is_tty

    def isatty(self) -> bool:
        return self.is_tty


def run(
    *arguments: str,
    home: Path | None = None,
    columns: int | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    encoding: str = "utf-8",
) -> Result:
    """Run `actorctl` with `arguments`.

    Args:
        arguments: Without the program's name.
        home: The home, given by the environment.
        columns: Width of the terminal that both streams are; None: both are pipes.
        env: Environment over `UTF8`.
        stdin: What it reads; from a terminal where the streams are one.
        encoding: Of both streams.
    """
    out, err = Sink(encoding, columns is not None), Sink(encoding, columns is not None)
    environ = {key: value for key, value in os.environ.items() if key not in _CLEARED} | UTF8 | PATIENCE
    environ |= {"ACTORCTL_HOME": str(home)} if home is not None else {}
    environ |= {"COLUMNS": str(columns)} if columns is not None else {}
    environ |= env or {}
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.multiple(sys, stdout=out, stderr=err, stdin=_Keys(stdin, columns is not None)),
    ):
        code = main(list(arguments))
    return Result(code, out.text(), err.text())


def run_process(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `actorctl` in a process of its own, its streams pipes."""
    environ = {key: value for key, value in os.environ.items() if key not in _CLEARED} | UTF8 | PATIENCE
    environ |= {"ACTORCTL_HOME": str(home), **(env or {})}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environ,
        **options,
    )


def plain_text(text: str) -> str:
    """Return `text` without colours."""
    return ESCAPE.sub("", text)


def parse(arguments: Sequence[str]) -> None:
    """Parse a command line as `actorctl` would, and carry nothing out.

    Raises:
        CommandError, typer.TyperException: It is no command line.
    """
    with mock.patch.object(sys, "stdout", Sink("utf-8", is_tty=False)), contextlib.suppress(typer.Exit):  # --help
        context = make_group().make_context("actorctl", list(arguments))
        rest = [*context._protected_args, *context.args]
        while rest and hasattr(context.command, "resolve_command"):
            name, command, rest = context.command.resolve_command(context, rest)
            context = command.make_context(name, list(rest), parent=context)
            rest = [*context._protected_args, *context.args]


_COMMAND = re.compile(r"actorctl ((?:(?! (?:for|shows|has|have|is) |[;)]|, | \(|$).)+)")


def commands_in(hint: str) -> Iterator[list[str]]:
    """Yield the command lines that a hint names, as arguments."""
    for found in _COMMAND.finditer(hint):
        yield shlex.split(found.group(1).rstrip("?."))
