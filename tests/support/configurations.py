"""Configurations on disk for tests: write one, load it, or list what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from supervisors.errors import Fault
from supervisors.node.counting import Machine
from supervisors.node.faults import ConfigurationError
from supervisors.node.loading import Loaded, load_config

MACHINE = Machine(cpus=8, mem_gib=16.0)
HERE = "# <-"
"""Marks, at the end of a line of TOML, the place of an expected fault."""


def write(folder: Path, text: str, name: str = "actors.toml") -> Path:
    """Write a configuration and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


def load(folder: Path, text: str, environ: Mapping[str, str] | None = None, **options: Any) -> Loaded:
    """Load a text that stands in `folder`; the environment is empty unless one is given."""
    path = write(folder, text)
    return load_config(path, environ=environ or {}, directory=folder, machine=MACHINE, **options)


def faults_of(folder: Path, text: str, environ: Mapping[str, str] | None = None, **options: Any) -> tuple[Fault, ...]:
    """Return what is wrong with a text that stands in `folder`; there must be something."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, environ, **options)
    return caught.value.faults


def marked_lines(text: str) -> list[int]:
    """Return the numbers of the marked lines of a text."""
    return [number for number, line in enumerate(dedent(text).splitlines(), start=1) if HERE in line]
