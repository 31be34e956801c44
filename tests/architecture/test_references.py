"""Pages made from code are as the code is."""

from __future__ import annotations

import importlib

import pytest
from support import event_reference, python_reference
from support.docs import ROOT


@pytest.mark.parametrize(
    ("page", "made"),
    [("events.md", event_reference.reference), ("python.md", python_reference.reference)],
)
def test_a_generated_page_is_as_the_code_says(page: str, made: object) -> None:
    assert callable(made)
    written = (ROOT / "docs" / "reference" / page).read_text("utf-8")

    assert written == made(), f"make it anew: PYTHONPATH=tests python {made.__code__.co_filename} > {page}"


@pytest.mark.parametrize("name", python_reference.MODULES)
def test_every_public_name_is_documented_where_it_is_defined(name: str) -> None:
    module = importlib.import_module(name)

    missing = [
        public
        for public in python_reference.public_names(module)
        if not python_reference.summary_of(getattr(module, public))
    ]
    assert not missing
    assert python_reference.public_names(module)
