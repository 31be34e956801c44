"""Packages whose exports are imported when they are asked for: what type checkers read is what is found at run time."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("actors", "supervisors", "supervisors.views")


def checked_names(package: Any) -> dict[str, str]:
    """The module of each name that the package imports for type checkers."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    found = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom), ast.unparse(statement)
        found |= {alias.name: statement.module or "" for alias in statement.names}
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_what_type_checkers_are_told(name: str) -> None:
    package = importlib.import_module(name)
    homes = checked_names(package)

    assert set(package.__all__) == set(homes)
    for export, home in homes.items():
        found = importlib.import_module(name).__getattr__(export)
        assert found is getattr(importlib.import_module(home), export), export
        assert export in dir(package)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_is_not_exported_is_an_attribute_error_as_of_any_module(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        importlib.import_module(name).nothing


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_of_a_package_has_the_name_of_something_it_exports(name: str) -> None:
    package = importlib.import_module(name)
    modules = {path.stem for path in Path(package.__path__[0]).iterdir()}

    assert modules.isdisjoint(package.__all__)


def test_importing_a_package_loads_no_library() -> None:
    code = "import sys, actors, supervisors, supervisors.views; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"pykka", "msgspec", "zmq", "duckdb", "typer", "asyncio"}.isdisjoint(done.stdout.split())
