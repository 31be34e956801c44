"""Actors that process children run in the tests: each does one thing, well or badly."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from actors import Actor, Down, Ignore, Message, on
from actors.core.mailbox import NO_STATISTICS
from actors.events import RunFinished
from supervisors.processes.protocol import Beat, Start, Status, to_envelope
from transport.channels import CREDIT
from transport.codec import pack_frame
from transport.envelope import Kind, envelope


class Add(Message[int], frozen=True):
    """Answered with the sum so far."""

    n: int


class Get(Message[list[int]], frozen=True):
    """Answered with what was added."""


class Fail(Message[None], frozen=True):
    """Raises `kind` with `text`."""

    text: str = "boom"
    kind: str = "ValueError"


class Do(Message[None], frozen=True):
    """Does `what`."""

    what: str


class WaitFor(Message[None], frozen=True):
    """Handled for as long as nobody has written a byte into the FIFO at `fifo`."""

    fifo: str


class AskOther(Message[int], frozen=True):
    """Asks the actor at `path` for `Add(n)`."""

    path: str
    n: int


class TellOther(Message[None], frozen=True):
    """Tells the actor at `path` `Add(n)`."""

    path: str
    n: int


class WatchOther(Message[None], frozen=True):
    """Monitors the actor at `path`."""

    path: str


class Seen(Message[list[tuple[str, str, str]]], frozen=True):
    """Answered with the address, kind and detail of every `Down` so far."""


class Facts(Message[dict[str, str]], frozen=True):
    """Answered with facts about the process."""


class Renew(Message[None], frozen=True):
    """Ask for its own restart, because of `why`."""

    why: str


INSIDE = "inside"


def say_inside() -> None:
    """Say on standard error that what never ends has begun."""
    sys.stderr.write(f"{INSIDE}\n")
    sys.stderr.flush()


class CustomError(Exception):
    """An error of a user."""

    def __init__(self, need: int) -> None:
        super().__init__(f"need {need}")
        self.need = need


class Counter(Actor):
    """Adds up."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self._added: list[int] = [start] if start else []
        self._sum = start

    @on(Add)
    def add(self, message: Add) -> int:
        self._added.append(message.n)
        self._sum += message.n
        return self._sum

    @on(Renew)
    def renew(self, message: Renew) -> None:
        self.request_restart(message.why)

    @on(Get)
    def get(self, message: Get) -> list[int]:
        return self._added

    @on(Fail)
    def fail(self, message: Fail) -> None:
        if message.kind == "CustomError":
            raise CustomError(7)
        raise {"ValueError": ValueError, "SystemExit": SystemExit, "MemoryError": MemoryError}[message.kind](
            message.text
        )

    @on(Do)
    def do(self, message: Do) -> None:
        getattr(self, f"_{message.what}")()

    @on(WaitFor)
    def wait_for(self, message: WaitFor) -> None:
        with open(message.fifo, "rb") as fifo:
            fifo.read(1)

    @on(Facts)
    def facts(self, message: Facts) -> dict[str, str]:
        return {
            "pid": str(os.getpid()),
            "cwd": os.getcwd(),
            "stdin": os.readlink("/proc/self/fd/0"),
            "session": str(os.getsid(0)),
            "pythonpath": str(os.environ.get("PYTHONPATH")),
            "thread": threading.current_thread().name,
            "generation": str(self.incarnation.generation),
            "attempt": str(self.incarnation.attempt),
            "last_exit": str(self.incarnation.last_exit),
            "modules": " ".join(sorted(sys.modules)),
            "environment": " ".join(f"{k}={v}" for k, v in os.environ.items()),
            "argv": " ".join(sys.argv),
            "fds": " ".join(os.listdir("/proc/self/fd")),
        }

    @on(AskOther)
    def ask_other(self, message: AskOther) -> int:
        return self.system.ref(message.path).ask(Add(message.n), timeout=20)

    @on(TellOther)
    def tell_other(self, message: TellOther) -> None:
        self.system.ref(message.path).tell(Add(message.n))

    def _exit_3(self) -> None:
        sys.stderr.write("about to go\n")
        sys.stderr.flush()
        os._exit(3)

    def _exit_0(self) -> None:
        os._exit(0)

    def _segfault(self) -> None:
        ctypes.string_at(0)

    def _stop(self) -> None:
        self.stop()

    def _spin(self) -> None:
        say_inside()
        while True:
            pass

    def _hold_interpreter(self) -> None:
        say_inside()
        ctypes.PyDLL(None).sleep(600)

    def _sleep(self) -> None:
        say_inside()
        time.sleep(600)

    def _hog(self) -> None:
        self._kept: Any = []
        for _ in range(400):
            self._kept.append(bytearray(os.urandom(1)) * 1_000_000)
            time.sleep(0.005)

    def _print_garbage(self) -> None:
        os.write(1, b"\xff\xfe\x00garbage\n" * 10)
        sys.stdout.write("a line\n")
        sys.stdout.flush()

    def _log(self) -> None:
        logging.getLogger("my.actor").warning("from inside", extra={"n": 1})

    def _publish(self) -> None:
        self.system.bus.publish(RunFinished(time.time(), self.path, "run", "succeeded", 0.5, "detail"))

    def _dead_letter(self) -> None:
        self.system.dead_letters.put("/nowhere", Add(5), "unwanted", self.path)

    def _linger(self) -> None:
        threading.Thread(target=time.sleep, args=(600,)).start()
        self.stop()

    def _family(self) -> None:
        code = "import time; time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", code])
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


