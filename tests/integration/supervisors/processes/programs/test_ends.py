"""How programs end, by themselves and when asked, and the reason each end becomes."""

from __future__ import annotations

import os

import psutil
import pytest
from support.launching import launching
from support.processes import halt, instance, wait_gone
from support.programs import ABIDE, DOUBLE_FORK, python, shell
from support.waiting import until

from actors import KILLED, ActorExitedError, ExitKind, ExitReason
from supervisors.processes.programs.handle import TAKES_NO_MESSAGES
from supervisors.programs import ProgramStart, Readiness
from supervisors.specs import ChildSpec

READY_AT_LINE = Readiness(log="^up ")


def program(host, start, **spec):
    return host.launch(ChildSpec("one", start, **spec))


def keeper_of(child):
    return instance(child.handle._process.pid)


def below(child):
    """Every process of the program, as they are now."""
    return keeper_of(child).children(recursive=True)


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        ("exit 0", ExitKind.NORMAL, ""),
        ("exit 3", ExitKind.CRASHED, "exit code 3"),
        ("exit 143", ExitKind.CRASHED, "exit code 143"),
        ("kill -SEGV $$", ExitKind.KILLED, "signal SIGSEGV"),
        ("kill -TERM $$", ExitKind.KILLED, "signal SIGTERM"),
        ("setsid sleep 600 & exit 0", ExitKind.NORMAL, "left 1 process behind"),
        ("sleep 600 & sleep 600 & exit 4", ExitKind.CRASHED, "exit code 4, left 2 processes behind"),
    ],
)
def test_the_status_of_a_program_becomes_its_reason(host, text, kind, detail):
    child = program(host, shell(f"ulimit -c 0; {text}"))
    child.started()

    reason = child.exited()

    assert (reason.kind, reason.detail) == (kind, detail)


@pytest.mark.parametrize(("text", "code"), [("exit 7", 7), ("kill -TERM $$", 143)])
def test_an_expected_exit_code_is_a_normal_end(host, text, code):
    child = program(host, shell(text, success_exit=(0, code)))
    child.started()

    assert child.exited().kind is ExitKind.NORMAL


def test_the_last_lines_of_both_streams_go_along_with_a_crash(host, tmp_path):
    text = "echo first; until test -e go; do sleep 0.05; done; echo second >&2; exit 1"
    child = program(host, shell(text, directory=str(tmp_path)))
    child.started()
    child.wait_said("first")
    (tmp_path / "go").touch()

    reason = child.exited()

    assert reason.crash.traceback == "first\nsecond"
    assert reason.crash.message == "its last line was: second"


def test_a_stopped_program_ends_with_the_reason_it_was_stopped_with(host):
    child = program(host, shell("exec sleep 600"))
    child.started()
    tree = below(child)

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")
    assert wait_gone(*tree) == []


def test_the_stop_signal_is_the_one_that_the_spec_names(host):
    code = "import signal; signal.signal(signal.SIGQUIT, lambda *_: exit(0)); print('up ', flush=True); signal.pause()"
    child = program(host, python(code, stop_signal="SIGQUIT", ready=READY_AT_LINE))
    child.started()

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")


def test_an_end_with_an_unexpected_code_shows_even_when_it_was_asked_for(host):
    child = program(host, shell("trap 'exit 9' TERM; echo up $$; while :; do sleep 0.05; done", ready=READY_AT_LINE))
    child.started()

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited().detail == "exit code 9"


def test_a_program_that_ignores_term_is_killed_with_all_it_started(host):
    code = f"""
import os, signal, subprocess, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
children = [subprocess.Popen([sys.executable, "-c", {ABIDE!r}], start_new_session=True) for _ in range(2)]
print("up ", flush=True)
signal.pause()
"""
    child = program(host, python(code, ready=READY_AT_LINE))
    child.started()
    tree = below(child)
    child.handle.stop(ExitReason.shutdown("deploy"))

    child.handle.kill()

    assert child.exited().detail == "stop-timeout"
    assert len(tree) == 3
    assert wait_gone(*tree) == []


def test_a_kill_ends_the_whole_tree_at_once(host):
    child = program(host, shell("sleep 600 & setsid sleep 600 & echo up $$; wait", ready=READY_AT_LINE))
    child.started()
    tree = below(child)

    child.handle.kill()

    assert child.exited() == KILLED
    assert len(tree) == 3
    assert wait_gone(*tree) == []


