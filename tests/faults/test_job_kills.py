"""Kill -9 of a runtime that adds and does jobs: none is lost, each ends once, what was begun twice is marked."""

from __future__ import annotations

import pytest
from support.job_trial import trial


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_each_job_ends_once_however_often_the_runtime_is_killed(tmp_path):
    figures = trial(tmp_path, rounds=4, seed=7)

    assert figures["accepted"] > 10
