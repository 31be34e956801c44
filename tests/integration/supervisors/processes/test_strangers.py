"""What arrives on the launcher's socket from elsewhere, or is nonsense, is counted and harms nobody."""

from __future__ import annotations

import ctypes
import os
import queue
import subprocess
import sys

import msgspec
import psutil
import pytest
import zmq
from support.process_actors import FLOOD, GARBLED, Add, Counter, Do
from support.processes import TIMEOUT
from support.waiting import until

from actors.errors import ActorExitedError
from actors.events import ActorReported, PeerRefused
from actors.exits import KILLED, SHUTDOWN, ExitRecord
from supervisors import refusals
from supervisors.processes.protocol import Ended, Hello, Ready, to_envelope
from supervisors.refusals import UNAUTHORISED, UNRECOGNISED
from supervisors.specs import Heartbeat
from transport import rates
from transport.codec import pack_frame
from transport.envelope import Kind, envelope
from transport.security import KeyPair

STRANGER = """
import sys, zmq
endpoint, *frames = sys.argv[1:]
context = zmq.Context()
socket = context.socket(zmq.DEALER)
socket.connect(endpoint)
for frame in frames:
    socket.send_multipart([bytes.fromhex(part) for part in frame.split('+')])
socket.close(linger=60000)
context.term()
"""

PYTHON = sys.executable
NONSENSE = [
    b"",
    b"\xc1",
    b"\x90",
    b"\x91\x90",
    b"garbage",
    b"\x91\x95\x63\x01\xa0\xa0\xc4\x00",
    os.urandom(200),
    b"\xdd" * 50,
]


def send(endpoint: str, *frames: bytes | list[bytes]) -> None:
    """Send `frames` from a process that nobody launched."""
    texts = ["+".join(part.hex() for part in (frame if isinstance(frame, list) else [frame])) for frame in frames]
    subprocess.run([PYTHON, "-c", STRANGER, endpoint, *texts], check=True, timeout=TIMEOUT)


def wait_for(found):
    """Return what `found()` returns once that is something."""
    values = []
    until(lambda: values.append(found()) or values[-1])
    return values[-1]


def wait_until(host, name: str, value: int):
    """Wait until the launcher counted `value` of `name`."""
    wait_for(lambda: getattr(host.launcher.statistics(), name) >= value)
    return host.launcher.statistics()


def test_nonsense_of_a_stranger_is_counted_and_the_children_go_on(host):
    ref = host.start("Counter").started()

    send(host.launcher.endpoint, *NONSENSE, [b"one", b"two"])

    assert wait_until(host, "strangers", len(NONSENSE) + 1).strangers == len(NONSENSE) + 1
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1


def test_a_stranger_that_talks_like_a_child_without_a_hello_has_no_effect(host):
    child = host.start("Counter")
    ref = child.started()
    started = []
    host.system.spawn(Counter, path="/io/counter", placement="thread", on_outcome=started.append)
    tell = envelope(Kind.TELL, "/io/counter", f"{Add.__module__}:Add", msgspec.msgpack.encode(Add(5)))
    words = [to_envelope(Ready(1.0)), to_envelope(Ended(ExitRecord("normal"))), envelope(Kind.EVENT), tell]

    send(host.launcher.endpoint, *(pack_frame([word]) for word in words))
    wait_until(host, "strangers", len(words))

    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    assert child.outcomes.empty()
    assert host.system.ref("/io/counter").ask(Add(0), timeout=TIMEOUT) == 0


def test_an_unknown_token_is_refused_and_counted(host):
    host.start("Counter").started()

    send(host.launcher.endpoint, pack_frame([to_envelope(Hello(b"x" * 32, os.getpid(), "/work/one", 1))]))

    assert wait_until(host, "refused", 1).strangers == 0


