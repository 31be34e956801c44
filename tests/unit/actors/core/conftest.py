"""A system for each test, shut down after it; a test that leaves a thread inside an actor says so itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors import ActorSystem
from actors.testing import PATIENCE


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    made = ActorSystem("test")
    yield made
    assert made.shutdown(PATIENCE), "something did not end"


@pytest.fixture(params=["pool", "thread"])
def placement(request: pytest.FixtureRequest) -> str:
    return str(request.param)
