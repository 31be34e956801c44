"""`version`, `schema`, `completion` and `help`: about actorctl itself. None of them needs a node."""

from __future__ import annotations

import json
import platform
import sys
from difflib import get_close_matches
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing, Page
from supervisors.cli.topics import TOPICS
from supervisors.views import VersionView
from supervisors.views.documents import DOCUMENTS, SchemaView, schema

app = typer.Typer()

COMPONENTS: Final = (
    "actorctl", "pykka", "pyzmq", "msgpack", "msgspec", "duckdb", "croniter", "psutil", "typer", "rich", "pydantic",
)  # fmt: skip
"""The distributions whose versions are shown."""

SHELLS: Final = ("bash", "zsh", "fish", "powershell", "pwsh")


@command(
    app,
    "version",
    panel=Panel.ABOUT,
    document="VersionList",
    shape=Shape.LIST,
    is_local=True,
    examples=("version", "version -o json"),
)
def version(call: Call) -> Listing:
    """Show the versions of actorctl and of what it runs on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    found = []
    for name in COMPONENTS:
        try:
            found.append(VersionView(component=name, version=installed(name)))
        except PackageNotFoundError:
            found.append(VersionView(component=name, version="not installed"))
    found.insert(1, VersionView(component="python", version=platform.python_version()))
    found.append(
        VersionView(component="platform", version=f"{platform.system()} {platform.release()} {platform.machine()}")
    )
    columns = (Column("component", lambda v: v.component), Column("version", lambda v: v.version))
    return Listing("VersionList", found, columns, lambda v: f"{v.component} {v.version}")


@command(
    app,
    "schema",
    panel=Panel.ABOUT,
    document="SchemaList",
    shape=Shape.PAGE,
    is_local=True,
    examples=("schema", "schema tree", "schema ActorList > actor-list.schema.json"),
)
def show_schema(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="[KIND|COMMAND]", help="A document's kind, or a command.")
    ] = None,
) -> Page:
    """Show the JSON Schema of what -o json prints."""
    commands = _documents_of_commands()
    if name is None:
        views = tuple(SchemaView(kind=kind, commands=commands.get(kind, ()), schema=schema(kind)) for kind in DOCUMENTS)
        return Page(
            "SchemaList",
            views,
            lambda _: [f"{view.kind:<14} {', '.join(view.commands)}".rstrip() for view in views],
            lambda view: str(view.kind),
            hints=("actorctl schema KIND",),
        )
    kind = next((kind for kind in DOCUMENTS if kind.lower() == name.lower() or name in commands.get(kind, ())), None)
    if kind is None:
        known = [*DOCUMENTS, *(word for words in commands.values() for word in words)]
        near = get_close_matches(name, known, n=1)
        raise CommandError(
            "not_found",
            f"there is no document {name!r}",
            f"did you mean {near[0]}?" if near else f"there are {', '.join(DOCUMENTS)}",
        )
    view = SchemaView(kind=kind, commands=commands.get(kind, ()), schema=schema(kind))
    return Page(
        "SchemaList", (view,), lambda _: json.dumps(view.schema, indent=2).splitlines(), lambda view: str(view.kind)
    )


@command(
    app,
    "completion",
    panel=Panel.ABOUT,
    is_local=True,
    examples=("completion bash >> ~/.bashrc", "completion fish > ~/.config/fish/completions/actorctl.fish"),
)
def completion(
    call: Call, shell: Annotated[str, typer.Argument(metavar="SHELL", help=f"{', '.join(SHELLS)}.")]
) -> None:
    """Print the completion script of a shell."""
    if shell not in SHELLS:
        near = get_close_matches(shell, SHELLS, n=1)
        raise usage(
            f"no completion for {shell!r}", f"did you mean {near[0]}?" if near else f"shells: {', '.join(SHELLS)}"
        )
    from typer._completion_shared import get_completion_script  # typer 0.29.2

    script = get_completion_script(prog_name="actorctl", complete_var="_ACTORCTL_COMPLETE", shell=shell)
    sys.stdout.write(script.rstrip() + "\n")


@command(app, "help", panel=Panel.ABOUT, is_local=True, examples=("help exit-codes", "help paths", "help stop"))
def show_help(
    call: Call,
    topic: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC|COMMAND]", help=f"{', '.join(TOPICS)}; or a command.")
    ] = None,
) -> None:
    """Explain a topic or a command."""
    from supervisors.cli.main import make_group, show_command_help

    words = topic or []
    if len(words) == 1 and words[0] in TOPICS:
        call.output.lines(TOPICS[words[0]][1](call.output.terminal))
        return
    if not words:
        show_command_help(make_group(), [])
        call.output.lines(["Topics:", *(f"  actorctl help {name:<12} {about}" for name, (about, _) in TOPICS.items())])
        return
    if not show_command_help(make_group(), words):
        from supervisors.cli.commands import MODULES

        near = get_close_matches(words[0], [*TOPICS, *MODULES], n=1)
        there = f"topics: {', '.join(TOPICS)}"
        raise CommandError(
            "not_found",
            f"there is no topic or command {' '.join(words)!r}",
            f"did you mean {near[0]}? {there}" if near else there,
        )


def _documents_of_commands() -> dict[str, tuple[str, ...]]:
    from supervisors.cli.main import all_commands

    found: dict[str, tuple[str, ...]] = {}
    for words, declared in all_commands():
        kind = declared.declaration.document
        if kind:
            found[kind] = (*found.get(kind, ()), " ".join(words))
    return found