def test_a_stopped_process_obeys_its_stop(host):
    child = program(host, shell("exec sleep 600"))
    child.started()
    halt(child.handle.pid)

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")


def test_a_daemon_that_nobody_announced_is_ended_with_the_command_and_said(host):
    child = program(host, python(DOUBLE_FORK + "", ABIDE, ready=Readiness(delay=600.0)), start_timeout=None)

    reason = child.start_failed()

    assert reason.kind is ExitKind.CRASHED
    assert "forks = true" in reason.crash.message


def test_a_daemon_that_forks_twice_and_cleans_its_environment_is_followed_to_its_end(host, tmp_path):
    go = tmp_path / "go"
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nraise SystemExit(5)"
    child = program(host, python(DOUBLE_FORK, waits, forks=True))
    child.started()
    daemon = instance(child.handle.pid)
    until(lambda: daemon.environ() == {}, what="a clean environment")
    go.touch()

    reason = child.exited()

    assert reason.detail == "exit code 5"
    assert wait_gone(daemon) == []


def test_a_daemon_is_stopped_by_its_signal(host):
    child = program(host, python(DOUBLE_FORK, ABIDE, forks=True))
    child.started()
    daemon = instance(child.handle.pid)

    child.handle.stop(ExitReason.shutdown("deploy"))

    assert child.exited() == ExitReason.shutdown("deploy")
    assert wait_gone(daemon) == []


def test_a_daemon_is_found_by_its_pid_file(host, tmp_path):
    file = tmp_path / "daemon.pid"
    text = f"(setsid sh -c 'sleep 600 & exec sleep 601' & echo $! > {file}); exit 0"
    child = program(host, shell(text, forks=True, pid_file=str(file)))
    child.started()
    tree = below(child)

    assert child.handle.pid == int(file.read_text())
    child.handle.kill()
    child.exited()
    assert wait_gone(*tree) == []


def test_a_pid_file_that_names_a_strangers_process_is_not_believed(host, tmp_path):
    file = tmp_path / "daemon.pid"
    file.write_text(str(os.getpid()))
    child = program(host, shell("sleep 600 & exit 0", forks=True, pid_file=str(file)), start_timeout=0.5)

    assert child.start_failed().detail == "start-timeout"
    assert psutil.pid_exists(os.getpid())


def test_a_command_that_leaves_nothing_behind_though_it_should_fails_to_start(host):
    child = program(host, ProgramStart(("true",), forks=True))

    assert child.start_failed().detail == "exit code 0"


def test_a_keeper_that_is_killed_takes_its_program_along(host):
    child = program(host, shell("sleep 600 & echo up $$; wait", ready=READY_AT_LINE))
    child.started()
    tree = below(child)

    keeper_of(child).kill()

    assert child.exited().detail == "keeper-lost"
    assert wait_gone(*tree) == []


def test_a_keeper_that_is_stopped_still_dies_with_all_it_keeps(host):
    child = program(host, shell("sleep 600 & echo up $$; wait", ready=READY_AT_LINE))
    child.started()
    tree = below(child)
    halt(keeper_of(child).pid)

    child.handle.kill()

    assert child.exited() == KILLED
    assert wait_gone(*tree) == []


def test_closing_the_launcher_ends_programs(tmp_path):
    with launching(tmp_path / "run") as host:
        child = program(host, python(DOUBLE_FORK, ABIDE, forks=True))
        child.started()
        tree = below(child)
    assert wait_gone(*tree) == []


def test_whoever_sends_to_a_program_is_told_that_it_takes_no_messages(host):
    child = program(host, shell("exec sleep 600"))
    child.started()
    ref = host.system.ref("/work/one")

    with pytest.raises(ActorExitedError, match=TAKES_NO_MESSAGES):
        ref.ask("hello", timeout=5.0)
    ref.tell("hello")
    assert TAKES_NO_MESSAGES in host.system.dead_letters.recent(1)[0].why


def test_a_suspended_program_stands_still_until_it_is_resumed(host):
    child = program(host, shell("exec sleep 600"))
    child.started()
    process = instance(child.handle.pid)

    child.handle.suspend()
    _wait_status(process, psutil.STATUS_STOPPED)
    child.handle.resume()
    _wait_status(process, psutil.STATUS_SLEEPING)


def _wait_status(process, status):
    until(lambda: process.status() == status, what=f"status {status}")
