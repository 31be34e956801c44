"""Who may speak on a launcher's socket: the children that are expected, each once it has proved which one it is.

A connection means nothing before its `Hello`: the token, handed over by a private pipe, says which child it is, and
pid, path and generation must be those of the process that was made. Everything else that arrives from a stranger is
counted and dropped. Where the socket is tcp, each child has a CURVE key pair of its own too, valid as long as it lives.

All of it runs on the launcher's reactor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic
from typing import Final

from actors.core.system import ActorSystem
from actors.events import PeerRefused
from supervisors.processes.handle import ProcessChild
from supervisors.processes.protocol import PROTOCOL, Hello, from_payload
from supervisors.processes.states import Greeted
from supervisors.refusals import Refusals
from transport.codec import pack_frame, unpack_frame
from transport.envelope import Envelope, Kind
from transport.errors import CodecError
from transport.security import Gatekeeper, Grant

EARLY_FRAMES: Final = 1_000
"""Frames kept of a connection that said a right hello before it is known here that its process was made."""

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


class Door:
    """The children that have not ended, by token and by connection.

    Attributes:
        gatekeeper: Knows the children's CURVE keys.
        refused: Hellos with an unknown token, or that lied.
        strangers: Frames of connections that had not said hello.
    """

    def __init__(self, system: ActorSystem) -> None:
        """Make a door that nobody may pass; who is refused is told of on the bus of `system`."""

        def tell(address: str, peer: str, why: str, count: int) -> None:
            system.bus.publish(PeerRefused(system.clock.time(), "/", address, peer, why, count))

        self.refusals = Refusals(tell)
        self.gatekeeper = Gatekeeper({}, self.refusals.unauthorised)
        self.refused = 0
        self.strangers = 0
        self._by_token: dict[bytes, ProcessChild] = {}
        self._by_identity: dict[bytes, ProcessChild] = {}
        self._grants: dict[str, Grant] = {}
        self._early: dict[bytes, tuple[ProcessChild, list[list[bytes]]]] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[ProcessChild]:
        return iter(tuple(self._by_token.values()))

    def expect(self, child: ProcessChild, token: bytes, public_key: str) -> None:
        """Let `child` in once it says hello with `token`; `public_key` is its CURVE key, or ""."""
        self._by_token[token] = child
        if public_key:
            child.public_key = public_key
            self._grants[public_key] = Grant(child.path, "viewer")
            self.gatekeeper.replace(self._grants)

    def expect_again(self, child: ProcessChild) -> None:
        """Let another process of `child` in: the one before is gone."""
        self._let_go(child)
        child.identity = None

    def forget(self, child: ProcessChild) -> None:
        """Let `child` in no more: it has ended."""
        for token, found in tuple(self._by_token.items()):
            if found is child:
                del self._by_token[token]
        self._let_go(child)
        if self._grants.pop(child.public_key, None) is not None:
            self.gatekeeper.replace(self._grants)

    def take(self, identity: bytes, parts: list[bytes]) -> None:
        """Take what arrived from the connection `identity`."""
        child = self._by_identity.get(identity)
        early = self._early.get(identity)
        if early is not None and len(early[1]) < EARLY_FRAMES:
            early[1].append(parts)
        elif child is None:
            self._greet(identity, parts)
        elif len(parts) == 1:
            child.gateway.receive(parts[0])
        else:
            child.gateway.refuse(f"{len(parts)} parts in place of one")

    def _greet(self, identity: bytes, parts: list[bytes]) -> None:
        hello, more = self._hello_in(parts)
        if hello is None:
            return
        child = self._by_token.get(hello.token)
        if child is None or child.identity is not None:
            self._refuse("a hello was refused: unknown token")
            self.refusals.refused("", f"process {hello.pid}", f"a hello with an unknown token, as {hello.path[:200]}")
            return
        if child.pid is None:  # the thread that made the process has not come to say so
            self._early[identity] = (child, [parts])
            child.early_hello = lambda: self._take_early(identity)
            return
        lie = _lie_in(hello, child)
        if lie:
            self._refuse(f"a hello for {child.path} was refused: {lie}")
            self.refusals.refused("", f"process {hello.pid}", f"it lies as {child.path}: {lie[:200]}")
            return
        child.greeted(identity, by_target=hello.by_target)
        self._by_identity[identity] = child
        child.feed(Greeted(monotonic()))
        if more:
            child.gateway.receive(pack_frame(more))

    def _take_early(self, identity: bytes) -> None:
        """Take what came from `identity` before the thread that made the process had said so, its hello first."""
        for parts in self._early.pop(identity)[1]:
            self.take(identity, parts)

    def _let_go(self, child: ProcessChild) -> None:
        if child.identity is not None:
            self._by_identity.pop(child.identity, None)
        child.early_hello = None
        for identity, (found, _) in tuple(self._early.items()):
            if found is child:
                del self._early[identity]

    def _hello_in(self, parts: list[bytes]) -> tuple[Hello | None, list[Envelope]]:
        """Return the hello that the first message of a connection must be, and what follows in its frame."""
        why = "it was no hello"
        try:
            if len(parts) == 1:
                first, *more = unpack_frame(parts[0])
                word = from_payload(first.type_name, first.payload) if first.kind is Kind.SYSTEM else None
                if isinstance(word, Hello):
                    return word, more
        except CodecError as error:
            why = str(error)
        self.strangers += 1
        self.refusals.refused("", "", "it speaks to the launcher without a hello")
        self._complain(f"a frame of a stranger was dropped: {why}")
        return None, []

    def _refuse(self, text: str) -> None:
        self.refused += 1
        self._complain(text)

    def _complain(self, text: str) -> None:
        """Warn, but not for ever: a stranger may go on and on."""
        wrong = self.refused + self.strangers
        if wrong <= 10 or wrong % 1000 == 0:
            logger.warning("%s (%d so far)", text, wrong)


def _lie_in(hello: Hello, child: ProcessChild) -> str:
    """Return what in `hello` is not true of `child`, "" where all of it is."""
    if hello.protocol != PROTOCOL:
        return f"it speaks version {hello.protocol} of the protocol"
    if child.pid != hello.pid:
        return f"process {hello.pid} is not process {child.pid}"
    if (hello.path, hello.generation) != (child.path, child.generation):
        return f"{hello.path}@{hello.generation} is not {child.path}@{child.generation}"
    return ""
