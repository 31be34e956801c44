import re
from textwrap import dedent

import pytest
from msgspec import structs
from support.sample_tree import budget, sample_header, sample_nodes, sample_tree, supervisor, worker

from supervisors.cli.terminal import Terminal
from supervisors.cli.treelines import header_lines, suggestion, tree_lines
from supervisors.views import HeaderView, NodeState, NodeView, TreeView


def drawn(terminal: Terminal, *nodes: NodeView, everything: bool = False) -> str:
    view = TreeView(header=sample_header(), nodes=nodes or sample_nodes())
    return "\n".join(tree_lines(view.header, view.nested(), terminal, everything=everything)) + "\n"


GOLDEN = """\
openclaw  up 3d03h  pid 4121  ready 14/22  restarts 24h: 4
/                one_for_one   ▲  4 supervisors, 24 workers, 1 waiting, 1 starting, 1 suspended, 1 restarting, 1 stopped, 1 not configured, 1 quarantined, 1 abandoned, 1 failed  limit 2/10 in 60s
├─ sys           one_for_one   ●  ready 3/3  limit 0/5 in 60s  significant
│  ├─ recorder   process 4122  ●  ready     11h06m  mbox 0  lag 0.3s
│  ├─ scheduler  thread        ●  ready     11h06m  mbox 0  next: backup in 5h12m
│  └─ watchdog   pool          ●  ready     11h06m  mbox 0  last tick 4s
├─ io            one_for_one   ▲  ready 1/5  limit 3/5 in 5m
│  ├─ gmail      process 4130  ●  ready     11h06m  mbox 2  restarts 1
│  ├─ browser    process 9911  ↻  restarting in 41s (try 4, back-off 80s)  killed (memory-limit)
│  ├─ tts                      ○  not configured: set io.tts.command
│  ├─ stt                      ■  stopped by uid 1000 pid 77: maintenance  mbox 3
│  ├─ twilio                   ⊘  quarantined: 5/5 in 60s used up  crashed: ValueError: bad
│  └─ disk       thread        †  abandoned: it did not stop within 10s
├─ agents        one_for_one   ▲  ready 10/11  limit 0/15 in 5m
│  ├─ 00         thread        ●  ready     11h06m  mbox 0
│  ├─ 01         thread        ●  ready     11h06m  mbox 0
│  ├─ 02         thread        ●  ready     11h06m  mbox 0
│  ├─ 03         thread        ●  ready     11h06m  mbox 0
│  ├─ 04         thread        ●  ready     11h06m  mbox 0
│  ├─ 05         thread        ●  ready     11h06m  mbox 0
│  ├─ 06         thread        ●  ready     11h06m  mbox 0
│  ├─ 07         thread        ●  ready     11h06m  mbox 0
│  ├─ 10                       ◌  waiting on /io/browser
│  └─ … 2 more ready (--all)
└─ work          rest_for_one  ▲  ready 0/3
   ├─ task#1     process       ◐  starting
   ├─ task#2     process 4140  ‖  suspended by uid 1000 pid 77
   ├─ task#3                   ✗  failed    crashed: OSError: disk full
   └─ once       pool          ✓  finished
"""  # noqa: E501 - nothing is cut when piped


def test_the_sample_tree_is_drawn_whole_for_a_pipe():
    assert drawn(Terminal()) == GOLDEN


def test_ascii_stands_in_for_every_glyph():
    text = drawn(Terminal(unicode=False))

    assert text.isascii()
    assert "|  |- browser    process 9911  @  restarting in 41s (try 4, back-off 80s)" in text
    assert "`- ... 2 more ready (--all)" in text


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_a_narrow_terminal_gets_every_word_and_no_line_beyond_its_width(width, unicode):
    narrow = drawn(Terminal(width=width, is_tty=True, unicode=unicode))

    branches = set("├─└│|-` ")
    words = [word for line in narrow.splitlines() for word in line.split() if set(word) - branches]
    expected = [w for line in drawn(Terminal(unicode=unicode)).splitlines() for w in line.split() if set(w) - branches]
    assert sorted(words) == sorted(expected)
    long_words = {word for word in expected if len(word) + 12 > width}
    for line in narrow.splitlines():
        assert len(line) <= width or any(word in line for word in long_words)


