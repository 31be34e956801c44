from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.history import NOW, crashed, gave_up, one_of_each

from actors.events import EVENT_TYPES, ActorExited, CommandDone, Event, MetricSampled, RunFinished
from actors.exits import Crash, CrashRecord, ExitKind, ExitReason
from actors.history.payloads import TEXT_LIMIT, event_of, payload_of, text
from actors.history.rows import rows_of, summary_of
from actors.history.schema import BY_NAME


class Custom(Event, frozen=True):
    """An event class that the history has never heard of."""

    TOPIC = "job"
    thing: object


class Bare(Event, frozen=True):
    """An event without fields of its own."""


def as_row(event: Event, table: str) -> dict[str, Any]:
    """Return the row of `event` in `table` by column name."""
    (row,) = [row for name, row in rows_of(3, 7, event) if name == table]
    return dict(zip(BY_NAME[table].column_names, row, strict=True))


def test_every_class_of_events_is_among_the_samples():
    assert {type(event) for event in one_of_each()} == set(EVENT_TYPES)


@pytest.mark.parametrize("event", one_of_each(), ids=lambda event: type(event).__name__)
def test_an_event_is_as_many_values_as_its_tables_have_columns_and_names_the_event(event):
    rows = rows_of(3, 7, event)

    assert rows
    for table, row in rows:
        assert len(row) == len(BY_NAME[table].columns)
        assert row[:3] == (3, 7, NOW)


@pytest.mark.parametrize("kind", [kind for kind in EVENT_TYPES if kind is not MetricSampled], ids=lambda k: k.__name__)
def test_the_line_of_an_event_says_more_than_its_class(kind):
    said = [summary_of(event) for event in one_of_each() if type(event) is kind]

    assert said
    assert kind.__name__ not in said


with_payload = [event for event in one_of_each() if not isinstance(event, MetricSampled)]


@pytest.mark.parametrize("event", with_payload, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_its_row_as_it_was_except_for_tracebacks(event):
    row = as_row(event, "events")

    back = event_of(row["type"], row["happened_at"], row["path"], row["payload"])

    assert without_tracebacks(back) == without_tracebacks(event)


def without_tracebacks(value: Any) -> Any:
    if isinstance(value, Crash):
        return Crash(record=CrashRecord(value.type_name, value.message))
    if isinstance(value, msgspec.Struct):
        return type(value)(*(without_tracebacks(getattr(value, name)) for name in value.__struct_fields__))
    return value


def test_a_metric_is_a_row_of_metrics_alone():
    assert rows_of(3, 7, MetricSampled(NOW, "/", "memory", 0.5, "ratio")) == [
        ("metrics", (3, 7, NOW, "/", "memory", 0.5, "ratio"))
    ]


def test_a_crash_is_kept_with_its_traceback_and_an_unexpected_end_is_an_error():
    row = as_row(ActorExited(NOW, "/io/mail", 4, crashed(), 12.5, "running", False), "exits")

    assert row["kind"] == "crashed"
    assert row["error_type"] == "builtins.ValueError"
    assert row["error_message"] == "no such mail"
    assert "raise" in row["traceback"]
    assert (row["generation"], row["uptime"], row["phase"], row["expected"]) == (4, 12.5, "running", False)


def test_the_payload_of_a_crash_leaves_its_traceback_to_the_table_of_exits():
    payload = payload_of(ActorExited(NOW, "/io/mail", 4, crashed(), 12.5, "running", False))

    assert payload is not None
    assert "Traceback" not in payload
    assert "no such mail" in payload


def test_a_cause_chain_is_kept_from_the_nearest_child_to_the_leaf_which_alone_has_its_traceback():
    row = as_row(ActorExited(NOW, "/io", 1, gave_up(), 1.0, "running", False), "exits")

    causes = msgspec.json.decode(row["causes"])
    assert [cause["path"] for cause in causes] == ["/io/mail", "/io/mail/imap"]
    assert "traceback" not in causes[0]
    assert "no such mail" in causes[1]["traceback"]


@pytest.mark.parametrize(("expected", "severity"), [(True, "info"), (False, "error")])
def test_only_an_end_nobody_asked_for_is_an_error(expected, severity):
    event = ActorExited(NOW, "/a", 1, ExitReason(ExitKind.NORMAL), 1.0, "running", expected)

    assert event.severity == severity
    assert as_row(event, "events")["severity"] == severity


def test_an_event_of_an_unknown_class_is_a_row_of_events_with_all_its_fields():
    rows = rows_of(3, 7, Custom(NOW, "/a", {"x": 1}))

    ((table, _),) = rows
    row = as_row(Custom(NOW, "/a", {"x": 1}), "events")
    assert table == "events"
    assert (row["type"], row["topic"], row["payload"]) == ("Custom", "job", '{"thing":{"x":1}}')


def test_an_event_without_fields_has_no_payload():
    assert as_row(Bare(NOW, "/a"), "events")["payload"] is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, '"NaN"'),
        (math.inf, '"Infinity"'),
        (-math.inf, '"-Infinity"'),
        ("\ud800", '"\\\\ud800"'),
        (2**70, str(2**70)),
        (b"\xff\xfe", '"//4="'),
        ({1, 2}, "[1,2]"),
    ],
)
def test_a_payload_says_what_json_has_no_word_for(value, shown):
    assert payload_of(Custom(NOW, "/a", value)) == f'{{"thing":{shown}}}'


