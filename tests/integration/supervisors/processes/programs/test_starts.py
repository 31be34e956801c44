"""How programs start: their surroundings, what stands in the way, when they are ready, how they show that they live."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.docs import ROOT
from support.processes import TIMEOUT, first_line, halt, instance, wait_gone
from support.programs import free_port, python, shell
from support.waiting import until

from actors import ExitKind, ExitReason, Started
from supervisors.node.credentials import SecretSource
from supervisors.programs import Liveness, Probe, ProgramStart, Readiness
from supervisors.specs import ChildSpec

SAY = "import os, socket, sys, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n" \
    "def say(text):\n    s.sendto(text.encode(), '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n"  # fmt: skip
"""Python that can speak to its notify socket."""


def program(host, start, **spec):
    return host.launch(ChildSpec("one", start, **spec))


def ended(host, start, **spec):
    """Run a program to its end, which must be normal, and return what it did: it writes a file."""
    child = program(host, start, **spec)
    child.started()
    reason = child.exited()
    assert reason.kind is ExitKind.NORMAL, reason


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (ProgramStart(("no-such-program",)), "there is no program 'no-such-program' along PATH"),
        (ProgramStart(("/no/such/program",)), "cannot execute '/no/such/program': No such file or directory"),
        (ProgramStart(("/etc/passwd",)), "cannot execute '/etc/passwd': it is not executable"),
        (ProgramStart(("/etc",)), "cannot execute '/etc': it is a directory"),
        (ProgramStart(("true",), directory="/no/such/folder"), "'/no/such/folder': No such file or directory"),
        (ProgramStart(("true",), user="nobody-of-that-name"), "there is no user 'nobody-of-that-name'"),
        (ProgramStart(("true",), group="no-such-group"), "there is no group 'no-such-group'"),
        (ProgramStart(("true",), secrets={"KEY": SecretSource(env="NOT_SET_ANYWHERE")}), "NOT_SET_ANYWHERE is not set"),
    ],
)  # fmt: skip
def test_what_cannot_be_executed_is_a_failed_start_that_names_it(host, start, says):
    child = program(host, start)

    reason = child.start_failed()

    assert reason.kind is ExitKind.CRASHED
    assert says in reason.crash.message
    assert child.handle.pid is None


def test_a_script_whose_interpreter_is_missing_is_named(host, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    assert "its interpreter is missing" in program(host, ProgramStart((str(script),))).start_failed().crash.message


def test_a_program_has_the_surroundings_that_its_spec_says(host, tmp_path, monkeypatch):
    monkeypatch.setenv("TAKEN_OVER", "from the node")
    monkeypatch.setenv("A_SECRET", "hidden")
    code = """
import os, resource, sys
facts = [os.getcwd(), os.environ["TAKEN_OVER"], os.environ["OWN"], os.environ["KEY"], oct(os.umask(0o77)),
    os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE),
    sys.stdin.read(), os.getsid(0) == os.getpid(), sorted(os.listdir("/proc/self/fd"), key=int)]