@pytest.fixture
def silent_interpreter(monkeypatch, tmp_path):
    """Children are processes that never say anything."""
    program = tmp_path / "silent"
    program.write_text(f'#!/bin/sh\ncase "$*" in *bootstrap*) exec sleep 600;; *) exec {PYTHON} "$@";; esac\n')
    program.chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", str(program))
        yield


@pytest.mark.parametrize("lie", ["pid", "path", "generation", "protocol"])
def test_a_hello_with_the_right_token_that_lies_about_the_rest_is_refused(host, silent_interpreter, lie):
    child = host.start("Counter", start_timeout=600.0)
    (token,) = wait_for(lambda: tuple(host.launcher._door._by_token))
    pid = wait_for(lambda: child.handle.pid)
    said = {"pid": pid, "path": "/work/one", "generation": 1, "protocol": 1}
    said[lie] = {"pid": os.getpid(), "path": "/work/two", "generation": 2, "protocol": 99}[lie]

    send(host.launcher.endpoint, pack_frame([to_envelope(Hello(token, **said))]))

    assert wait_until(host, "refused", 1).refused == 1
    assert child.handle.identity is None
    child.handle.kill()
    assert child.start_failed() == KILLED


def test_a_second_hello_for_a_connected_child_is_refused(host):
    child = host.start("Counter")
    ref = child.started()
    (token,) = host.launcher._door._by_token

    send(host.launcher.endpoint, pack_frame([to_envelope(Hello(token, child.handle.pid, "/work/one", 1))]))
    wait_until(host, "refused", 1)

    assert ref.ask(Add(1), timeout=TIMEOUT) == 1


def test_a_client_without_the_key_reaches_nothing_over_tcp(tmp_path):
    from support.launching import launching

    with launching(tmp_path / "run", tcp=True) as host:
        ref = host.start("Counter").started()
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        refused = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED
        monitor = socket.get_monitor_socket(refused)
        socket.connect(host.launcher.endpoint)
        assert monitor.poll(TIMEOUT * 1000)
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=0)
        context.term()

        assert host.launcher.statistics().strangers == 0
        assert ref.ask(Add(1), timeout=TIMEOUT) == 1


@pytest.mark.parametrize("wrong", ["its own", "the launcher's"])
def test_a_worker_with_a_wrong_key_says_so_and_so_does_the_node(tmp_path, monkeypatch, wrong):
    from support.launching import launching

    with launching(tmp_path / "run", tcp=True) as host:
        refused: queue.Queue[PeerRefused] = queue.Queue()
        host.system.bus.subscribe(lambda _number, event: refused.put(event), (PeerRefused,))
        other = KeyPair.make().public
        if wrong == "its own":
            expect = host.launcher._door.expect
            monkeypatch.setattr(host.launcher._door, "expect", lambda child, token, _key: expect(child, token, other))
        else:
            monkeypatch.setattr(host.launcher, "_keys", KeyPair.make())
        reason = host.start("Counter", start_timeout=60.0).start_failed()
        event = refused.get(timeout=TIMEOUT)

    assert reason.detail == "exit code 1"
    assert "AuthenticationError" in reason.crash.traceback
    assert event.why == (UNAUTHORISED if wrong == "its own" else UNRECOGNISED)
    assert (event.path, bool(event.peer)) == ("/", wrong == "its own")


@pytest.fixture
def told_once(monkeypatch):
    """Of a fault that goes on the node is told again only much later, however long a test takes."""
    monkeypatch.setattr(refusals, "REPORT_EVERY", 3600.0)
    monkeypatch.setattr(rates, "REPORT_EVERY", 3600.0)


@pytest.mark.usefixtures("told_once")
def test_the_node_is_told_of_strangers_at_the_launcher_once_in_a_while(host):
    refused: queue.Queue[PeerRefused] = queue.Queue()
    host.system.bus.subscribe(lambda _number, event: refused.put(event), (PeerRefused,))
    host.start("Counter").started()

    send(host.launcher.endpoint, *[b"garbage"] * 50)
    send(host.launcher.endpoint, pack_frame([to_envelope(Hello(b"x" * 32, os.getpid(), "/work/one", 1))]))
    wait_until(host, "refused", 1)
    first, second = (refused.get(timeout=TIMEOUT) for _ in range(2))

    assert first.why == "it speaks to the launcher without a hello"
    assert second.why == "a hello with an unknown token, as /work/one"
    assert refused.empty()


