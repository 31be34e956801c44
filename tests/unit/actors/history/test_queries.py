from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.addresses import matches
from actors.history.queries import ANALYSES, bind, pattern_of, seconds_of

NOW = 1_750_000_000.0

segments = st.text("ab*?#.", min_size=1, max_size=3)
globs = st.lists(st.one_of(segments, st.just("**")), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
paths = st.lists(st.text("ab#.", min_size=1, max_size=3), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(globs, paths)
def test_a_glob_selects_in_sql_what_it_selects_elsewhere(glob, path):
    assert (re.fullmatch(pattern_of(glob), path) is not None) == matches(path, glob)


@pytest.mark.parametrize("glob", ["/**", "**"])
def test_everything_is_selected_by_two_stars(glob):
    assert re.fullmatch(pattern_of(glob), "/io/mail")
    assert re.fullmatch(pattern_of(glob), "/")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("15m", 900.0), ("1h30m", 5_400.0), ("7d", 604_800.0), ("250ms", 0.25)]
)
def test_a_duration_is_seconds(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "5 h", "-5h", "1y", "1e3s", "٣h"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("since", "instant"),
    [
        ("1h", "2025-06-15T14:06:40+00:00"),
        ("2025-06-15T14:02", "2025-06-15T14:02:00+00:00"),
        ("2025-06-15T14:02+02:00", "2025-06-15T12:02:00+00:00"),
        ("999999w", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_how_far_back_is_a_duration_or_an_instant(since, instant):
    assert bind("crashes", {"since": since}, NOW).parameters["since"] == instant


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_takes_exactly_the_parameters_its_statement_names(name):
    statement = bind(name, {}, NOW)

    assert set(re.findall(r"\$(\w+)", statement.sql)) == set(statement.parameters)
    assert ANALYSES[name].about.endswith(".")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("crashs", {}, "restarts, crashes"),
        ("crashes", {"sinc": "1h"}, "it takes since, path, limit"),
        ("crashes", {"since": "yesterday"}, "since: 'yesterday'"),
        ("crashes", {"limit": "0"}, "limit: '0'"),
        ("crashes", {"limit": "many"}, "limit: 'many'"),
        ("crashes", {"path": "io"}, "path: 'io'"),
        ("crashes", {"path": "/" + "a" * 2_000}, "path: "),
    ],
)
def test_a_wrong_argument_is_refused_with_what_would_be_right(name, arguments, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        bind(name, arguments, NOW)
