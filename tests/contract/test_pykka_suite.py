"""Pykka's own test suite passes with our actor in place of `pykka.ThreadingActor`, on both dispatchers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.pykka_suite import fetch_sdist, run_suite, unpack


@pytest.fixture(scope="module")
def sdist() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "actorctl-tests"
    return fetch_sdist(cache)


@pytest.mark.parametrize("dispatcher", ["thread", "pool"])
def test_pykkas_own_suite_passes_with_our_actor(dispatcher: str, sdist: Path, tmp_path: Path) -> None:
    top = unpack(sdist, tmp_path)

    passed, broken, output = run_suite(top, dispatcher, timeout=100.0)

    assert broken == 0, output
    assert passed > 140, output
