"""Cron text: what is read, what is refused, and that a refusal names the place and the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.scheduling.cron import check
from actors.scheduling.expression import CronError, parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("* * * * *", "0 * * * * *"),
        ("*/30 * * * * *", "0,30 * * * * *"),
        ("5-5 * * * *", "0 5 * * * *"),
        ("5/20 * * * *", "0 5,25,45 * * * *"),
        ("10-20/5 1,3 * * *", "0 10,15,20 1,3 * * *"),
        ("0 0 * jan-Mar MON-fri", "0 0 0 * 1,2,3 1,2,3,4,5"),
        ("0 0 * * 7", "0 0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 0 * * 0,5,6"),
        ("0 0 * * FRI-SUN", "0 0 0 * * 0,5,6"),
        ("0 0 * * SUN-MON", "0 0 0 * * 0,1"),
        ("0 0 * * 7-7", "0 0 0 * * 0"),
        ("0 0 ? * ?", "0 0 0 * * *"),
        ("0 0 15,L * *", "0 0 0 15,L * *"),
        ("0 0 W15 * *", "0 0 0 15W * *"),
        ("0 0 * * MON#2", "0 0 0 * * 1#2"),
        ("0 0 * * 5L", "0 0 0 * * 5L"),
        ("0 0 * * FRIL", "0 0 0 * * 5L"),
        ("0 0 * * 7L", "0 0 0 * * 0L"),
        ("0 0 * * L5", "0 0 0 * * 5L"),
        ("0 0 LW * *", "0 0 0 LW * *"),
        ("0 0 L-3,L-0 * *", "0 0 0 L,L-3 * *"),
        ("0 0 31W * *", "0 0 0 31W * *"),
        ("0 0 W15,1W,7 * MON", "0 0 0 7,1W,15W * 1"),
        ("0 0 13 * 1#1,FRI#L,3", "0 0 0 13 * 3,1#1,5L"),
        ("@daily", "0 0 0 * * *"),
        ("DAILY_MAINTENANCE", "0 0 2 * * *"),
        ("AGENT_LOOP_FAST", "0,30 * * * * *"),
        ("0 0 1-31 * MON", "0 0 0 * * *"),
        ("0 0 */2 * MON", "0 0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * 1"),
        ("0-59 0-23 * 1-12 *", "0 * * * * *"),
    ],
)
def test_an_expression_is_brought_to_sorted_numbers_with_the_second_first(text, canonical):
    assert parse(text).canonical == canonical


@pytest.mark.parametrize(
    ("text", "field", "token", "part"),
    [
        ("60 * * * *", "minute", "60", "out of range 0-59"),
        ("30-10 * * * *", "minute", "30-10", "write 30-59,0-10"),
        ("0 22-2 * * *", "hour", "22-2", "write 22-23,0-2"),
        ("0 0 * DEC-FEB *", "month", "DEC-FEB", "write 12-12,1-2"),
        ("0 0 * * FRI-MON", "day-of-week", "FRI-MON", "write 5-6,0-1"),
        ("*/0 * * * *", "minute", "*/0", "the step is 1 to 59"),
        ("*/60 * * * *", "minute", "*/60", "the step is 1 to 59"),
        ("1,,2 * * * *", "minute", "1,,2", "empty item"),
        ("0 0 * FOO *", "month", "FOO", "JAN-DEC"),
        ("? * * * *", "minute", "?", "no value"),
        ("0 0 L-31 * *", "day-of-month", "L-31", "0 to 30"),
        ("0 0 32W * *", "day-of-month", "32W", "1-31"),
        ("0 0 0W * *", "day-of-month", "0W", "1-31"),
        ("0 0 L-x * *", "day-of-month", "L", "no value"),
        ("@dayly", "name", "@dayly", "did you mean @daily?"),
        ("daily_maintenance", "name", "daily_maintenance", "did you mean DAILY_MAINTENANCE?"),
        ("@reboot", "name", "@reboot", "no such name"),
        ("0 0 * * 1#6", "day-of-week", "1#6", "1 to 5"),
        ("0 0 * * L", "day-of-week", "L", "5L"),
        ("-1 * * * *", "minute", "-1", "no value"),
        ("1-2-3 * * * *", "minute", "2-3", "no value"),
        ("7,5- * * * *", "minute", "5-", "no value"),
        ("0 /5 * * *", "hour", "/5", "no value"),
        ("0 0 * * 3,L9", "day-of-week", "9", "out of range"),
        ("0 0 * * #2", "day-of-week", "#2", "no value"),
        ("0 \u0663 * * *", "hour", "\u0663", "other than ASCII"),
        ("* * * *", "expression", "", "has 4 fields"),
        ("* * * * * * 2027", "expression", "2027", "has 7 fields"),
        ("0" * 4096 + "1 * * * *", "expression", "1 * * * *", "longer than 4096"),
    ],
)
def test_a_fault_is_refused_with_its_field_token_and_remedy(text, field, token, part):
    with pytest.raises(CronError) as caught:
        parse(text)

    assert caught.value.field == field
    assert caught.value.token == token
    assert text[caught.value.position :].upper().startswith(token.upper())
    assert part in str(caught.value)


@given(st.text("0123456789*,-/LW#? AZ\u0663", max_size=40))
def test_whatever_is_refused_has_a_field_and_the_place_of_the_part_at_fault(text):
    error = None
    try:
        check(text)
    except CronError as raised:
        error = raised

    if error is not None:
        assert error.field
        assert text[error.position :].upper().startswith(error.token.upper())
        assert error.token or error.position == len(text)


@pytest.mark.parametrize(
    ("text", "token", "position"),
    [("0 0 30 2 *", "30", 4), (" 0 0 0  31 4,6 * ", "31", 8), ("0 0 30W FEB ?", "30W", 4)],
)
def test_a_date_that_never_comes_is_the_fault_of_its_day(text, token, position):
    with pytest.raises(CronError, match="never fires") as caught:
        check(text)

    assert (caught.value.field, caught.value.token, caught.value.position) == ("day-of-month", token, position)


@pytest.mark.parametrize(
    "text", ["", "*", "* * * *", "* * * * * * *", "\u0663 * * * *", "*\u00a0* * * *", "0" * 5000, "* * *\n* *"]
)
def test_text_of_the_wrong_shape_is_refused_whole(text):
    with pytest.raises(CronError):
        parse(text)


@pytest.mark.parametrize("value", [None, 5, b"* * * * *"])
def test_what_is_no_text_is_a_type_error(value):
    with pytest.raises(TypeError):
        parse(value)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("30 2 * * *", True),
        ("0 30 2 * * *", True),
        ("* 30 2 * * *", False),
        ("*/15 2 * * *", False),
        ("0 */2 * * *", False),
        ("0,30 1,2 * * *", True),
    ],
)
def test_an_expression_is_fixed_when_second_minute_and_hour_do_not_begin_with_a_star(text, fixed):
    assert parse(text).fixed is fixed


@given(st.text(alphabet="0123456789*,-/LW#?MONJA \t\n@é", max_size=40))
def test_any_text_gives_an_expression_or_a_cron_error(text):
    try:
        expression = parse(text)
    except CronError:
        return

    assert parse(expression.text).canonical == expression.canonical
