"""The entry point of `actorctl`: parse, run, say what failed, end with the right code.

`main` is the one place where errors become text and exit codes. Nothing heavy is imported here: a command's module is
loaded when the command is called for (`supervisors.cli.commands`).
"""

from __future__ import annotations

import errno
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final

import typer
from typer.main import get_command

from actors.errors import ActorRuntimeError
from supervisors.cli.calling import SHARED, Settings, make_call
from supervisors.cli.commands import MODULES, ActorctlGroup, markup
from supervisors.cli.failures import CommandError, ExitCode
from supervisors.cli.rendering import Format
from supervisors.cli.terminal import open_missing
from supervisors.cli.unfinished import leave_if_unfinished

NAME: Final = "actorctl"
COMPLETE: Final = "_ACTORCTL_COMPLETE"
"""Set by the shells' completion scripts."""

_ABOUT: Final = """Look at, ask and control a running tree of supervised actors.

First steps: actorctl init, actorctl run, actorctl tree. Paths: /io/gmail, '/io/*', @failed (help paths).
Options that all commands share stand before or after the command (help options)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises.

    Args:
        arguments: Without the program's name; None takes `sys.argv`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        given = ["version"]
    open_missing()
    try:
        code = _run(given)
        sys.stdout.flush()
        leave_if_unfinished(code)
        return code
    except BrokenPipeError:  # the reader closed our output, which is its right: `actorctl ps | head -1`
        _write_nowhere()
        return int(ExitCode.OK)
    except OSError as error:
        _write_nowhere()
        return _failed(_unwritable(error), given)


def make_group() -> ActorctlGroup:
    """Return the command group `actorctl`."""
    app = typer.Typer(
        name=NAME,
        cls=ActorctlGroup,
        add_completion=False,
        help=_ABOUT,
        rich_markup_mode=markup(),
        invoke_without_command=True,
        context_settings={"help_option_names": ["--help", "-h"]},
    )

    def root(context: typer.Context, **given: Any) -> None:
        context.obj = Settings(**given)
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("context", positional, annotation=typer.Context)]
    parameters += [inspect.Parameter(key, positional, default=None, annotation=kind) for key, kind in SHARED.items()]
    root.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    root.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.callback(invoke_without_command=True)(root)
    group = get_command(app)
    assert isinstance(group, ActorctlGroup)
    for param in group.params:
        param.hidden = True  # type: ignore[attr-defined]  # each command's help shows its own
    return group


def all_commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it: `("tree",)`, `("config", "show")`. Imports them all."""
    group = make_group()
    for name in MODULES:
        found = group.commands[name]
        if hasattr(found, "commands"):
            yield from (((name, below), command) for below, command in found.commands.items())
        else:
            yield (name,), found


def show_command_help(group: ActorctlGroup, words: Sequence[str]) -> bool:
    """Print the help of the command that `words` call, of `actorctl` itself for none; False when there is none."""
    context = typer.Context(group, info_name=NAME)
    found: Any = group
    for word in words:
        found = found.get_command(context, word) if hasattr(found, "get_command") else None
        if found is None:
            return False
        context = typer.Context(found, info_name=word, parent=context)
    typer.echo(context.get_help())
    return True


def _run(arguments: list[str]) -> int:
    try:
        if os.environ.get(COMPLETE):
            from typer._completion_classes import completion_init  # what `add_completion` would call; typer 0.29.2

            completion_init()
        code = make_group().main(arguments, prog_name=NAME, complete_var=COMPLETE, standalone_mode=False)
        return code if isinstance(code, int) else int(ExitCode.OK)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # how Typer answers it (typer 0.29.2)
            raise error.__context__ from None
        return error.code if isinstance(error.code, int) else int(ExitCode.OK)  # completion ends so
    except CommandError as error:
        return _failed(error, arguments)
    except typer.TyperException as error:
        return _failed(_usage_error(error), arguments)
    except (KeyboardInterrupt, typer.Abort):
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        raise
    except ActorRuntimeError as error:
        code = getattr(error, "code", "failed")
        return _failed(CommandError(str(code), str(error), getattr(error, "hint", "")), arguments)
    except Exception as error:
        return _failed(_unforeseen(error), arguments)


def _failed(error: CommandError, arguments: Sequence[str]) -> int:
    output = make_call("", Settings()).output
    if "--verbose" in arguments or "-v" in arguments:
        output.note(traceback.format_exc().rstrip())
    output.error(error, _format_of(arguments))
    return int(error.exit_code)


def _usage_error(error: typer.TyperException) -> CommandError:
    """Return what Typer refused, in our words."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else NAME
    message = error.format_message().rstrip(".")
    option = getattr(error, "option_name", "")
    if option and message.startswith("No such option"):
        message = message.partition(" (")[0]
        known = [name for param in context.command.params for name in param.opts] if context is not None else []
        near = get_close_matches(option, [*known, "--help"], n=2, cutoff=0.6)
        if near:
            return CommandError("usage", message, f"did you mean {' or '.join(near)}? see: {where} --help")
    return CommandError("usage", message, f"see: {where} --help")


def _format_of(arguments: Sequence[str]) -> Format:
    """Return the format asked for, read from the raw arguments: the error may be in the arguments themselves."""
    for number, argument in enumerate(arguments):
        if argument == "--":
            break
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        chosen = following if argument in {"-o", "--output"} else ""
        chosen = chosen or (argument.partition("=")[2] if argument.startswith("--output=") else "")
        chosen = chosen or (argument[2:] if argument.startswith("-o") and not argument.startswith("--") else "")
        for format in Format:
            if format.value == chosen.lstrip("="):
                return format
    return Format.TABLE


def _unforeseen(error: Exception) -> CommandError:
    """Return what an exception that no command expects means: something about the place we stand in, or a bug."""
    if isinstance(error, OSError) and error.filename is None and error.errno in _WRITING:
        return _unwritable(error)
    if isinstance(error, PermissionError) and error.filename is not None:
        hint = "it may be another user's; name a home of your own with --home"
        return CommandError("denied", f"{error.filename}: {error.strerror}", hint)
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return CommandError("failed", "the current folder is gone", "change to one that exists: cd /")
    hint = "run it again with --verbose for the traceback, and see: actorctl doctor"
    return CommandError("internal", f"bug: {type(error).__name__}: {error}", hint)


_WRITING: Final = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})


def _unwritable(error: OSError) -> CommandError:
    return CommandError("failed", f"the output cannot be written: {error.strerror or error}")


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _write_nowhere() -> None:
    """Let what is left of the output go: the interpreter's own flush at exit would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
