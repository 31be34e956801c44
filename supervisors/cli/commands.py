"""The table of commands, and the group that imports a command's module only when it is called for.

A reading command must be back in a quarter of a second, so `actorctl tree` builds one command and imports one module;
`actorctl --help` and completion build them all. A test holds this table and the modules' own declarations together.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, MutableMapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_group_from_info

from supervisors.cli.coercion import lighten
from supervisors.cli.failures import usage
from supervisors.cli.terminal import speaks_unicode

BOX_COLUMNS: Final = 80
"""Least width of a terminal in which boxes show the names of all options whole."""

MODULES: Final = {
    "init": "projects",
    "run": "running",
    "up": "starting",
    "check": "projects",
    "config": "projects",
    "cron": "cron",
    "tree": "trees",
    "ps": "trees",
    "top": "top",
    "status": "trees",
    "describe": "details",
    "why": "details",
    "wait": "waits",
    "start": "controls",
    "stop": "controls",
    "restart": "controls",
    "reread": "controls",
    "suspend": "controls",
    "resume": "controls",
    "kill": "controls",
    "reset": "controls",
    "down": "ending",
    "reload": "reloading",
    "daemon": "daemon",
    "service": "services",
    "jobs": "jobs",
    "queue": "queues",
    "dlq": "queues",
    "backup": "backups",
    "restore": "backups",
    "send": "messaging",
    "ask": "messaging",
    "key": "keys",
    "events": "observing",
    "logs": "logs",
    "level": "levels",
    "tap": "tapping",
    "taps": "tapping",
    "sql": "queries",
    "history": "history",
    "report": "reporting",
    "doctor": "doctor",
    "version": "about",
    "schema": "about",
    "completion": "about",
    "help": "about",
}
"""Which module of this package declares a command; in the order of the help."""

ALIASES: Final = {"ls": "ps", "t": "tree"}
ELSEWHERE: Final = {
    "list": "ps",
    "show": "describe",
    "inspect": "describe",
    "info": "describe",
    "explain": "why",
    "log": "events",
    "past": "sql",
    "query": "sql",
    "tell": "send",
    "call": "ask",
    "validate": "check",
    "unsuspend": "resume",
    "shutdown": "down",
    "quit": "down",
    "pause": "daemon pause",
    "continue": "daemon resume",
    "drain": "daemon drain",
    "install": "service install",
    "uninstall": "service uninstall",
    "prune": "history prune",
    "retry": "jobs retry",
}
"""Words of other tools, and which command does that here."""


class Commands(MutableMapping[str, Any]):
    """Names to commands, built when looked up."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = _build(name)
        return self._built[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._built[name] = value

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class ActorctlGroup(TyperGroup):
    """The root: looks commands up in `MODULES`."""

    def __init__(self, **options: Any) -> None:
        options["commands"] = {}
        super().__init__(**options)
        self.commands = Commands()
        for param in self.params:
            lighten(param)

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`."""
        option = super().get_help_option(ctx)
        lighten(option)
        return option

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every command, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name or alias."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        return self.commands[cmd_name] if cmd_name in MODULES else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an unknown one is a usage error that says what is near.

        Raises:
            CommandError: `usage`.
        """
        name = args[0]
        found = self.get_command(ctx, name)
        if found is None and not ctx.resilient_parsing and not name.startswith("-"):
            known = [*MODULES, *ALIASES]
            near = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, known, n=3, cutoff=0.6)
            listed = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(MODULES)}"
            raise usage(f"no such command {name!r}", f"{listed}; see: actorctl --help")
        if found is None:
            return super().resolve_command(ctx, args)
        return ALIASES.get(name, name), found, args[1:]


def _build(name: str) -> Any:
    app: typer.Typer = import_module(f"supervisors.cli.{MODULES[name]}").app
    for info in app.registered_commands:
        if info.name == name:
            return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=markup())
    for group in app.registered_groups:
        if group.name == name:
            return get_group_from_info(
                group, pretty_exceptions_short=False, rich_markup_mode=markup(), suggest_commands=True
            )
    raise LookupError(f"module {MODULES[name]} declares no command {name}")


def markup() -> Any:
    """Return how help is laid out: boxes by rich, or plain text where they could not be shown or would cut names."""
    has_room = shutil.get_terminal_size().columns >= BOX_COLUMNS
    return "rich" if has_room and speaks_unicode(sys.stdout.encoding, os.environ) else None
