"""Small real servers on the loopback address: IMAP with a mailbox, HTTP with answers to paths."""

from __future__ import annotations

import base64
import http.server
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ImapServer(socketserver.ThreadingTCPServer):
    """Speaks as much IMAP4rev1 as counting and reading unseen mail takes. `log` has the commands without arguments."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, user: str, password: str, heads: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _ImapSession)
        self.user, self.password, self.heads = user, password, heads
        self.log: list[str] = []
        self.read_only = True

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _ImapSession(socketserver.StreamRequestHandler):
    server: ImapServer

    def handle(self) -> None:
        self.say(b"* OK ready")
        while line := self.rfile.readline():
            tag, _, rest = line.strip().decode("utf-8", "replace").partition(" ")
            if not self.answer(tag, rest):
                return

    def say(self, data: bytes) -> None:
        self.wfile.write(data + b"\r\n")

    def answer(self, tag: str, rest: str) -> bool:
        server = self.server
        name = rest.split(" ")[0].upper()
        if name == "UID":
            name = " ".join(rest.upper().split(" ")[:2])
        server.log.append(name)
        done = f"{tag} OK done".encode()
        if name == "CAPABILITY":
            self.say(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN")
        elif name == "LOGIN":
            if [word.strip('"') for word in rest.split(" ")[1:]] != [server.user, server.password]:
                done = f"{tag} NO you said {rest}".encode()  # a server that repeats what it was told
        elif name == "AUTHENTICATE":
            self.say(b"+")
            words = base64.b64decode(self.rfile.readline()).decode().split("\0")
            if words != ["", server.user, server.password]:
                done = f"{tag} NO wrong".encode()
        elif name in {"EXAMINE", "SELECT"}:
            server.read_only &= name == "EXAMINE"
            if '"INBOX"' not in rest:
                done = f"{tag} NO no such mailbox".encode()
            self.say(b"* %d EXISTS" % len(server.heads))
        elif name == "UID SEARCH":
            self.say(b"* SEARCH " + " ".join(server.heads).encode())
        elif name == "UID FETCH":
            uid = rest.split(" ")[2]
            head = server.heads[uid]
            assert "BODY.PEEK" in rest
            self.say(b"* 1 FETCH (UID %s BODY[HEADER.FIELDS (FROM SUBJECT DATE)] {%d}" % (uid.encode(), len(head)))
            self.wfile.write(head)
            self.say(b")")
        elif name == "LOGOUT":
            self.say(b"* BYE")
            self.say(done)
            return False
        else:
            done = f"{tag} BAD {name}".encode()
        self.say(done)
        return True


class HttpServer(http.server.ThreadingHTTPServer):
    """Answers GET by path: (status, headers, body), a body that is no bytes as JSON. `seen` has the requests."""

    daemon_threads = True

    def __init__(self, answers: dict[str, tuple[int, dict[str, str], Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _HttpSession)
        self.answers = answers
        self.seen: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _HttpSession(http.server.BaseHTTPRequestHandler):
    server: HttpServer

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        path = re.sub(r"\?.*", "", self.path)
        status, headers, body = self.server.answers.get(path, (404, {}, b"not here"))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Run `server` on a thread of its own while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