def test_the_socket_is_in_a_directory_that_only_its_owner_may_enter(host, tmp_path):
    assert host.launcher.endpoint == f"ipc://{tmp_path}/run/processes.sock"
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("told_once")
def test_a_child_that_floods_its_parent_with_words_is_cut_short_counted_and_told_of(host):
    refused: queue.Queue[PeerRefused] = queue.Queue()
    reported: list[ActorReported] = []
    host.system.bus.subscribe(lambda _number, event: refused.put(event), (PeerRefused,))
    host.system.bus.subscribe(lambda _number, event: reported.append(event), (ActorReported,))
    child = host.start("Flooding")
    ref = child.started()
    other = host.start("Counter", "/work/two").started()
    before = psutil.Process().memory_info().rss

    ref.ask(Do("flood"), timeout=TIMEOUT)
    wait_for(lambda: child.handle.limits.refused >= FLOOD // 2)
    events = {refused.get(timeout=TIMEOUT) for _ in range(2)}

    assert other.ask(Add(1), timeout=TIMEOUT) == 1
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    assert len(reported) < FLOOD // 4
    assert {event.why for event in events} == {
        "it sends more than 100 Status messages a second",
        "it sends more than 100 Beat messages a second",
    }
    assert {(event.path, event.peer) for event in events} == {("/work/one", f"pid {child.handle.pid}")}
    until(lambda: kept_since(before) < 64 * 1024 * 1024, what="the 100 MB that it sent given back")
    assert child.outcomes.empty()


def kept_since(before: int) -> int:
    """How many bytes this process has grown, without those that are free and were not given back yet."""
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss - before


@pytest.mark.parametrize("what", ["close_sockets", "stop_reading"])
def test_a_child_that_breaks_off_with_its_launcher_is_ended_and_its_askers_are_told(host, what):
    child = host.start("Deserting", heartbeat=Heartbeat(every=0.2, misses=5))
    ref = child.started()
    other = host.start("Counter", "/work/two").started()

    with pytest.raises(ActorExitedError):
        ref.ask(Do(what), timeout=TIMEOUT)

    assert child.exited().is_abnormal
    assert other.ask(Add(1), timeout=TIMEOUT) == 1


def test_what_a_child_says_twice_counts_once(host):
    child = host.start("Deserting")
    ref = child.started()

    ref.ask(Do("replay"), timeout=TIMEOUT)
    answers = [ref.ask(Add(1), timeout=TIMEOUT) for _ in range(5)]

    assert answers == [1, 2, 3, 4, 5]
    assert child.outcomes.empty()
    child.handle.stop(SHUTDOWN)
    assert child.exited() == SHUTDOWN


@pytest.mark.usefixtures("told_once")
def test_nonsense_of_a_child_is_contained_in_that_child(host):
    refused: queue.Queue[PeerRefused] = queue.Queue()
    host.system.bus.subscribe(lambda _number, event: refused.put(event), (PeerRefused,))
    child = host.start("Garbling")
    ref = child.started()
    other = host.start("Counter", "/work/two").started()

    ref.ask(Do("garble"), timeout=TIMEOUT)
    wait_for(lambda: child.handle.gateway.statistics().malformed >= GARBLED)

    assert other.ask(Add(1), timeout=TIMEOUT) == 1
    assert ref.ask(Add(1), timeout=TIMEOUT) == 1
    assert child.handle.gateway.statistics().malformed == GARBLED
    assert (refused.get(timeout=TIMEOUT).why, refused.empty()) == ("it says what makes no sense", True)
    assert child.outcomes.empty()
