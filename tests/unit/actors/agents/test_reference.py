"""The reference of the built-in system says what the code does: classes, arguments and defaults, tasks and options."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from actors.agents.tasks import TASKS

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "builtin-system.md"
ROWS = [line.split("|")[1:-1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
CLASSES = [row for row in ROWS if ":" in row[1] and row[1].strip().startswith("`actors.")]
LOOPS = [row for row in ROWS if row[0].strip().isdigit()]


def test_the_page_has_every_class_and_loop():
    assert len(CLASSES) == 12
    assert [int(row[0]) for row in LOOPS] == list(range(15))


@pytest.mark.parametrize("row", CLASSES, ids=lambda row: row[1].strip(" `"))
def test_arguments_and_their_defaults_are_those_of_the_class(row):
    module, _, name = row[1].strip(" `").partition(":")
    parameters = dict(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    stated = dict(re.findall(r"`([a-z_]+)(?:=([^`]*))?`", row[2]))

    assert set(stated) == set(parameters)
    for argument, default in stated.items():
        actual = parameters[argument].default
        if default and actual is not None:
            assert eval(default) == (list(actual) if isinstance(actual, tuple) else actual)
        elif not default:
            assert actual is inspect.Parameter.empty


@pytest.mark.parametrize("row", LOOPS, ids=lambda row: row[1].strip(" `"))
def test_the_tasks_of_the_loops_exist_and_have_the_options_named(row):
    task = re.findall(r"`([a-z-]+)`", row[7])[0]
    options = re.findall(r"`([a-z_]+)(?:=([^`]*))?`", row[9])

    assert {name: float(default) if default else None for name, default in options} == TASKS[task].options
