"""How an exit status becomes an exit reason."""

from __future__ import annotations

from actors.exits import NORMAL, ExitKind, ExitReason
from supervisors.processes.statuses import reason_of_status, with_evidence


def test_code_zero_is_a_normal_end_even_when_something_was_written_to_stderr():
    assert reason_of_status(0, "warning: deprecated") == NORMAL


def test_the_last_words_on_stderr_become_the_traceback_and_their_last_line_the_message():
    reason = reason_of_status(
        1, "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'y'\n"
    )

    assert (reason.kind, reason.detail) == (ExitKind.CRASHED, "exit code 1")
    assert reason.crash.message == "ModuleNotFoundError: No module named 'y'"
    assert reason.crash.traceback.startswith("Traceback")


def test_a_signal_is_named_and_keeps_the_stacks_written_to_stderr():
    reason = reason_of_status(-11, 'Fatal Python error: Segmentation fault\n  File "x.py", line 1 in f')

    assert str(reason).endswith("(signal SIGSEGV)")
    assert "line 1 in f" in reason.crash.traceback


def test_of_what_faulthandler_wrote_the_message_says_which_error_it_was_and_not_which_modules_are_loaded():
    reason = reason_of_status(
        -11,
        "loading\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "x.py", line 1 in f\n\nExtension modules: msgspec._core, zmq (total: 2)\n',
    )

    assert reason.crash.message == "Fatal Python error: Segmentation fault"


def test_the_childs_own_traceback_is_not_replaced():
    own = ExitReason.crashed(ValueError("boom"))

    assert with_evidence(own, "noise") is own


def test_blank_stderr_is_no_evidence():
    assert reason_of_status(3, " \n ").crash is None
