"""A launcher whose children are programs."""

from __future__ import annotations

import pytest
from support.launching import launching


@pytest.fixture
def host(tmp_path):
    with launching(tmp_path / "run") as made:
        yield made
