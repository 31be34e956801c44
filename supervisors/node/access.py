"""Who may command the node: its keys, the visitors it refused, and how much one visitor may send.

Where the node listens on `ipc`, the home's directory decides and whoever may enter it is admin; the list of keys can be
kept all the same, for the day the node listens on tcp. A change of the list counts at once: for connections to come by
the gatekeeper, for those already made with their next command (`Gatekeeper.judge`). A tap that is open already goes on
until it ends: ZeroMQ lets nobody end one subscriber's connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from actors.errors import ActorRuntimeError
from actors.events import PeerRefused
from supervisors.refusals import Refusals
from supervisors.views import KeysView, KeyView
from transport.errors import EndpointError
from transport.keystore import KeyStore
from transport.rates import Allowance
from transport.security import Gatekeeper, Grant, KeyPair, Peer, Role, ServerKeys


class AccessError(ActorRuntimeError, ValueError):
    """A change of the keys is refused; `code` is the machine word, `hint` what would be right."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class Access:
    """The keys of one node. Methods may be called on any thread.

    Args:
        run: The run directory of the home.
        publish: Takes the events about refused visitors.
        wall: Gives the wall clock, in seconds since the epoch.

    Without a node (`publish` is None) it keeps the list in the home's files.
    """

    def __init__(
        self, run: Path, publish: Callable[[PeerRefused], object] | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self._store = KeyStore(run)
        self._publish = publish
        self._wall = wall
        self._refusals = Refusals(self._tell)
        self.gatekeeper: Gatekeeper | None = None

    def guard(self) -> ServerKeys:
        """Make what is missing of the keys, ask for them from now on, and return the node's own.

        Raises:
            EndpointError: The keys cannot be read or made.
        """
        pair: KeyPair = self._store.ensure()
        self.gatekeeper = Gatekeeper(self._store.grants(), self._refusals.unauthorised)
        return ServerKeys(pair)

    def unrecognised(self) -> None:
        """Take note of a visitor that did not know the node's key, or came without one."""
        self._refusals.unrecognised()

    def judge(self, peer: Peer) -> Peer:
        """Return `peer` with the role that it has now."""
        return peer if self.gatekeeper is None else self.gatekeeper.judge(peer)

    def allowance(self, rate: float) -> Allowance:
        """Return what each visitor may send: `rate` messages a second, and twice as many at once."""
        return Allowance(rate, max(1, int(2 * rate)), lambda peer, count: self._exceeded(peer, count, rate))

    def view(self) -> KeysView:
        """Return the list.

        Raises:
            AccessError: It cannot be read.
        """
        grants = self._grants()
        items = [KeyView(name=grant.name, role=grant.role, public=public) for public, grant in grants.items()]
        return KeysView(items=tuple(sorted(items, key=lambda key: key.name)), is_guarded=self.gatekeeper is not None)

    def grant(self, name: str, role: str, public: str) -> KeysView:
        """Let a key connect.

        Raises:
            AccessError: The name is taken, the role or the key is none, or the list cannot be written.
        """
        try:
            self._store.grant(name, Role.parse(role), public)
        except EndpointError as error:
            raise AccessError("failed", str(error)) from None
        except ValueError as error:
            code = "conflict" if "already" in str(error) else "usage"
            raise AccessError(code, str(error), "actorctl key list") from None
        return self._changed()

    def revoke(self, name: str) -> KeysView:
        """Let a key connect no more.

        Raises:
            AccessError: There is none of that name, or it is the last admin's.
        """
        grants = self._grants()
        if name not in {grant.name for grant in grants.values()}:
            raise AccessError("not_found", f"there is no key {name!r}", "actorctl key list")
        if not any(grant.role == "admin" for grant in grants.values() if grant.name != name):
            raise AccessError(
                "conflict",
                f"{name!r} is the last key of an admin: nobody could change the keys any more",
                "make another first: actorctl key new NAME --role admin",
            )
        self._store.revoke(name)
        return self._changed()

    def _grants(self) -> dict[str, Grant]:
        try:
            return self._store.grants()
        except EndpointError as error:
            raise AccessError("failed", str(error), "mend or remove the file: it lists who may connect") from None

    def _changed(self) -> KeysView:
        if self.gatekeeper is not None:
            self.gatekeeper.replace(self._store.grants())
        return self.view()

    def _exceeded(self, peer: str, count: int, rate: float) -> None:
        self._tell("", peer, f"it sends more than {rate:g} requests a second", count)

    def _tell(self, address: str, peer: str, why: str, count: int) -> None:
        if self._publish is not None:
            self._publish(PeerRefused(self._wall(), "/", address, peer, why, count))
