import pytest

from supervisors.cli.failures import EXIT_MEANINGS, CommandError, ExitCode
from supervisors.cli.terminal import Terminal
from supervisors.cli.topics import exit_codes
from transport.errors import ErrorCode

EXPECTED = {
    "failed": 1, "usage": 2, "not_found": 3, "unreachable": 4, "condition": 5, "timeout": 6, "conflict": 7,
    "invalid": 8, "partial": 9, "denied": 10, "internal": 70,
}  # fmt: skip


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_of_the_wire_has_its_exit_code(code):
    assert CommandError(str(code), "x").exit_code == EXPECTED[str(code)]


def test_a_code_of_a_newer_node_is_a_failure_not_a_bug_of_ours():
    assert CommandError("of_tomorrow", "x").exit_code is ExitCode.FAILED


def test_every_exit_code_is_explained():
    text = "\n".join(exit_codes(Terminal()))

    assert set(EXIT_MEANINGS) == set(ExitCode)
    assert all(f"{int(code):>3}  " in text for code in ExitCode)
