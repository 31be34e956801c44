"""Rules every module keeps: it says its subject, it is short, and it is not named after something else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT

PACKAGES = ("actors", "transport", "supervisors")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SHOWN = [path.relative_to(ROOT).as_posix() for path in MODULES]

LONGEST = 400
LONGER: dict[str, str] = {
    "actors/events.py": "a list of values without rules; the page of events is made from it in its order",
}
"""Modules that may be longer than `LONGEST` lines, each with the reason; never longer than `LIMIT`."""

LIMIT = 500

NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base_utils"}
LIKE_THE_STANDARD_LIBRARY = {
    "actors/core/mailbox.py": "the field's word for it, and of this project",
    "supervisors/selectors.py": "the word that users of actorctl read for what it decides",
}
"""Modules that share their name with one of the standard library's, each with the reason."""


def test_there_are_modules() -> None:
    assert len(MODULES) > 100
    assert {path.split("/")[0] for path in SHOWN} == set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=SHOWN)
def test_a_module_says_its_subject_in_a_sentence(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))

    assert text, "no docstring"
    assert text.split("\n\n")[0].rstrip().endswith((".", ":", "?")), text.split("\n\n")[0]


@pytest.mark.parametrize("path", MODULES, ids=SHOWN)
def test_a_module_is_short_or_its_length_has_a_written_reason(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())

    assert lines <= (LIMIT if path.relative_to(ROOT).as_posix() in LONGER else LONGEST)


def test_the_list_of_long_modules_names_long_modules() -> None:
    assert not [name for name in LONGER if len((ROOT / name).read_text("utf-8").splitlines()) <= LONGEST]


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in MODULES if "templates" not in path.parts}

    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.parametrize("path", SHOWN)
def test_a_module_is_named_after_its_subject_alone(path: str) -> None:
    name = path.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")[2]

    assert name not in NAMELESS
    assert (name in sys.stdlib_module_names) == (path in LIKE_THE_STANDARD_LIBRARY)


@pytest.mark.parametrize("path", MODULES, ids=SHOWN)
def test_what_a_package_exports_is_there_and_sorted(path: Path) -> None:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            assert len(set(names)) == len(names)
            if path.name == "__init__.py":
                done = subprocess.run(
                    [sys.executable, "-c", f"from {'.'.join(path.relative_to(ROOT).parent.parts)} import *"],
                    check=False,
                )
                assert done.returncode == 0


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
