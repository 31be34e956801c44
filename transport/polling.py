"""What a reactor sleeps in: one poll over file descriptors and sockets.

A ZeroMQ socket is polled by the file descriptor that ZeroMQ has for it, which says only that something may have
changed. Such a descriptor can be set aside while another thread reads its socket (`set_aside`, on Linux).
"""

from __future__ import annotations

import select
from typing import Any, Final

import zmq

_IN: Final = 1
_BROKEN: Final = 0x08 | 0x20 if hasattr(select, "poll") else int(zmq.POLLERR)


class Polling:
    """One poll. All of it belongs to one thread, but for `set_aside` and `take_back`, which any thread may call."""

    def __init__(self) -> None:
        self._poll: Any = select.poll() if hasattr(select, "poll") else zmq.Poller()
        self._sockets = select.epoll() if hasattr(select, "epoll") else None
        if self._sockets is not None:
            self._poll.register(self._sockets.fileno(), _IN)

    @property
    def can_set_aside(self) -> bool:
        """Whether sockets can be set aside."""
        return self._sockets is not None

    def add(self, fd: int) -> None:
        """Wait for `fd` to be readable too."""
        self._poll.register(fd, _IN)

    def remove(self, fd: int) -> None:
        """Wait for `fd` no more."""
        self._poll.unregister(fd)

    def add_socket(self, fd: int) -> None:
        """Wait for the socket whose descriptor is `fd` too."""
        if self._sockets is not None:
            self._sockets.register(fd, select.EPOLLIN)
        else:
            self.add(fd)

    def remove_socket(self, fd: int) -> None:
        """Wait for that socket no more."""
        if self._sockets is not None:
            self._sockets.unregister(fd)
        else:
            self.remove(fd)

    def set_aside(self, fd: int) -> None:
        """Do not wait for that socket until `take_back`."""
        assert self._sockets is not None  # can_set_aside
        self._sockets.modify(fd, 0)

    def take_back(self, fd: int) -> None:
        """Wait for that socket again."""
        assert self._sockets is not None  # can_set_aside
        self._sockets.modify(fd, select.EPOLLIN)

    def wait(self, seconds: float) -> list[tuple[int, bool]]:
        """Sleep for `seconds` at most; return the descriptors that are ready, and whether each is broken."""
        ready = self._poll.poll(int(seconds * 1000) + (1 if seconds > 0 else 0))
        if self._sockets is None:
            return [(fd, bool(events & _BROKEN)) for fd, events in ready]
        own = self._sockets.fileno()
        found: list[tuple[int, bool]] = []
        for fd, events in ready:
            if fd == own:
                found += [(socket, False) for socket, _ in self._sockets.poll(0)]
            else:
                found.append((fd, bool(events & _BROKEN)))
        return found

    def close(self) -> None:
        """Release what it holds."""
        if self._sockets is not None:
            self._sockets.close()
