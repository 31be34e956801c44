"""Programs for tests: real ones, and small ones that misbehave."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import sys
from typing import Any

import pytest

from supervisors.programs import ProgramStart

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

DOUBLE_FORK = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for name in list(os.environ):
    del os.environ[name]
os.execve(sys.executable, [sys.executable, "-c", sys.argv[1]], {})
"""
"""A daemon of the old kind, with a clean environment: no group, no session, no parent and no variable leads to it."""

ABIDE = "import time; time.sleep(600)"


def python(code: str, *arguments: str, **options: Any) -> ProgramStart:
    """Return the start of a Python program."""
    return ProgramStart((sys.executable, "-c", code, *arguments), **options)


def shell(text: str, **options: Any) -> ProgramStart:
    """Return the start of a shell command line."""
    return ProgramStart(("sh", "-c", text), **options)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on.

    It lies below those that the kernel gives out, so that nobody gets it by chance before it is used.
    """
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", random.SystemRandom().randint(10_000, 32_000))) as server,
        ):
            return int(server.getsockname()[1])
