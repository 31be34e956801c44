"""How a command is declared: its shared options, its panel, its document, and how its answer becomes output.

A command is a function of a `Call` and its own parameters that returns a `Listing`, a `Page` or nothing:

    @command(app, "ps", panel=Panel.INSPECT, document="ActorList", shape=Shape.LIST)
    def ps(call: Call, selectors: Selectors = None) -> Listing: ...

The options that every command shares (connection, output, talk) are added here, once, so that they stand before or
after the command's name and mean the same everywhere.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final

import typer
from msgspec import Struct, structs
from typer.core import TyperCommand

from supervisors.cli.coercion import lighten
from supervisors.cli.failures import CommandError
from supervisors.cli.rendering import Choice, Format, Listing, Output, Page
from supervisors.cli.terminal import ColorWhen, detect, streams
from supervisors.node.durations import parse_duration


class Panel(Enum):
    """The help panels, in order."""

    PROJECT = "Project"
    DAEMON = "Node"
    INSPECT = "Inspect"
    CONTROL = "Control"
    ACCESS = "Access"
    EVENTS = "Events and history"
    ABOUT = "About"


class Shape(Enum):
    """What a command writes, and so which output options it has."""

    NOTHING = "nothing"  # talk only
    PAGE = "page"  # -o
    LIST = "list"  # -o, --columns, --sort, --limit
    STREAM = "stream"  # -o table|jsonl|json, --columns


class Declaration(Struct, frozen=True):
    """What is known of a command besides its parameters.

    Attributes:
        document: Kind of the document that `-o json` prints; "" for a command that reads nothing.
        shape: Which output options it has.
        is_local: It needs no running node.
        examples: Command lines for the help, without `actorctl`.
    """

    document: str
    shape: Shape
    is_local: bool
    examples: tuple[str, ...]


class Settings(Struct, frozen=True):
    """The shared options as given; None where not given."""

    home: str | None = None
    endpoint: str | None = None
    timeout: float | None = None
    output: Format | None = None
    columns: str | None = None
    sort: str | None = None
    limit: int | None = None
    color: ColorWhen | None = None
    utc: bool | None = None
    quiet: bool | None = None
    verbose: bool | None = None
    yes: bool | None = None
    no_input: bool | None = None

    def at_home(self, home: str) -> Settings:
        """Return these settings for another home."""
        return structs.replace(self, home=home, endpoint=None)

    def over(self, base: Settings) -> Settings:
        """Return these settings, with those of `base` where nothing was given."""
        given = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return structs.replace(base, **given)


class Call:
    """One invocation: what was asked for, and where to write."""

    def __init__(self, command: str, settings: Settings, output: Output) -> None:
        self.command = command
        self.settings = settings
        self.output = output
        self.choice = Choice(
            settings.output or Format.TABLE,
            tuple(key.strip() for key in (settings.columns or "").split(",") if key.strip()),
            settings.sort or "",
            settings.limit,
            bool(settings.quiet),
        )
        self._exit_code = 0

    @property
    def format(self) -> Format:
        """The chosen format."""
        return self.choice.format

    @property
    def exit_code(self) -> int:
        """What the command ends with so far."""
        return self._exit_code

    def note(self, text: str) -> None:
        """Say something to people, on stderr."""
        self.output.note(text, self.choice)

    def hint(self, text: str) -> None:
        """Name the next command, to people, on stderr."""
        self.output.hint(text, self.choice)

    def write(self, answer: Listing | Page) -> None:
        """Write an answer, and remember its failure."""
        if isinstance(answer, Listing):
            self.output.listing(answer, self.choice)
        else:
            self.output.page(answer, self.choice)
        if answer.failure is not None:
            self.fail(answer.failure)

    def end(self, exit_code: int) -> None:
        """End with `exit_code` once the command returns."""
        self._exit_code = exit_code

    def fail(self, error: CommandError) -> None:
        """Print `error` and end with its exit code once the command returns."""
        self.output.error(error, self.format)
        self._exit_code = int(error.exit_code)


class ActorctlCommand(TyperCommand):
    """A command whose values are read without pydantic."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            lighten(param)
        self.declaration: Declaration = self.callback.declaration  # type: ignore[union-attr]  # `command` put it there

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`."""
        option = super().get_help_option(ctx)
        lighten(option)
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the examples at its end."""
        super().format_help(ctx, formatter)
        lines = ["Examples:", *(f"  actorctl {example}" for example in self.declaration.examples)]
        if self.declaration.examples:
            (formatter.write if self.rich_markup_mode is None else sys.stdout.write)("\n".join([*lines, ""]))


CONNECTION: Final = "Connection"
OUTPUT: Final = "Output"
TALK: Final = "Talk"

_HOME = Annotated[
    str | None,
    typer.Option("--home", metavar="DIR", help="Home of the runtime. [env ACTORCTL_HOME]", rich_help_panel=CONNECTION),
]
_ENDPOINT = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="FILE", help="An endpoints.json, or a home.", rich_help_panel=CONNECTION),
]
_TIMEOUT = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="DURATION", parser=parse_duration, help="Longest wait.", rich_help_panel=CONNECTION
    ),
]
_FORMAT = Annotated[
    Format | None,
    typer.Option(
        "--output", "-o", metavar="FORMAT", help="table, wide, json, jsonl, csv or name.", rich_help_panel=OUTPUT
    ),
]
_COLUMNS = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Which columns, in this order.", rich_help_panel=OUTPUT),
]
_SORT = Annotated[
    str | None,
    typer.Option("--sort", metavar="COLUMN", help="By a column; -COLUMN is descending.", rich_help_panel=OUTPUT),
]
_LIMIT = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=0, help="At most N items.", rich_help_panel=OUTPUT)
]
_COLOR = Annotated[
    ColorWhen | None, typer.Option("--color", metavar="WHEN", help="auto, always or never.", rich_help_panel=OUTPUT)
]
_UTC = Annotated[bool | None, typer.Option("--utc", help="Times in UTC.", rich_help_panel=OUTPUT)]
_QUIET = Annotated[bool | None, typer.Option("--quiet", "-q", help="No notes and no hints.", rich_help_panel=TALK)]
_VERBOSE = Annotated[bool | None, typer.Option("--verbose", "-v", help="Tracebacks of errors.", rich_help_panel=TALK)]
_YES = Annotated[bool | None, typer.Option("--yes", "-y", help="Answer questions with yes.", rich_help_panel=TALK)]
_NO_INPUT = Annotated[bool | None, typer.Option("--no-input", help="Never ask.", rich_help_panel=TALK)]

_ALWAYS: Final = {"color": _COLOR, "utc": _UTC, "quiet": _QUIET, "verbose": _VERBOSE}
_OF_SHAPE: Final[dict[Shape, dict[str, Any]]] = {
    Shape.NOTHING: {"output": _FORMAT},
    Shape.PAGE: {"output": _FORMAT, "columns": _COLUMNS},
    Shape.LIST: {"output": _FORMAT, "columns": _COLUMNS, "sort": _SORT, "limit": _LIMIT},
    Shape.STREAM: {"output": _FORMAT, "columns": _COLUMNS, "limit": _LIMIT},
}
_TO_A_NODE: Final = {"home": _HOME, "endpoint": _ENDPOINT, "timeout": _TIMEOUT}
_ASKING: Final = {"yes": _YES, "no_input": _NO_INPUT}

SHARED: Final = {**_TO_A_NODE, **_OF_SHAPE[Shape.LIST], **_ALWAYS, **_ASKING}
"""Every shared option by its name in `Settings`; the root takes them all, before the command."""


def command(
    app: typer.Typer,
    name: str,
    *,
    panel: Panel,
    document: str = "",
    shape: Shape = Shape.NOTHING,
    is_local: bool = False,
    asks: bool = False,
    own_timeout: bool = False,
    examples: tuple[str, ...] = (),
    hidden: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a command.

    Args:
        app: The module's Typer app.
        name: The word people type.
        panel: Its help panel.
        document: Kind of its JSON document.
        shape: Its output options.
        is_local: It needs no running node, so it has no connection options but `--home`.
        asks: It may ask a question, so it has `--yes` and `--no-input`.
        own_timeout: It declares `--timeout` itself.
        examples: For the help, without `actorctl`.
        hidden: Left out of the help.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        shared = {
            **({"home": _HOME} if is_local else _TO_A_NODE),
            **_OF_SHAPE[shape],
            **_ALWAYS,
            **(_ASKING if asks else {}),
        }
        signature = inspect.signature(function, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name not in {"call", "context"}]
        taken = {parameter.name for parameter in own}
        shared = {key: kind for key, kind in shared.items() if key not in taken}

        @functools.wraps(function)
        def run(context: typer.Context, **values: Any) -> int:
            given = Settings(**{key: values.pop(key) for key in shared})
            call = make_call(name, given.over(context.obj or Settings()))
            context.obj = call
            answer = function(call, **values)
            if answer is not None:
                call.write(answer)
            return call.exit_code

        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter("context", positional, annotation=typer.Context), *own]
        parameters += [
            inspect.Parameter(key, positional, default=None, annotation=kind) for key, kind in shared.items()
        ]
        kinds = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # or Typer would read the signature of `function`
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = kinds
        run.declaration = Declaration(document, shape, is_local, examples)  # type: ignore[attr-defined]
        app.command(name, cls=ActorctlCommand, rich_help_panel=panel.value, hidden=hidden)(run)
        return function

    return declare


def make_call(command_name: str, settings: Settings) -> Call:
    """Return the call for `settings`, writing to this process's streams."""
    out, err = streams()
    when = settings.color or ColorWhen.AUTO
    return Call(command_name, settings, Output(out, err, detect(out, when), detect(err, when)))
