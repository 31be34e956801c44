"""Options of tasks: checked by name and kind before a loop starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actors.agents.context import Context, check_options, missing_options
from actors.agents.tasks import TASKS, task_of

KNOWN = {"max_age": 5.0, "command": None, "name": "x"}


def test_defaults_are_filled_in():
    assert check_options("t", KNOWN, {"max_age": 7}) == {"max_age": 7, "command": None, "name": "x"}


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"max_aeg": 1}, "no option 'max_aeg'; it has: command, max_age, name"),
        ({"max_age": "1"}, "a number from 0 up"),
        ({"max_age": True}, "a number from 0 up"),
        ({"max_age": -1}, "a number from 0 up"),
        ({"command": ["a", 1]}, "a list of texts"),
        ({"name": 5}, "text or a list"),
    ],
)
def test_an_option_that_is_unknown_or_of_another_kind_is_refused(given, part):
    with pytest.raises(ValueError, match=part):
        check_options("t", KNOWN, given)


def test_options_that_must_be_set_are_named():
    assert missing_options({"a": None, "b": "", "c": [], "d": 0, "e": "x"}) == ["a", "b", "c"]


def test_an_unknown_task_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="there are: backup-check, browser-health"):
        task_of("hartbeat")


def test_the_specification_s_fifteen_loops_have_a_task_each():
    assert len(TASKS) == 15


@pytest.mark.parametrize(("value", "words"), [("say -v 'Ann B'", ["say", "-v", "Ann B"]), (["a b"], ["a b"])])
def test_a_command_is_a_list_or_split_as_a_shell_would(tmp_path, value, words):
    context = Context(
        name="n",
        home=tmp_path,
        root=tmp_path,
        options={"command": value},
        queue="/q",
        keeper="/k",
        timeout=1.0,
        outside=None,
    )

    assert context.words("command") == words


def test_importing_the_agents_loads_neither_croniter_nor_psutil():
    program = (
        "import sys, actors.agents, actors.agents.loop, actors.services.base; "
        "print([m for m in ('croniter', 'psutil', 'duckdb', 'zmq') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"
