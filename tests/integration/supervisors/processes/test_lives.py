"""How real process children start and end, and the reason each end becomes."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import psutil
import pytest
from support.process_actors import INSIDE, Add, Counter, Do, Facts, Fail, Get
from support.processes import TIMEOUT, instance, wait_gone
from support.waiting import until

from actors import KILLED, NORMAL, SHUTDOWN, ActorExitedError, ExitKind, ExitReason, Incarnation
from supervisors.processes import marks
from supervisors.specs import ChildSpec, Heartbeat, ImportStart, LocalStart


def test_a_child_runs_its_actor_in_a_process_of_its_own(any_host):
    child = any_host.start("Counter", kwargs={"start": 5})
    ref = child.started()

    facts = ref.ask(Facts())

    assert int(facts["pid"]) == child.handle.pid != os.getpid()
    assert ref.ask(Add(3)) == 8
    assert ref.ask(Get()) == [5, 3]
    assert (ref.path, ref.generation, str(ref.address)) == ("/work/one", 1, "node/work/one@1")
    assert ref.is_alive()


def test_the_process_keeps_directory_and_environment_and_is_cut_off_from_the_terminal(host, monkeypatch):
    monkeypatch.setenv("SOME_SETTING", "kept")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    facts = host.start("Counter").started().ask(Facts())

    assert facts["cwd"] == os.getcwd()
    assert "SOME_SETTING=kept" in facts["environment"].split()
    assert facts["pythonpath"] == "/somewhere"
    assert facts["stdin"] == "/dev/null"
    assert facts["session"] == facts["pid"]


def test_nothing_secret_is_in_the_arguments_or_the_environment(any_host):
    child = any_host.start("Counter", kwargs={"start": 4242})
    child.started()
    process = psutil.Process(child.handle.pid)
    token = next(iter(any_host.launcher._door._by_token))

    shown = " ".join(process.cmdline()) + " ".join(process.environ().values())

    assert process.cmdline()[-1] == "/work/one"
    assert token.hex() not in shown
    assert "4242" not in shown


def test_the_new_instance_knows_how_the_one_before_ended(host):
    last = ExitReason.killed("signal SIGKILL")
    facts = host.start("Counter", incarnation=Incarnation(3, 2, last)).started().ask(Facts())

    assert (facts["generation"], facts["attempt"], facts["last_exit"]) == ("3", "2", "killed (signal SIGKILL)")


def test_a_class_given_in_the_process_is_started_by_its_import_path(host):
    child = host.launch(ChildSpec("one", LocalStart(Counter, kwargs={"start": 2}), runs_in="process"))

    assert child.started().ask(Add(1)) == 3


def test_a_stop_ends_the_child_with_the_reason_it_was_stopped_with(any_host, tmp_path):
    file = tmp_path / "said"
    child = any_host.start("Lasting", kwargs={"file": str(file)})
    child.started()
    reason = ExitReason.shutdown("deploy")

    child.handle.stop(reason)

    assert child.exited() == reason
    assert file.read_text() == "stopped\n"


def test_an_actor_that_stops_itself_ended_normally(host):
    child = host.start("Counter")
    child.started().tell(Do("stop"))

    assert child.exited() == NORMAL


def test_an_error_crosses_with_its_traceback(any_host):
    child = any_host.start("Counter")
    child.started().tell(Fail("the disk is gone"))

    reason = child.exited()

    assert reason.kind is ExitKind.CRASHED
    assert (reason.crash.type_name, reason.crash.message) == ("builtins.ValueError", "the disk is gone")
    assert "process_actors.py" in reason.crash.traceback


def test_a_memory_error_of_python_is_a_crash_like_any_other(host):
    child = host.start("Counter")
    child.started().tell(Fail("out", "MemoryError"))

    assert child.exited().crash.type_name == "builtins.MemoryError"


def test_an_exit_code_is_a_crash_with_the_last_words_of_stderr(any_host):
    child = any_host.start("Counter")
    child.started().tell(Do("exit_3"))

    reason = child.exited()

    assert (reason.kind, reason.detail) == (ExitKind.CRASHED, "exit code 3")
    assert reason.crash.traceback == "about to go"


def test_exit_code_zero_without_a_stop_is_a_normal_end(host):
    child = host.start("Counter")
    child.started().tell(Do("exit_0"))

    assert child.exited() == NORMAL


def test_a_segmentation_fault_is_named_and_shows_the_stack(any_host):
    child = any_host.start("Counter")
    child.started().tell(Do("segfault"))

    reason = child.exited()

    assert (reason.kind, reason.detail) == (ExitKind.KILLED, "signal SIGSEGV")
    assert "_segfault" in reason.crash.traceback


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_from_outside_is_the_reason(host, number):
    child = host.start("Counter")
    child.started()

    os.kill(child.handle.pid, number)

    reason = child.exited()
    assert (reason.kind, reason.detail) == (ExitKind.KILLED, f"signal {number.name}")


def test_term_from_outside_lets_the_actor_stop_in_order(host, tmp_path):
    file = tmp_path / "said"
    child = host.start("Lasting", kwargs={"file": str(file)})
    child.started()

    os.kill(child.handle.pid, signal.SIGTERM)

    assert child.exited().detail == "signal SIGTERM"
    assert file.read_text() == "stopped\n"


def test_a_kill_ends_the_child_at_once(any_host):
    child = any_host.start("Stubborn")
    child.started()

    assert child.handle.kill() is True

    assert child.exited() == KILLED


def test_a_child_that_obeys_neither_stop_nor_term_is_killed(host):
    child = host.start("Stubborn")
    child.started()

    child.handle.stop(SHUTDOWN)
    child.handle.kill()

    assert child.exited() == ExitReason.killed("stop-timeout")


def test_a_child_whose_other_threads_go_on_ends_with_its_actor(host):
    child = host.start("Counter")
    child.started().tell(Do("linger"))

    assert child.exited() == NORMAL


@pytest.mark.parametrize(
    ("target", "what", "where"),
    [
        ("Counter", "spin", "_spin"),
        ("Counter", "hold_interpreter", "_hold_interpreter"),
        ("Counter", "sleep", "_sleep"),
        ("Awaiting", "spin", "in do"),
    ],
)
def test_a_handler_that_never_ends_misses_its_heartbeats_and_shows_where(host, target, what, where):
    child = host.start(target, heartbeat=Heartbeat(5.0, 30))
    child.started().tell(Do(what))
    child.wait_said(INSIDE)

    child.run_out()
    child.wait_said(where)
    child.handle.kill()

    reason = child.exited()
    assert (reason.kind, reason.detail) == (ExitKind.KILLED, "heartbeat-missed")
    assert "one every 5 s, 30 may be missed" in reason.crash.message
    assert where in reason.crash.traceback


def test_a_coroutine_that_awaits_is_no_silence(host):
    child = host.start("Awaiting", heartbeat=Heartbeat(0.05, 2000))
    ref = child.started()
    ref.tell(Do("await"))
    beats = []

    def goes_on() -> bool:
        beat = child.handle.beat
        if beat is not None and beat.statistics.handling == "Do" and beat not in beats:
            beats.append(beat)
        return len(beats) >= 12

    until(goes_on, what="beats while it awaits")
    assert child.outcomes.empty()
    assert ref.is_alive()


def test_a_heartbeat_tells_what_the_process_uses(host):
    child = host.start("Counter", heartbeat=Heartbeat(0.05, 2000))
    ref = child.started()
    for _ in range(3):
        ref.ask(Add(1))
    until(lambda: child.handle.beat is not None and child.handle.beat.statistics.handled == 3)

    beat = child.handle.beat
    assert beat.statistics.handled == ref.statistics().handled == 3
    assert 1_000_000 < beat.rss_bytes < 500_000_000
    assert beat.cpu_seconds > 0
    assert beat.threads >= 3


def test_a_child_over_its_memory_limit_is_killed_with_the_figures(any_host):
    child = any_host.start("Counter", memory_max_bytes=120_000_000)
    child.started().tell(Do("hog"))

    reason = child.exited()

    assert (reason.kind, reason.detail) == (ExitKind.KILLED, "memory-limit")
    assert "over the limit of 120000000 bytes" in reason.crash.message


def test_an_ignored_start_says_why(any_host):
    child = any_host.start("Declining")

    assert child.ignored() == "not configured: set io.gmail.host"


def test_a_start_that_raises_fails_with_its_traceback(any_host):
    reason = any_host.start("FailingStart").start_failed()

    assert (reason.kind, reason.crash.message) == (ExitKind.CRASHED, "no start today")
    assert "on_start" in reason.crash.traceback


def test_a_start_past_its_deadline_is_killed_and_shows_where_it_hung(any_host):
    child = any_host.start("HangingStart", start_timeout=600.0)
    child.wait_said(INSIDE)

    child.run_out()
    child.wait_said("on_start")
    child.handle.kill()

    reason = child.start_failed()
    assert (reason.kind, reason.detail) == (ExitKind.KILLED, "start-timeout")
    assert "on_start" in reason.crash.traceback


def test_a_process_that_dies_while_starting_is_a_failed_start(host):
    assert host.start("DyingStart").start_failed().detail == "signal SIGKILL"


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("no_such_module:Actor", "ModuleNotFoundError", "no_such_module"),
        ("support.process_actors:NoSuchClass", "ImportError", "has no 'NoSuchClass'"),
        ("support.process_actors:not_an_actor", "TypeError", "is no Actor class"),
        ("support.process_actors:Add", "TypeError", "is no Actor class"),
        ("support.broken:Anything", "ZeroDivisionError", "division"),
    ],
)
def test_what_cannot_be_loaded_is_a_failed_start_with_its_error(host, target, error, text):
    reason = host.start(target).start_failed()

    assert reason.kind is ExitKind.CRASHED
    assert reason.crash.type_name.endswith(error)
    assert text in reason.crash.message


def test_a_wrong_argument_is_a_failed_start(host):
    reason = host.start("Counter", kwargs={"begin": 3}).start_failed()

    assert reason.crash.type_name == "builtins.TypeError"
    assert "begin" in reason.crash.message


@pytest.mark.parametrize(
    "start",
    [
        ImportStart("support.process_actors:Counter", {"start": object()}),
        LocalStart(lambda: Counter()),
        LocalStart(Counter, args=(1,)),
        LocalStart(type("Inner", (Counter,), {"__module__": "__main__"})),
    ],
    ids=["argument", "function", "positional", "main"],
)
def test_a_spec_that_cannot_be_carried_to_another_process_is_a_failed_start(host, start):
    child = host.launch(ChildSpec("one", start, runs_in="process"))

    assert child.start_failed().kind is ExitKind.CRASHED
    assert child.handle.pid is None


def test_without_an_interpreter_the_start_fails(host, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")

    assert host.start("Counter").start_failed().crash.type_name == "builtins.FileNotFoundError"


def test_a_stop_while_starting_is_a_failed_start(host):
    child = host.start("HangingStart")
    child.handle.stop(SHUTDOWN)
    child.handle.kill()

    assert child.start_failed().kind in {ExitKind.SHUTDOWN, ExitKind.KILLED}


def test_what_the_child_prints_is_logged_line_by_line_and_harms_nobody(host, caplog):
    caplog.set_level(logging.INFO)
    child = host.start("Counter")
    ref = child.started()
    ref.ask(Do("print_garbage"))
    assert ref.ask(Add(1)) == 1
    child.handle.stop(SHUTDOWN)
    child.exited()

    lines = [r.getMessage() for r in caplog.records if r.name == "actors.output" and r.path == "/work/one"]
    assert lines == ["\\xff\\xfe\\x00garbage"] * 10 + ["a line"]


def test_what_a_child_started_goes_with_it(host):
    child = host.start("Parent")
    pids = [int(pid) for pid in child.started().ask(Facts())["pids"].split()]
    family = [instance(pid) for pid in pids]

    os.kill(child.handle.pid, signal.SIGKILL)
    child.exited()

    assert wait_gone(*family, timeout=0) == []
    assert marks.marked(child.handle.mark) == []


def test_twenty_children_start_at_once(host):
    children = [host.start("Counter", f"/work/n{n}", kwargs={"start": n + 1}) for n in range(20)]

    refs = [child.started() for child in children]

    assert [ref.ask(Add(0)) for ref in refs] == list(range(1, 21))
    assert len({child.handle.pid for child in children}) == 20


def test_a_closed_launcher_refuses_and_has_killed_what_was_left(tmp_path):
    from support.launching import launching

    with launching(tmp_path / "run") as host:
        child = host.start("Stubborn")
        child.started()
        process = instance(child.handle.pid)
        host.launcher.close(TIMEOUT)

        assert child.exited() == KILLED
        assert wait_gone(process, timeout=0) == []
        assert list(Path(tmp_path / "run").iterdir()) == []


def test_an_ended_childs_ref_says_so(host):
    child = host.start("Counter")
    ref = child.started()
    child.handle.kill()
    child.exited()

    assert not ref.is_alive()
    assert child.handle.ref is None
    with pytest.raises(ActorExitedError):
        ref.ask(Add(1))


def test_a_system_that_shuts_down_stops_the_actors_that_live_in_other_processes_too(host):
    child = host.start("Counter")
    child.started()

    assert host.system.shutdown(TIMEOUT)

    assert child.exited() == SHUTDOWN
