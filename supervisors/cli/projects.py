"""`init`, `check` and `config show`: the project's files. They need no node and start nothing."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.terminal import Style
from supervisors.cli.texts import plural, printable
from supervisors.views import ConfigEntry, FaultView, FileView

app = typer.Typer()
config_app = typer.Typer(help="Show the configuration in effect.", no_args_is_help=False)
app.add_typer(config_app, name="config", rich_help_panel=Panel.PROJECT.value)

ConfigFile = Annotated[
    str | None, typer.Option("--config", "-c", metavar="FILE", help="Else actors.toml here, else the built-in system.")
]


@command(
    app,
    "check",
    panel=Panel.PROJECT,
    document="FaultList",
    shape=Shape.LIST,
    is_local=True,
    examples=("check", "check deploy/actors.toml", "check -o json | jq -r '.items[].message'"),
)
def check(
    call: Call,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Else actors.toml here, else the built-in system.")
    ] = None,
    imports: Annotated[bool, typer.Option("--imports/--no-imports", help="Import every actor's class too.")] = True,
) -> Listing:
    """Check a configuration: every fault with line and remedy.

    Every actor's class is imported too, and its arguments are checked; nothing is started.
    """
    loaded, faults = _load(file, imports=imports, home=call.settings.home)
    failure = None
    if faults:
        hint = f"mend them, then: actorctl check{f' {shlex.quote(file)}' if file else ''}"
        failure = CommandError("invalid", f"{plural(len(faults), 'fault')} in the configuration", hint)
    elif not call.format.is_json:
        rows = loaded.rows()
        sources = ", ".join(loaded.sources)
        call.note(f"sound: {sources}; {plural(_actors(rows), 'actor')} described, home {loaded.home}")
    return Listing(
        "FaultList", faults, FAULT_COLUMNS, lambda f: f"{f.file}:{f.line}" if f.line else str(f.file), failure=failure
    )


@command(
    config_app,
    "show",
    panel=Panel.PROJECT,
    document="ConfigList",
    shape=Shape.LIST,
    is_local=True,
    examples=("config show", "config show runtime", "config show --set-only", "config show -o json"),
)
def show(
    call: Call,
    prefix: Annotated[str, typer.Argument(metavar="[KEY]", help="Only keys that begin with it.")] = "",
    file: ConfigFile = None,
    set_only: Annotated[bool, typer.Option("--set-only", help="Leave defaults out.")] = False,
) -> Listing:
    """Show every value in effect and where it came from.

    Secrets are shown by their references only.
    """
    loaded, faults = _load(file, imports=False, home=call.settings.home)
    if faults:
        first = faults[0]
        where = f"{first.file}:{first.line}" if first.line else first.file
        raise CommandError("invalid", f"{where}: {first.key}: {first.message}", "actorctl check shows every fault")
    entries = [
        ConfigEntry(key=row.key, value=row.value, origin=row.origin)
        for row in loaded.rows()
        if row.key.startswith(prefix) and not (set_only and row.origin == "default")
    ]
    if prefix and not entries:
        keys = sorted({row.key.partition(".")[0] for row in loaded.rows()})
        raise CommandError("not_found", f"no key begins with {prefix!r}", f"there are {', '.join(keys)}")
    return Listing("ConfigList", entries, CONFIG_COLUMNS, lambda entry: str(entry.key))


@command(
    app,
    "init",
    panel=Panel.PROJECT,
    document="FileList",
    shape=Shape.LIST,
    is_local=True,
    examples=("init", "init my-project --template minimal"),
)
def init(
    call: Call,
    folder: Annotated[str, typer.Argument(metavar="[DIR]", help="Where; made if it is missing.")] = ".",
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="minimal (two actors of your own) or builtin (all of it).")
    ] = "",
    from_supervisord: Annotated[
        str, typer.Option("--from-supervisord", metavar="FILE", help="Take over a supervisord.conf instead.")
    ] = "",
    from_pm2: Annotated[
        str, typer.Option("--from-pm2", metavar="FILE", help="Take over an ecosystem file of pm2 instead.")
    ] = "",
    from_aiwg: Annotated[
        str, typer.Option("--from-aiwg", metavar="FILE", help="Take over a daemon.yaml of AIWG instead.")
    ] = "",
) -> Listing:
    """Write a project that runs at once.

    A commented actors.toml and actors of your own. Nothing that is there already is overwritten. What is taken over
    from another program leaves out values that sound secret, and names what it could not take.
    """
    taken = {"supervisord": from_supervisord, "pm2": from_pm2, "aiwg": from_aiwg}
    named = [(kind, file) for kind, file in taken.items() if file]
    if named:
        if len(named) > 1 or template:
            raise usage("one project comes from one place", "give one of --template and --from-…")
        return _taken_over(call, Path(folder), *named[0])
    from supervisors.node.projects import TEMPLATES, ProjectExistsError, write_project

    name = template or next(iter(TEMPLATES))
    if name not in TEMPLATES:
        raise usage(f"there is no template {name!r}", "; ".join(f"{key}: {about}" for key, about in TEMPLATES.items()))
    try:
        written = write_project(Path(folder), name)
    except ProjectExistsError as error:
        raise CommandError("conflict", str(error), "actorctl init OTHER-FOLDER") from None
    except OSError as error:
        raise CommandError("failed", f"cannot write to {folder}: {error.strerror or error}") from None
    there = "" if folder == "." else f"cd {folder} && "
    return Listing(
        "FileList",
        [FileView(path=str(path)) for path in written],
        (Column("path", lambda f: f.path),),
        lambda f: str(f.path),
        hints=(f"{there}actorctl check", f"{there}actorctl run", f"{there}actorctl tree"),
    )


def _taken_over(call: Call, folder: Path, kind: str, file: str) -> Listing:
    from supervisors.node.loading import FILE_NAME
    from supervisors.node.neighbours import ImportFileError, import_neighbour

    source, target = Path(file).expanduser(), folder / FILE_NAME
    if target.exists() or target.is_symlink():
        raise CommandError("conflict", f"{target} is there already; nothing was written", "actorctl init OTHER-FOLDER")
    try:
        found = import_neighbour(kind, source)
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(found.text(source.name))
    except ImportFileError as error:
        raise CommandError("invalid", str(error), "actorctl init --help") from None
    except OSError as error:
        raise CommandError("failed", f"{error.filename or source}: {error.strerror or error}") from None
    for note in found.notes:
        call.note(f"not taken over: {note}")
    for name in sorted(found.secrets):
        call.note(f"a secret, to be set in the environment: {name}")
    call.hint("actorctl check; actorctl run")
    return Listing("FileList", [FileView(path=str(target))], (Column("path", lambda f: f.path),), lambda f: str(f.path))


def _load(file: str | None, *, imports: bool, home: str | None) -> tuple[Any, list[FaultView]]:
    """Return (configuration, faults); one of them is empty. A `home` that was named lies over the configured one."""
    from supervisors.node.faults import ConfigurationError
    from supervisors.node.loading import home_flag, load_config

    try:
        flags = home_flag(Path(home)) if home else ()
        return load_config(Path(file) if file else None, flags=flags, imports=imports), []
    except ConfigurationError as error:
        return None, [
            FaultView(
                message=fault.message,
                key=fault.key,
                path=fault.path,
                file=fault.file,
                line=fault.line or None,
                hint=fault.hint,
            )
            for fault in error.faults
        ]


def _actors(rows: Any) -> int:
    return sum(row.key.startswith("actors.") and row.key.endswith(".use") for row in rows)


FAULT_COLUMNS = (
    Column("place", lambda f: f"{f.file}:{f.line}" if f.line else f.file),
    Column("key", lambda f: f.key),
    Column("message", lambda f: f.message, lambda f: printable(f.message), lambda f: Style.BAD),
    Column("hint", lambda f: f.hint, lambda f: printable(f.hint)),
)
CONFIG_COLUMNS = (
    Column("key", lambda e: e.key),
    Column("value", lambda e: e.value),
    Column("origin", lambda e: e.origin, style=lambda e: Style.DIM if e.origin == "default" else None),
)
