"""`docs/reference/python.md`: the public names, each with the first sentence of its docstring.

PYTHONPATH=tests python tests/support/python_reference.py > docs/reference/python.md
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType

MODULES = {
    "actors": "Write actors.",
    "actors.testing": "Test them, with a clock moved by hand.",
    "actors.jobs.handlers": "Do jobs.",
    "actors.jobs.client": "Add jobs, and wait for them.",
    "supervisors": "The values a tree is made of.",
    "supervisors.api": "The same values, in the words of `actors.toml`.",
    "supervisors.running": "Run a tree inside a program.",
}
"""What an application may import, and what for."""

HEAD = """\
# Python names

What an application may import. Everything else is internal and may change. Signatures, units, errors and threads are in
the docstrings (`python -m pydoc actors.Actor`); all of it is typed.

This page is made from the modules (`tests/support/python_reference.py`), and a test holds the two together.
"""


def reference() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(line for name in MODULES for line in _module(name))]).rstrip() + "\n"


def public_names(module: ModuleType) -> list[str]:
    """Return the names of `__all__`, or else those that the module defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value)
    )


def summary_of(value: object) -> str:
    """Return the first sentence of a docstring; a value that has none of its own is shown by its text."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return "`{}`".format(re.sub(r"\b(?:\w+\.)+(?=\w+\b)", "", str(value)).replace("|", "\\|"))
    text = re.sub(r"\s+", " ", inspect.getdoc(value) or "")
    return re.split(r"(?<=\.)\s", text)[0].replace("|", "\\|")


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"## `{name}`\n\n{MODULES[name]}\n"
    yield "| name | |\n|---|---|"
    for public in public_names(module):
        yield f"| `{public}` | {summary_of(getattr(module, public))} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(reference())
