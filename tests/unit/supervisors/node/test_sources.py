"""Environment variables as configuration: how their names find keys, and how their values are read."""

import pytest
from support.configurations import faults_of, load

TREE = """\
[supervisors."/io"]
[actors."/io/gmail"]
use = "a:B"
args = { port = 1, host = "h" }
[actors."/io/g-mail"]
use = "a:B"
[supervisors."/agents"]
[loops.list."00"]
every = "1m"
"""


@pytest.mark.parametrize(
    ("variable", "value", "read", "expected"),
    [
        ("ACTORS_RUNTIME__DRAIN", "5s", lambda c: c.runtime.drain, 5.0),
        ("ACTORS_RUNTIME__NAME", "5", lambda c: c.runtime.name, "5"),
        ("ACTORS_RUNTIME__POOL_THREADS", "5", lambda c: c.runtime.pool_threads, 5),
        ("ACTORS_HISTORY__RETAIN__EVENTS", "7d", lambda c: c.history.retain.events, 604_800.0),
        ("ACTORS_HISTORY__RETAIN", '{ events = "7d" }', lambda c: c.history.retain.events, 604_800.0),
        ("ACTORS_DEFAULTS__CHILD__BACKOFF__JITTER", "0.5", lambda c: c.defaults.child.backoff.jitter, 0.5),
        ("ACTORS_SUPERVISORS__IO__STRATEGY", "one_for_all", lambda c: c.supervisors["/io"].strategy, "one_for_all"),
        ("ACTORS_LOOPS__LIST__00__ENABLED", "false", lambda c: c.loops.list["00"].enabled, False),
        ("ACTORS_LOOPS__LIST__00__CAPS", '["a", "b"]', lambda c: c.loops.list["00"].caps, ("a", "b")),
        ("ACTORS_LOOPS__TIMEOUT", "1h", lambda c: c.loops.timeout, 3600.0),
        ("ACTORS_SUPERVISORS__SYS__START_ORDER", "3", lambda c: c.supervisors["/sys"].start_order, 3),
        ("ACTORS_ACTORS__SYS_WATCHDOG__ENABLED", "false", lambda c: c.actors["/sys/watchdog"].enabled, False),
        ("ACTORS_SECRETS__KEY__ENV", "HOME", lambda c: c.secrets["key"].env, "HOME"),
        ("ACTORS_SECRETS__KEY", '{ env = "HOME" }', lambda c: c.secrets["key"].env, "HOME"),
    ],
)
def test_variable_sets_the_key_that_its_name_spells(tmp_path, variable, value, read, expected):
    loaded = load(tmp_path, TREE, {variable: value, "HOME": "x"})

    assert read(loaded.config) == expected
    assert any(row.origin == f"environment {variable}" for row in loaded.rows())


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "993", {"port": 993, "host": "h"}),
        ("HOST", "mail.example.org", {"port": 1, "host": "mail.example.org"}),
        ("HOST", '"993"', {"port": 1, "host": "993"}),
        ("NEW", "[1, 2]", {"port": 1, "host": "h", "new": [1, 2]}),
        ("NEW__DEEP", "true", {"port": 1, "host": "h", "new": {"deep": True}}),
    ],
)
def test_variable_sets_an_argument_as_toml_reads_it_else_as_text(tmp_path, variable, value, expected):
    text = TREE.replace('[actors."/io/g-mail"]\nuse = "a:B"\n', "")

    loaded = load(tmp_path, text, {f"ACTORS_ACTORS__IO_GMAIL__ARGS__{variable}": value})

    assert loaded.config.actors["/io/gmail"].args == expected


def test_root_is_spelt_root(tmp_path):
    loaded = load(tmp_path, '[supervisors."/"]\n', {"ACTORS_SUPERVISORS__ROOT__STRATEGY": "one_for_all"})

    assert loaded.config.supervisors["/"].strategy == "one_for_all"


def test_other_variables_are_none_of_its_business(tmp_path):
    loaded = load(tmp_path, "", {"ACTORCTL_HOME": "x", "MY_ACTORS_X": "1", "ACTORSX": "2", "ACTORS_INSTANCE": "1;"})

    assert loaded.config.runtime.home == ".actors"


@pytest.mark.parametrize(
    ("variable", "value", "message", "hint"),
    [
        ("ACTORS_RUNTIME__DRAN", "5s", "names no key", "did you mean ACTORS_RUNTIME__DRAIN?"),
        ("ACTORS_RUNTME__DRAIN", "5s", "names no key", "did you mean ACTORS_RUNTIME?"),
        ("ACTORS_", "5s", "names no key", "ACTORS_RUNTIME"),
        ("ACTORS_RUNTIME__", "5s", "names no key", "ACTORS_RUNTIME__DRAIN"),
        ("ACTORS_RUNTIME__DRAIN__X", "5s", "names no key", "ACTORS_RUNTIME__DRAIN holds no keys"),
        ("ACTORS_ACTORS__IO_MAIL__USE", "a:B", "names no key", "ACTORS_ACTORS__IO_GMAIL"),
        ("ACTORS_LOOPS__LIST__7__ENABLED", "true", "names no key", "ACTORS_LOOPS__LIST__00"),
        ("ACTORS_INCLUDE", '["x.toml"]', "only the main file includes", "write it there"),
        ("ACTORS_RUNTIME__POOL_THREADS", "many", "its value cannot be read", "whole number 1..64"),
        ("ACTORS_RUNTIME__POOL_THREADS", "1\nname = 2", "its value cannot be read", "whole number 1..64"),
        ("ACTORS_RUNTIME__POOL_THREADS", "65", "65 is not in 1..64", "1..64"),
        ("ACTORS_RUNTIME", "x", "expected a table, got text", "{ key"),
        ("ACTORS_RUNTIME__DRAIN", "500", "500 has no unit", '"500s"'),
        ("ACTORS_LOOPS__LIST__00__ENABLED", "False", "its value cannot be read", "true or false"),
        ("ACTORS_LOOPS__LIST__00__CAPS", "[" * 5000, "its value cannot be read", "list"),
    ],
)
def test_variable_that_is_wrong_is_a_fault_that_names_it(tmp_path, variable, value, message, hint):
    text = TREE.replace('[actors."/io/g-mail"]\nuse = "a:B"\n', "")

    (fault,) = faults_of(tmp_path, text, {variable: value})

    assert fault.file == f"environment {variable}"
    assert fault.line == 0
    assert message in fault.message
    assert hint in fault.hint


def test_variable_that_could_be_two_entries_is_a_fault(tmp_path):
    text = TREE + '[actors."/io/g_mail"]\nuse = "a:B"\n'

    (fault,) = faults_of(tmp_path, text, {"ACTORS_ACTORS__IO_G_MAIL__USE": "a:B"})

    assert fault.hint == "it could be any of /io/g-mail, /io/g_mail"


@pytest.mark.parametrize("variable", ["ACTORS_SECRETS__KEY", "ACTORS_IO__GMAIL__PASSWORD"])
@pytest.mark.parametrize("value", ["hunter2", '"hunter2"', "[hunter2"])
def test_secret_in_a_variable_is_refused_without_repeating_it(tmp_path, variable, value):
    text = TREE.replace('[actors."/io/g-mail"]\nuse = "a:B"\n', "")

    (fault,) = faults_of(tmp_path, text, {variable: value})

    assert fault.message == "expected a reference to a secret, got text"
    assert "hunter2" not in str(fault)