FLOOD = 20_000
"""How many words `Flooding` says at once."""


class Flooding(Counter):
    """Says how it is, again and again, and makes heartbeats up."""

    def _flood(self) -> None:
        gateway = self.system.registry._gateway  # type: ignore[attr-defined]  # what no actor should touch
        status = to_envelope(Status("busy", {"text": "x" * 10_000}))
        beat = to_envelope(Beat(1, 0.0, 1, NO_STATISTICS))
        for _ in range(FLOOD // 2):
            gateway.send(status)
            gateway.send(beat)


class Deserting(Counter):
    """Breaks off with its launcher while its process goes on."""

    def _close_sockets(self) -> None:
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    os.close(int(name))
        threading.Event().wait()

    def _stop_reading(self) -> None:
        channel = self.system.registry._gateway._channel  # type: ignore[attr-defined]  # what no actor should touch
        channel._schedule(threading.Event().wait)
        threading.Event().wait()

    def _replay(self) -> None:
        channel = self.system.registry._gateway._channel  # type: ignore[attr-defined]  # as above
        once, once_here = channel._transmit, channel._transmit_here
        channel._transmit = lambda frame: [once(frame), once(frame)]
        channel._transmit_here = lambda frame: [once_here(frame), once_here(frame)]


GARBLED = 8
"""How many wrong things `Garbling` sends."""


class Garbling(Counter):
    """Sends its launcher nonsense, past everything that would make sense of it."""

    def _garble(self) -> None:
        channel = self.system.registry._gateway._channel  # type: ignore[attr-defined]  # what no actor should touch
        start = Start("os:system", {})
        words = [
            envelope(Kind.SYSTEM, "", CREDIT, b"\xcd\x03\xe7"),
            envelope(Kind.SYSTEM, "", "process:NoSuchWord"),
            envelope(Kind.SYSTEM, "", "process:Ended", b"\x91\xc0"),
            to_envelope(start),
            envelope(Kind.EVENT, "", "os:system", b"\x90"),
            envelope(Kind.ASK, "/work/two", "", b"\xc0"),
        ]
        frames = [b"\xc1", b"\x91\x90", pack_frame(words)]
        channel._schedule(lambda: [channel._transmit(frame) for frame in frames])


class Watcher(Actor):
    """Monitors others and remembers their ends."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[tuple[str, str, str]] = []

    @on(WatchOther)
    def watch(self, message: WatchOther) -> None:
        self.monitor(self.system.ref(message.path))

    @on(Down)
    def down(self, message: Down) -> None:
        self._seen.append((message.ref_address, message.reason.kind.value, message.reason.detail))

    @on(Seen)
    def seen(self, message: Seen) -> list[tuple[str, str, str]]:
        return self._seen


class Linked(Actor):
    """Shares the fate of others."""

    @on(WatchOther)
    def link_to(self, message: WatchOther) -> None:
        self.link(self.system.ref(message.path))


class Awaiting(Actor):
    """Awaits for a long time, or keeps its event loop busy."""

    @on(Do)
    async def do(self, message: Do) -> None:
        say_inside()
        if message.what == "await":
            await asyncio.sleep(600)
        while True:
            pass


class Declining(Actor):
    """Will not run."""

    def on_start(self) -> Ignore:
        return Ignore("not configured: set io.gmail.host")


class FailingStart(Actor):
    """Raises while it starts."""

    def on_start(self) -> None:
        raise RuntimeError("no start today")


class HangingStart(Actor):
    """Never finishes starting."""

    def on_start(self) -> None:
        say_inside()
        time.sleep(600)


class DyingStart(Actor):
    """Kills its process while it starts."""

    def on_start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stubborn(Actor):
    """Obeys neither a stop nor TERM."""

    def on_stop(self) -> None:
        time.sleep(600)


class Lasting(Actor):
    """Writes what it does to a file, its end included."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def on_stop(self) -> None:
        with open(self._file, "a") as file:
            file.write("stopped\n")


class Parent(Actor):
    """Starts a family of processes and says their pids."""

    @on(Facts)
    def facts(self, message: Facts) -> dict[str, str]:
        code = "import time; time.sleep(600)"
        plain = subprocess.Popen([sys.executable, "-c", code])
        apart = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        return {"pids": f"{plain.pid} {apart.pid}"}


class Note(Message[int], frozen=True):
    """Answered with `n` once it is written down."""

    n: int


class Ledger(Actor):
    """Writes down each number it is told, in a file that outlives its process."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 (closed when it ends)

    def on_stop(self) -> None:
        self._file.close()

    @on(Note)
    def note(self, message: Note) -> int:
        self._file.write(f"{message.n}\n")
        return message.n


not_an_actor = 5
