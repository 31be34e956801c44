"""What holds for every test."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long it takes to draw an input says how busy the machine is, and nothing of the code.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A change is judged by the inputs the one before it was judged by; `make properties` looks for new ones.
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was written during a test as text that goes from one process to another: some tests write odd text."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report
