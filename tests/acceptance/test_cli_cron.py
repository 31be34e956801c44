"""`actorctl cron`: what an expression means, without a node."""

from __future__ import annotations

import json

import pytest
from support.command_line import run


def test_explain_says_an_expression_in_words_with_its_next_runs_and_what_to_beware_of():
    result = run("cron", "explain", "30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-06")

    assert result.code == 0, result.err
    assert "at 02:30" in result.out
    assert "2026-03-06T02:30:00-05:00" in result.out
    assert "2026-03-08T03:00:00-04:00" in result.out
    assert "on 2026-03-08 clocks skip 02:30: it runs at 03:00 then" in result.out


def test_next_lists_runs_with_the_offset_that_clocks_show():
    result = run(
        *("cron", "next", "30 1 * * *", "--tz", "Europe/London", "--from", "2026-10-24", "-n", "3", "-o", "name")
    )

    assert result.out.splitlines() == [
        "2026-10-24T01:30:00+01:00",
        "2026-10-25T01:30:00+01:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_check_names_the_field_token_and_position_of_each_fault():
    result = run("cron", "check", "0 0 LW * *", "0 22-2 * * *", "0 0 30 2 *", "-o", "json")

    sound, reversed_range, never = json.loads(result.out)["items"]
    assert result.code == 8
    assert sound["valid"]
    assert sound["error"] is None
    assert reversed_range["error"]["field"] == "hour"
    assert reversed_range["error"]["token"] == "22-2"
    assert reversed_range["error"]["position"] == 2
    assert reversed_range["error"]["hint"] == "write 22-23,0-2"
    assert "never fires" in never["error"]["message"]


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("explain", "@dayly"), 8, "did you mean @daily?"),
        (("next", "61 * * * *"), 8, "out of range 0-59"),
        (("next", "* * * * *", "--tz", "Mars/Olympus"), 2, "is no time zone"),
        (("explain", "* * * * *", "--from", "tomorrow"), 2, "is no instant"),
        (("explain", "*", "*", "*", "*", "*"), 2, "unexpected extra argument"),
    ],
)
def test_a_fault_has_its_exit_code_and_says_what_would_be_right(words, code, part):
    result = run("cron", *words)

    assert result.code == code
    assert part in result.err
