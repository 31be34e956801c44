import csv
import io
import json
from datetime import datetime, timedelta, timezone

import pytest
from msgspec import Struct

from supervisors.cli.failures import CommandError, ExitCode
from supervisors.cli.rendering import Choice, Column, Format, Listing, Output, Page, facts, table
from supervisors.cli.streaming import Stream
from supervisors.cli.terminal import Style, Terminal
from supervisors.views import NodeKind, NodeState
from supervisors.views.documents import DOCUMENTS


class Item(Struct, frozen=True):
    """Something to show."""

    name: str
    size: int | None = None
    at: datetime | None = None
    kind: NodeKind = NodeKind.WORKER
    tags: tuple[str, ...] = ()


COLUMNS = (
    Column("name", lambda i: i.name),
    Column("size", lambda i: i.size, is_right=True),
    Column("kind", lambda i: i.kind, lambda i: i.kind.value, lambda i: Style.GOOD, is_wide=True),
    Column("at", lambda i: i.at, is_wide=True),
    Column("tags", lambda i: i.tags, lambda i: " ".join(i.tags), is_wide=True),
)
ITEMS = (
    Item("/io/gmail", 12, datetime(2026, 11, 20, 15, 2, tzinfo=timezone(timedelta(hours=1))), tags=("a", "b")),
    Item("/io/browser, the second", None),
    Item("/a", 3),
)


@pytest.fixture(autouse=True)
def document_kind(monkeypatch):
    monkeypatch.setitem(DOCUMENTS, "Items", Item)


PIPE = Terminal()


def written(choice: Choice, terminal: Terminal = PIPE, **options) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    listing = Listing("Items", ITEMS, COLUMNS, lambda i: i.name, **options)
    Output(out, err, terminal, Terminal()).listing(listing, choice)
    return out.getvalue(), err.getvalue()


def test_a_table_is_aligned_numbers_to_the_right_and_absent_values_are_dashes():
    out, _ = written(Choice())

    assert out == (
        "NAME                     SIZE\n"
        "/io/gmail                  12\n"
        "/io/browser, the second     -\n"
        "/a                          3\n"
    )


def test_a_table_wider_than_the_terminal_becomes_one_block_a_row():
    lines = table(ITEMS, COLUMNS, Terminal(width=30, is_tty=True))

    assert lines == [
        "/io/gmail",
        "  size 12",
        "  kind worker",
        "  at 2026-11-20 15:02:00+01:00",
        "  tags a b",
        "/io/browser, the second",
        "  kind worker",
        "/a",
        "  size 3",
        "  kind worker",
    ]


def test_cells_are_coloured_without_losing_their_alignment():
    plain = table(ITEMS, COLUMNS, Terminal())
    coloured = table(ITEMS, COLUMNS, Terminal(colored=True))

    assert "\x1b[32mworker\x1b[0m" in coloured[1]
    assert [line.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") for line in coloured] == plain


def test_json_is_one_document_with_every_field_of_every_item():
    out, _ = written(Choice(Format.JSON))

    found = json.loads(out)
    assert out.count("\n") == 1
    assert found["kind"] == "Items"
    assert found["items"][1] == {
        "name": "/io/browser, the second",
        "size": None,
        "at": None,
        "kind": "worker",
        "tags": [],
    }


def test_json_is_indented_for_a_terminal_only():
    out, _ = written(Choice(Format.JSON), Terminal(width=40, is_tty=True))

    assert out.startswith('{\n  "kind": "Items"')
    assert json.loads(out)["items"]


def test_json_escapes_what_the_terminal_cannot_show():
    out, err = io.StringIO(), io.StringIO()
    listing = Listing("Items", (Item("größe"),), COLUMNS, lambda i: i.name)
    Output(out, err, Terminal(unicode=False), Terminal()).listing(listing, Choice(Format.JSON))

    assert out.getvalue().isascii()
    assert json.loads(out.getvalue())["items"][0]["name"] == "größe"


def test_csv_has_raw_values_instants_in_utc_and_quotes_where_needed():
    out, _ = written(Choice(Format.CSV))

    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["name", "size", "kind", "at", "tags"]
    assert rows[1] == ["/io/gmail", "12", "worker", "2026-11-20T14:02:00Z", '["a", "b"]']
    assert rows[2][:2] == ["/io/browser, the second", ""]


def test_columns_choose_and_order_and_may_be_wide_ones():
    out, _ = written(Choice(columns=("kind", "NAME")))

    assert out.splitlines()[:2] == ["KIND    NAME", "worker  /io/gmail"]


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("size", ["/a", "/io/gmail", "/io/browser, the second"]),
        ("-size", ["/io/gmail", "/a", "/io/browser, the second"]),
        ("name", ["/a", "/io/browser, the second", "/io/gmail"]),
        ("kind", ["/io/gmail", "/io/browser, the second", "/a"]),
    ],
)
def test_sorting_puts_absent_values_last_either_way(sort, names):
    out, _ = written(Choice(Format.NAME, sort=sort))

    assert out.splitlines() == names


