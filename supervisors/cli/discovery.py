"""Where the node is: which home, and the `run/endpoints.json` in it. Reads files, opens no socket, starts nothing.

The first that is given wins, and then only that place is looked at:

    --endpoint FILE      an endpoints.json, a run folder, or a home
    --home DIR           a home
    ACTORCTL_HOME        a home
    ./.actors            the nearest one, here or in a folder above
    ~/.actors            the user's own
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from supervisors.cli.calling import Settings

HOME_NAME: Final = ".actors"
ENDPOINTS: Final = Path("run", "endpoints.json")


class Place(Struct, frozen=True):
    """A place where a node may say that it runs.

    Attributes:
        endpoints: The file to read.
        home: The home it belongs to.
        why: Why it was looked at: `--home`, `nearest .actors`.
    """

    endpoints: Path
    home: Path
    why: str

    def __str__(self) -> str:
        return f"{self.endpoints} ({self.why})"


def places(settings: Settings, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> tuple[Place, ...]:
    """Return the places to look at, in order; only one where a place was named."""
    if settings.endpoint:
        return (_from_endpoint(Path(settings.endpoint).expanduser()),)
    if settings.home:
        return (_of_home(Path(settings.home).expanduser(), "--home"),)
    if environ.get("ACTORCTL_HOME"):
        return (_of_home(Path(environ["ACTORCTL_HOME"]).expanduser(), "ACTORCTL_HOME"),)
    here = cwd or Path.cwd()
    user = _of_home(Path.home() / HOME_NAME, "the user's own")
    for folder in (here, *here.parents):
        if (folder / HOME_NAME).is_dir():
            nearest = _of_home(folder / HOME_NAME, "nearest .actors")
            return (nearest,) if nearest.home != user.home else (user,)
    return (_of_home(here / HOME_NAME, "nearest .actors"), user)


def home_of(settings: Settings, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path:
    """Return the home that a command without a node works on: the first place's."""
    return places(settings, environ, cwd)[0].home


def _of_home(home: Path, why: str) -> Place:
    return Place(home / ENDPOINTS, home, why)


def _from_endpoint(path: Path) -> Place:
    if path.is_dir():
        home = path.parent if path.name == "run" else path
        return _of_home(home, "--endpoint")
    return Place(path, path.parent.parent, "--endpoint")
