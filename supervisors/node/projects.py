"""What `actorctl init` writes: a configuration to read and change, and actors of one's own that run at once.

Nothing is overwritten: either every file is new, or nothing is written. An existing `.gitignore` alone is kept and
gets a line more.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

from actors.errors import ActorRuntimeError
from supervisors.node.loading import FILE_NAME, builtin_text

TEMPLATES: Final = {
    "minimal": "two actors of your own under one supervisor",
    "builtin": "the built-in system, to change",
}
"""The templates and what each writes."""

_IGNORED: Final = ".actors/"


class ProjectExistsError(ActorRuntimeError, FileExistsError):
    """Files that would be written are there already; nothing was written."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        super().__init__(f"{', '.join(map(str, files))} exists already; nothing was written")
        self.files = files


def write_project(directory: Path, template: str = "minimal") -> list[Path]:
    """Write a new project into `directory`, made if it is not there, and return the files written or changed.

    Raises:
        ProjectExistsError: A file is there already.
        ValueError: There is no such template.
        OSError: The folder cannot be made or written; what was written until then is removed.
    """
    if template not in TEMPLATES:
        raise ValueError(f"no template {template!r}; the templates are {', '.join(TEMPLATES)}")
    files = {directory / name: text for name, text in _texts(template, directory).items()}
    standing = tuple(path for path in files if path.exists() or path.is_symlink())
    if standing:
        raise ProjectExistsError(standing)
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for path, text in files.items():
            with path.open("x", encoding="utf-8", newline="\n") as stream:
                written.append(path)
                stream.write(text)
        if _ignore(directory / ".gitignore"):
            written.append(directory / ".gitignore")
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def _texts(template: str, directory: Path) -> dict[str, str]:
    if template == "builtin":
        return {FILE_NAME: builtin_text()}
    folder = resources.files("supervisors.node").joinpath("templates", template)
    texts = {name: folder.joinpath(name).read_text("utf-8") for name in (FILE_NAME, "my_actors.py")}
    texts[FILE_NAME] = texts[FILE_NAME].replace("{name}", _node_name(directory))
    return texts


def _node_name(directory: Path) -> str:
    """Return the folder's name as a node may be called."""
    return re.sub(r"[^a-z0-9_-]+", "-", directory.absolute().name.lower()).strip("-")[:32] or "local"


def _ignore(path: Path) -> bool:
    """Keep the runtime's folder out of version control; whether the file was changed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if _IGNORED in lines or _IGNORED.rstrip("/") in lines:
        return False
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        if lines and not path.read_text(encoding="utf-8").endswith("\n"):
            stream.write("\n")
        stream.write(f"{_IGNORED}\n")
    return True
