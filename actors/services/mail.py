"""Mail over IMAP: how many messages are unseen, and the heads of the newest. Read-only: nothing is marked or moved.

Each request is one connection: log in, examine the mailbox, search, fetch, log out. No connection is kept that could
be dead when it is needed.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.policy
import imaplib
import ssl
from typing import Any, Final

from actors import on
from actors.jobs.offload import Cancel
from actors.jobs.requests import Fault, ListUnseen, MailHead, UnseenMail
from actors.services.base import Service
from actors.services.errors import ServiceFaultError

_HEADS_LIMIT: Final = 100
_TEXT_LIMIT: Final = 300


class MailService(Service):
    """A mailbox on an IMAP server.

    Args:
        host: The server's name; needed.
        port: 993 with TLS, commonly 143 without.
        user: Log-in name; needed.
        password: Its password; needed, shown nowhere.
        tls: Whether the connection is TLS from its first byte; the certificate is verified.
        mailbox: Which one to look at.
        timeout: Seconds one request may take.
        concurrency: Most connections at once.
    """

    def __init__(
        self,
        host: str = "",
        port: int = 993,
        user: str = "",
        password: str = "",
        tls: bool = True,
        mailbox: str = "INBOX",
        timeout: float = 20.0,
        concurrency: int = 2,
    ) -> None:
        super().__init__(timeout=timeout, concurrency=concurrency)
        if not 0 < port < 65_536:
            raise ValueError(f"port lies in 1..65535, got {port}")
        if any(ord(c) < 32 for c in mailbox + user + password):
            raise ValueError("mailbox, user and password hold no control characters")
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._tls = tls
        self._mailbox = mailbox

    def settings(self) -> dict[str, object]:
        return {"host": self._host, "user": self._user, "password": self._password}

    def secrets(self) -> tuple[str, ...]:
        return (self._password,)

    def probe(self, cancel: Cancel) -> str:
        found = self.list_unseen(cancel, 0)
        return f"{self._user} at {self._host}:{self._port}, {found.unseen} unseen in {self._mailbox}"

    @on(ListUnseen)
    async def unseen(self, message: ListUnseen) -> UnseenMail | Fault:
        return await self.call(self.list_unseen, min(max(message.limit, 0), _HEADS_LIMIT))

    def list_unseen(self, cancel: Cancel, limit: int) -> UnseenMail:
        """Return the count and the newest `limit` heads; blocks.

        Raises:
            OSError, imaplib.IMAP4.error: No connection, or the server refused.
            ServiceFaultError: It answered oddly.
        """
        connection = self._connect()
        try:
            self._log_in(connection)
            cancel.check()
            _ok(connection.select(f'"{_quoted(self._mailbox)}"', readonly=True))
            uids = _ok(connection.uid("SEARCH", "UNSEEN"))[0]
            found = (uids or b"").split()
            heads = []
            for uid in reversed(found[-limit:] if limit else []):
                cancel.check()
                heads.append(self._head(connection, uid.decode("ascii", "replace")))
            return UnseenMail(self._mailbox, len(found), tuple(heads))
        finally:
            _close(connection)

    def _connect(self) -> imaplib.IMAP4:
        if self._tls:
            context = ssl.create_default_context()
            return imaplib.IMAP4_SSL(self._host, self._port, ssl_context=context, timeout=self._timeout)
        return imaplib.IMAP4(self._host, self._port, timeout=self._timeout)

    def _log_in(self, connection: imaplib.IMAP4) -> None:
        if (self._user + self._password).isascii():
            connection.login(self._user, self._password)
        else:  # LOGIN carries ASCII only
            words = f"\0{self._user}\0{self._password}".encode()
            connection.authenticate("PLAIN", lambda _: words)

    @staticmethod
    def _head(connection: imaplib.IMAP4, uid: str) -> MailHead:
        fetched = _ok(connection.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])"))
        for part in fetched:
            if isinstance(part, tuple) and len(part) == 2:
                return _parse_head(uid, part[1])
        raise ServiceFaultError(f"the server sent no head for message {uid}")


def _parse_head(uid: str, data: bytes) -> MailHead:
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    return MailHead(uid, *(_text(message.get(name, "")) for name in ("From", "Subject", "Date")))


def _text(value: object) -> str:
    """Return a header's text decoded, on one line; an undecodable one as it is."""
    raw = str(value)
    try:
        decoded = str(email.header.make_header(email.header.decode_header(raw)))
    except (LookupError, ValueError, email.errors.HeaderParseError):  # an unknown charset, broken encoding
        decoded = raw
    text = " ".join(decoded.split()).encode("utf-8", "replace").decode()
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    """Return the data of an IMAP answer that is OK.

    Raises:
        ServiceFaultError: It is NO or BAD.
    """
    kind, data = answer
    if kind != "OK":
        first = data[0] if data else b""
        why = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
        raise ServiceFaultError(f"the server answered {kind}: {why}")
    return data


def _quoted(mailbox: str) -> str:
    return mailbox.replace("\\", "\\\\").replace('"', '\\"')


def _close(connection: imaplib.IMAP4) -> None:
    """Log out, or at least close the socket; what is wrong by now no longer matters."""
    try:
        connection.logout()
    except (OSError, imaplib.IMAP4.error):
        connection.shutdown()
