"""`doctor --bundle`: what somebody else needs to see of a node, in one zip file, without secrets.

What goes in is an allow-list: never the environment, never the history, never a project's files. Values of secrets that
the configuration names are looked up and cut out of everything, and so is what follows a word that sounds like one.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from actors.hiding import masked
from supervisors.views.base import plain

TAIL_BYTES: Final = 512 * 1024
LOGS: Final = ("node.log", "error.log", "console.log", "wedged.log")
RUN: Final = ("state.json", "heartbeat")
VARIABLES: Final = ("LANG", "LC_ALL", "TZ", "TERM", "NO_COLOR", "ACTORCTL_HOME", "ACTORCTL_TIMEOUT", "VIRTUAL_ENV")


def write_bundle(
    file: Path, home: Path, config: Path | None, checks: Sequence[Any], ask: Callable[[str], Any]
) -> list[str]:
    """Write the bundle and return the names of what is in it.

    Args:
        file: Where; it must not be there yet.
        home: The runtime's home.
        config: The configuration file, None for the one that `run` would take.
        checks: What the checks found.
        ask: Asks the running node for `status` or `tree`; raises where there is none.

    Raises:
        FileExistsError: `file` is there already.
        OSError: It cannot be written.
    """
    clean = _Cleaner(config)
    parts: dict[str, str] = {
        "doctor.json": _json([plain(check) for check in checks]),
        "machine.json": _json(
            {
                "system": platform.platform(),
                "python": sys.version,
                "executable": sys.executable,
                "processors": os.cpu_count(),
                "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
            }
        ),
        "packages.txt": "".join(sorted(f"{d.metadata['Name']}=={d.version}\n" for d in distributions())),
        "config.json": _json(clean.rows),
    }
    for name in RUN:
        parts[f"run/{name}"] = _tail(home / "run" / name)
    for name in LOGS:
        parts[f"logs/{name}"] = _tail(home / "logs" / name)
    for what in ("status", "tree"):
        try:
            parts[f"{what}.json"] = _json(ask(what))
        except Exception as error:  # there may be no node, or one that cannot answer: that is worth knowing too
            parts[f"{what}.json"] = _json({"error": str(error)})
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in parts.items():
            if text:
                bundle.writestr(name, clean(text))
    return [name for name, text in parts.items() if text]


class _Cleaner:
    """Cuts secrets out of texts."""

    def __init__(self, config: Path | None) -> None:
        from supervisors.node.credentials import SecretError, find_secret, secret_source
        from supervisors.node.faults import ConfigurationError
        from supervisors.node.loading import load_config

        self.rows: list[dict[str, str]] = []
        try:
            loaded = load_config(config)
        except ConfigurationError as error:
            self.rows = [{"fault": str(fault)} for fault in error.faults]
            return
        self.rows = [{"key": row.key, "value": row.value, "origin": row.origin} for row in loaded.rows()]
        for secret in loaded.config.secrets.values():
            try:
                source = secret_source(secret.env, secret.file, loaded.directory, secret.keyring)
                find_secret(source, os.environ)  # which has it hidden from then on
            except SecretError:
                continue  # what cannot be found here cannot be cut out by its value

    def __call__(self, text: str) -> str:
        return masked(text)


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n"
