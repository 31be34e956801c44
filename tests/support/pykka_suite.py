"""Pykka's own tests, fetched by name and run against our actor in a process of their own.

Nothing of pykka's is kept here: its source distribution comes from the package index once (or from the file that
`ACTORCTL_PYKKA_SDIST` names) and is unpacked where the test says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

SDIST_VARIABLE = "ACTORCTL_PYKKA_SDIST"

_TAIL = """

# -- appended: the runtime under test, and pytest-mock's fixture as far as these tests use it --------------------------

import contextlib
import unittest.mock

from actors import Actor as _Actor, Future as _Future


class ActorUnderTest(_Actor):
    dispatcher = {dispatcher!r}


RUNTIMES.clear()
RUNTIMES[{dispatcher!r}] = pytest.param(
    Runtime(
        name={dispatcher!r},
        actor_class=ActorUnderTest,
        event_class=threading.Event,
        future_class=_Future,
        sleep_func=time.sleep,
    ),
    id={dispatcher!r},
)


@pytest.fixture(scope="session", params=RUNTIMES.values())
def runtime(request):
    return request.param


class _Mocker:
    Mock = unittest.mock.Mock
    MagicMock = unittest.mock.MagicMock
    NonCallableMock = unittest.mock.NonCallableMock
    NonCallableMagicMock = unittest.mock.NonCallableMagicMock

    def __init__(self, patches):
        self.patch = self
        self._patches = patches

    def object(self, *args, **kwargs):
        return self._patches.enter_context(unittest.mock.patch.object(*args, **kwargs))


@pytest.fixture
def mocker():
    with contextlib.ExitStack() as patches:
        yield _Mocker(patches)
"""

_HEAD = """
import pykka as _pykka
from actors import Actor as _ThreadActor

_pykka.ThreadingActor = _ThreadActor
"""


def fetch_sdist(cache: Path) -> Path:
    """Return the source distribution of the installed pykka, downloaded into `cache` if it is not there.

    Raises:
        RuntimeError: It could not be had; says what to do.
    """
    named = os.environ.get(SDIST_VARIABLE)
    if named:
        return Path(named)
    wanted = version("pykka")
    found = cache / f"pykka-{wanted}.tar.gz"
    if found.exists():
        return found
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--quiet", "--dest", str(cache), f"pykka=={wanted}"], capture_output=True, text=True, check=False
    )
    if not found.exists():
        raise RuntimeError(
            f"pykka {wanted}'s source distribution could not be downloaded (no network?); name a copy of it in "
            f"{SDIST_VARIABLE}\n{done.stdout}{done.stderr}"
        )
    return found


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack `sdist` below `into` and return its top folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    (top,) = into.iterdir()
    return top


def run_suite(top: Path, dispatcher: str, timeout: float) -> tuple[int, int, str]:
    """Run the suite under `top` with our actor on `dispatcher`.

    For `thread` our actor also stands in for `pykka.ThreadingActor` by name, so that the tests about threads are ours.

    Returns:
        Tests passed, tests that failed or had errors, and the output.
    """
    conftest = top / "tests" / "conftest.py"
    text = conftest.read_text()
    future = "from __future__ import annotations\n"
    assert text.startswith(future)
    head = _HEAD if dispatcher == "thread" else ""
    conftest.write_text(future + head + text[len(future) :] + _TAIL.format(dispatcher=dispatcher))
    (top / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (top / "pyproject.toml").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(top), "tests"],
        cwd=top,
        env={**os.environ, "PYTHONPATH": str(top)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    output = done.stdout + done.stderr
    passed = sum(int(n) for n in re.findall(r"(\d+) passed", output))
    broken = sum(int(n) for n in re.findall(r"(\d+) (?:failed|error)", output))
    return passed, broken + (done.returncode != 0), output
