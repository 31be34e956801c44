"""The I/O services against real local servers and real commands."""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.servers import HttpServer, ImapServer, serving
from support.working import LIMIT, Stage

from actors import on
from actors.events import BreakerChanged
from actors.exits import ExitKind
from actors.jobs.requests import (
    BrowserVersion,
    CheckBrowser,
    CheckTelephony,
    Fault,
    GetService,
    ListUnseen,
    Speak,
    Spoken,
    TelephonyAccount,
    Transcribe,
    Transcript,
    UnseenMail,
)
from actors.policies.breaker import Breaker
from actors.services.base import FAILING_LIMIT, Service
from actors.services.browser import BrowserService
from actors.services.mail import MailService
from actors.services.speech_in import SpeechInService
from actors.services.speech_out import SpeechOutService
from actors.services.telephony import TelephonyService

HEADS = {
    "7": b"From: Ann <ann@example.org>\r\nSubject: first\r\nDate: Mon, 5 May 2025 10:00:00 +0000\r\n\r\n",
    "9": b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n more\r\n\r\n",
    "12": b"Subject: =?no-such-charset?q?x?=\r\n\r\n",
}
ECHO = [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())"]


@contextmanager
def refusing(port: int = 0) -> Iterator[int]:
    """Hold a port where nobody listens, so that nobody else does meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        yield int(held.getsockname()[1])


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture
def imap():
    with serving(ImapServer("ann", "s3cret-word", HEADS)) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "factory", "arguments", "why"),
    [
        ("/io/gmail", MailService, {}, "not configured: set io.gmail.host, io.gmail.user, io.gmail.password"),
        ("/io/gmail", MailService, {"host": "x", "user": "y"}, "not configured: set io.gmail.password"),
        ("/io/browser", BrowserService, {}, "not configured: set io.browser.endpoint"),
        ("/io/twilio", TelephonyService, {"account": "AC1"}, "not configured: set io.twilio.token"),
        ("/io/tts", SpeechOutService, {}, "not configured: set io.tts.command"),
        ("/io/stt", SpeechInService, {"command": []}, "not configured: set io.stt.command"),
    ],
)
def test_a_service_without_its_settings_ignores_its_start_and_names_them(stage, path, factory, arguments, why):
    assert stage.ignored(path, factory, **arguments) == why


# -- mail -----------------------------------------------------------------------------------------------


def mail(imap, **changes):
    return {
        "host": "127.0.0.1",
        "port": imap.port,
        "user": "ann",
        "password": "s3cret-word",
        "tls": False,
        "timeout": LIMIT,
        **changes,
    }


def test_unseen_mail_is_counted_and_the_newest_heads_are_decoded_without_marking_anything(stage, imap):
    ref = stage.start("/io/gmail", MailService, **mail(imap))

    answer = ref.ask(ListUnseen(limit=2), timeout=LIMIT)

    assert isinstance(answer, UnseenMail)
    assert answer.unseen == 3
    assert [(head.uid, head.sender, head.subject) for head in answer.heads] == [
        ("12", "", "=?no-such-charset?q?x?="),
        ("9", "Jürgen <j@example.org>", "Grüße more"),
    ]
    assert imap.read_only
    assert imap.log[-1] == "LOGOUT"


def test_a_password_beyond_ascii_logs_in(stage):
    with serving(ImapServer("ann", "größe", HEADS)) as server:
        ref = stage.start("/io/gmail", MailService, **mail(server, password="größe"))

        assert ref.ask(ListUnseen(), timeout=LIMIT).unseen == 3


def test_a_refused_log_in_fails_the_start_and_shows_no_password(stage, imap):
    reason = stage.failed("/io/gmail", MailService, **mail(imap, password="wr0ng-word"))

    assert reason.kind is ExitKind.CRASHED
    assert "/io/gmail is configured but cannot be used" in reason.crash.message
    assert "you said LOGIN" in reason.crash.message
    assert "wr0ng-word" not in reason.crash.message + reason.crash.traceback


def test_a_mailbox_that_is_not_there_fails_the_start(stage, imap):
    reason = stage.failed("/io/gmail", MailService, **mail(imap, mailbox='Odd "one"'))

    assert "no such mailbox" in reason.crash.message


def test_a_server_that_is_not_there_fails_the_start(stage):
    with refusing() as port:
        arguments = {"host": "127.0.0.1", "port": port, "user": "a", "password": "b", "tls": False, "timeout": LIMIT}
        reason = stage.failed("/io/gmail", MailService, **arguments)

    assert "ConnectionRefusedError" in reason.crash.message


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(stage, imap):
    reason = stage.failed("/io/gmail", MailService, **mail(imap, tls=True))

    assert "SSLError" in reason.crash.message


def test_a_fault_is_an_answer_and_too_many_in_a_row_end_the_service(stage):
    class Impatient(MailService):
        breaker = Breaker(failures=FAILING_LIMIT)

    with serving(ImapServer("ann", "s3cret-word", HEADS)) as server:
        ref = stage.start("/io/gmail", Impatient, **mail(server))
    with refusing(server.port):  # the server is gone now
        faults = [ref.ask(ListUnseen(), timeout=LIMIT) for _ in range(FAILING_LIMIT - 1)]
        view = ref.ask(GetService(), timeout=LIMIT)

        assert all(isinstance(fault, Fault) and "ConnectionRefused" in fault.error for fault in faults)
        assert (view.calls, view.faults, view.failing) == (4, 4, 4)
        with pytest.raises(Exception, match="5 calls in a row failed"):
            ref.ask(ListUnseen(), timeout=LIMIT)
    assert stage.exit_of("/io/gmail").kind is ExitKind.CRASHED


class Flaky(Service):
    """A service whose outside is up or not as `up` says; `asked` counts what came to it."""

    breaker = Breaker(failures=2, open_for=0.3)
    up = threading.Event()
    asked = 0

    def __init__(self) -> None:
        super().__init__(timeout=LIMIT, concurrency=1)

    def probe(self, cancel):
        return "up"

    @on(ListUnseen)
    async def unseen(self, message: ListUnseen) -> UnseenMail | Fault:
        return await self.call(self.ask_outside)

    def ask_outside(self, cancel):
        Flaky.asked += 1
        if not self.up.is_set():
            raise OSError("nobody there")
        return UnseenMail("INBOX", 0, ())


def test_an_open_breaker_answers_without_asking_the_outside_and_a_probe_closes_it(stage):
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    stage.system.bus.subscribe(lambda _, event: told.put(event.state), (BreakerChanged,))
    Flaky.up.clear()
    ref = stage.start("/io/flaky", Flaky)

    faults = [ref.ask(ListUnseen(), timeout=LIMIT) for _ in range(2)]
    assert [fault.error for fault in faults] == ["OSError: nobody there"] * 2
    assert told.get(timeout=LIMIT) == "open"
    Flaky.up.set()
    asked, refused = Flaky.asked, 0
    deadline = time.monotonic() + LIMIT
    while isinstance(answer := ref.ask(ListUnseen(), timeout=LIMIT), Fault):
        assert answer.error.startswith("breaker open for")
        assert answer.error.endswith("OSError: nobody there")
        refused += 1
        assert time.monotonic() < deadline
    view = ref.ask(GetService(), timeout=LIMIT)

    assert Flaky.asked == asked + 1  # what was refused never came to the outside
    assert (view.breaker, view.failing, view.refused, view.calls) == ("closed", 0, refused, 3)
    assert [told.get(timeout=LIMIT), told.get(timeout=LIMIT)] == ["half-open", "closed"]


def test_a_silent_server_is_a_fault_after_the_time_limit(stage):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        arguments = {"host": "127.0.0.1", "port": port, "user": "a", "password": "b", "tls": False, "timeout": 0.3}

        reason = stage.failed("/io/gmail", MailService, **arguments)

    assert "TimeoutError" in reason.crash.message


# -- browser --------------------------------------------------------------------------------------------

VERSION = {"Browser": "Chrome/140.0", "Protocol-Version": "1.3", "User-Agent": "x"}


def test_a_browser_says_who_it_is_and_what_is_open(stage):
    with serving(HttpServer({"/json/version": (200, {}, VERSION), "/json/list": (200, {}, [{"type": "page"}])})) as web:
        ref = stage.start("/io/browser", BrowserService, endpoint=web.url + "/", timeout=LIMIT)
        answer = ref.ask(CheckBrowser(), timeout=LIMIT)

    assert isinstance(answer, BrowserVersion)
    assert (answer.browser, answer.protocol, answer.targets) == ("Chrome/140.0", "1.3", 1)


@pytest.mark.parametrize(
    ("answer", "part"),
    [((200, {}, b"<html>"), "no debugging endpoint"), ((500, {}, b""), "status 500"), ((302, {}, b""), "status 302")],
)
def test_what_is_no_browser_fails_the_start(stage, answer, part):
    with serving(HttpServer({"/json/version": answer})) as web:
        reason = stage.failed("/io/browser", BrowserService, endpoint=web.url, timeout=LIMIT)

    assert part in reason.crash.message


def test_an_endpoint_that_is_no_url_fails_the_start(stage):
    assert "http" in stage.failed("/io/browser", BrowserService, endpoint="localhost:9222").crash.message


# -- telephony ------------------------------------------------------------------------------------------

ACCOUNT = "/2010-04-01/Accounts/AC123.json"


def account(web):
    return {"account": "AC123", "token": "t0ken", "base_url": web.url, "timeout": LIMIT}


def test_an_account_is_asked_for_with_its_credentials(stage):
    body = {"status": "active", "friendly_name": "Test", "type": "Trial", "sid": "AC123"}
    with serving(HttpServer({ACCOUNT: (200, {}, body)})) as web:
        ref = stage.start(
            "/io/twilio", TelephonyService, account="AC123", token="t0ken", base_url=web.url, timeout=LIMIT
        )
        answer = ref.ask(CheckTelephony(), timeout=LIMIT)

    assert isinstance(answer, TelephonyAccount)
    assert (answer.name, answer.status, answer.kind) == ("Test", "active", "Trial")
    assert web.seen[0][1]["Authorization"] == "Basic QUMxMjM6dDBrZW4="


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ((401, {}, {"message": "no"}), "refused account and token"),
        ((200, {}, {"status": "suspended"}), "the account is suspended"),
        ((200, {}, b"[]"), "sent no account"),
        ((200, {}, b"x" * (2 << 20)), "more than"),
    ],
)
def test_an_account_that_cannot_be_used_fails_the_start_without_showing_the_token(stage, answer, part):
    with serving(HttpServer({ACCOUNT: answer})) as web:
        reason = stage.failed(
            "/io/twilio", TelephonyService, account="AC123", token="t0ken", base_url=web.url, timeout=LIMIT
        )

    assert part in reason.crash.message
    assert "t0ken" not in reason.crash.message + reason.crash.traceback


def test_a_redirect_is_not_followed_with_the_credentials(stage):
    with serving(HttpServer({})) as other:
        answer = (302, {"Location": other.url + "/stolen"}, b"")
        with serving(HttpServer({ACCOUNT: answer})) as web:
            stage.failed(
                "/io/twilio", TelephonyService, account="AC123", token="t0ken", base_url=web.url, timeout=LIMIT
            )

    assert other.seen == []


# -- speech ---------------------------------------------------------------------------------------------


def test_text_is_spoken_into_a_file_by_the_output_of_a_command(stage, tmp_path):
    ref = stage.start("/io/tts", SpeechOutService, command=ECHO, directory=str(tmp_path / "speech"))

    answer = ref.ask(Speak("hello", "a.wav"), timeout=LIMIT)

    assert isinstance(answer, Spoken)
    assert (tmp_path / "speech" / "a.wav").read_text() == "HELLO"
    assert answer.size_bytes == 5


def test_text_is_spoken_into_the_file_a_command_is_told(stage, tmp_path):
    program = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read() * 2)"
    command = [sys.executable, "-c", program, "{output}"]
    ref = stage.start("/io/tts", SpeechOutService, command=command, directory=str(tmp_path))

    assert isinstance(ref.ask(Speak("ab", "b.wav"), timeout=LIMIT), Spoken)
    assert [path.name for path in tmp_path.iterdir()] == ["b.wav"]
    assert (tmp_path / "b.wav").read_text() == "abab"


@pytest.mark.parametrize(
    ("program", "name", "part"),
    [
        ("pass", "a.wav", "wrote no audio"),
        ("import sys; sys.exit('no voice')", "a.wav", "exit status 1: no voice"),
        ("print(1)", "../a.wav", "no actor name"),
        ("import os; os.kill(os.getpid(), 11)", "a.wav", "signal 11"),
        ("while True: print('x' * 1000000)", "a.wav", "more than"),
    ],
)
def test_a_command_that_makes_no_speech_is_a_fault_and_leaves_no_file(stage, tmp_path, program, name, part):
    command = [sys.executable, "-c", program]
    ref = stage.start("/io/tts", SpeechOutService, command=command, directory=str(tmp_path / "speech"))

    answer = ref.ask(Speak("hello", name), timeout=LIMIT)

    assert isinstance(answer, Fault)
    assert part in answer.error
    assert list((tmp_path / "speech").iterdir()) == []


def test_a_command_that_is_not_installed_fails_the_start(stage):
    assert "not installed" in stage.failed("/io/stt", SpeechInService, command=["no-such-program"]).crash.message


def test_a_recording_is_written_down_by_a_command(stage, tmp_path):
    audio = tmp_path / "-x.wav"
    audio.write_text("what was said")
    program = "import sys; print(open(sys.argv[1]).read() + ' indeed')"
    ref = stage.start("/io/stt", SpeechInService, command=[sys.executable, "-c", program])

    assert ref.ask(Transcribe(str(audio)), timeout=LIMIT).text == "what was said indeed"
    assert "no audio file" in ref.ask(Transcribe(str(tmp_path / "none")), timeout=LIMIT).error


def test_the_input_placeholder_is_replaced(stage, tmp_path):
    audio = tmp_path / "a.wav"
    audio.write_text("words")
    program = "import sys; print(sys.argv[1:])"
    command = [sys.executable, "-c", program, "-f", "{input}", "-q"]
    ref = stage.start("/io/stt", SpeechInService, command=command)

    answer = ref.ask(Transcribe(str(audio)), timeout=LIMIT)

    assert isinstance(answer, Transcript)
    assert answer.text == str(["-f", str(audio), "-q"])


def test_a_command_given_as_one_text_is_refused(stage):
    assert "list of words" in stage.failed("/io/stt", SpeechInService, command="whisper x").crash.message
