"""What the I/O services are asked, and what they answer. A fault of the outside world is an answer, not a crash."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.messages import Message

SETTINGS: Final = {
    "/io/gmail": ("host", "user", "password"),
    "/io/browser": ("endpoint",),
    "/io/twilio": ("account", "token"),
    "/io/tts": ("command",),
    "/io/stt": ("command",),
}
"""The settings each service of the built-in system needs, by its path."""


class Fault(Struct, frozen=True, tag="fault"):
    """The service is there; what it was asked did not work out.

    Attributes:
        error: Class and text, secrets removed.
    """

    error: str


class ServiceView(Struct, frozen=True):
    """How a service is.

    Attributes:
        about: One line on what it is connected to, without secrets.
        active: Calls under way.
        calls, faults: Calls ended so far, and those that failed.
        failing: Faults in a row, up to now.
        last_error: The latest fault, or "".
        breaker: `closed`, `open` or `half-open`: whether requests are let through to the outside.
        refused: Requests that an open breaker answered.
    """

    about: str
    active: int
    limit: int
    calls: int
    faults: int
    failing: int
    last_error: str
    breaker: str = "closed"
    refused: int = 0


class GetService(Message[ServiceView], frozen=True):
    """Ask any service how it is; it does not ask the outside for that."""


class MailHead(Struct, frozen=True):
    """The head of one message, decoded."""

    uid: str
    sender: str
    subject: str
    date: str


class UnseenMail(Struct, frozen=True, tag="unseen-mail"):
    """Attributes:
    unseen: Unseen messages in the mailbox.
    heads: The newest of them, newest first.
    """

    mailbox: str
    unseen: int
    heads: tuple[MailHead, ...]


class ListUnseen(Message[UnseenMail | Fault], frozen=True):
    """Count unseen mail and read the heads of the newest `limit`; nothing is marked as seen."""

    limit: int = 10


class BrowserVersion(Struct, frozen=True, tag="browser-version"):
    """Attributes:
    targets: Pages and workers that can be debugged.
    seconds: How long the browser took to answer.
    """

    browser: str
    protocol: str
    targets: int
    seconds: float


class CheckBrowser(Message[BrowserVersion | Fault], frozen=True):
    """Ask the browser's debugging endpoint who it is."""


class TelephonyAccount(Struct, frozen=True, tag="telephony-account"):
    """Attributes:
    status: `active`, `suspended` or `closed`.
    """

    name: str
    status: str
    kind: str
    seconds: float


class CheckTelephony(Message[TelephonyAccount | Fault], frozen=True):
    """Ask the telephony provider for the account's status."""


class Spoken(Struct, frozen=True, tag="spoken"):
    """Attributes:
    path: The audio file made.
    """

    path: str
    size_bytes: int
    seconds: float


class Speak(Message[Spoken | Fault], frozen=True):
    """Speak `text` into the file `name` (no directories in it) in the service's directory."""

    text: str
    name: str


class Transcript(Struct, frozen=True, tag="transcript"):
    text: str
    seconds: float


class Transcribe(Message[Transcript | Fault], frozen=True):
    """Write down what is said in the audio file at `path`."""

    path: str
