"""A connection to the running node: found, asked with typed arguments, answered with typed views.

The happy path reads one small file and opens one socket. Only when that fails is it worked out why (`transport.
endpoints.verify`, which asks the operating system about the process): not running, stale, another user's, a wrong key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import msgspec

from supervisors.cli.calling import Call
from supervisors.cli.discovery import Place, places
from supervisors.cli.failures import CommandError, usage
from supervisors.node.durations import parse_duration
from supervisors.requests import COMMANDS, Arguments
from supervisors.views import View
from transport.control.client import ControlClient, client_keys
from transport.endpoints import Endpoints, Presence, Verdict, verify
from transport.errors import ControlError, EndpointError, UnreachableError, UnreadableAnswerError
from transport.handshakes import ADMISSION
from transport.identity import ProcessIdentity
from transport.keystore import read_access
from transport.security import ClientKeys

READ_SECONDS: Final = 5.0
"""Longest wait for the answer to a reading command, unless `--timeout` or `ACTORCTL_TIMEOUT` says otherwise."""

ELSEWHERE: Final = 5.0
"""Seconds within which a node on another machine must have accepted the connection."""

ANSWER_SLACK: Final = 2.0
"""Seconds at least that are added to a command's own time limit, in which the node says what is still pending."""

ViewT = TypeVar("ViewT", bound=View)


class Node:
    """The node a command talks to. For one thread; use it in a `with`."""

    def __init__(
        self,
        place: Place,
        endpoints: Endpoints,
        client: ControlClient,
        seconds: float,
        keys: ClientKeys | None = None,
        *,
        is_elsewhere: bool = False,
    ) -> None:
        self.place = place
        self.endpoints = endpoints
        self.client = client
        self.keys = keys
        self.is_elsewhere = is_elsewhere
        """Whether it is known by an access file alone, so that its process is not looked for on this machine."""
        self.seconds = seconds
        """Longest wait for a reading command."""

    def request(
        self, command: str, arguments: Arguments, view: type[ViewT], *, timeout: float | None = None, reason: str = ""
    ) -> ViewT:
        """Ask the node and return its answer.

        Args:
            command: One of `COMMANDS`.
            arguments: What it takes.
            view: What it answers with.
            timeout: The command's own time limit in seconds; the node is waited for beyond it, as for an answer.
            reason: Why, for the history.

        Raises:
            CommandError: It failed, or no node answered.
        """
        assert command in COMMANDS, command
        seconds = self.seconds if timeout is None else timeout + max(ANSWER_SLACK, self.seconds)
        try:
            given = msgspec.to_builtins(arguments)
            found: ViewT = self.client.call(command, given, timeout=seconds, reason=reason, answer=view)
            return found
        except UnreachableError as error:
            if self.is_elsewhere:
                hint = "does the node run, and can its port be reached from here? a new start may have chosen another"
                raise CommandError("unreachable", error.message, hint) from None
            raise _explained(self.place, error) from None
        except UnreadableAnswerError as error:
            hint = f"the node is version {self.endpoints.version}: use the actorctl of that version"
            raise CommandError("failed", error.message, hint) from None
        except ControlError as error:
            raise CommandError(str(error.code), error.message, error.hint) from None

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def connect(call: Call, *, patience: float = ADMISSION) -> Node:
    """Return a connection to the node that `call` means; the socket opens with the first request.

    Args:
        call: Its settings say where to look.
        patience: Seconds within which the node must have accepted the connection.

    Raises:
        CommandError: `unreachable`: where it was looked, and why there is no node; `denied`: the key.
    """
    elsewhere = _from_access_file(call, patience)
    if elsewhere is not None:
        return elsewhere
    place, endpoints = find_node(places(call.settings))
    run = place.endpoints.parent
    try:
        keys = client_keys(run, endpoints)
    except ControlError as error:
        raise CommandError(str(error.code), error.message, error.hint) from None
    client = ControlClient(
        endpoints.control, keys=keys, caller="actorctl", looked_at=str(place.endpoints), connect=patience
    )
    return Node(place, endpoints, client, _seconds(call), keys)


