"""The reactor: one thread that owns sockets, watches file descriptors and keeps timers.

It sleeps in one poll over all of them and its own wake-up (an eventfd, elsewhere a socket pair), so it costs nothing
while nothing happens. Everything it calls runs on its thread and must not block; an error that leaves a callback is
logged and counted, and the reactor lives on. A reactor does not survive a fork: make it in the process that uses it.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import zmq

from transport.errors import SocketClosedError
from transport.handing import Call
from transport.handshakes import watch_handshakes
from transport.polling import Polling
from transport.security import ServerKeys
from transport.sockets import Frames, OnMessage, Socket, SocketSpec, open_socket
from transport.wakeup import Wakeup, is_open

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

T = TypeVar("T")
Answer = Callable[[list[bytes]], list[bytes]]

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_LONGEST_SLEEP: Final = 3_600.0


class Timer:
    """A callback the reactor will make; `cancel` from any thread."""

    __slots__ = ("_callback", "_every")

    def __init__(self, callback: Callable[[], None], every: float | None) -> None:
        self._callback: Callable[[], None] | None = callback
        self._every = every

    def cancel(self) -> None:
        """Make sure that it is not called again, unless it is running now."""
        self._callback = None

    @property
    def is_active(self) -> bool:
        """Whether it will be called (again)."""
        return self._callback is not None


class Reactor:
    """One thread and what it owns. Every public method may be called on any thread."""

    def __init__(self, name: str = "reactor", *, beside: Reactor | None = None) -> None:
        """Start the thread.

        Args:
            name: The thread's name.
            beside: Another reactor whose ZeroMQ context, and `authenticate`, this one shares; it must end after this
                one. By default the context is its own.
        """
        self.name = name
        self.errors = 0
        """Errors that left a posted callback, a timer or a watch."""
        self._beside = beside
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context() if beside is None else beside.context
        self._wakeup = Wakeup()
        self._asleep = False
        self._woken = False
        self._posted: deque[Callable[[], None]] = deque()
        self._to_flush: deque[Socket] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._to_read: deque[Socket] = deque()
        self._sockets: dict[int, Socket] = {}
        self._watches: dict[int, Callable[[], None]] = {}
        self._retiring: dict[Socket, float] = {}
        self._polling = Polling()
        self._polling.add(self._wakeup.fd)
        self._authenticates = False
        self.unrecognised: Callable[[], object] | None = None  # see `authenticate`
        self._closing = False
        self._dead = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The ZeroMQ context its sockets live in."""
        return self._context

    @property
    def authenticates(self) -> bool:
        """Whether somebody decides which keys may connect."""
        return self._authenticates or (self._beside is not None and self._beside.authenticates)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def open(
        self,
        spec: SocketSpec,
        on_message: OnMessage,
        on_undelivered: Callable[[Frames, str], None] | None = None,
        *,
        timeout: float = 10.0,
    ) -> Socket:
        """Open a socket and return it once it is bound or connecting.

        Args:
            spec: How.
            on_message: Gets each message that arrives, on the reactor's thread.
            on_undelivered: Gets the parts of each message that could not be handed over, and why.
            timeout: Longest wait for the reactor's thread, in seconds.

        Raises:
            EndpointError: The endpoint cannot be bound or connected.
            SocketClosedError: The reactor is closed.
            TimeoutError: The reactor's thread is busy with a callback that blocks.
            RuntimeError: The spec has `ServerKeys` and nobody decides who may connect: `authenticate` comes first.
        """

        def opened() -> Socket:
            if self._closing:
                raise SocketClosedError(self.name)
            if isinstance(spec.keys, ServerKeys) and not self.authenticates:
                raise RuntimeError(f"{spec.name}: authenticate first, or every key would be let in")
            zsocket = open_socket(self._context, spec, before_connect=partial(self._watch_handshakes, spec))
            socket = Socket(self, spec, zsocket, on_message, on_undelivered)
            self._sockets[socket.fd] = socket
            self._polling.add_socket(socket.fd)
            self._to_read.append(socket)  # its descriptor tells of changes, and the first may be past
            return socket

        return self.run(opened, timeout=timeout)

    def authenticate(self, answer: Answer, unrecognised: Callable[[], object] | None = None) -> Socket:
        """Serve ZAP, the question "may this key connect?", for every CURVE server socket of this context.

        To be called before those sockets are opened: ZeroMQ would let every key in while nobody answers.

        Args:
            answer: Makes the reply frames of a request's frames, on the reactor's thread; see `security.Gatekeeper`.
            unrecognised: Called for each handshake that came to no key, on the thread of the socket's reactor.
        """
        self.unrecognised = unrecognised

        def reply(socket: Socket, frames: list[bytes]) -> None:
            at = frames.index(b"") + 1
            socket.send([*frames[:at], *answer(frames[at:])])

        socket = self.open(SocketSpec(zmq.ROUTER, bind=ZAP_ENDPOINT, name="zap"), reply)
        self._authenticates = True
        return socket

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon on the reactor's thread; nothing happens once the reactor has ended."""
        self._posted.append(callback)
        self._wake()

    def run(self, callback: Callable[[], T], *, timeout: float = 10.0) -> T:
        """Run `callback` on the reactor's thread and return what it returns, or raise what it raises.

        Raises:
            SocketClosedError: The reactor has ended.
            TimeoutError: The reactor's thread is busy with a callback that blocks.
        """
        if self.is_current():
            return callback()
        call = Call(callback)
        self.post(call)
        if self._dead:  # nobody may come for the call any more: whether somebody did is known at the end
            self._ended.wait(timeout)
            call.abort(self.name)
        if not call.done.wait(timeout):
            raise TimeoutError(f"{self.name} did not come to the call within {timeout:g} s")
        return call.result()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the reactor's thread in `delay` seconds."""
        return self._schedule(delay, Timer(callback, None))

    def every(self, interval: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the reactor's thread each `interval` seconds; a late call does not bunch up.

        Raises:
            ValueError: `interval` is not positive.
        """
        if interval <= 0:
            raise ValueError(f"an interval is positive seconds, got {interval}")
        return self._schedule(interval, Timer(callback, interval))

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` on the reactor's thread whenever `fd` is readable, until `unwatch`. The caller keeps `fd`."""

        def watched() -> None:
            self._watches[fd] = callback
            self._polling.add(fd)

        self.post(watched)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`; once this returns it may be closed."""

        def unwatched() -> None:
            if self._watches.pop(fd, None) is not None:
                self._polling.remove(fd)

        if self.is_current():
            unwatched()
        else:
            self.run(unwatched)

    def close(self, timeout: float = 5.0) -> bool:
        """Drain and close every socket (each within its `linger`), end the thread and the context it owns.

        Returns:
            Whether the thread ended within `timeout` seconds; always False on the reactor's own thread.
        """
        self._closing = True
        self._wake()
        if self.is_current():
            return False
        return self._ended.wait(timeout)

    def is_current(self) -> bool:
        """Whether this is the reactor's thread."""
        return threading.get_ident() == self._thread.ident

    # For its sockets.

    def flush_soon(self, socket: Socket) -> None:
        """Flush `socket` in the next round."""
        self._to_flush.append(socket)
        self._wake()

    def read_soon(self, socket: Socket) -> None:
        """Read `socket` in the next round: something may have arrived of which its descriptor tells no more."""
        self._to_read.append(socket)
        self._wake()

    @property
    def can_lend(self) -> bool:
        """Whether another thread may read a socket for a while."""
        return self._polling.can_set_aside

    def set_aside(self, socket: Socket) -> None:
        """Leave the reading of `socket` to the calling thread."""
        self._polling.set_aside(socket.fd)

    def take_back(self, socket: Socket) -> None:
        """Read `socket` here again."""
        self._polling.take_back(socket.fd)

    def retire(self, socket: Socket) -> None:
        """Close `socket` once it is drained, or its linger is over; on the reactor's thread."""
        if self._sockets.get(socket.fd) is socket and socket not in self._retiring:
            socket.refuse_sends()
            self._retiring[socket] = monotonic() + socket.spec.linger
            self._flush(socket)

    # Private parts.

    def _watch_handshakes(self, spec: SocketSpec, zsocket: zmq.Socket[bytes]) -> None:
        tell = self.unrecognised or (self._beside.unrecognised if self._beside is not None else None)
        if tell is not None and isinstance(spec.keys, ServerKeys):
            watch_handshakes(self.open, zsocket, tell)

    def _schedule(self, delay: float, timer: Timer) -> Timer:
        at = monotonic() + max(0.0, delay)
        if self.is_current():
            heapq.heappush(self._timers, (at, next(self._count), timer))
        else:
            self.post(lambda: heapq.heappush(self._timers, (at, next(self._count), timer)))
        return timer

    def _wake(self) -> None:
        if self._asleep and not self._woken:
            self._woken = True
            self._wakeup.set()

    def _run(self) -> None:
        try:
            while not (self._closing and not self._sockets):
                self._round()
        except zmq.ContextTerminated:
            _log.error("the ZeroMQ context of %s was terminated under it", self.name)
        finally:
            self._closing = self._dead = True
            for socket in self._sockets.values():
                socket.refuse_sends()
                socket.end(0)
            self._sockets.clear()
            while self._posted:
                left = self._posted.popleft()
                if isinstance(left, Call):
                    left.abort(self.name)
            self._polling.close()
            if self._beside is None:
                self._context.term()
            self._wakeup.close()
            self._ended.set()

    def _round(self) -> None:
        for _ in range(len(self._posted)):
            self._call(self._posted.popleft())
        for _ in range(len(self._to_flush)):
            self._flush(self._to_flush.popleft())
        now = monotonic()
        sleep = self._fire(now)
        if self._closing and not self._posted:  # what was posted before it closed may still send
            for socket in list(self._sockets.values()):
                self.retire(socket)
        for socket, until in list(self._retiring.items()):
            if socket.is_drained or now >= until:
                self._end(socket, until - now)
            else:
                sleep = min(sleep, until - now)
        if self._closing and not self._sockets:
            return
        self._asleep = True
        if self._posted or self._to_flush or self._to_read:
            sleep = 0.0
        ready = self._polling.wait(sleep)
        self._asleep = False
        for _ in range(len(self._to_read)):
            self._read(self._to_read.popleft())
        for fd, is_broken in ready:
            ready_socket = self._sockets.get(fd)
            if ready_socket is not None:
                self._read(ready_socket)
            else:
                self._ready(fd, is_broken)

    def _read(self, socket: Socket) -> None:
        if self._sockets.get(socket.fd) is not socket:
            return
        if socket.is_closed:
            socket.take_note()
        elif socket.read():
            self._to_read.append(socket)  # there is more: the others get their turn
        if socket.is_stuck:
            self._flush(socket)

    def _ready(self, fd: int, is_broken: bool) -> None:
        if fd == self._wakeup.fd:
            self._wakeup.clear()
            self._woken = False
        elif (callback := self._watches.get(fd)) is not None:
            if is_broken and not is_open(fd):
                _log.error("%s watched the file descriptor %d, which was closed without unwatch", self.name, fd)
                self.errors += 1
                self.unwatch(fd)
                return
            self._call(callback)

    def _flush(self, socket: Socket) -> None:
        if self._sockets.get(socket.fd) is socket:
            socket.flush()

    def _end(self, socket: Socket, linger: float) -> None:
        del self._retiring[socket]
        del self._sockets[socket.fd]
        self._polling.remove_socket(socket.fd)
        socket.end(linger)

    def _fire(self, now: float) -> float:
        """Call the timers that are due; return the seconds to the next."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, _, timer = heapq.heappop(timers)
            callback = timer._callback
            if callback is None:
                continue
            if timer._every is None:
                timer._callback = None
            else:
                heapq.heappush(timers, (now + timer._every, next(self._count), timer))
            self._call(callback)
        while timers and not timers[0][2].is_active:
            heapq.heappop(timers)
        return max(0.0, min(timers[0][0] - now, _LONGEST_SLEEP)) if timers else _LONGEST_SLEEP

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            self.errors += 1
            _log.exception("a callback of %s failed", self.name)
