"""The nursery: a process that has loaded the runtime and makes copies of itself, each to become a process child.

    launcher                          nursery                         copy
      --- Hatch ----------------------->
      <-- Hatched ---------------------     loaded, one thread
      --- Grow + three descriptors ---->
                                        --- fork ---------------------->  a child of the launcher
      <-- Grown -----------------------                                    goes on as any process child does

Started by the launcher as `python -m supervisors.processes.nursery`; its standard input is a socket of packets. It
loads this runtime and nothing else: no user's module, no message socket, no second thread, so a copy of it is as clean
as a new interpreter. Users' modules are imported by the copies. A copy is no child of the nursery but of its launcher
(`supervisors.processes.forking`), so killing the nursery harms none.

It ends when the launcher does, and before it serves anybody where it finds that it has more than one thread.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from supervisors.processes import parentwatch
from supervisors.processes.forking import Forker, Identity

PACKET_BYTES: Final = 65_536
"""Longest packet either way."""


class Hatch(Struct, frozen=True, tag=True):
    """The launcher's first word.

    Attributes:
        parent_pid: The launcher's process.
        sys_path: Its module search path.
        environment: Variables changed for the start alone, as they were; None: not set.
    """

    parent_pid: int
    sys_path: tuple[str, ...]
    environment: dict[str, str | None] = {}


class Grow(Struct, frozen=True, tag=True):
    """Make a copy whose standard streams are the three descriptors that come along.

    Attributes:
        mark: Its mark, in place of the nursery's; as long.
        title: What process listings call it.
    """

    mark: str
    title: str


class Hatched(Struct, frozen=True, tag=True):
    """The nursery is ready; or, with a `problem`, it cannot be and ends."""

    problem: str = ""


class Grown(Struct, frozen=True, tag=True):
    """The copy's process; or 0 and why there is none."""

    pid: int
    problem: str = ""


FromLauncher = Hatch | Grow
FromNursery = Hatched | Grown

encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(FromLauncher).decode


def main() -> None:
    """Be the nursery."""
    from supervisors.processes import bootstrap

    link = bootstrap.take_standard_input()
    channel = socket.socket(fileno=link)
    first = _decode(channel.recv(PACKET_BYTES))
    if not isinstance(first, Hatch):
        sys.exit("the launcher's first word was another than expected")
    parentwatch.arm(first.parent_pid)
    bootstrap.restore(first.sys_path, first.environment)
    try:
        import supervisors.processes.preparing  # noqa: F401  # with all that copies need

        forker, identity = Forker(), Identity()
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise OSError(f"the nursery has {threads} threads")
    except OSError as error:
        channel.send(encode(Hatched(str(error))))
        return
    identity.show(sys.executable, "-P", "-m", "supervisors.processes.nursery")
    gc.collect()
    gc.freeze()  # what is loaded lasts: looking at it again would only make the copies' memory their own
    channel.send(encode(Hatched()))
    _serve(channel, forker, identity, first.parent_pid)


def _serve(channel: socket.socket, forker: Forker, identity: Identity, parent_pid: int) -> None:
    own = identity.mark
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, PACKET_BYTES, 3)
        if not data:
            return  # the launcher has closed its end
        wanted = _decode(data)
        assert isinstance(wanted, Grow)  # nothing else is said after the first word
        pid, problem = 0, ""
        try:
            identity.take(wanted.mark)  # before there is a copy: at no moment it carries a mark that is not its own
            pid = forker.fork()
        except (OSError, ValueError) as error:
            problem = str(error)
        else:
            if pid == 0:
                channel.close()
                _grow(identity, wanted, descriptors, parent_pid)
        identity.take(own)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(encode(Grown(pid, problem)))


def _grow(identity: Identity, wanted: Grow, descriptors: list[int], parent_pid: int) -> NoReturn:
    """Go on as a process child, in the copy."""
    from supervisors.processes import bootstrap

    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        parentwatch.arm(parent_pid)
        program = [sys.executable, "-P", "-m", "supervisors.processes.bootstrap"]

        def show(title: str) -> None:
            identity.show(*program, title)
            sys.argv = [bootstrap.__file__, title]

        show(wanted.title)
        bootstrap.main(show)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


if __name__ == "__main__":
    main()
