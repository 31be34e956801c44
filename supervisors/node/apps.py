"""Importing a tree that is written in Python: what `actorctl run package.module:name` runs."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from actors.addresses import ROOT
from actors.exits import said
from supervisors.core.validation import validate_tree
from supervisors.errors import Fault
from supervisors.node.faults import MESSAGE_LIMIT, ConfigurationError, cut
from supervisors.node.importing import ImportTargetError, add_import_root, import_target
from supervisors.specs import ChildSpec, SupervisorSpec


def load_app(target: str, *, directory: Path | None = None) -> SupervisorSpec:
    """Return the tree that `package.module:name` names: what `supervisor("/", …)` made, or a function returning it.

    Args:
        target: `package.module:name`.
        directory: Folder whose modules can be imported too; None: the current one.

    Raises:
        ConfigurationError: It cannot be imported, is no tree, or holds faults.
    """
    add_import_root(directory or Path.cwd())
    try:
        found = import_target(target)
        if callable(found):
            found = found()
    except ImportTargetError as error:
        raise ConfigurationError([Fault("", cut(str(error), MESSAGE_LIMIT), error.hint, file=target)]) from error
    except Exception as error:
        raise ConfigurationError([Fault("", cut(f"it raised {said(error)}", MESSAGE_LIMIT), file=target)]) from error
    tree = found.start if isinstance(found, ChildSpec) else found
    if not isinstance(tree, SupervisorSpec):
        hint = f'app = supervisor("{ROOT}", children=[…])'
        raise ConfigurationError([Fault("", f"it is no tree but a {type(found).__name__}", hint, file=target)])
    faults = validate_tree(tree)
    if faults:
        raise ConfigurationError(replace(fault, file=target) for fault in faults)
    return tree
