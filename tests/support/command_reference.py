"""`docs/reference/commands.md` as the app itself says it.

PYTHONPATH=tests python tests/support/command_reference.py > docs/reference/commands.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from supervisors.cli.calling import SHARED, Panel, Shape
from supervisors.cli.commands import ALIASES
from supervisors.cli.failures import EXIT_MEANINGS
from supervisors.cli.main import all_commands, make_group
from supervisors.cli.states import LOOKS
from supervisors.cli.topics import OUTPUT, PATHS, TAPS
from supervisors.views import NodeState
from supervisors.views.documents import DOCUMENTS

HEAD = """\
# actorctl: commands, options, output, exit codes

This page is made from the program (`tests/support/command_reference.py`) and a test holds the two together. The same is
shown by `actorctl --help`, `actorctl COMMAND --help` and `actorctl help TOPIC`.

    actorctl [OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]
"""


def reference() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_commands(), *_shared(), *_paths(), *_output(), *_documents(), *_exit_codes()]) + "\n"


def _commands() -> Iterator[str]:
    found = list(all_commands())
    for panel in Panel:
        yield f"## {panel.value}\n"
        for words, command in found:
            if command.rich_help_panel == panel.value:
                yield from _command(" ".join(words), command)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    shown = " ".join([name, *(argument.metavar or argument.name.upper() for argument in arguments)])
    yield f"### `actorctl {shown}`\n"
    yield inspect.cleandoc(command.help) + "\n"
    aliases = [alias for alias, of in ALIASES.items() if of == name]
    if aliases:
        yield f"Also: {', '.join(f'`actorctl {alias}`' for alias in aliases)}.\n"
    rows = [(f"`{argument.metavar or argument.name.upper()}`", argument.help or "") for argument in arguments]
    rows += [_option(param) for param in command.params if param.param_type_name == "option" and not _is_shared(param)]
    if rows:
        yield "| | |\n|---|---|"
        yield from (f"| {spelling} | {_cell(about)} |" for spelling, about in rows)
        yield ""
    yield "Shared options: " + ", ".join(f"`{param.opts[0]}`" for param in command.params if _is_shared(param)) + ".\n"
    declared = command.declaration
    if declared.document:
        lines = "JSON Lines of the items of " if declared.shape is Shape.STREAM else ""
        yield f"`-o json`: {lines}a document of kind `{declared.document}`.\n"
    yield "\n".join(f"    actorctl {example}" for example in declared.examples) + "\n"


def _option(param: Any) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    value = f" `{param.metavar}`" if param.metavar and not param.is_flag else ""
    default = param.show_default if isinstance(param.show_default, str) else param.default
    shown = f" Default: {default}." if default not in {None, "", False, True} and not param.is_flag else ""
    return names + value, f"{param.help or ''}{shown}"


def _is_shared(param: Any) -> bool:
    return (
        param.param_type_name == "option"
        and param.name in SHARED
        and getattr(param, "rich_help_panel", None) is not None
    )


def _shared() -> Iterator[str]:
    yield "## Shared options\n"
    yield "They stand before or after the command; the one nearer to it wins.\n"
    yield "| | |\n|---|---|"
    for param in make_group().params:
        if param.name in SHARED:
            spelling, about = _option(param)
            yield f"| {spelling} | {_cell(about)} |"
    yield ""


def _paths() -> Iterator[str]:
    yield "## Paths, selectors, states\n"
    yield _indented(PATHS)
    yield "| glyph | ASCII | state | selector |\n|---|---|---|---|"
    for state in NodeState:
        look = LOOKS[state]
        yield f"| {look.glyph} | `{look.plain}` | {look.word} | `@{state.value}` |"
    yield ""


def _output() -> Iterator[str]:
    yield "## Output\n"
    yield _indented(OUTPUT)
    yield "## Taps\n"
    yield _indented(TAPS)


def _documents() -> Iterator[str]:
    yield "## Documents\n"
    yield "`actorctl schema KIND` prints a document's JSON Schema. Fields are only ever added within `actors/v1`.\n"
    yield "| kind | commands |\n|---|---|"
    found = list(all_commands())
    for kind in DOCUMENTS:
        names = [" ".join(words) for words, command in found if command.declaration.document == kind]
        yield f"| `{kind}` | {', '.join(f'`{name}`' for name in names) or 'errors, on stderr'} |"
    yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | of a command | of `actorctl run` |\n|---|---|---|"
    for code, (of_command, of_node) in EXIT_MEANINGS.items():
        yield f"| {int(code)} | {_cell(of_command)} | {_cell(of_node) or '–'} |"


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.rstrip("\n").split("\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
