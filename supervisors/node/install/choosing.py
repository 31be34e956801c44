"""Which service manager keeps the node of a home: chosen when it is installed, remembered in `<home>/service.json`."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from supervisors.node.install.launchd import Launchd
from supervisors.node.install.spec import Manager, ServiceError
from supervisors.node.install.systemd import Systemd, version_of
from supervisors.node.install.windows import Pywin32, Schtasks, Winsw

FILE_NAME: Final = "service.json"
KINDS: Final = ("systemd", "launchd", "pywin32", "winsw", "schtasks")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,79}")


class Installed(Struct, frozen=True):
    """What was installed for a home."""

    kind: str
    name: str
    is_system: bool


def usual_kind() -> str:
    """Return the manager that this system has."""
    return {"darwin": "launchd", "win32": "pywin32"}.get(sys.platform, "systemd")


def is_usually_system() -> bool:
    """Whether a service of this user is for the whole machine: it is for root, who has no session to live in."""
    return os.name == "posix" and os.geteuid() == 0


def manager_of(installed: Installed, home: Path) -> Manager:
    """Return the manager that `installed` names.

    Raises:
        ServiceError: There is no such kind, or the name is none.
    """
    if not _NAME.fullmatch(installed.name):
        raise ServiceError(f"{installed.name!r} is no name of a service", "letters, digits, - _ . and @")
    match installed.kind:
        case "systemd":
            return Systemd(is_system=installed.is_system, version=version_of())
        case "launchd":
            uid = os.getuid() if os.name == "posix" else 0
            return Launchd(is_system=installed.is_system, uid=uid, user_home=Path.home())
        case "pywin32":
            return Pywin32()
        case "winsw":
            return Winsw(str(home))
        case "schtasks":
            return Schtasks(str(home), is_system=installed.is_system, user=getpass.getuser())
        case _:
            raise ServiceError(f"there is no backend {installed.kind!r}", f"there are {', '.join(KINDS)}")


def read_installed(home: Path) -> Installed | None:
    """Return what was installed for `home`, None where nothing was or it cannot be read."""
    try:
        return msgspec.json.decode((home / FILE_NAME).read_bytes(), type=Installed)
    except (OSError, ValueError):
        return None
