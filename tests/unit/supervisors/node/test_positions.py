"""The line index: every key of a TOML text is found where it stands."""

import tomllib

import pytest

from supervisors.node.positions import DEPTH_LIMIT, NestingError, Position, index_positions

TEXT = '''\
version = 1
# a comment with [brackets] and a = "b"
include = ["a", # first
  "b", ]

[actors."/io/gm\\u0061il" . 'odd key']  # comment
x.y = { p = 1, "q r" = [1, { z = 2 }] }
long = """
[not.a.table]
k = 1 "" \\""" """""
raw = \'\'\'
also = [not one
\'\'\'
when = 1979-05-27 07:32:00 # a time
[[rows]]
b = 1
[rows.sub]
c = 1
[[rows]]
b = 2
[[rows.deep]]
d = 3
'''


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("version",), 1, 1),
        (("include",), 3, 1),
        (("include", 0), 3, 12),
        (("include", 1), 4, 3),
        (("actors",), 6, 1),
        (("actors", "/io/gmail"), 6, 1),
        (("actors", "/io/gmail", "odd key"), 6, 1),
        (("actors", "/io/gmail", "odd key", "x", "y"), 7, 1),
        (("actors", "/io/gmail", "odd key", "x", "y", "p"), 7, 9),
        (("actors", "/io/gmail", "odd key", "x", "y", "q r", 1, "z"), 7, 30),
        (("actors", "/io/gmail", "odd key", "long"), 8, 1),
        (("actors", "/io/gmail", "odd key", "raw"), 11, 1),
        (("actors", "/io/gmail", "odd key", "when"), 14, 1),
        (("rows", 0), 15, 1),
        (("rows", 0, "b"), 16, 1),
        (("rows", 0, "sub", "c"), 18, 1),
        (("rows", 1), 19, 1),
        (("rows", 1, "b"), 20, 1),
        (("rows", 1, "deep", 0, "d"), 22, 1),
    ],
)
def test_each_key_and_item_is_found_where_it_stands(path, line, column):
    value = tomllib.loads(TEXT)
    for step in path:
        value = value[step]  # the path is one of the parsed document

    assert path in index_positions(TEXT)
    assert index_positions(TEXT).nearest(path) == Position(line, column)


def test_a_key_that_is_not_there_has_the_place_of_its_table():
    positions = index_positions("[a]\n\n[b]\nc = 1\n")

    assert positions.nearest(("b", "missing", "deeper")) == Position(3, 1)
    assert positions.nearest(("nothing",)) == Position(1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "x = [" + "1," * 5 + "}",
        "x = {a = 1",
        'x = "open',
        'x = """open',
        "[a",
        "= 1",
        "x",
        "x =",
        "\x00",
        'a = """' + '"" ' * 20_000,
        '"' * 50_000,
    ],
)
def test_invalid_text_ends_the_walk_quietly(text):
    index_positions(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nx = " + "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1), 2),
        ("a = 1\n\nx = " + "{a = " * (DEPTH_LIMIT + 1) + "1" + "}" * (DEPTH_LIMIT + 1), 3),
        ("a." * 5000 + "a = 1", 1),
        ("\n[" + "a." * DEPTH_LIMIT + "a]", 2),
        ("x = " + "[" * 100_000, 1),
    ],
)
def test_nesting_beyond_the_limit_is_refused_at_its_line(text, line):
    with pytest.raises(NestingError) as caught:
        index_positions(text)

    assert caught.value.position.line == line


def test_nesting_up_to_the_limit_is_taken():
    depth = DEPTH_LIMIT - 1
    text = "x = " + "[" * depth + "1" + "]" * depth

    assert ("x", *[0] * depth) in index_positions(text)
