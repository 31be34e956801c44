"""A launcher, on private sockets with pidfds and, for what must not depend on them, on tcp with waiting threads."""

from __future__ import annotations

import pytest
from support.launching import launching
from support.processes import TIMEOUT

from supervisors.processes import copies, core, rehearsal


@pytest.fixture
def unhurried(monkeypatch):
    """Nobody takes a spare or a nursery that is held up for one that hangs."""
    monkeypatch.setattr(core, "HANDOVER_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(copies, "GROW_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(rehearsal, "TIMEOUT", TIMEOUT)


@pytest.fixture
def host(tmp_path):
    with launching(tmp_path / "run") as made:
        yield made


@pytest.fixture(params=["ipc", "tcp"])
def any_host(request, tmp_path):
    with launching(tmp_path / "run", tcp=request.param == "tcp", pidfds=request.param == "ipc") as made:
        yield made
