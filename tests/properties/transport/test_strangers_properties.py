"""Whatever a stranger sends, the door and the gatekeeper let nobody in; `make fuzz` tries a million inputs more."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.system import ActorSystem
from supervisors.processes.door import Door
from supervisors.processes.protocol import Hello, to_envelope
from transport.codec import pack_frame
from transport.security import Gatekeeper, Grant, KeyPair

HELLOS = st.builds(
    lambda *fields: pack_frame([to_envelope(Hello(*fields))]),
    st.binary(max_size=40),
    st.integers(0, 2**22),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(0, 100),
    st.integers(0, 5),
)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@given(st.lists(st.lists(st.binary(max_size=200) | HELLOS, max_size=3), max_size=10))
def test_no_frames_of_a_stranger_open_the_door(messages):
    door = Door(ActorSystem("door"))

    for number, parts in enumerate(messages):
        door.take(bytes([number]), parts)

    assert len(door) == 0
    assert door.strangers + door.refused == len(messages)


@given(st.lists(st.binary(max_size=40), max_size=10), st.binary(min_size=32, max_size=32))
def test_no_key_but_those_on_the_list_is_let_in(frames, key):
    gatekeeper = Gatekeeper({KeyPair.make().public: Grant("ann", "admin")})

    assert gatekeeper.answer(frames)[2] == b"400"
    assert gatekeeper.answer([b"1.0", b"1", b"d", b"a", b"i", b"CURVE", key])[2] == b"400"
    assert gatekeeper.admitted == 0
