import io

import pytest

from supervisors.cli.terminal import (
    ColorWhen,
    Style,
    Terminal,
    cell_width,
    detect,
    is_colored,
    pad,
    prepare,
    speaks_unicode,
    wrap,
)


class Tty(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("is_tty", "when", "environ", "colored"),
    [
        (True, ColorWhen.AUTO, {}, True),
        (False, ColorWhen.AUTO, {}, False),
        (True, ColorWhen.AUTO, {"NO_COLOR": "1"}, False),
        (True, ColorWhen.AUTO, {"NO_COLOR": ""}, True),
        (True, ColorWhen.AUTO, {"TERM": "dumb"}, False),
        (False, ColorWhen.AUTO, {"FORCE_COLOR": "1"}, True),
        (False, ColorWhen.AUTO, {"FORCE_COLOR": "0"}, False),
        (False, ColorWhen.AUTO, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
        (False, ColorWhen.ALWAYS, {"NO_COLOR": "1"}, True),
        (True, ColorWhen.NEVER, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_the_flag_then_the_environment_then_the_stream(is_tty, when, environ, colored):
    assert is_colored(is_tty, when, environ) is colored


@pytest.mark.parametrize(
    ("encoding", "environ", "unicode"),
    [
        ("utf-8", {"LANG": "en_US.UTF-8"}, True),
        ("utf-8", {"LANG": "C.UTF-8"}, True),
        ("utf-8", {"LANG": "C"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # what Python makes of LANG=C (PEP 538)
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, False),  # and of no locale at all
        ("utf-8", {"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "de_DE.utf8"}, True),
        ("utf-8", {}, False),
        ("latin-1", {"LANG": "de_DE.ISO-8859-1"}, False),
        ("ascii", {"LANG": "en_US.UTF-8"}, False),
        ("latin-1", {"ACTORCTL_GLYPHS": "unicode"}, True),
        ("utf-8", {"LANG": "en_US.UTF-8", "ACTORCTL_GLYPHS": "ascii"}, False),
    ],
)
def test_glyphs_are_shown_only_where_the_locale_speaks_utf_8(encoding, environ, unicode, monkeypatch):
    monkeypatch.setattr("os.name", "posix")

    assert speaks_unicode(encoding, environ) is unicode


def test_a_pipe_has_no_width_whatever_columns_says():
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")

    assert detect(pipe, environ={"COLUMNS": "40"}).width is None


def test_a_terminal_has_the_width_of_columns_but_never_less_than_twenty():
    assert detect(Tty(), environ={"COLUMNS": "40"}).width == 40
    assert detect(Tty(), environ={"COLUMNS": "3"}).width == 20
    assert detect(Tty(), environ={"COLUMNS": "wide"}).width == 80


def test_what_an_encoding_lacks_is_written_as_an_escape():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    prepare(stream)

    stream.write("größe")
    stream.flush()

    assert stream.buffer.getvalue() == b"gr\\xf6\\xdfe"


def test_paint_leaves_text_alone_where_colours_are_off():
    assert Terminal(colored=False).paint("ready", Style.GOOD) == "ready"
    assert Terminal(colored=True).paint("ready", Style.GOOD) == "\x1b[32mready\x1b[0m"
    assert Terminal(colored=True).paint("", Style.GOOD) == ""


def test_width_counts_columns_rather_than_characters():
    assert cell_width("abc") == 3
    assert cell_width("日本") == 4
    assert cell_width("e\u0301") == 1
    assert pad("日本", 6) == "日本  "
    assert pad("7", 3, right=True) == "  7"
    assert pad("longer", 3) == "longer"


def test_wrapping_breaks_at_spaces_and_loses_nothing():
    text = "restarting in 41s (try 4, back-off 80s) " + "x" * 50

    lines = wrap(text, 20, "  ")

    assert all(line.startswith("  ") for line in lines)
    assert " ".join(line[2:] for line in lines) == text
    assert [len(line) for line in lines if len(line) > 20] == [52]  # a word longer than the width stays whole
