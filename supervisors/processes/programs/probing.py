"""Asking a program from outside whether it answers: by port, by HTTP, by command. Blocks; called on threads of its own.

No proxy is used and no redirect is followed: the address is asked itself. A command runs in the surroundings of the
program, in a session of its own that ends with it, and what it prints is dropped but for its last line.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

from supervisors.programs import Probe

_SAID = 200
"""Characters of a failed command's last line that are kept."""


def ask(probe: Probe, environment: Mapping[str, str], directory: str) -> str:
    """Ask once; return "" for yes, or why not.

    Args:
        probe: How.
        environment: Variables for a command.
        directory: Where a command runs; "" is here.
    """
    try:
        if probe.port is not None:
            socket.create_connection((probe.host, probe.port), probe.timeout).close()
            return ""
        if probe.http:
            return _get(probe)
        return _run(probe, environment, directory)
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except OSError as error:
        return f"{_shown(probe)}: {error.strerror or error}"
    except http.client.HTTPException as error:
        return f"{_shown(probe)}: no HTTP answer: {type(error).__name__}"


def _shown(probe: Probe) -> str:
    if probe.port is not None:
        return f"{probe.host}:{probe.port}"
    return probe.http or probe.command[0]


def _get(probe: Probe) -> str:
    parts = urlsplit(probe.http)
    assert parts.hostname is not None  # checked with the spec
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=probe.timeout)
    with contextlib.closing(connection):
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "actorctl", "Connection": "close"})
        status = connection.getresponse().status
        return "" if status < 400 else f"{probe.http} answered {status}"


def _run(probe: Probe, environment: Mapping[str, str], directory: str) -> str:
    process = subprocess.Popen(
        probe.command,
        cwd=directory or None,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=probe.timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"{probe.command[0]} did not end within {probe.timeout:g} s"
    finally:
        if process.stderr is not None:
            process.stderr.close()
    if process.returncode == 0:
        return ""
    last = said.decode(errors="backslashreplace").strip().rpartition("\n")[2][:_SAID]
    return f"{probe.command[0]} ended with {process.returncode}" + (f": {last}" if last else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # not waited for yet: the number is its own
    process.wait()
