"""`why` at a terminal: whatever there is to tell, one screen of it, and the leaf's error in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.flightrecord import FlightRecord, LastMessage, StackRecord
from supervisors.cli.onescreen import one_screen
from supervisors.cli.terminal import Terminal, cell_width, cut
from supervisors.views import BudgetView, CauseView, EventRow, FlightView, NodeKind, NodeState, NodeView, WhyView

AT = datetime(2026, 11, 21, 14, 2, tzinfo=UTC)
FRAME = '  File "/srv/app/releases/2026-11-21/lib/python3.11/site-packages/shop/orders/handling.py", line {}, in step\n'
TRACEBACK = (
    "Traceback (most recent call last):\n"
    + "".join(FRAME.format(n) + f"    self.step({n})\n    ^^^^^^^^^^^^\n" for n in range(30))
    + "ValueError: order 7 has no lines"
)
FAULT = (
    "Fatal Python error: Segmentation fault\n\nThread 0x01 (most recent call first):\n"
    + '  File "other.py", line 1 in wait\n' * 40
    + "\nCurrent thread 0x02 (most recent call first):\n"
    + '  File "native.py", line 39 in crash\n  File "b.py", line 5 in run\n'
    + '\nThread 0x03 (most recent call first):\n  File "other.py", line 1 in wait\n\nExtension modules: a, b (total: 2)'
)


def answer(*, causes: int, traceback: str = TRACEBACK, messages: int = 4, events: int = 10, text: str = "x") -> WhyView:
    chain = [CauseView(f"/a/b{n}", "shutdown (gave-up)", at=AT if n == 0 else None) for n in range(causes - 1)]
    leaf = CauseView("/a/leaf", f"crashed: ValueError: order 7 has no lines {text}", traceback=traceback)
    record = FlightRecord(
        messages=tuple(
            LastMessage(f"Order{n}", fields={"text": text}, in_hand=n == messages - 1) for n in range(messages)
        ),
        handler="Shop.order",
        state={"text": text},
        stacks=(StackRecord("main", ("a",)),),
        log=("line",),
    )
    return WhyView(
        NodeView("/a/b0", NodeKind.SUPERVISOR, NodeState.READY, budget=BudgetView(1, 5, 60.0)),
        f"it gave up: {text}",
        (*chain, leaf),
        hints=("actorctl events /a/b0", "actorctl reset /a/b0"),
        events=tuple(
            EventRow(n, AT, "ActorExited", "actor.exit", "error", "/a/b0", f"{n} {text}") for n in range(events)
        ),
        flight=FlightView(path="/a/leaf", generation=3, at=AT, reason="crashed", record=record),
    )


@pytest.mark.parametrize("text", ["x", "long " * 200, "語" * 300, "two\nlines\x1b[2J"])
@pytest.mark.parametrize("traceback", ["", TRACEBACK, FAULT])
@pytest.mark.parametrize("causes", [1, 3, 4, 30])
def test_whatever_there_is_to_tell_it_fits_one_screen_with_its_hints_and_the_prompt(causes, traceback, text):
    view = answer(causes=causes, traceback=traceback, text=text)

    lines = one_screen(view, Terminal(80, True, height=24), UTC, height=24, hints=view.hints)

    assert len(lines) + len(view.hints) + 1 <= 24
    assert max(map(cell_width, lines)) <= 80
    assert any("/a/leaf" in line and "order 7" in line for line in lines)


def test_a_chain_of_four_shows_each_step_the_failing_line_the_message_in_hand_and_the_newest_events():
    view = answer(causes=4)

    lines = one_screen(view, Terminal(80, True, height=24), UTC, height=24, hints=view.hints)

    text = "\n".join(lines)
    assert [f"{n + 1}. /a/{p}" in text for n, p in enumerate(("b0", "b1", "b2", "leaf"))] == [True] * 4
    assert 'shop/orders/handling.py", line 29, in step' in text
    assert "self.step(29)" in text
    assert "Order3" in text
    assert "<- in hand" in text
    assert lines[-1].endswith("9 x")
    assert "--record has 92 lines of traceback" in text
    assert "Traceback (most" not in text, "what is outermost gives way first"


def test_the_middle_of_a_long_chain_is_left_out_and_said_to_be():
    lines = one_screen(answer(causes=30), Terminal(80, True, height=24), UTC, height=24)

    assert any("24 in between" in line for line in lines)


def test_of_a_process_ended_by_a_signal_the_stack_shown_is_that_of_the_thread_it_fell_in():
    lines = one_screen(answer(causes=1, traceback=FAULT), Terminal(80, True, height=24), UTC, height=24)

    assert any("native.py" in line for line in lines)
    assert not any("other.py" in line for line in lines)


def test_a_higher_terminal_shows_more_of_it():
    view = answer(causes=3)

    low, high = (one_screen(view, Terminal(120, True, height=h), UTC, height=h) for h in (24, 60))

    assert len(low) < len(high) <= 60
    assert any("0 x" in line for line in high)


def test_cut_counts_columns_and_not_characters():
    assert cut("語語語", 4) == "語…"
    assert cut("語語", 4) == "語語"
    assert cut("abcdef", 4) == "abc…"
