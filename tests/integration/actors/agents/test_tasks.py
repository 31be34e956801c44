"""The loops' tasks on real files, commands, servers and services: each is run once, as the scheduler would."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
from support.servers import HttpServer, ImapServer, serving
from support.working import LIMIT, Stage

from actors.agents.loop import AgentLoop
from actors.agents.pulse import HEARTBEAT_FILE, Heartbeat
from actors.events import MetricSampled, RunFinished
from actors.jobs.cycles import Cycle
from actors.services.browser import BrowserService
from actors.services.mail import MailService
from actors.services.speech_in import SpeechInService
from actors.services.speech_out import SpeechOutService
from actors.services.telephony import TelephonyService

PATH = "/agents/03"


class Loop:
    """One loop on a stage, run slot by slot."""

    def __init__(self, stage: Stage, base: Path) -> None:
        self.stage = stage
        self.home, self.root = base / "home", base / "root"
        self.root.mkdir()
        self._slot = 0.0
        self._ref = None

    def run(self, task: str, **arguments: object) -> RunFinished:
        """Run the task once and return how it ended; the first call makes the loop."""
        if self._ref is None:
            self._ref = self.stage.start(PATH, AgentLoop, **self.arguments(task, **arguments))
        self._slot += 1
        before = len(self.stage.found(RunFinished, path=PATH))
        self._ref.tell(Cycle(self._slot, by_hand=True))
        return self.stage.wait(
            lambda: next(iter(self.stage.found(RunFinished, path=PATH)[before:]), None), f"a run of {task}"
        )

    def arguments(self, task: str, **changes: object) -> dict[str, object]:
        return {
            "index": 3,
            "name": "loop-test",
            "task": task,
            "schedule": "0 0 1 1 *",
            "home": str(self.home),
            "root": str(self.root),
            **changes,
        }

    def ignored(self, task: str, **changes: object) -> str:
        return self.stage.ignored(PATH, AgentLoop, **self.arguments(task, **changes))

    def metric(self, name: str) -> float:
        return self.stage.found(MetricSampled, path=PATH, name=name)[-1].value

    def put(self, name: str, content: bytes | str, *, age: float = 0.0) -> Path:
        """Write a file below the home, or below the root for names that begin with `root/`."""
        base = self.root.parent if name.startswith("root/") else self.home
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if age:
            os.utime(path, (time.time() - age,) * 2)
        return path


@pytest.fixture
def loop(tmp_path):
    with Stage() as stage:
        yield Loop(stage, tmp_path)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


# -- pulse ----------------------------------------------------------------------------------------------


def test_a_heartbeat_replaces_the_file_with_the_next_number(loop):
    loop.run("heartbeat")
    event = loop.run("heartbeat")

    beat = msgspec.json.decode((loop.home / HEARTBEAT_FILE).read_bytes(), type=Heartbeat)
    assert (event.outcome, event.run) == ("succeeded", "loop-test")
    assert (beat.sequence, beat.pid, beat.actors) == (2, os.getpid(), 1)
    assert abs(beat.at - time.time()) < 60
    assert loop.metric("heartbeat.sequence") == 2


def test_a_heartbeat_that_cannot_be_written_is_a_failed_run(loop):
    loop.put("run", "a file where the directory should be")

    event = loop.run("heartbeat")

    assert event.outcome == "failed"
    assert "run" in event.detail


def test_resources_are_measured(loop):
    event = loop.run("resources")

    assert event.outcome == "succeeded"
    assert "memory" in event.detail
    assert 0 < loop.metric("host.memory_used_ratio") <= 1
    assert loop.metric("process.rss_bytes") > 1e6


def test_presence_is_that_of_the_machine(loop):
    import psutil

    event = loop.run("presence")

    assert event.outcome == "succeeded"
    assert loop.metric("presence.sessions") == len(psutil.users())


# -- upkeep ---------------------------------------------------------------------------------------------


def test_old_context_is_removed_and_nothing_else(loop):
    old = loop.put("context/chats/old.json", "12345", age=100)
    new = loop.put("context/new.json", "1")
    outside = loop.put("other/old.json", "1", age=100)
    (loop.home / "context" / "link").symlink_to(loop.home / "other")

    event = loop.run("context-cleanup", options={"max_age": 50})

    assert event.detail == "removed 1 files, 5 bytes"
    assert not old.parent.exists()
    assert new.exists()
    assert outside.exists()
    assert loop.run("context-cleanup").detail == "nothing is old enough"


def test_the_inventory_counts_files_and_logs_and_leaves_the_home_out(loop):
    loop.put("root/app/server.log", "x" * 300)
    loop.put("root/app/server.log.1.gz", "x" * 200)
    loop.put("root/big.bin", "x" * 1000)
    loop.put("root/readme", "x")
    loop.put("logs/node.log", "x" * 50)
    loop.home.rename(loop.root / ".actors")
    loop.home = loop.root / ".actors"

    event = loop.run("log-inventory")

    found = json.loads((loop.home / "inventory.json").read_text())
    assert event.detail == "4 files, 1501 bytes; 3 logs, 550 bytes"
    assert [os.path.basename(f["path"]) for f in found["largest"]] == [
        "big.bin",
        "server.log",
        "server.log.1.gz",
        "readme",
    ]
    assert [f["size_bytes"] for f in found["largest_logs"]] == [300, 200, 50]
    assert found["complete"]
    assert found["free_bytes"] > 0


def test_the_inventory_says_when_it_stopped_counting(loop):
    for number in range(5):
        loop.put(f"root/{number}", "x")

    assert "3 files, 3 bytes (counting stopped there)" in loop.run("log-inventory", options={"max_files": 3}).detail


def test_backups_are_compared_with_their_manifests(loop):
    digest = hashlib.sha256(b"good").hexdigest()
    loop.put("backups/a.tar", "good")
    loop.put("backups/a.tar.sha256", digest)
    loop.put("backups/b.tar", "good")
    loop.put("backups/all.sha256", f"{digest}  b.tar\n")
    loop.put("backups/c.tar", "whatever")

    event = loop.run("backup-check")

    assert event.outcome == "succeeded"
    assert event.detail == "2 backups are as their manifests say; no digest is known of c.tar"


def test_corrupted_and_missing_backups_fail_the_run_and_leave_a_notice(loop):
    digest = hashlib.sha256(b"good").hexdigest()
    loop.put("backups/a.tar", "gone bad")
    loop.put("backups/all.sha256", f"{digest} *a.tar\n{digest}  b.tar\n")
    loop.put("backups/odd.sha256", f"{digest}  ../../etc/passwd\n")

    event = loop.run("backup-check")

    assert event.outcome == "failed"
    assert "1 corrupted: a.tar; 1 missing: b.tar; 1 unreadable: odd.sha256" in event.detail
    assert "1 corrupted: a.tar" in (loop.home / "notifications" / "backup-check.txt").read_text()
    assert loop.metric("backup.wrong") == 3


def test_no_backup_at_all_is_said(loop):
    assert loop.run("backup-check").detail == f"there is no backup in {loop.home / 'backups'}"


def test_maintenance_without_a_queue_is_a_failed_run(loop):
    loop.put("root/a", "x")

    event = loop.run("daily-maintenance")

    assert event.outcome == "failed"
    assert "/work/jobs is not running" in event.detail


# -- minds and notices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "option"),
    [
        ("identity-sync", "file"),
        ("soul-update", "model_command"),
        ("rate-limit", "urls"),
        ("notification-digest", "command"),
    ],
)
def test_a_task_without_its_setting_ignores_the_start_and_names_it(loop, task, option):
    assert loop.ignored(task) == f'not configured: set loops.list."03".options.{option}'


def test_a_changed_identity_becomes_the_next_version(loop):
    loop.put("root/IDENTITY.md", "I am one")
    first = loop.run("identity-sync", options={"file": "IDENTITY.md"})
    again = loop.run("identity-sync")
    loop.put("root/IDENTITY.md", "I am two")
    second = loop.run("identity-sync")

    assert "version 1 of" in first.detail
    assert again.detail == "version 1 is unchanged"
    assert "version 2 of" in second.detail
    assert sorted(p.read_text() for p in (loop.home / "identity").iterdir()) == ["I am one", "I am two"]


def test_an_identity_file_that_is_gone_fails_the_run(loop):
    assert loop.run("identity-sync", options={"file": "none.md"}).outcome == "failed"


def test_the_model_command_makes_the_next_state_from_the_last(loop):
    program = (
        "import json, sys; q = json.load(sys.stdin); n = (q['previous'] or {'n': 0})['n']; "
        "print(json.dumps({'n': n + 1, 'at': q['at']}))"
    )
    loop.run("soul-update", options={"model_command": python(program)})
    event = loop.run("soul-update")

    assert event.outcome == "succeeded"
    assert json.loads((loop.home / "soul.json").read_text())["n"] == 2


@pytest.mark.parametrize("program", ["print('[1]')", "print('not json')", "import sys; sys.exit(3)"])
def test_a_model_that_answers_nonsense_fails_the_run_and_keeps_the_state(loop, program):
    loop.put("soul.json", '{"n": 7}')

    event = loop.run("soul-update", options={"model_command": python(program)})

    assert event.outcome == "failed"
    assert (loop.home / "soul.json").read_text() == '{"n": 7}'


def test_notices_are_sent_once_in_one_digest(loop):
    loop.put("notifications/disk.txt", "the disk is full")
    loop.put("notifications/mail.txt", "3 new")
    target = loop.root / "digest"
    command = python(f"import sys; open({str(target)!r}, 'a').write(sys.stdin.read())")

    first = loop.run("notification-digest", options={"command": command})
    second = loop.run("notification-digest")

    assert first.detail.startswith("sent 2 notices")
    assert second.detail == "nothing waits"
    text = target.read_text()
    assert text.count("[disk, ") == text.count("the disk is full") == text.count("3 new") == 1
    assert len(list((loop.home / "notifications" / "sent").iterdir())) == 2


def test_notices_wait_on_when_the_command_fails(loop):
    notice = loop.put("notifications/disk.txt", "full")

    event = loop.run("notification-digest", options={"command": python("import sys; sys.exit('no network')")})

    assert event.outcome == "failed"
    assert "no network" in event.detail
    assert notice.exists()


def test_rate_limits_are_read_from_headers(loop):
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "1250", "X-RateLimit-Reset": "1700000000"}
    answers = {"/a": (200, headers, {}), "/b": (429, {"Retry-After": "30"}, b""), "/c": (200, {}, b"")}
    with serving(HttpServer(answers)) as web:
        urls = [f"{web.url}/{name}?key=hidden" for name in "abc"]
        event = loop.run("rate-limit", options={"urls": urls})

    assert event.outcome == "succeeded"
    assert event.detail.split("; ") == [
        "127.0.0.1 has 1250 of 5000 left",
        "127.0.0.1 is limiting now, wait 30 s",
        "127.0.0.1 answered 200 and states no limit",
    ]
    assert loop.metric("api.remaining_ratio[127.0.0.1]") == 0.25
    assert json.loads((loop.home / "rate-limits.json").read_text())[0]["reset"] == 1.7e9


def test_an_api_that_does_not_answer_fails_the_run(loop):
    event = loop.run("rate-limit", options={"urls": "http://127.0.0.1:1/"})

    assert event.outcome == "failed"


# -- relays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "requires", "keys"),
    [
        ("mail-sync", ["/io/gmail"], "io.gmail.host"),
        ("browser-health", ["/io/browser"], "io.browser.endpoint"),
        ("telephony-status", ["/io/twilio"], "io.twilio.account"),
        ("voice-queue", ["/io/tts", "/io/stt"], "io.tts.command, io.stt.command"),
    ],
)
def test_a_loop_whose_service_is_not_there_ignores_its_start(loop, task, requires, keys):
    assert loop.ignored(task, requires=requires) == f"not configured: set {keys}"


def test_a_loop_whose_service_is_restarting_starts_and_skips_its_slots(loop):
    loop.stage.system.registry.set_absent("/io/browser", "restarting")
    ref = loop.stage.start(PATH, AgentLoop, **loop.arguments("browser-health", requires=["/io/browser"]))

    ref.tell(Cycle(1.0))

    assert loop.stage.event(RunFinished, path=PATH).detail == "waiting for /io/browser"


def test_mail_is_synchronised(loop):
    heads = {"1": b"Subject: one\r\n\r\n", "2": b"Subject: two\r\n\r\n"}
    with serving(ImapServer("ann", "pw", heads)) as server:
        arguments = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "ann",
            "password": "pw",
            "tls": False,
            "timeout": LIMIT,
        }
        loop.stage.start("/io/gmail", MailService, **arguments)
        loop.run("mail-sync", requires=["/io/gmail"])
        heads["3"] = b"Subject: three\r\n\r\n"
        event = loop.run("mail-sync")

    assert event.detail == "3 unseen in INBOX, 1 new"
    assert [h["subject"] for h in json.loads((loop.home / "mail.json").read_text())["heads"]] == ["three", "two", "one"]


def test_a_service_that_answers_with_a_fault_fails_the_run(loop):
    with serving(HttpServer({})) as web:
        web.answers["/json/version"] = (200, {}, {"Browser": "B/1", "Protocol-Version": "1.3"})
        web.answers["/json/list"] = (200, {}, [])
        loop.stage.start("/io/browser", BrowserService, endpoint=web.url, timeout=LIMIT)
        right = loop.run("browser-health", requires=["/io/browser"])
        web.answers["/json/list"] = (500, {}, b"")
        wrong = loop.run("browser-health")

    assert (right.outcome, right.detail[:16]) == ("succeeded", "B/1, 0 targets, ")
    assert (wrong.outcome, "status 500" in wrong.detail) == ("failed", True)


def test_an_account_that_was_suspended_fails_the_run(loop):
    with serving(HttpServer({})) as web:
        web.answers["/2010-04-01/Accounts/AC1.json"] = (200, {}, {"status": "active", "friendly_name": "Test"})
        loop.stage.start("/io/twilio", TelephonyService, account="AC1", token="t", base_url=web.url, timeout=LIMIT)
        right = loop.run("telephony-status", requires=["/io/twilio"])
        web.answers["/2010-04-01/Accounts/AC1.json"] = (200, {}, {"status": "suspended"})
        wrong = loop.run("telephony-status")

    assert right.detail.startswith("account Test is active")
    assert "suspended" in wrong.detail


def test_waiting_texts_are_spoken_and_recordings_written_down(loop):
    speech = loop.home / "speech"
    command = python("import sys; sys.stdout.write('spoken ' + sys.stdin.read())")
    loop.stage.start("/io/tts", SpeechOutService, command=command, directory=str(speech))
    command = python("import sys; print('heard ' + open(sys.argv[1]).read())")
    loop.stage.start("/io/stt", SpeechInService, command=command)
    loop.put("voice/out/greeting.txt", "hello")
    loop.put("voice/in/note.wav", "words")
    loop.put("voice/in/ignored.pdf", "words")

    event = loop.run("voice-queue", requires=["/io/tts", "/io/stt"])

    assert event.detail == "spoke 1 texts, wrote down 1 recordings"
    assert (speech / "greeting.wav").read_text() == "spoken hello"
    done = loop.home / "voice" / "done"
    assert (done / "note.txt").read_text() == "heard words\n"
    assert sorted(p.name for p in done.iterdir()) == ["greeting.txt", "note.txt", "note.wav"]
    assert loop.run("voice-queue").detail == "nothing waits"


def test_one_of_the_two_voice_services_is_enough(loop):
    loop.stage.start("/io/stt", SpeechInService, command=python("print('heard')"))
    waiting = loop.put("voice/out/greeting.txt", "hello")
    loop.put("voice/in/note.wav", "words")

    event = loop.run("voice-queue", requires=["/io/tts", "/io/stt"])

    assert event.detail == "spoke 0 texts, wrote down 1 recordings"
    assert waiting.exists()
