"""Secrets: named in the configuration, found where they are kept, handed only to the actor that names them.

A child spec holds the place of a secret, never its value; `secretive` looks it up as the actor is made, in the process
where it is made. So a value crosses no wire and appears in no spec, dump or history. Light: a child process imports
this module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.hiding import REDACTED, hide

SIZE_LIMIT: Final = 64 * 1024
"""The largest secret read from a file, in bytes."""


class SecretError(ActorRuntimeError, LookupError):
    """A secret is not where the configuration says. Names the place, never a value."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Secret(str):
    """A secret's value: text for whoever uses it, `***` for whoever shows it.

    It is a `str`, so libraries take it as it is, and joining, slicing or encoding gives the plain text. `str()`,
    `repr()`, `format()` and `%s` give `***`, so that it cannot slip into a log line or a traceback. It refuses to be
    pickled.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return REDACTED

    def __repr__(self) -> str:
        return f"Secret('{REDACTED}')"

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def reveal(self) -> str:
        """Return the plain text."""
        return "".join(self)


class SecretSource(Struct, frozen=True, omit_defaults=True):
    """Where a secret is found; exactly one of the three.

    Attributes:
        env: Name of the environment variable that holds it.
        file: Absolute path of the file that holds it.
        keyring: `service/user` in the system's keyring.
    """

    env: str = ""
    file: str = ""
    keyring: str = ""

    def reveal(self) -> str:
        """Return the plain text, looked up now in this process.

        Raises:
            SecretError: It is not there, cannot be read, or is empty.
        """
        return find_secret(self, os.environ).reveal()


def secret_source(env: str | None, file: str | None, directory: Path, keyring: str | None = None) -> SecretSource:
    """Return the source that a configuration names; a relative file starts from `directory`."""
    if keyring is not None:
        return SecretSource(keyring=keyring)
    if file is None:
        return SecretSource(env=env or "")
    return SecretSource(file=str(directory.absolute() / Path(file).expanduser()))


def find_secret(source: SecretSource, environ: Mapping[str, str]) -> Secret:
    """Return the secret at `source`, which this process shows nowhere from then on (`actors.hiding`).

    The last line break of a file is no part of it.

    Raises:
        SecretError: It is not there, cannot be read, or is empty.
    """
    if source.keyring:
        return _from_keyring(source.keyring)
    if not source.file:
        value = environ.get(source.env)
        if not value:
            state = "is not set" if value is None else "is empty"
            raise SecretError(f"environment variable {source.env} {state}", f"export {source.env}=…")
        return _kept(value)
    try:
        with open(source.file, "rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        raise SecretError(f"secret file {source.file} cannot be read: {what}", "name a file you may read") from None
    if len(raw) > SIZE_LIMIT:
        raise SecretError(f"secret file {source.file} is larger than {SIZE_LIMIT} bytes", "one secret a file")
    try:
        text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"secret file {source.file} is not UTF-8 text", "save it as UTF-8") from None
    if not text:
        raise SecretError(f"secret file {source.file} is empty", "write the secret into it")
    return _kept(text)


def _from_keyring(place: str) -> Secret:
    """Return what the system's keyring has at `service/user`; its library is only needed where a secret is there."""
    service, _, user = place.partition("/")
    try:
        keyring: Any = import_module("keyring")
    except ImportError:
        raise SecretError(
            f"secret {place} is in the keyring, and there is no library for it", "pip install keyring"
        ) from None
    try:
        value = keyring.get_password(service, user)
    except Exception as error:  # every backend has errors of its own; a locked one is the usual case
        what = f"{type(error).__name__}"
        hint = "unlock it, or name a variable or a file: a service has no session to unlock it in"
        raise SecretError(f"secret {place} cannot be had from the keyring: {what}", hint) from None
    if not value:
        raise SecretError(f"the keyring has no secret {place}", f"keyring set {service} {user}")
    return _kept(value)


def _kept(value: str) -> Secret:
    hide(value)
    return Secret(value)