def test_forty_columns_put_what_is_said_below_the_name():
    nodes = (
        supervisor("/", 0, 1),
        worker("/browser", NodeState.RESTARTING, attempt=4, backoff=80.0, next_in=41.0, last_reason="killed (oom)"),
    )

    assert drawn(Terminal(width=40, is_tty=True), *nodes) == dedent("""\
        openclaw
          up 3d03h pid 4121 ready 14/22 restarts
          24h: 4
        / ▲ 1 worker, 1 restarting
        │  one_for_one
        └─ browser ↻
              restarting in 41s (try 4, back-off
              80s)  killed (oom)
    """)


def test_colour_only_repeats_what_a_word_says():
    painted = drawn(Terminal(colored=True))

    assert re.sub(r"\x1b\[\d+m", "", painted) == drawn(Terminal())


def test_nine_healthy_siblings_are_shown_and_of_ten_the_last_two_are_counted():
    nine = (supervisor("/", 9, 9), *(worker(f"/w{n}") for n in range(9)))
    ten = (supervisor("/", 10, 10), *(worker(f"/w{n}") for n in range(10)))

    assert "more ready" not in drawn(Terminal(), *nine)
    assert "└─ … 2 more ready (--all)" in drawn(Terminal(), *ten)
    assert "more ready" not in drawn(Terminal(), *ten, everything=True)


@pytest.mark.parametrize("state", [state for state in NodeState if state not in {NodeState.READY, NodeState.FINISHED}])
def test_a_sibling_that_is_not_healthy_is_never_counted_away(state):
    nodes = (supervisor("/", 30, 31), *(worker(f"/w{n:02}") for n in range(30)), worker("/zz", state))

    assert "─ zz" in drawn(Terminal(), *nodes)


def test_a_healthy_supervisor_with_a_restarting_child_is_not_counted_away():
    nodes: list[NodeView] = [supervisor("/", 29, 30)]
    for number in range(15):
        nodes += [supervisor(f"/s{number:02}", 1, 1), worker(f"/s{number:02}/a")]
    nodes += [supervisor("/zz", 0, 0), worker("/zz/b", NodeState.RESTARTING)]

    text = drawn(Terminal(), *nodes)

    assert "─ zz" in text
    assert "─ b" in text


def test_what_depth_left_out_is_counted():
    nodes = (supervisor("/", 3, 3), structs.replace(supervisor("/io", 3, 3), hidden=4))

    assert "└─ … 4 below (--depth)" in drawn(Terminal(), *nodes)


def test_a_limit_and_a_name_that_were_meant_to_confuse_are_shown_as_text():
    nodes = (
        supervisor("/", 0, 1, limit=budget(2, 10, 60.0)),
        worker("/a", NodeState.FAILED, last_reason="x\x1b[2Jy\nz"),
    )

    text = drawn(Terminal(), *nodes)

    assert "limit 2/10 in 60s" in text
    assert "x\\x1b[2Jy\\nz" in text


def test_the_hint_names_the_first_node_that_needs_a_look():
    assert suggestion(sample_tree().nested()) == "actorctl why /io/browser"


def test_a_healthy_tree_needs_no_hint_even_where_things_are_not_configured():
    nodes = (
        supervisor("/", 1, 1),
        worker("/a"),
        worker("/b", NodeState.NOT_CONFIGURED),
        worker("/c", NodeState.FINISHED),
    )

    assert suggestion(TreeView(header=sample_header(), nodes=nodes).nested()) == ""


def test_the_header_says_a_state_and_a_level_that_are_not_normal():
    header: HeaderView = structs.replace(sample_header(), state="draining", level="MAJOR")

    assert header_lines(header, Terminal())[0].endswith("restarts 24h: 4  draining  level MAJOR")
