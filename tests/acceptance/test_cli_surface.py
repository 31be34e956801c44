"""Every command of `actorctl`, found through the app itself, so that a new one is tried without a change here.

The node is a fake one that answers over real sockets from prepared views (`support.fake_node`).
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support.command_line import Result, commands_in, parse, plain_text, run, run_process
from support.fake_node import FakeNode, RefusalError, fake_node
from support.history import open_store
from support.json_schema import violations
from support.waiting import until

from actors.events import ActorStateChanged
from actors.history.backup import backup as backup_history
from actors.jobs.schema import JOBS
from actors.state.backup import backup
from actors.state.file import open_state
from supervisors.cli.calling import Shape
from supervisors.cli.commands import ALIASES, ELSEWHERE, MODULES
from supervisors.cli.connection import READ_SECONDS
from supervisors.cli.main import all_commands
from supervisors.views import CommandView, TargetOutcome, TargetView
from supervisors.views.documents import DOCUMENTS, schema

COMMANDS = {" ".join(words): command for words, command in all_commands()}
READING = [name for name, command in COMMANDS.items() if command.declaration.document]
STREAMS = [name for name in READING if COMMANDS[name].declaration.shape is Shape.STREAM]

EXAMPLES = {"path": "/io/gmail", "selectors": "/io/gmail", "message": "Fetch", "shell": "bash", "query": "select 1"}
EXAMPLES |= {"expression": "0 2 * * *", "expressions": "0 2 * * *", "ids": "job-2", "name": "laptop"}
EXAMPLES |= {"id": "job-2", "kind": "mail.send", "limit": "100/s", "text": "timeout"}
"""A value for each argument that a command cannot do without, by the argument's name."""

NEEDED = {
    "selectors": {"start", "stop", "restart", "suspend", "resume", "reread", "kill", "reset", "wait"},
    "query": {"sql"},
}
NEEDED["ids"] = {"jobs retry", "jobs cancel", "jobs promote", "jobs delete", "dlq retry", "dlq drop"} | {
    f"cron {verb}" for verb in ("remove", "pause", "resume", "run", "cancel")
}
"""Arguments that are optional to the parser and yet needed."""

