"""What a child spec means for a process child, and what goes over the handover pipe."""

from __future__ import annotations

from math import inf

import msgspec
import pytest

from actors import Actor
from supervisors.processes.protocol import Bye, Handover, Hello, Start, from_payload, pack_word, to_envelope
from supervisors.processes.states import HELLO_TIMEOUT, Limits
from supervisors.processes.terms import import_path_of, limits_of
from supervisors.specs import ChildSpec, Heartbeat, ImportStart, LocalStart, SupervisorSpec
from transport.errors import CodecError, EncodingError, UnknownTypeError


class Outer:
    """A namespace."""

    class Inner(Actor):
        """An actor that can be imported."""


def spec(start, **more) -> ChildSpec:
    return ChildSpec("one", start, runs_in="process", **more)


def test_a_spec_without_limits_holds_a_child_to_its_start_time_alone():
    assert limits_of(spec(ImportStart("a:B"))) == Limits(30.0, inf, 1, None)


def test_a_spec_with_limits_states_them_all():
    found = limits_of(spec(ImportStart("a:B"), start_timeout=None, heartbeat=Heartbeat(2.0, 4), memory_max_bytes=5))

    assert found == Limits(inf, 2.0, 4, 5, HELLO_TIMEOUT)
    assert found.silence == 8.0


def test_a_subtree_beats_from_its_hello_to_its_end():
    found = limits_of(spec(SupervisorSpec(), start_timeout=None, heartbeat=Heartbeat(2.0, 4)))

    assert found == Limits(inf, 2.0, 4, None, HELLO_TIMEOUT, True)


def test_a_nested_class_is_named_by_its_qualified_name():
    assert import_path_of(spec(LocalStart(Outer.Inner, kwargs={"n": 1}))) == (f"{__name__}:Outer.Inner", {"n": 1})


def local_class() -> type:
    class Local(Actor):
        """An actor nobody can import."""

    return Local


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (LocalStart(local_class()), "cannot be imported"),
        (LocalStart(lambda: Outer.Inner()), "import path"),
        (LocalStart(Outer.Inner, args=(1,)), "keyword arguments"),
        (SupervisorSpec(), "import path"),
    ],
)
def test_what_another_process_could_not_name_is_refused_with_the_remedy(start, text):
    with pytest.raises((TypeError, ValueError), match=text):
        import_path_of(spec(start))


def test_words_come_back_as_they_were():
    for word in (Hello(b"t", 1, "/a", 2), Start("a:B", {"x": [1, {"y": None}]}), Bye()):
        what = to_envelope(word)
        assert from_payload(what.type_name, what.payload) == word


def test_arguments_that_cannot_cross_are_refused():
    with pytest.raises(EncodingError):
        to_envelope(Start("a:B", {"x": object()}))


def test_what_is_no_word_is_refused():
    with pytest.raises(UnknownTypeError):
        from_payload("process:Nonsense", b"\x80")
    with pytest.raises(CodecError):
        from_payload("process:Hello", b"\x80")


def test_a_handover_is_its_length_and_itself():
    handover = Handover("ipc:///x", b"token", "/a", 1, 2, "node", ("a", "b"), 10, {"PYTHONPATH": None})

    data = pack_word(handover)

    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert msgspec.msgpack.decode(data[4:], type=Handover) == handover