def _from_access_file(call: Call, patience: float) -> Node | None:
    """Return a connection by the access file that `--endpoint` names; None where it names none."""
    if not call.settings.endpoint:
        return None
    path = Path(call.settings.endpoint).expanduser()
    try:
        access = read_access(path)
    except EndpointError as error:
        raise CommandError("denied", str(error), "ask the node's owner for another") from None
    if access is None:
        return None
    endpoints = Endpoints(
        ProcessIdentity(0, 0), access.node, access.version, access.control, access.taps, 0.0, "", access.server_key
    )
    client = ControlClient(
        access.control, keys=access.keys, caller="actorctl", looked_at=str(path), connect=max(patience, ELSEWHERE)
    )
    place = Place(path, path.parent, "--endpoint")
    return Node(place, endpoints, client, _seconds(call), access.keys, is_elsewhere=True)


def _seconds(call: Call, environ: Mapping[str, str] = os.environ) -> float:
    """Return the longest wait for the answer to a reading command of this call.

    Raises:
        CommandError: `usage`: the environment names no time.
    """
    text = environ.get("ACTORCTL_TIMEOUT", "")
    if call.settings.timeout or not text:
        return call.settings.timeout or READ_SECONDS
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise usage(f"ACTORCTL_TIMEOUT: {error}", "export ACTORCTL_TIMEOUT=30s") from None
    return seconds or READ_SECONDS


def find_node(looked_at: Iterable[Place]) -> tuple[Place, Endpoints]:
    """Return the first place whose endpoints file names a process that lives.

    Raises:
        CommandError: `unreachable`.
    """
    tried: list[tuple[Place, Verdict]] = []
    for place in looked_at:
        verdict = verify(place.endpoints.parent)
        if verdict.presence is Presence.RUNNING and verdict.endpoints is not None:
            return place, verdict.endpoints
        tried.append((place, verdict))
    raise _nobody(tried)


def check_running(place: Place) -> None:
    """See that the node of `place` still runs, asking the operating system about its process.

    Raises:
        CommandError: `unreachable`: it does not, and why.
    """
    verdict = verify(place.endpoints.parent)
    if verdict.presence is not Presence.RUNNING:
        raise _nobody([(place, verdict)])


def _nobody(tried: list[tuple[Place, Verdict]]) -> CommandError:
    """Say where was looked, and why nothing is there; the most telling place decides the hint."""
    present = [(place, verdict) for place, verdict in tried if verdict.presence is not Presence.ABSENT]
    place, verdict = (present or tried)[0]
    looked = ", ".join(str(place) for place, _ in tried)
    home = "" if place.why in {"nearest .actors", "the user's own"} else f" --home {place.home}"
    match verdict.presence:
        case Presence.STALE:
            why, hint = (
                f"stale: {verdict.detail.replace(f' named by {verdict.looked_at}', '')}",
                f"start it again: actorctl run{home}; what is left over: actorctl doctor",
            )
        case Presence.OTHER_USER:
            why, hint = f"other user: {verdict.detail}", "run actorctl as the user who runs the node"
        case Presence.UNREADABLE:
            why, hint = f"unreadable: {verdict.detail}", f"actorctl doctor{home}"
        case _:
            why, hint = "not running", f"start it: actorctl run{home}; or name its home: --home DIR"
    return CommandError("unreachable", f"no node to talk to: {why}; looked at {looked}", hint)


def _explained(place: Place, error: UnreachableError) -> CommandError:
    """The file names a process that is there, and yet nobody answers: say what the operating system knows."""
    verdict = verify(place.endpoints.parent)
    if verdict.presence is not Presence.RUNNING:
        return _nobody([(place, verdict)])
    return CommandError("unreachable", f"{error.message}; {verdict.detail}", error.hint)