@pytest.mark.parametrize("choice", [Choice(columns=("nmae",)), Choice(sort="nmae"), Choice(Format.CSV, columns=("x",))])
def test_an_unknown_column_is_a_usage_error_that_lists_them(choice):
    with pytest.raises(CommandError) as raised:
        written(choice)

    assert raised.value.exit_code is ExitCode.USAGE
    assert "there are name, size, kind, at, tags" in raised.value.hint


@pytest.mark.parametrize("format", [Format.JSON, Format.JSONL, Format.NAME])
def test_columns_do_not_go_with_formats_that_are_always_complete(format):
    with pytest.raises(CommandError, match="--columns does not go with"):
        written(Choice(format, columns=("name",)))


def test_a_limit_says_that_there_is_more_on_stderr_and_in_the_document():
    out, err = written(Choice(Format.JSON, limit=2))

    assert len(json.loads(out)["items"]) == 2
    assert json.loads(out)["is_truncated"] is True
    assert err == "only 2 shown; --limit N shows more\n"


def test_an_empty_list_is_no_error_and_says_so_to_people_only():
    out, err = io.StringIO(), io.StringIO()
    Output(out, err, Terminal(), Terminal()).listing(
        Listing("Items", (), COLUMNS, lambda i: i.name, nothing="no items match"), Choice()
    )

    assert (out.getvalue(), err.getvalue()) == ("", "no items match\n")


def test_quiet_silences_notes_and_hints():
    _, err = written(Choice(limit=1, is_quiet=True), hints=("actorctl ps",))

    assert err == ""


def test_the_word_hint_is_coloured_and_nothing_of_the_colour_is_shown_as_text():
    out, err = io.StringIO(), io.StringIO()

    Output(out, err, Terminal(), Terminal(None, True, True)).hint("actorctl \x07ps", Choice())

    assert err.getvalue() == "\x1b[2mhint:\x1b[0m actorctl \\x07ps\n"


def test_a_long_last_cell_is_wrapped_below_itself_and_the_table_stays_one():
    columns = (Column("path", lambda row: row[0]), Column("text", lambda row: row[1]))
    rows = [("/io/gmail", "one two three four five six seven eight nine ten"), ("/a", "short")]

    assert table(rows, columns, Terminal(width=44)) == [
        "PATH       TEXT",
        "/io/gmail  one two three four five six seven",
        "           eight nine ten",
        "/a         short",
    ]
    assert table(rows, columns, Terminal(width=40))[0] == "/io/gmail"  # too narrow: blocks


def test_hints_go_to_people_not_to_programs():
    assert written(Choice(), hints=("actorctl ps",))[1] == "hint: actorctl ps\n"
    assert written(Choice(Format.JSON), hints=("actorctl ps",))[1] == ""


def test_an_error_keeps_to_its_lines_whatever_its_text_holds():
    out, err = io.StringIO(), io.StringIO()
    Output(out, err, Terminal(), Terminal()).error(CommandError("failed", "a\x1b[2Jb", "c\x07"), Format.TABLE)

    assert err.getvalue() == "error: a\\x1b[2Jb\nhint: c\\x07\n"


def test_a_page_without_columns_becomes_fields_and_values_in_csv():
    out = io.StringIO()
    page = Page("Items", (ITEMS[0],), lambda _: ["page"], lambda i: i.name)
    Output(out, io.StringIO(), Terminal(), Terminal()).page(page, Choice(Format.CSV))

    assert "size,12\n" in out.getvalue()
    assert "tags[1],b\n" in out.getvalue()


def test_facts_leave_out_what_is_empty_and_wrap_under_themselves():
    lines = facts([("kind", "worker"), ("why", ""), ("needs", "one two three")], Terminal(width=20), "  ")

    assert lines == ["  kind   worker", "  needs  one two", "         three"]


def test_a_stream_writes_json_lines_under_json_too():
    out = io.StringIO()
    stream = Stream(Output(out, io.StringIO(), Terminal(is_tty=True), Terminal()), COLUMNS, Choice(Format.JSON), None)
    for item in ITEMS:
        stream.write(item)

    assert [json.loads(line)["name"] for line in out.getvalue().splitlines()] == [item.name for item in ITEMS]


def test_a_stream_writes_its_header_once():
    for choice, head in ((Choice(Format.CSV), "name,size"), (Choice(), "NAME  SIZE")):
        out = io.StringIO()
        stream = Stream(Output(out, io.StringIO(), Terminal(), Terminal()), COLUMNS, choice, None)
        for item in ITEMS:
            stream.write(item)

        assert [line.startswith(head) for line in out.getvalue().splitlines()] == [True, False, False, False]


def test_every_state_has_a_look_and_no_two_states_share_word_or_glyph():
    from supervisors.cli.states import LOOKS

    assert set(LOOKS) == set(NodeState)
    assert len({look.word for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.glyph for look in LOOKS.values()}) == len(LOOKS)
    assert all(look.plain.isascii() and len(look.plain) == 1 for look in LOOKS.values())
