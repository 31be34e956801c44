"""Who may do what at a node that listens on tcp: keys, roles, revocation, refusals, and how much one visitor may send.

A real node on loopback, with `actorctl` as its only client; other machines are people with an access file.
"""

from __future__ import annotations

import inspect
import json
import stat
from collections.abc import Iterator

import msgpack
import pytest
import zmq
from support.command_line import Result, run
from support.nodes import Node, actorctl, node, wait_until

from supervisors.refusals import UNRECOGNISED
from transport.control.client import ControlClient
from transport.endpoints import read_endpoints
from transport.handshakes import ADMISSION
from transport.keystore import KeyStore, read_access
from transport.security import KeyPair
from transport.taps.reader import TapReader

PEOPLE = {"vera": "viewer", "otto": "operator", "ada": "admin"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node on tcp, and an access file in its folder for each of `PEOPLE`."""
    folder = tmp_path_factory.mktemp("guarded")
    assert actorctl("init", cwd=folder).code == 0
    with node(folder, ACTORS_RUNTIME__TRANSPORT="tcp") as running:
        running.wait_ready()
        for name, role in PEOPLE.items():
            made = run("key", "new", name, "--role", role, "--to", str(folder / f"{name}.json"), home=running.home)
            assert made.code == 0, made
        yield running


def by(who: str, guarded: Node, *arguments: str) -> Result:
    """Run a command as `who`, with nothing but their access file."""
    return run("--endpoint", str(guarded.folder / f"{who}.json"), *arguments)


def audit(guarded: Node) -> list[tuple[str, str, str]]:
    """The commands that the history knows: caller, command, code."""
    found = run("sql", "select caller, command, code from commands order by seq", "-o", "json", home=guarded.home)
    assert found.code == 0, found
    return [(item["caller"], item["command"], item["code"]) for item in json.loads(found.out)["items"]]


def refusals(guarded: Node, word: str) -> str:
    """Return the refusals that the node remembers, once `word` is among them."""

    def told() -> str:
        said = run("events", "--type", "PeerRefused", "-o", "json", home=guarded.home).out
        return said if word in said else ""

    found: str = wait_until(told, f"{word} among the events")
    return found


def test_keys_are_made_at_the_first_start_for_their_owner_alone(guarded):
    keys = guarded.home / "run" / "keys"

    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {path.name for path in keys.iterdir()} == {"server.json", "local.json", "allowed.json"}
    for path in [*keys.iterdir(), *(guarded.folder / f"{name}.json" for name in PEOPLE)]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_local_user_needs_to_do_nothing(guarded):
    assert run("tree", home=guarded.home).code == 0
    listed = run("key", "list", "-o", "json", home=guarded.home)
    assert {(item["name"], item["role"]) for item in json.loads(listed.out)["items"]} >= {
        ("local", "admin"),
        *PEOPLE.items(),
    }


READS = (("tree",), ("ps",), ("status",), ("describe", "/app/counter"), ("why", "/app/counter"), ("events",))
READS += (("sql", "select 1"), ("tap", "--timeout", "100ms"), ("wait", "/app/counter"))
ACTS = (("restart", "/app/counter"), ("suspend", "/app/reader"), ("resume", "/app/reader"))
ACTS += (("stop", "/app/reader"), ("start", "/app/reader"), ("ask", "/app/counter", "Top"))
RULES = (("key", "list"), ("key", "add", "eve", "--public", KeyPair.make().public), ("key", "revoke", "eve"))


@pytest.mark.parametrize("who", PEOPLE)
def test_a_role_may_do_what_it_says_and_no_more(guarded, who):
    allowed = {"viewer": READS, "operator": READS + ACTS, "admin": READS + ACTS + RULES}[PEOPLE[who]]

    for arguments in READS + ACTS + RULES:
        result = by(who, guarded, *arguments)
        if arguments in allowed:
            assert result.code == 0, (arguments, result)
        else:
            assert result.code == 10, (arguments, result)
            assert f"key {who} is {PEOPLE[who]}" in result.err


def test_what_was_denied_is_in_the_audit_with_the_name_of_the_key(guarded):
    assert by("vera", guarded, "kill", "/app/counter", "--reason", "curious").code == 10

    wait_until(lambda: ("key vera (actorctl)", "kill", "denied") in audit(guarded), "the denial is in the history")


def test_a_key_on_no_list_is_told_so_within_two_seconds_and_the_node_remembers(guarded):
    access = json.loads((guarded.folder / "vera.json").read_text())
    stranger = KeyPair.make()
    access["pair"] = {"public": stranger.public, "secret": stranger.secret}
    file = guarded.folder / "eve.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(access))

    for arguments in (("tree",), ("tap", "--timeout", "10s"), ("stop", "/app/reader")):
        result = by("eve", guarded, *arguments)

        assert result.code == 10, result
        assert "does not authorise this key" in result.err
        assert stranger.secret not in result.err
    guarded.wait_line(stranger.public)
    assert stranger.secret not in refusals(guarded, stranger.public)


def test_a_client_with_the_wrong_key_of_the_node_is_told_and_the_node_remembers_it_too(guarded):
    access = json.loads((guarded.folder / "ada.json").read_text())
    access["server_key"] = KeyPair.make().public
    file = guarded.folder / "fooled.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(access))

    for arguments in (("tree",), ("tap", "--timeout", "10s")):
        result = by("fooled", guarded, *arguments)

        assert result.code == 10, result
        assert "could not be recognised" in result.err
    guarded.wait_line(UNRECOGNISED)
    refusals(guarded, UNRECOGNISED)


def test_who_is_let_in_is_decided_within_two_seconds():
    """A refusal is told when it comes; this is how long nothing at all is waited for. A child knows that its parent is
    there, and waits for the decision itself."""
    assert ADMISSION <= 2.0
    for asks in (ControlClient, TapReader):
        assert inspect.signature(asks).parameters["connect"].default == ADMISSION


def test_a_revoked_key_may_nothing_more_not_even_on_an_open_connection(guarded):
    file = guarded.folder / "paul.json"
    assert run("key", "new", "paul", "--role", "operator", "--to", str(file), home=guarded.home).code == 0
    access = read_access(file)
    assert access is not None
    with zmq.Context() as context, context.socket(zmq.DEALER) as open_connection:
        open_connection.linger = 0
        open_connection.curve_publickey = access.pair.public.encode()
        open_connection.curve_secretkey = access.pair.secret.encode()
        open_connection.curve_serverkey = access.server_key.encode()
        open_connection.connect(access.control)

        def ask() -> dict[str, object]:
            open_connection.send(msgpack.packb({"kind": "call", "id": "1", "command": "ping", "args": {}}))
            assert open_connection.poll(30_000)
            answer: dict[str, object] = msgpack.unpackb(open_connection.recv())
            return answer

        assert ask()["ok"] is True
        assert run("key", "revoke", "paul", home=guarded.home).code == 0

        answer = ask()

    assert answer["ok"] is False
    assert answer["error"]["code"] == "denied"
    assert by("paul", guarded, "tree").code == 10


def test_the_last_admin_stays(guarded):
    elsewhere = by("ada", guarded, "key", "new", "zoe")
    assert (elsewhere.code, "--to FILE" in elsewhere.err) == (2, True)
    assert by("ada", guarded, "key", "revoke", "ada").code == 0
    assert run("key", "revoke", "local", home=guarded.home).code == 7


def test_an_access_file_that_others_may_read_is_refused_with_the_remedy(guarded):
    file = guarded.folder / "shared.json"
    file.write_text((guarded.folder / "vera.json").read_text())
    file.chmod(0o644)

    result = by("shared", guarded, "tree")

    assert result.code == 10
    assert "chmod 600" in result.err


def test_without_a_key_nobody_answers_and_nothing_is_done(guarded):
    with zmq.Context() as context, context.socket(zmq.DEALER) as visitor:
        visitor.linger = 0
        visitor.connect(read_endpoints(guarded.home / "run").control)
        visitor.send(msgpack.packb({"kind": "call", "id": "1", "command": "shutdown", "args": {}}))

        assert visitor.poll(1_000) == 0
    assert run("tree", home=guarded.home).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("key", "new", "vera"), 7, "already"),
        (("key", "new", "../x"), 2, "no key name"),
        (("key", "new", "x", "--role", "root"), 2, "viewer, operator or admin"),
        (("key", "new", "x", "--host", "h"), 2, "--to"),
        (("key", "add", "x", "--public", "short"), 2, "40 characters"),
        (("key", "revoke", "nobody"), 3, "nobody"),
        (("key", "show", "nobody"), 3, "nobody"),
    ],
)
def test_what_cannot_be_a_key_is_refused(guarded, arguments, code, word):
    result = run(*arguments, home=guarded.home)

    assert result.code == code, result
    assert word in result.err


def test_keys_can_be_kept_while_no_node_runs(tmp_path):
    home = tmp_path / ".actors"
    home.mkdir()

    assert run("key", "new", "ann", "--role", "operator", home=home).code == 0
    listed = run("key", "list", "-o", "json", home=home)
    assert run("key", "new", "bob", "--to", str(tmp_path / "bob.json"), home=home).code == 4
    assert run("key", "show", "server", home=home).code == 3

    store = KeyStore(home / "run")
    (item,) = json.loads(listed.out)["items"]
    assert (item["name"], item["role"], item["public"]) == ("ann", "operator", store.client("ann").public)
    assert store.client("ann").secret not in listed.out + listed.err


def test_a_visitor_that_floods_is_cut_short_and_others_are_served(tmp_path):
    assert actorctl("init", cwd=tmp_path).code == 0
    with node(tmp_path, ACTORS_RUNTIME__REQUEST_RATE="50") as running:
        running.wait_ready()
        with zmq.Context() as context, context.socket(zmq.DEALER) as visitor:
            visitor.linger = 0
            visitor.connect(read_endpoints(running.home / "run").control)
            request = msgpack.packb({"kind": "call", "id": "1", "command": "ping", "args": {}})
            for _ in range(5_000):
                visitor.send(request)
            running.wait_line("PeerRefused")

            assert running.ctl("tree").code == 0
            answers = 0
            while visitor.poll(500 if answers >= 100 else 60_000):
                visitor.recv()
                answers += 1

        assert 100 <= answers < 5_000
        refused = wait_until(lambda: running.items("events", "--type", "PeerRefused"), "the refusal among the events")
        assert "more than 50 requests a second" in refused[0]["text"]
