"""Control messages: what each side says comes back, and what is no message is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgpack
import pytest
from msgspec import Raw, Struct, structs

from transport.codec import pack
from transport.control.protocol import (
    VERSION,
    Cancel,
    Credit,
    ErrorBody,
    Request,
    Response,
    decode_message,
    decode_response,
    encode_message,
    encode_response,
    failure,
    id_in,
)
from transport.errors import (
    CodecError,
    ControlError,
    EncodingError,
    ErrorCode,
    LimitExceededError,
    MalformedFrameError,
    VersionError,
)
from transport.limits import REQUEST_LIMITS, Limits

CALL = {"kind": "call", "v": VERSION, "id": "1", "command": "tree"}


@pytest.mark.parametrize(
    "message",
    [
        Request("1", "tree"),
        Request("1", "tree", {"path": "/io", "depth": None}, 1.5, "actorctl", "because", "k", 64),
        Credit("1", 0),
        Credit("1", 32),
        Cancel("1"),
    ],
    ids=repr,
)
def test_what_a_client_says_comes_back(message):
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "response",
    [
        Response("1", True),
        Response("1", True, {"items": [1, "a", None, 1.5, b"x"]}),
        Response("1", True, 5, more=True, part=3),
        failure("1", ErrorCode.NOT_FOUND, "there is no actor at /io/gmial", "did you mean /io/gmail?"),
        failure("1", ErrorCode.PARTIAL, "2 of 3", result=[1, 2]),
    ],
    ids=repr,
)
def test_what_a_node_answers_comes_back(response):
    assert decode_response(encode_response(response)) == response


def test_a_request_is_a_plain_map_that_any_language_can_make():
    data = msgpack.packb({**CALL, "args": {"path": "/io"}})

    assert decode_message(data) == Request("1", "tree", {"path": "/io"})


def test_unknown_keys_are_ignored_on_both_sides():
    assert decode_message(msgpack.packb({**CALL, "later": 1})) == Request("1", "tree")
    assert decode_response(msgpack.packb({"v": 1, "id": "1", "ok": True, "later": 1})) == Response("1", True)


def test_another_version_is_refused_by_both_sides():
    for decode in (decode_message, decode_response):
        with pytest.raises(
            VersionError, match="control protocol version 2 is not spoken here; this side speaks version 1"
        ):
            decode(msgpack.packb({**CALL, "v": 2}))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "shout"},
        {"kind": None},
        {"v": "1"},
        {"v": None},
        {"id": 1},
        {"id": "x" * 65},
        {"command": ""},
        {"command": "x" * 65},
        {"command": None},
        {"args": []},
        {"args": None},
        {"deadline": -1.0},
        {"deadline": 1e10},
        {"deadline": float("nan")},
        {"deadline": "soon"},
        {"caller": "x" * 1_001},
        {"reason": "x" * 1_001},
        {"key": "x" * 1_001},
        {"credit": -1},
        {"credit": 10**7},
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_what_is_no_request_is_refused(changes):
    with pytest.raises(MalformedFrameError):
        decode_message(msgpack.packb({**CALL, **changes}))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\xa4call", b"GET / HTTP/1.1\r\n\r\n", msgpack.packb([CALL])])
def test_what_is_no_map_is_refused(data):
    for decode in (decode_message, decode_response):
        with pytest.raises(CodecError):
            decode(data)


def test_a_request_beyond_the_limits_is_refused_before_it_is_decoded():
    deep: list[object] = []
    for _ in range(REQUEST_LIMITS.max_depth):
        deep = [deep]

    with pytest.raises(LimitExceededError, match="max_depth"):
        decode_message(msgpack.packb({**CALL, "args": {"x": deep}}))
    with pytest.raises(LimitExceededError, match="max_frame_bytes"):
        decode_message(encode_message(Request("1", "send", {"x": b"x" * 2**20})))


def test_the_id_of_a_message_that_cannot_be_taken_is_read_where_it_can_be():
    assert id_in(msgpack.packb({**CALL, "v": 9})) == "1"
    assert id_in(msgpack.packb({**CALL, "command": 5})) == "1"
    assert id_in(msgpack.packb({**CALL, "id": 5})) == ""
    assert id_in(b"\xc1") == ""
    assert id_in(msgpack.packb({**CALL, "args": "x" * 100}), Limits(max_frame_bytes=50)) == ""


@pytest.mark.parametrize("args", [{"x": object()}, {"x": {1}}, {"x": "\ud800"}, {"x": 2**70}])
def test_arguments_that_are_no_plain_data_are_refused_by_the_client(args):
    with pytest.raises(EncodingError):
        encode_message(Request("1", "send", args))


def test_a_failure_becomes_an_error_with_all_that_was_said():
    with pytest.raises(ControlError, match="2 of 3 done") as error:
        failure("1", ErrorCode.PARTIAL, "2 of 3 done", "see actorctl ps", [1, 2]).value()

    assert (error.value.code, error.value.hint, error.value.result) == (ErrorCode.PARTIAL, "see actorctl ps", [1, 2])


def test_a_code_of_a_later_node_is_a_failure_all_the_same():
    with pytest.raises(ControlError, match="too warm") as error:
        Response("1", False, error=ErrorBody("overheated", "too warm")).value()

    assert error.value.code is ErrorCode.FAILED


class Found(Struct, frozen=True):
    """A typed answer."""

    name: str
    at: datetime | None = None


def test_a_result_that_is_packed_already_goes_out_as_it_is():
    plain = Response("1", True, {"items": [1, "a", None]}, more=True, part=2)

    assert encode_response(structs.replace(plain, result=Raw(pack(plain.result)))) == encode_response(plain)


def test_a_result_left_packed_is_read_as_the_type_that_is_asked_for():
    data = encode_response(Response("1", True, {"name": "x", "at": "2026-01-02T03:04:05Z", "later": 1}))

    response = decode_response(data, is_packed=True)

    assert response.id == "1"
    assert response.value(Found) == Found("x", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize("result", [{"name": 1}, [], None, {"name": "x", "at": "yesterday"}], ids=repr)
def test_a_result_of_another_type_is_refused_with_its_name(result):
    response = decode_response(encode_response(Response("1", True, result)), is_packed=True)

    with pytest.raises(MalformedFrameError, match="no Found"):
        response.value(Found)


def test_a_failure_is_read_whole_though_results_are_left_packed():
    failed = failure("1", ErrorCode.PARTIAL, "2 of 3", result=[1, 2])

    assert decode_response(encode_response(failed), is_packed=True) == failed


def test_what_is_no_answer_is_refused_though_results_are_left_packed():
    deep = b"\x83\xa2id\xa11\xa2ok\xc3\xa6result" + b"\x91" * 100_000
    for data in (b"", b"\xc1", b"\x90", deep, msgpack.packb({**CALL, "v": 2}), msgpack.packb({"id": "1"})):
        with pytest.raises(CodecError):
            decode_response(data, is_packed=True)
