"""Importing what a configuration names: `package.module:Class`, and saying well why it could not be."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.core.actor import Actor
from actors.errors import ActorRuntimeError


class ImportTargetError(ActorRuntimeError, ImportError):
    """What a configuration names cannot be imported; `hint` says what would be right."""

    def __init__(self, target: str, why: str, hint: str = "") -> None:
        super().__init__(f"{target} {why}")
        self.target = target
        self.hint = hint


def add_import_root(directory: Path) -> None:
    """Let modules of `directory` be imported: it goes to the front of `sys.path`, once."""
    root = str(directory.absolute())
    if root not in sys.path:
        sys.path.insert(0, root)


def import_target(target: str) -> Any:
    """Return what `package.module:name` names; imports the module, which runs its code.

    Raises:
        ImportTargetError: There is no such module, its import failed, or it has no such name.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ImportTargetError(target, "names no class", '"package.module:Class"')
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing == module_name or module_name.startswith(f"{missing}."):
            hint = f"{missing.replace('.', '/')}.py beside the configuration file, or an installed package"
            raise ImportTargetError(target, f"cannot be imported: there is no module {missing}", hint) from error
        why = f"cannot be imported: {module_name} needs the module {missing}"
        raise ImportTargetError(target, why, f"install {missing.partition('.')[0]}") from error
    except (Exception, SystemExit) as error:  # a module may do anything while it is imported
        why = f"cannot be imported: {type(error).__name__}: {_first_line(error)}{_place_of(error)}"
        raise ImportTargetError(target, why, "mend the module") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportTargetError(
                target, f"cannot be imported: {module_name} has no {name}", _near(found, part)
            ) from None
    return found


def find_module(target: str) -> None:
    """Check that the module of `package.module:name` is there, without running its code (its packages' alone).

    Raises:
        ImportTargetError: It is not.
    """
    module_name = target.partition(":")[0]
    try:
        found = importlib.util.find_spec(module_name)
    except ModuleNotFoundError as error:
        found, module_name = None, error.name or module_name
    except (Exception, SystemExit) as error:  # the code of a package around it
        raise ImportTargetError(target, f"cannot be imported: {type(error).__name__}: {_first_line(error)}") from error
    if found is None:
        hint = f"{module_name.replace('.', '/')}.py beside the configuration file, or an installed package"
        raise ImportTargetError(target, f"cannot be imported: there is no module {module_name}", hint)


def check_actor(target: str, make: Any) -> None:
    """Check that `make` is no class of something else than an actor; what a function makes shows at the start.

    Raises:
        ImportTargetError: It is.
    """
    if inspect.isclass(make) and not issubclass(make, Actor):
        raise ImportTargetError(target, "is no Actor", "derive the class from actors.Actor")


def check_arguments(target: str, make: Any, kwargs: Mapping[str, Any]) -> None:
    """Check that `make(**kwargs)` fits the signature of `make`.

    Raises:
        ImportTargetError: An argument is unknown or missing, or `make` is not callable.
    """
    if not callable(make):
        raise ImportTargetError(target, f"is no class: it is a {type(make).__name__}", '"package.module:Class"')
    if kwargs and inspect.isclass(make) and make.__init__ is Actor.__init__:  # which takes anything, and uses nothing
        raise ImportTargetError(
            target, f"cannot be made: it has no use for {', '.join(kwargs)}", "it takes no arguments"
        )
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # made in C, without a signature to look at
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        taken = ", ".join(
            name for name, p in signature.parameters.items() if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}
        )
        hint = f"it takes {taken}" if taken else "it takes no arguments"
        raise ImportTargetError(target, f"cannot be made: {error}", hint) from None


def _first_line(error: BaseException) -> str:
    try:
        return next(iter(str(error).splitlines()), "")[:300]
    except BaseException as failed:
        return f"<str() of the error failed: {type(failed).__name__}>"


def _place_of(error: BaseException) -> str:
    """Return the line that raised, ` (my_actors.py:12)`, where there is one."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    if trace is None or "importlib" in trace.tb_frame.f_code.co_filename:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"


def _near(holder: Any, name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [known for known in dir(holder) if not known.startswith("_")], n=1)
    return f'did you mean "{near[0]}"?' if near else ""
