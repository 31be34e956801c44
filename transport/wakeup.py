"""File descriptors of a thread that sleeps in a poll: what wakes it, and whether one is still open."""

from __future__ import annotations

import contextlib
import os
import select
import socket as _socket
import threading


class Wakeup:
    """A file descriptor, `fd`, that becomes readable when set: an eventfd, where there is none a socket pair.

    `set` may be called on any thread, also after `close`; `clear` and `close` belong to the thread that polls.
    """

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._sockets: tuple[_socket.socket, ...] = ()
        else:
            self._sockets = _socket.socketpair()
            for end in self._sockets:
                end.setblocking(False)
            self.fd = self._sockets[0].fileno()
        self._lock = threading.Lock()
        self._open = True

    def set(self) -> None:
        """Make `fd` readable."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._open:
                return
            if self._sockets:
                self._sockets[1].send(b"\0")
            else:
                os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Make `fd` unreadable until the next `set`."""
        with contextlib.suppress(BlockingIOError):
            if self._sockets:
                while self._sockets[0].recv(4096):
                    pass
            else:
                os.eventfd_read(self.fd)

    def close(self) -> None:
        """Close `fd`."""
        with self._lock:
            self._open = False
            if self._sockets:
                for end in self._sockets:
                    end.close()
            else:
                os.close(self.fd)


class Ear:
    """Waits for a descriptor on a thread that has no poll of its own, until woken.

    `listen` belongs to one thread at a time; `wake` to any.
    """

    def __init__(self, fd: int) -> None:
        """Make an ear for `fd`, which the caller keeps. POSIX only."""
        self._wakeup = Wakeup()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._wakeup.fd, select.POLLIN)

    def listen(self, timeout: float | None) -> None:
        """Wait until the descriptor is readable, `timeout` seconds at most; `wake` ends it too, or nothing at all."""
        for fd, _ in self._poll.poll(None if timeout is None else max(0, int(timeout * 1000) + 1)):
            if fd == self._wakeup.fd:
                self._wakeup.clear()

    def wake(self) -> None:
        """Have `listen` return, the next one if there is none now."""
        self._wakeup.set()

    def close(self) -> None:
        """Release what it holds."""
        self._wakeup.close()


def is_open(fd: int) -> bool:
    """Whether `fd` is a descriptor of this process."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
