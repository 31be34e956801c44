"""A real node in a process of its own, driven with the real `actorctl`; nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

TIMEOUT = float(os.environ.get("NODE_TIMEOUT", "60"))

ACTORCTL = (str(Path(sys.executable).with_name("actorctl")),)
"""The installed command, of the wheel or of the working tree."""


def environment(**extra: str) -> dict[str, str]:
    """The test's environment without the settings of a node around it; its commands wait for a machine that stalls."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ACTORS_", "ACTORCTL_"))}
    return {**clean, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "ACTORCTL_TIMEOUT": f"{TIMEOUT:g}s", **extra}


PATIENT = frozenset({"ask", "sql"})
"""Commands with a time-out of their own that a stall of the machine could use up."""


def patiently(words: tuple[str, ...]) -> tuple[str, ...]:
    """Give a command that was told no time-out one that only a fault uses up."""
    if not words or words[0] not in PATIENT or "--timeout" in words:
        return words
    return (*words, "--timeout", f"{TIMEOUT:g}s")


class Result:
    """What one `actorctl` command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of its JSON document."""
        document = json.loads(self.out)
        assert document["apiVersion"] == "actors/v1"
        found: list[dict[str, Any]] = document["items"]
        return found

    def __repr__(self) -> str:
        return f"Result({self.code}, {self.out!r}, {self.err!r})"


def actorctl(*args: str, cwd: Path, timeout: float = 2 * TIMEOUT, **env: str) -> Result:
    """Run one command to its end."""
    done = subprocess.run(
        [*ACTORCTL, *patiently(args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**env),
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Node:
    """`actorctl run` in a folder; its standard error is kept line by line."""

    def __init__(self, folder: Path, args: Sequence[str] = (), **env: str) -> None:
        self.folder = folder
        self.home = folder / ".actors"
        self.lines: list[str] = []
        self._is_silent = False  # its standard error has ended, and every line of it is in `lines`
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*ACTORCTL, "run", *args],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(ACTORS_LOG__FORMAT="human", **env),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._is_silent = True
            self._changed.notify_all()

    def wait_line(self, text: str, after: int = 0) -> str:
        """Wait until a line after the first `after` holds `text`, and return it."""

        def found() -> str | None:
            return next((line for line in self.lines[after:] if text in line), None)

        with self._changed:
            line = self._changed.wait_for(lambda: found() or self._is_silent, TIMEOUT) and found()
        assert line, f"no {text!r} in: " + "\n".join(self.lines[-40:])
        return line

    def wait_ready(self) -> None:
        self.wait_line("NodeChanged: running")

    def ctl(self, *args: str, **options: Any) -> Result:
        """Run `actorctl` beside it."""
        return actorctl(*args, cwd=self.folder, **options)

    def items(self, *args: str) -> list[dict[str, Any]]:
        """The items that a reading command answers with."""
        result = self.ctl(*args, "-o", "json")
        assert result.code == 0, (result, self.process.poll(), self.lines[-30:])
        return result.items

    def processes(self) -> list[psutil.Process]:
        """The node's process and all below it."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def close(self) -> None:
        """End it, and see that nothing of it is left."""
        below = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        if self.process.stderr is not None:
            self.process.stderr.close()
        _gone, alive = psutil.wait_procs([p for p in below if p.pid != self.process.pid], timeout=TIMEOUT)
        for process in alive:
            process.kill()
        assert not alive, f"left behind: {alive}"


@contextmanager
def node(folder: Path, args: Sequence[str] = (), **env: str) -> Iterator[Node]:
    """Run a node until the block ends."""
    running = Node(folder, args, **env)
    try:
        yield running
    finally:
        running.close()


def wait_until(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Look again and again, as a person with a terminal would, until `condition()` is true; return its value."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout:g} s: {what}")
