"""Monitors and links that a peer keeps on the actors of this process.

The end of a watched actor is told by DOWN, that of a linked one by a signal. All of it runs on the socket's thread, but
for the calls that an ending actor makes.
"""

from __future__ import annotations

from typing import Any, Protocol

from actors.addresses import Address
from actors.core.links import NOPROC, Watch
from actors.core.system import ActorSystem
from actors.exits import ExitReason
from transport.channels import Channel
from transport.envelope import Kind, envelope
from transport.errors import MalformedFrameError
from transport.failures import encode_reason
from transport.remote import RemoteRef


class Peer(Protocol):
    """What bonds need of the gateway to the peer."""

    def ref(self, address: Address) -> RemoteRef:
        """Return a ref of an actor of the peer."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the peer is there."""
        ...


class PeerBonds:
    """The watches and links of one peer."""

    def __init__(self, system: ActorSystem, peer: Peer, channel: Channel) -> None:
        self._system = system
        self._peer = peer
        self._channel = channel
        self._watched: dict[int, Watch] = {}
        self._linked: dict[tuple[str, str], tuple[Watch, ...]] = {}

    def __len__(self) -> int:
        return len(self._watched) + len(self._linked)

    def monitor(self, path: str, number: int) -> None:
        """Tell the peer of the end of the actor at `path` by DOWN `number`."""
        target = self._system.registry.get(path)
        if target is None:
            self._tell_down(path, number, NOPROC)
            return

        def ended(reason: ExitReason) -> None:
            self._watched.pop(number, None)
            self._tell_down(path, number, reason)

        watch = target.watch(ended)
        if self._peer.is_open and target.is_alive():
            self._watched[number] = watch

    def demonitor(self, number: int) -> None:
        """Forget the monitor `number`."""
        watch = self._watched.pop(number, None)
        if watch is not None:
            watch.cancel()

    def link(self, path: str, source: str) -> None:
        """Keep the half of a link that passes the end of `source`, of the peer or beyond it, to an actor here.

        Raises:
            MalformedFrameError: It names no source.
        """
        if not source:
            raise MalformedFrameError("a link needs both its ends")
        target: Any = self._system.registry.get(path)
        if target is None:
            return  # whoever linked hears of that by its own watch
        if isinstance(target, RemoteRef):
            self._linked[path, source] = (target.bind(source),)
            return
        address = str(Address(self._system.name, source))
        beyond = self._peer.ref(Address(self._system.name, source))
        ending = beyond.watch(lambda reason: target.exit(reason, address))
        ended = target.watch(lambda _reason: self.unlink(path, source))
        self._linked[path, source] = (ending, ended)

    def unlink(self, path: str, source: str) -> None:
        """Forget a link."""
        for watch in self._linked.pop((path, source), ()):
            watch.cancel()

    def lose(self) -> None:
        """Tell the peer of nothing more: it is gone."""
        for watch in list(self._watched.values()):
            watch.cancel()
        self._watched.clear()

    def end(self) -> None:
        """Keep no link any more: what passes the peer's end on has done so, or will, where a third process keeps it."""
        linked, self._linked = list(self._linked.values()), {}
        for watches in linked:
            for watch in watches[1:]:
                watch.cancel()

    def _tell_down(self, path: str, number: int, reason: ExitReason) -> None:
        self._channel.send(envelope(Kind.DOWN, payload=encode_reason(reason), sender=path, correlation=number))