def test_a_number_json_has_no_word_for_comes_back():
    event = RunFinished(NOW, "/a", "inbox", "failed", math.inf)

    assert event_of("RunFinished", NOW, "/a", payload_of(event)) == event


def test_a_value_that_cannot_say_itself_does_not_cost_the_row():
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("mute")

    assert "str() of a" in (payload_of(Custom(NOW, "/a", Mute())) or "")


def test_a_megabyte_of_text_is_kept_whole_in_column_and_payload():
    detail = "x" * 1_048_576
    event = RunFinished(NOW, "/a", "inbox", "failed", 1.0, detail)

    assert as_row(event, "runs")["detail"] == detail
    assert event_of("RunFinished", NOW, "/a", as_row(event, "events")["payload"]) == event


def test_text_beyond_the_limit_loses_its_middle_and_says_how_much():
    said = text("a" * TEXT_LIMIT + "b" * 10)

    assert len(said) < TEXT_LIMIT + 100
    assert "10 characters cut" in said
    assert said.endswith("b" * 10)


def test_a_payload_beyond_the_limit_stays_json():
    payload = payload_of(Custom(NOW, "/a", ["x" * (TEXT_LIMIT - 10), "y" * TEXT_LIMIT]))

    assert payload is not None
    assert len(payload) < TEXT_LIMIT
    assert len(msgspec.json.decode(payload)["thing"]) == 2


def test_the_summary_is_one_line_of_bounded_length():
    row = as_row(RunFinished(NOW, "/a", "inbox", "failed", 1.0, "first\nsecond" + "x" * 1_000), "events")

    assert "\n" not in row["summary"]
    assert len(row["summary"]) <= 300


@pytest.mark.parametrize("payload", ["{", '{"run": 1}', "[]", '{"reason": {"kind": "nope"}}'])
def test_a_payload_that_does_not_fit_is_refused_by_name(payload):
    with pytest.raises(ValueError, match="RunFinished"):
        event_of("RunFinished", NOW, "/a", payload)


def test_an_unknown_class_is_refused_by_name():
    with pytest.raises(ValueError, match="Nothing"):
        event_of("Nothing", NOW, "/a", None)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(odd)
def test_whatever_a_field_holds_the_payload_is_json_in_utf8(value):
    payload = payload_of(Custom(NOW, "/a", value))

    assert payload is not None
    payload.encode()
    msgspec.json.decode(payload)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
def test_whatever_texts_an_event_holds_its_rows_are_utf8(command, caller, why):
    for _, row in rows_of(1, 1, CommandDone(NOW, "/a", command, caller, why, "ok", 0.1)):
        for value in row:
            if isinstance(value, str):
                value.encode()
