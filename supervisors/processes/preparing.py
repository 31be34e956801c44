"""What a spare does before it is needed: import the class of the actor that it may become, or those of a subtree."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from typing import Final

from actors.exits import said
from supervisors.processes.childside import Ground, load_actor
from supervisors.processes.protocol import Prepare, Prepared
from supervisors.processes.rehearsal import rehearse

FILES_LIMIT: Final = 500
"""Most files a spare reports. Nobody could look at more whether they changed, so such a spare has a problem."""


def prepare(wanted: Prepare) -> tuple[Prepared, Ground | None]:
    """Import what `wanted` names, connect and rehearse, so far as the child that it is for does not matter.

    Returns:
        What to say of it, and what the child will stand on; a class that cannot be imported is a problem of its start.
    """
    began = time.monotonic()
    before = set(sys.modules)
    try:
        if wanted.classes:
            import supervisors.processes.branchside  # noqa: F401  # what no process child needs otherwise
            from supervisors.children import resolve

            for target in wanted.classes:
                resolve(target)
        else:
            load_actor(wanted.target)
    except BaseException as error:
        return Prepared(time.monotonic() - began, (), said(error)), None
    files = imported_files(set(sys.modules) - before)
    problem = f"it imports more than {FILES_LIMIT} files that may change" if len(files) > FILES_LIMIT else ""
    ground = None
    if wanted.endpoint and not problem:
        ground = Ground(wanted)
        rehearse(ground)
    return Prepared(time.monotonic() - began, () if problem else files, problem), ground


def imported_files(names: set[str]) -> tuple[tuple[str, int, int], ...]:
    """Return path, time of change and size of the modules `names`, but for those installed with Python or into it."""
    installed = tuple(
        {f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    )
    files: set[tuple[str, int, int]] = set()
    for name in names:
        path = getattr(sys.modules.get(name), "__file__", None)
        if not isinstance(path, str) or path.startswith(installed):
            continue
        try:
            found = os.stat(path)
        except OSError:
            continue  # inside an archive, or gone already: there is nothing to compare
        files.add((path, found.st_mtime_ns, found.st_size))
    return tuple(sorted(files))
