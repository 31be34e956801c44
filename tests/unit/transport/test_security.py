"""Keys and who may connect: the decisions; the handshakes themselves are tried in tests/integration."""

from __future__ import annotations

import os
import stat

import pytest
from zmq.utils import z85

from transport.errors import EndpointError
from transport.keystore import KeyStore
from transport.security import Gatekeeper, Grant, KeyPair, Peer, Role, ServerKeys, is_private, require_keys

PAIR = KeyPair.make()


def request(public: str = PAIR.public, **changes: bytes) -> list[bytes]:
    frames = {
        "version": b"1.0",
        "id": b"7",
        "domain": b"actors",
        "address": b"127.0.0.1",
        "identity": b"",
        "mechanism": b"CURVE",
        "key": z85.decode(public),
    }
    return list({**frames, **changes}.values())


def test_a_key_on_the_list_is_admitted_as_who_it_is():
    gatekeeper = Gatekeeper({PAIR.public: Grant("ann", "operator")})

    assert gatekeeper.answer(request()) == [b"1.0", b"7", b"200", b"OK", f"operator:{PAIR.public}:ann".encode(), b""]
    assert (gatekeeper.admitted, gatekeeper.refused) == (1, 0)


@pytest.mark.parametrize("domain", [b"", b"actors", b"taps", b"anything"])
def test_the_domain_makes_no_difference(domain):
    gatekeeper = Gatekeeper({PAIR.public: Grant("ann", "operator")})

    assert gatekeeper.answer(request(domain=domain))[2] == b"200"


def test_a_key_that_is_not_on_the_list_is_refused_and_told_of():
    told = []
    gatekeeper = Gatekeeper({}, lambda *who: told.append(who))

    assert gatekeeper.answer(request()) == [b"1.0", b"7", b"400", b"this key is not authorised", b"", b""]
    assert told == [("127.0.0.1", PAIR.public)]
    assert (gatekeeper.admitted, gatekeeper.refused) == (0, 1)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"1.0"],
        request()[:6],
        request(version=b"2.0"),
        request(mechanism=b"NULL"),
        request(mechanism=b"PLAIN"),
        request(key=b"short"),
    ],
    ids=["nothing", "too few", "no key", "version", "no mechanism", "password", "no key length"],
)
def test_anything_but_a_curve_request_is_refused(frames):
    gatekeeper = Gatekeeper({PAIR.public: Grant("ann", "admin")})

    assert gatekeeper.answer(frames)[2] == b"400"


def test_a_new_list_holds_from_the_next_connection():
    gatekeeper = Gatekeeper({})
    gatekeeper.replace({PAIR.public: Grant("ann", "viewer")})

    assert gatekeeper.answer(request())[4] == f"viewer:{PAIR.public}:ann".encode()


def test_a_secret_shows_in_no_repr():
    shown = f"{PAIR!r} {PAIR} {ServerKeys(PAIR)!r} {[PAIR]}"

    assert PAIR.secret not in shown
    assert PAIR.public in shown


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_roles_have_names(role):
    assert Role.parse(str(role)) is role


@pytest.mark.parametrize("word", ["", "root", "Admin", "nobody", "1"])
def test_a_word_that_is_no_role_is_refused(word):
    with pytest.raises(ValueError, match="is no role"):
        Role.parse(word)


def test_roles_include_the_lower_ones():
    assert Role.NOBODY < Role.VIEWER < Role.OPERATOR < Role.ADMIN


@pytest.mark.parametrize(
    ("endpoint", "private"),
    [("ipc:///x", True), ("inproc://x", True), ("tcp://127.0.0.1:*", False), ("ws://x", False), ("", False)],
)
def test_only_a_place_of_its_own_does_without_keys(endpoint, private):
    assert is_private(endpoint) is private
    require_keys(endpoint, ServerKeys(PAIR))
    if private:
        require_keys(endpoint, None)
    else:
        with pytest.raises(EndpointError, match="needs CURVE keys"):
            require_keys(endpoint, None)


def test_the_first_start_makes_keys_and_later_ones_keep_them(tmp_path):
    first = KeyStore(tmp_path / "run").ensure()
    store = KeyStore(tmp_path / "run")

    assert store.ensure() == first
    local = store.client()
    assert store.grants() == {local.public: Grant("local", "admin")}
    assert local != first


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_key_files_are_the_owner_s_alone(tmp_path):
    store = KeyStore(tmp_path / "run")
    store.ensure()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert modes == {"server.json": 0o600, "local.json": 0o600, "allowed.json": 0o600}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(tmp_path):
    store = KeyStore(tmp_path / "run")
    store.ensure()
    path = store.directory / "local.json"
    path.chmod(0o640)

    with pytest.raises(EndpointError, match=f"chmod 600 {path}"):
        store.client()


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"public": "x", "secret": "y"}', "\udcff"])
def test_a_damaged_key_file_is_an_error_that_names_it_and_shows_nothing_of_it(tmp_path, damage):
    store = KeyStore(tmp_path / "run")
    store.ensure()
    path = store.directory / "local.json"
    path.write_text(damage, errors="surrogateescape")

    with pytest.raises(EndpointError, match=r"local\.json"):
        store.client()


def test_half_a_pair_is_no_pair(tmp_path):
    store = KeyStore(tmp_path / "run")
    store.ensure()
    path = store.directory / "local.json"
    path.write_text(path.read_text().replace(store.client().public, KeyPair.make().public))

    with pytest.raises(EndpointError, match="holds no CURVE key pair"):
        store.client()


def test_keys_are_made_and_revoked_by_name(tmp_path):
    store = KeyStore(tmp_path / "run")
    store.ensure()
    pair = store.new_key("ann", Role.VIEWER)

    assert store.grants()[pair.public] == Grant("ann", "viewer")
    assert store.client("ann") == pair
    assert store.revoke("ann") is True
    assert pair.public not in store.grants()
    assert store.revoke("ann") is False
    with pytest.raises(EndpointError, match="cannot read the key file"):
        store.client("ann")


@pytest.mark.parametrize("name", ["", "server", "allowed", "../x", "a/b", ".hidden", "a b", "local"])
def test_a_name_that_can_be_no_key_is_refused(tmp_path, name):
    store = KeyStore(tmp_path / "run")
    store.ensure()

    with pytest.raises(ValueError, match="key"):
        store.new_key(name, Role.VIEWER)


def test_a_list_with_a_role_that_is_none_is_refused(tmp_path):
    store = KeyStore(tmp_path / "run")
    store.ensure()
    path = store.directory / "allowed.json"
    path.write_text(path.read_text().replace("admin", "root"))

    with pytest.raises(EndpointError, match="'root' is no role"):
        store.grants()


def test_a_peer_may_what_its_key_may_now():
    gatekeeper = Gatekeeper({PAIR.public: Grant("ann", "admin")})
    ann = Peer("key ann", Role.ADMIN, "", PAIR.public)
    local = Peer("uid 0 pid 1", Role.ADMIN)

    gatekeeper.replace({PAIR.public: Grant("ann", "viewer")})
    lowered = gatekeeper.judge(ann)
    gatekeeper.replace({})
    revoked = gatekeeper.judge(ann)

    assert (lowered.role, revoked.role) == (Role.VIEWER, Role.NOBODY)
    assert gatekeeper.judge(local) is local
