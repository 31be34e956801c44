"""The tables of jobs in the file of state, from the first version on."""

from __future__ import annotations

from typing import Final

from actors.jobs.earlier import FIRST_STEP, bring_over
from actors.jobs.tables import CRON_STEP, LAST_STEP, LINES_STEP, STEP
from actors.state.migrations import Migrations

JOBS: Final = Migrations("jobs", (FIRST_STEP, STEP, LINES_STEP, CRON_STEP, bring_over, LAST_STEP))
"""Versions: 1 had the jobs of the index alone, 2 to 4 had them beside those of queues, from 5 on they are such;
6 takes note of the highest number as its row goes."""