open("facts", "w").write(repr(facts))
"""
    ended(
        host,
        python(
            code,
            directory=str(tmp_path),
            environment={"OWN": "é $HOME"},
            secrets={"KEY": SecretSource(env="A_SECRET")},
            umask=0o077,
            nice=3,
            rlimits={"nofile": 128, "core": 0},
        ),
    )

    facts = eval((tmp_path / "facts").read_text())
    assert facts[:4] == [str(tmp_path), "from the node", "é $HOME", "hidden"]
    assert facts[4:10] == ["0o77", os.nice(0) + 3, (128, 128), (0, 0), "", True]
    assert facts[10] == ["0", "1", "2", "3"]  # the last one lists them
    assert (tmp_path / "facts").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_a_program_runs_as_the_user_of_its_spec_and_dies_with_its_keeper_all_the_same(host):
    child = program(host, ProgramStart(("sleep", "600"), user="nobody"))
    child.started()
    process = instance(child.handle.pid)
    nobody = pwd.getpwnam("nobody")

    assert process.uids() == (nobody.pw_uid,) * 3
    assert process.gids() == (nobody.pw_gid,) * 3
    instance(child.handle._process.pid).kill()
    assert child.exited().detail == "keeper-lost"
    assert wait_gone(process) == []


# --- ready ------------------------------------------------------------------------------------------------------------


def test_a_program_is_ready_when_it_says_so_and_its_status_is_shown(host):
    child = program(host, python(SAY + "say('READY=1\\nSTATUS=all is well')\ntime.sleep(600)",
                                 ready=Readiness(notify=True)))  # fmt: skip
    child.started()

    assert child.handle.note == "all is well"


def test_a_line_of_either_stream_makes_it_ready_even_in_a_flood(host):
    code = (
        "import sys, time\nfor _ in range(5000): print('noise')\n"
        "print('port 80 is open', file=sys.stderr)\ntime.sleep(600)"
    )

    program(host, python(code, ready=Readiness(log=r"port \d+ is open"))).started()


def test_an_open_port_makes_it_ready(host):
    port = free_port()
    code = f"import socket, time; time.sleep(0.3); s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"

    program(host, python(code, ready=Readiness(Probe(port=port), every=0.02))).started()
    socket.create_connection(("127.0.0.1", port), 5.0).close()


def test_an_address_that_answers_makes_it_ready(host, tmp_path):
    port = free_port()
    start = ProgramStart(
        (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"),
        directory=str(tmp_path),
        ready=Readiness(Probe(http=f"http://127.0.0.1:{port}/")),
    )

    program(host, start).started()


def test_a_command_that_succeeds_makes_it_ready_in_the_programs_own_surroundings(host, tmp_path):
    start = shell(
        "sleep 0.2; touch here; exec sleep 600",
        directory=str(tmp_path),
        environment={"WHAT": "here"},
        ready=Readiness(Probe(command=("sh", "-c", 'test -e "$WHAT"')), every=0.02),
    )

    program(host, start).started()
    assert (tmp_path / "here").exists()


def test_a_delay_makes_it_ready_if_it_still_runs(host):
    program(host, ProgramStart(("sleep", "600"), ready=Readiness(delay=0.05))).started()

    assert program_that_dies(host).detail == "exit code 2"


def program_that_dies(host):
    start = shell("exit 2", ready=Readiness(delay=30.0))
    return host.launch(ChildSpec("two", start), "/work/two").start_failed()


@pytest.mark.parametrize(
    "ready",
    [
        Readiness(notify=True),
        Readiness(log="never"),
        Readiness(Probe(port=1)),
        Readiness(Probe(http="http://127.0.0.1:1/")),
        Readiness(Probe(command=("sleep", "600"))),
        Readiness(delay=600.0),
    ],
)
def test_a_program_that_never_gets_ready_fails_its_start_at_the_deadline(host, ready):
    child = program(host, shell("sleep 600 & wait", ready=ready), start_timeout=0.5)

    assert child.start_failed().detail == "start-timeout"


def test_a_stop_before_it_is_ready_is_obeyed(host):
    child = program(host, ProgramStart(("sleep", "600"), ready=Readiness(notify=True)))
    until(lambda: child.handle.pid is not None)

    child.handle.stop(ExitReason.shutdown("never mind"))

    assert child.start_failed() == ExitReason.shutdown("never mind")


# --- alive ------------------------------------------------------------------------------------------------------------


def test_a_program_that_no_longer_answers_is_ended_as_hung(host):
    port = free_port()
    code = (
        f"import socket, time; s = socket.create_server(('127.0.0.1', {port}))\n"
        "s.accept()[0].close()\ns.accept()[0].close()\ns.close()\ntime.sleep(600)"
    )
    alive = Liveness(Probe(port=port), every=0.05, failures=3)
    child = program(host, python(code, ready=Readiness(Probe(port=port)), alive=alive))
    child.started()

    reason = child.exited()

    assert (reason.kind, reason.detail) == (ExitKind.KILLED, "probe-failed")
    assert "3 probes in a row failed" in reason.crash.message


def test_failures_that_are_not_in_a_row_end_nothing(host, tmp_path):
    count = "n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n; test $((n % 3)) = 2"
    alive = Liveness(Probe(command=("sh", "-c", count), timeout=TIMEOUT), every=0.01, failures=3)
    child = program(host, ProgramStart(("sleep", "600"), directory=str(tmp_path), alive=alive))
    child.started()

    until(lambda: (tmp_path / "n").exists() and int((tmp_path / "n").read_text() or 0) >= 10)
    assert child.outcomes.empty()


def test_a_watchdog_that_is_not_fed_ends_the_program(host):
    code = SAY + "say('READY=1')\nfor _ in range(3): say('WATCHDOG=1'); time.sleep(0.1)\ntime.sleep(600)"
    child = program(host, python(code, ready=Readiness(notify=True), watchdog=0.5))
    child.started()

    assert child.exited().detail == "heartbeat-missed"


def test_a_program_can_say_that_it_is_not_well(host):
    child = program(host, python(SAY + "say('READY=1'); say('WATCHDOG=trigger'); time.sleep(600)",
                                 ready=Readiness(notify=True)))  # fmt: skip
    child.started()

    assert child.exited().detail == "watchdog-triggered"


def test_a_suspended_program_is_not_taken_for_hung(host):
    child = program(host, ProgramStart(("sleep", "600"), alive=Liveness(Probe(port=1), every=0.02, failures=2)))
    child.started()
    child.handle.suspend()
    child.handle.resume()

    assert child.exited().detail == "probe-failed"  # once it goes on


def test_another_process_of_the_tree_can_be_named_as_the_program(host):
    code = SAY + (
        "import subprocess\nother = subprocess.Popen(['sleep', '600'])\n"
        "say(f'MAINPID={other.pid}\\nREADY=1')\nprint(other.pid, flush=True)\ntime.sleep(600)"
    )
    child = program(host, python(code, ready=Readiness(notify=True)))
    assert isinstance(child.outcome(), Started)
    until(lambda: child.handle.pid and instance(child.handle.pid).name() == "sleep")

    os.kill(child.handle.pid, signal.SIGKILL)

    assert child.exited().detail == "signal SIGKILL, left 1 process behind"


def test_a_pid_outside_of_the_tree_cannot(host):
    child = program(host, python(SAY + f"say('MAINPID={os.getpid()}\\nREADY=1\\nSTATUS=said'); time.sleep(600)",
                                 ready=Readiness(notify=True)))  # fmt: skip
    child.started()
    own = child.handle.pid

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")
    assert own != os.getpid()


def test_a_flood_of_notices_and_nonsense_does_no_harm(host):
    code = SAY + (
        "for n in range(2000): say('STATUS=' + 'x' * 5000 + str(n))\n"
        "say('\\0\\xff=;;\\n==\\nMAINPID=99999999999999999999\\nWATCHDOG=\\nSTATUS=\\x1b[31mred')\nsay('READY=1')\ntime.sleep(600)"
    )
    child = program(host, python(code, ready=Readiness(notify=True)))
    child.started()

    assert child.handle.note == "\N{REPLACEMENT CHARACTER}[31mred"


# --- output -----------------------------------------------------------------------------------------------------------


def test_output_is_logged_line_by_line_with_the_childs_path(host, caplog):
    caplog.set_level("INFO", "actors.output")
    child = program(host, shell("echo to out; echo to err >&2"))
    child.started()
    child.exited()

    found = {(r.path, r.stream, r.levelname, r.getMessage()) for r in caplog.records if r.name == "actors.output"}
    assert found == {
        ("/work/one", "stdout", "INFO", "to out"),
        ("/work/one", "stderr", "WARNING", "to err"),
    }


def test_a_flood_is_bounded_and_counted(host, caplog):
    caplog.set_level("INFO", "actors.output")
    child = program(host, shell("seq 200000"))
    child.started()
    child.exited()

    lines = [r.getMessage() for r in caplog.records if r.name == "actors.output"]
    shown = [line for line in lines if "suppressed" not in line]
    counted = sum(int(line.split("… ")[1].split()[0]) for line in lines if "suppressed" in line)
    assert len(shown) + counted == 200_000
    assert counted > 0


def test_ten_megabytes_without_a_newline_are_one_short_line(host, caplog):
    caplog.set_level("INFO", "actors.output")
    child = program(host, shell("head -c 10000000 /dev/zero | tr '\\0' x; exit 1"))
    child.started()

    reason = child.exited()

    (line,) = [r.getMessage() for r in caplog.records if r.name == "actors.output"]
    assert line.endswith(" 9991808 bytes cut")
    assert len(reason.crash.traceback) < 10_000


def test_a_program_that_closes_its_output_goes_on(host):
    child = program(host, shell("exec >&- 2>&-; exec sleep 600"))
    child.started()
    fds = Path(f"/proc/{child.handle.pid}/fd")
    until(lambda: instance(child.handle.pid).name() == "sleep" and not (fds / "1").exists())

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")


# --- no orphan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops_keeper", [False, True])
def test_the_death_of_the_launcher_ends_programs_that_hide(tmp_path, stops_keeper):
    """The warden finds the keeper by its mark and the program by none, so it has to leave the keeper the time."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom support.launching import launching\n"
        "from support.programs import *\nfrom supervisors.specs import ChildSpec\n"
        f"with launching(Path({str(tmp_path / 'run')!r})) as host:\n"
        "    child = host.launch(ChildSpec('one', python(DOUBLE_FORK, ABIDE, forks=True)))\n"
        "    child.started()\n    print(child.handle.pid, child.handle._process.pid, flush=True)\n"
        "    import time; time.sleep(600)\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    launcher = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, bufsize=0
    )
    try:
        daemon, keeper = map(instance, map(int, first_line(launcher).split()))
        if stops_keeper:
            halt(keeper.pid)
        launcher.kill()
        assert wait_gone(daemon, keeper) == []
    finally:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def test_no_thread_and_no_descriptor_is_left_of_programs_that_ended(host):
    def once():
        child = host.launch(ChildSpec("one", shell("exit 1", ready=Readiness(notify=True))))
        child.start_failed()

    once()
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(5):
        once()
    until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count()) <= before, TIMEOUT)