ADDED = {name: ["--count", "2"] for name in STREAMS}
ADDED |= {"backup": ["--verify"], "history backup": ["--verify"], "history restore": ["--replace"]}
ADDED |= {"down": ["--no-wait"], "daemon stop": ["--no-wait"], "top": ["--once", "--window", "10ms"]}
"""Options with which a command ends by itself here: the fake node never goes."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    with fake_node(tmp_path_factory.mktemp("home") / ".actors") as node:
        line = {
            "at": "2026-11-21T07:15:00.000Z",
            "level": "warning",
            "logger": "a.b",
            "path": "/io/gmail",
            "text": "late",
        }
        open_state(node.home / "state.db", JOBS).close()
        EXAMPLES["copy"] = EXAMPLES["to"] = str(node.home / "copy.db")
        backup(node.home / "state.db", node.home / "copy.db")
        open_store(node.home).close()
        EXAMPLES["directory"] = str(node.home / "copy")
        backup_history(node.home / "history.duckdb", node.home / "copy")
        ADDED["history verify"] = ["--file", str(node.home / "copy" / "history.duckdb")]
        (node.home / "logs").mkdir()
        (node.home / "logs" / "node.log").write_text(json.dumps(line) + "\nno JSON at all\n")
        ended = threading.Event()

        def publish() -> None:
            while not ended.wait(0.02):
                node.bus.publish(ActorStateChanged(time.time(), "/io/gmail", 1, "suspended", "by hand"))

        publisher = threading.Thread(target=publish)
        publisher.start()
        yield node
        ended.set()
        publisher.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands are run from an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def line_of(name: str) -> list[str]:
    """Return a command line for the command `name`, with a value for each argument it needs."""
    found = name.split()
    for param in COMMANDS[name].params:
        if param.param_type_name == "argument" and (param.required or name in NEEDED.get(param.name, ())):
            assert param.name in EXAMPLES, f"add an example of the argument {param.name} of {name}"
            found.append(EXAMPLES[param.name])
    return [*found, *ADDED.get(name, ())]


def call(node: FakeNode, name: str, *more: str, **options: Any) -> Result:
    return run(*line_of(name), *more, home=node.home, **options)


@pytest.mark.parametrize("name", READING)
def test_json_is_one_document_of_the_declared_kind_that_fits_its_schema(node, name):
    result = call(node, name, "-o", "json")

    kind = COMMANDS[name].declaration.document
    if name in STREAMS:
        item = schema(kind)["$defs"][DOCUMENTS[kind].__name__]
        for line in result.out.splitlines():
            assert list(violations(json.loads(line), item, schema(kind))) == []
        assert len(result.out.splitlines()) == 2
        return
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["kind"], found["apiVersion"]) == (kind, "actors/v1")
    assert list(violations(found, schema(kind))) == []


@pytest.mark.parametrize("name", READING)
def test_json_lines_are_the_items_of_the_document(node, name):
    lines = call(node, name, "-o", "jsonl").out.splitlines()

    items = [json.loads(line) for line in lines]
    if name not in STREAMS:
        (folder := Path("again")).mkdir()
        os.chdir(folder)
        document = json.loads(call(node, name, "-o", "json").out)
        assert [set(item) for item in items] == [set(item) for item in document["items"]]
    assert all(isinstance(item, dict) for item in items)


@pytest.mark.parametrize("name", READING)
def test_csv_has_a_header_and_rows_as_long(node, name):
    result = call(node, name, "-o", "csv")

    rows = list(csv.reader(io.StringIO(result.out)))
    assert result.code == 0, result.err
    assert rows
    assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize("name", READING)
def test_names_are_one_a_line_without_talk(node, name):
    result = call(node, name, "-o", "name", "-q")

    assert result.code == 0, result.err
    assert all(line for line in result.out.splitlines())
    assert result.err == ""


@pytest.mark.parametrize("name", READING)
def test_a_pipe_gets_plain_uncut_text(node, name):
    result = call(node, name, env={"COLUMNS": "40"})

    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert result.out.strip() or name == "check"  # no fault, nothing to show
    assert not re.search(r"\S…", result.out)  # "… 7 more" stands alone; a cut word does not


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("name", READING)
def test_a_terminal_of_any_width_gets_every_word(node, name, columns):
    if name in STREAMS or name in {"schema", "init"}:
        pytest.skip("what it shows differs from call to call, or is JSON")
    narrow = call(node, name, columns=columns, env={"NO_COLOR": "1"})

    assert narrow.code == 0, narrow.err
    for line in narrow.out.splitlines():
        words = line.split()
        assert len(line) <= columns or len(max(words, key=len)) > columns - 20, line


@pytest.mark.parametrize("name", READING)
def test_no_color_and_a_dumb_terminal_get_no_escape_sequence(node, name):
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        result = call(node, name, columns=100, env=env)

        assert "\x1b" not in result.out + result.err, env
        if name == "init":
            return


@pytest.mark.parametrize("name", [name for name in READING if name not in {*STREAMS, "init"}])
def test_colour_changes_nothing_but_colour(node, name):
    coloured = call(node, name, "--color", "always", columns=100)
    plain = call(node, name, "--color", "never", columns=100)

    steady = re.compile(
        r"[\d.:-]+ ?(ms|s|m|h|d|GiB)?|\s+"
    )  # times, numbered names, free space, the padding that follows
    assert steady.sub("", plain_text(coloured.out)) == steady.sub("", plain.out)


@pytest.mark.parametrize("name", READING)
def test_a_c_locale_gets_ascii(node, name):
    result = call(node, name, columns=100, env={"LC_ALL": "", "LANG": "C"})

    assert result.code == 0, result.err
    assert (result.out + result.err).isascii()


@pytest.mark.parametrize("name", READING)
def test_a_stream_that_cannot_encode_a_text_gets_an_escape_rather_than_an_error(node, name):
    result = call(node, name, encoding="ascii")

    assert result.code == 0, result.err


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_every_command_has_help_with_examples(name, locale):
    result = run(*name.split(), "--help", env={"LC_ALL": locale})

    assert result.code == 0
    assert "Examples:" in result.out
    assert COMMANDS[name].help.split("\n")[0].split()[0] in result.out
    assert locale != "C" or result.out.isascii()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_in_the_help_is_a_command_line(name):
    examples = COMMANDS[name].declaration.examples

    assert examples
    for example in examples:
        words = shlex.split(re.split(r" [|>&]+ ?", example)[0])
        assert " ".join(words).startswith(name)
        parse(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_a_usage_error_that_points_at_the_help(name):
    result = run(*name.split(), "--homee", "x")

    assert result.code == 2
    assert "No such option: --homee" in result.err
    assert f"see: actorctl {name} --help" in result.err


def test_the_table_of_commands_and_the_modules_agree():
    assert {words.split()[0] for words in COMMANDS} == set(MODULES)
    assert set(ALIASES.values()) <= set(MODULES)
    assert set(ELSEWHERE.values()) <= set(MODULES) | set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_in_a_narrow_terminal_names_every_option_whole(name):
    result = run(*name.split(), "--help", env={"COLUMNS": "40", "LC_ALL": "C.UTF-8"})

    assert result.code == 0, result.err
    options = [option for param in COMMANDS[name].params if not param.hidden for option in param.opts]
    assert [option for option in options if option.startswith("--") and option not in result.out] == []


def test_no_help_is_empty_and_help_fits_a_screen():
    result = run()

    assert result.code == 0
    assert all(f" {name} " in result.out for name in MODULES)
    assert len(result.out.splitlines()) <= 80  # a line a command, two a panel: what a tall terminal shows


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "suspend", "resume", "reread", "kill", "reset"])
@pytest.mark.parametrize("arguments", [(), ("",), (" ",), ("/io/gmail", "")])
def test_a_control_verb_without_a_target_or_with_an_empty_one_is_a_usage_error(node, verb, arguments):
    before = len(node.requests)

    result = run(verb, *arguments, home=node.home)

    assert result.code == 2
    assert len(node.requests) == before  # nothing was asked of the node
    assert result.hints


def test_the_hint_of_a_bare_stop_names_the_right_forms():
    assert "actorctl stop /PATH" in run("stop").err
    assert "actorctl run" in run("start").err


FAILING: dict[str, tuple[list[str], int]] = {
    "unknown command": (["stpo", "/io"], 2),
    "another tool's word": (["list"], 2),
    "unknown option": (["tree", "--dept", "3"], 2),
    "not a number": (["tree", "--depth", "x"], 2),
    "below the least": (["ps", "--limit", "-1"], 2),
    "no duration": (["wait", "--timeout", "30"], 2),
    "unknown backend": (["service", "install", "--dry-run", "--backend", "upstart"], 2),
    "no format": (["ps", "-o", "yaml"], 2),
    "missing argument": (["why"], 2),
    "relative path": (["why", "io/gmail"], 2),
    "glob where one is meant": (["describe", "/io/*"], 2),
    "unknown state": (["ps", "@broken"], 2),
    "unknown column": (["ps", "--columns", "paht"], 2),
    "columns of names": (["ps", "-o", "name", "--columns", "path"], 2),
    "unknown sort": (["ps", "--sort", "size"], 2),
    "unknown condition": (["wait", "--for", "ready"], 2),
    "unknown state to wait for": (["wait", "--for", "state=well"], 2),
    "no time": (["events", "--since", "soon"], 2),
    "an empty variable for an instant": (["tree", "--at", ""], 2),
    "an empty variable for why": (["why", "/io/gmail", "--at", ""], 2),
    "an instant that is yet to come": (["ps", "--at", "2999-01-01"], 2),
    "an instant before time": (["describe", "/io/gmail", "--at", "0001-01-01"], 2),
    "a difference to what is to come": (["tree", "--diff", "-1h", "2999-01-01"], 2),
    "no severity": (["events", "--severity", "bad"], 2),
    "states of events": (["events", "--for", "@failed"], 2),
    "no such topic": (["tap", "actor.exot"], 3),
    "no JSON": (["send", "/io/gmail", "Fetch", "{a"], 2),
    "no JSON object": (["send", "/io/gmail", "Fetch", "[1]"], 2),
    "no statement": (["sql"], 2),
    "empty statement": (["sql", ""], 2),
    "no table": (["sql", "restartz"], 3),
    "no parameter": (["sql", "select 1", "--set", "a"], 2),
    "no path": (["why", "/io/gmial"], 3),
    "no path at all": (["restart", "/zzz/*"], 3),
    "no topic": (["help", "exit-code"], 3),
    "no document": (["schema", "Treee"], 3),
    "no shell": (["completion", "tcsh"], 2),
    "no template": (["init", "--template", "huge"], 2),
    "no check": (["doctor", "brain"], 2),
    "no fix": (["doctor", "--fix", "all"], 2),
    "no key": (["config", "show", "nonsense"], 3),
    "the whole tree, nobody to ask": (["kill", "/*"], 2),
    "not in time": (["wait", "/io/browser", "--timeout", "100ms"], 6),
    "a problem": (["status", "--check"], 5),
    "too few events": (["tap", "deadletter", "--count", "1", "--timeout", "300ms"], 6),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_failure_says_what_failed_and_gives_a_hint_that_is_a_command_line(node, case):
    arguments, code = FAILING[case]

    result = run(*arguments, home=node.home)

    assert result.code == code, result.err
    assert result.err.splitlines()[0].startswith("error: ") or code in {5, 6}
    assert result.hints
    for hint in result.hints:
        for words in commands_in(hint):
            parse(words)


@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("spelling", [["-o", "json"], ["-ojson"], ["--output=json"], ["-o", "jsonl"]])
def test_a_failure_under_json_is_an_error_document_on_one_line_of_stderr(node, case, spelling):
    arguments, code = FAILING[case]
    if "-o" in arguments or arguments[0] in {"completion", "help"}:
        pytest.skip("it chooses a format itself, or has none")

    result = run(*arguments, *spelling, home=node.home)

    found = json.loads(result.err.splitlines()[-1])
    assert list(violations(found, schema("Error"))) == []
    assert found["items"][0]["exit_code"] == code == result.code
    assert "hint" in found["items"][0]


def test_hints_after_an_answer_are_command_lines_too(node):
    for arguments in (["tree"], ["status"], ["why", "/io/browser"], ["sql", "--list"], ["schema"], ["init"]):
        result = run(*arguments, home=node.home)

        assert result.code == 0, result.err
        assert result.hints, arguments
        for hint in result.hints:
            for words in commands_in(hint.rpartition("&& ")[2]):
                parse(words)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("conflict", 7), ("invalid", 8), ("partial", 9), ("denied", 10), ("failed", 1), ("internal", 70), ("timeout", 6)],
)
def test_what_the_node_refuses_ends_with_the_code_of_its_error(node, code, exit_code, monkeypatch):
    def refuse(_: Any) -> Any:
        raise RefusalError(code, f"it is {code}", "actorctl doctor")

    monkeypatch.setitem(node.answers, "restart", refuse)
    result = run("restart", "/io/gmail", home=node.home)

    assert result.code == exit_code
    assert result.err == f"error: it is {code}\nhint: actorctl doctor\n"


def test_shared_options_mean_the_same_before_and_after_the_command(node):
    before = run("-o", "json", "--home", str(node.home), "tree")
    after = run("tree", "-o", "json", "--home", str(node.home))
    nearer_wins = run("-o", "csv", "tree", "-o", "json", "--home", str(node.home))

    assert before.code == 0
    assert before.out == after.out == nearer_wins.out


def test_an_alias_is_its_command(node):
    assert run("ls", home=node.home).out == run("ps", home=node.home).out
    assert run("t", home=node.home).out == run("tree", home=node.home).out


@pytest.mark.parametrize("name", ["ps", "tree", "sql", "help", "schema"])
def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(node, name):
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())", *line_of(name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "ACTORCTL_HOME": str(node.home)},
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


def test_a_real_terminal_gets_colours_and_its_own_width(node):
    leader, follower = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())", "tree"],
        stdout=follower,
        stderr=follower,
        stdin=follower,
        env={**environ, "ACTORCTL_HOME": str(node.home), "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)

    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "\x1b[32m" in text
    lines = [plain_text(line) for line in text.splitlines()]
    assert any("restarting" in line for line in lines)
    assert max(map(len, lines)) <= 50


HEAVY = {
    "pydantic",
    "pydantic_core",
    "duckdb",
    "croniter",
    "psutil",
    "rich",
    "asyncio.events",
    "supervisors.node.loading",
}


@pytest.mark.parametrize("name", ["tree", "ps", "status", "describe", "why", "stop", "wait", "send", "events"])
def test_a_command_loads_nothing_heavy(node, name):
    script = (
        "import sys; from supervisors.cli.main import main\n"
        "before = set(sys.modules)\n"
        "code = main(sys.argv[1:])\n"
        f"heavy = sorted({HEAVY!r} & set(sys.modules))\n"
        "print(code, heavy, sorted(before & {'zmq', 'supervisors.cli.trees'}), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *line_of(name), "-q"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "ACTORCTL_HOME": str(node.home)},
    )

    assert done.stderr.splitlines()[-1] == "0 [] []"


def test_watching_shows_again_and_again_until_interrupted(node):
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())"),
            *("tree", "/sys", "-w", "--interval", "50ms", "-o", "json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ACTORCTL_HOME": str(node.home)},
    )
    assert process.stdout is not None

    documents = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(2)
    _, err = process.communicate(timeout=60)

    assert [document["kind"] for document in documents] == ["Tree"] * 3
    assert process.returncode == 130
    assert err == ""


def test_events_are_followed_without_a_hole_and_without_showing_one_twice(tmp_path):
    with fake_node(tmp_path / "home") as node:

        def publish() -> None:
            """Publish what is both on the tap and among the recent events: the command reads the tap first."""
            for _ in range(5):
                node.bus.publish(ActorStateChanged(time.time(), "/io/gmail", 1, "suspended", "by hand"))

        publish()
        node.shows_published = True
        node.before_events.append(publish)
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "import sys; from supervisors.cli.main import main; sys.exit(main())"),
                *("events", "-f", "-o", "jsonl", "/io/gmail"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ACTORCTL_HOME": str(node.home)},
        )
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(12)]  # 2 of the fake node, 5 old, 5 of the moment
        publish()
        rows += [json.loads(process.stdout.readline()) for _ in range(5)]
        process.send_signal(2)
        process.communicate(timeout=60)

    assert [row["seq"] for row in rows[2:]] == list(range(1, 16))
    assert process.returncode == 130


def test_a_control_verb_sends_who_why_and_how_long(node):
    result = run(
        "stop", "/io/gmail", "@restarting", "--reason", "maintenance", "--timeout", "7s", "--no-wait", home=node.home
    )

    (request,) = node.asked("stop")[-1:]
    assert result.code == 0, result.err
    assert request.reason == "maintenance"
    assert "actorctl" in request.caller
    assert request.key
    assert request.args == {"selectors": ["/io/gmail", "@restarting"], "wait": False, "timeout": 7.0}
    assert request.deadline is not None
    assert request.deadline >= 7.0  # what it may take, and the time in which the node says what is pending


def test_the_environment_says_how_long_to_wait_where_no_option_does(node):
    said = [
        run("status", home=node.home, env={"ACTORCTL_TIMEOUT": "40s"}),
        run("status", "--timeout", "7s", home=node.home, env={"ACTORCTL_TIMEOUT": "40s"}),
        run("status", home=node.home, env={"ACTORCTL_TIMEOUT": ""}),
    ]
    refused = run("status", home=node.home, env={"ACTORCTL_TIMEOUT": "soon"})

    assert [result.code for result in said] == [0, 0, 0]
    limits = [request.deadline for request in node.asked("status")[-3:]]
    assert [7.0 < limits[0] <= 40.0, limits[1] <= 7.0, limits[2] <= READ_SECONDS] == [True, True, True], limits
    assert (refused.code, "ACTORCTL_TIMEOUT" in refused.err) == (2, True)


def test_the_whole_tree_is_touched_only_with_yes(node):
    refused = run("restart", "/*", home=node.home)
    never_asks = run("restart", "/*", "--no-input", columns=80, home=node.home)
    done = run("restart", "/*", "--yes", home=node.home)

    assert refused.code == never_asks.code == 2
    assert "restart all 24 workers of openclaw" in refused.err
    assert done.code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("maybe\n", 1)])
def test_on_a_terminal_the_whole_tree_is_asked_about_and_only_a_yes_counts(node, answer, code):
    before = len(node.asked("kill"))

    result = run("kill", "/**", columns=80, stdin=answer, home=node.home)

    assert "kill all 24 workers of openclaw? [y/N]" in result.err
    assert result.code == code
    assert len(node.asked("kill")) - before == (1 if code == 0 else 0)


def outcome_of(*items: TargetView) -> Any:
    return lambda _: CommandView(command="restart", items=items)


DONE = TargetView(path="/a", outcome=TargetOutcome.DONE)
UNCHANGED = TargetView(path="/u", outcome=TargetOutcome.UNCHANGED)
PENDING = TargetView(path="/p", outcome=TargetOutcome.PENDING)
MISSING = TargetView(path="/m", outcome=TargetOutcome.FAILED, code="not_found", message="it is gone")
BUSY = TargetView(path="/b", outcome=TargetOutcome.FAILED, code="conflict", message="in progress", hint="actorctl ps")


@pytest.mark.parametrize(
    ("items", "code", "word"),
    [
        ((DONE, UNCHANGED), 0, ""),
        ((), 0, "nothing to restart"),
        ((DONE, PENDING), 6, "still pending after 30s: /p; it goes on"),
        ((DONE, MISSING), 9, "1 of 2 targets failed"),
        ((PENDING, MISSING), 9, "it is gone"),
        ((MISSING,), 3, "restart /m: it is gone"),
        ((BUSY, BUSY), 7, "in progress (and 1 more)"),
        ((BUSY, MISSING), 1, "restart /b: in progress"),
    ],
)
def test_the_exit_code_says_what_became_of_several_targets(node, monkeypatch, items, code, word):
    monkeypatch.setitem(node.answers, "restart", outcome_of(*items))

    result = run("restart", "/io/*", home=node.home)

    assert result.code == code
    assert word in result.err
    assert all(item.path in result.out for item in items)


def test_a_message_can_come_from_stdin(node):
    result = run("ask", "/io/gmail", "Fetch", "-", "-o", "json", stdin='{"label": "INBOX"}', home=node.home)

    assert json.loads(result.out)["items"][0]["reply"] == {"label": "INBOX"}


def test_a_tap_ends_after_the_count_and_shows_only_what_was_asked_for(node):
    result = run("tap", "--path", "/io/gmail", "--count", "3", "-o", "jsonl", "--timeout", "30s", home=node.home)

    items = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 0, result.err
    assert len(items) == 3
    assert {item["path"] for item in items} == {"/io/gmail"}
    assert [item["topic_seq"] for item in items] == list(range(items[0]["topic_seq"], items[0]["topic_seq"] + 3))


def test_live_paths_are_completed(node):
    def completed() -> list[str]:
        """Nothing where the node does not answer in the time of a key press."""
        env = {"_ACTORCTL_COMPLETE": "complete_bash", "COMP_WORDS": "actorctl why /io/g", "COMP_CWORD": "2"}
        return run_process(home=node.home, env=env).stdout.split()

    until(lambda: completed() == ["/io/gmail"], what="the path completed")


def test_completion_without_a_node_is_silent(tmp_path):
    result = run_process(
        home=tmp_path / "nobody",
        env={"_ACTORCTL_COMPLETE": "complete_bash", "COMP_WORDS": "actorctl why /io/g", "COMP_CWORD": "2"},
    )

    assert result.stdout.strip() == ""
    assert result.stderr == ""


def test_the_parser_of_these_tests_refuses_what_actorctl_refuses():
    with pytest.raises(typer.TyperException):
        parse(["tree", "--nonsense"])
