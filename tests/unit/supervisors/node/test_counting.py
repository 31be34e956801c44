"""Counts: numbers and arithmetic over the machine, never evaluated as code."""

import pytest

from supervisors.node.counting import COUNT_LIMIT, CountError, Machine, evaluate_count, this_machine

MACHINE = Machine(cpus=5, mem_gib=15.5)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4", 4),
        ("0", 0),
        ("2.9", 2),
        ("cpus", 5),
        ("max(2, cpus/2)", 2),
        ("max(2, cpus)", 5),
        ("min(cpus, mem_gib/2, 3)", 3),
        ("2 + 3*4 - 1", 13),
        ("(2 + 3) * 4", 20),
        ("8/2/2", 2),
        ("10 - 3 - 2", 5),
        ("max(-1, 2)", 2),
        ("max(--2, 1)", 2),
        ("min(7)", 7),
        (f"{COUNT_LIMIT}", COUNT_LIMIT),
    ],
)
def test_arithmetic_over_the_machine_gives_a_count(text, count):
    assert evaluate_count(text, MACHINE) == count


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too soon"),
        ("   ", "ends too soon"),
        ("cpu", "'cpu' is not expected"),
        ("2 2", "'2' is not expected"),
        ("max(", "ends too soon"),
        ("max(1", "')' is missing"),
        ("max 1", "'(' is missing"),
        ("(1", "')' is missing"),
        ("1)", "')' is not expected"),
        ("1 / 0", "divides by zero"),
        ("cpus / (5 - cpus)", "divides by zero"),
        ("1 - 2", "is not in 0..10000"),
        ("10001", "is not in 0..10000"),
        ("cpus ** 2", "'*' is not expected"),
        ("__import__('os').system('true')", '"\'" is not expected'),
        ("[].__class__", "'[' is not expected"),
        ("cpus.real", "'.' is not expected"),
        ("1e3", "'e3' is not expected"),
        ("(" * 100, "ends too soon"),
        ("1+" * 2000, "longer than"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, why):
    with pytest.raises(CountError) as caught:
        evaluate_count(text, MACHINE)

    assert why in str(caught.value)
    assert caught.value.hint


def test_this_machine_has_a_processor_and_memory():
    machine = this_machine()

    assert machine.cpus >= 1
    assert machine.mem_gib > 0
