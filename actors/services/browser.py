"""A browser run with its debugging port open: who it is and how much it has open, by its DevTools HTTP endpoints."""

from __future__ import annotations

import time
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from actors import on
from actors.jobs import web
from actors.jobs.offload import Cancel
from actors.jobs.requests import BrowserVersion, CheckBrowser, Fault
from actors.services.base import Service
from actors.services.errors import ServiceFaultError

T = TypeVar("T")

_LIMIT: Final = 4 << 20


class _Version(Struct, frozen=True, rename={"browser": "Browser", "protocol": "Protocol-Version"}):
    browser: str
    protocol: str


class _Target(Struct, frozen=True):
    type: str = ""


class BrowserService(Service):
    """One browser's debugging endpoint.

    Args:
        endpoint: Its URL, commonly `http://127.0.0.1:9222`; needed.
        timeout: Seconds one check may take.
        concurrency: Most checks at once.
    """

    def __init__(self, endpoint: str = "", timeout: float = 10.0, concurrency: int = 4) -> None:
        super().__init__(timeout=timeout, concurrency=concurrency)
        self._endpoint = web.check_url(endpoint) if endpoint else ""

    def settings(self) -> dict[str, object]:
        return {"endpoint": self._endpoint}

    def probe(self, cancel: Cancel) -> str:
        found = self.check(cancel)
        return f"{found.browser} at {self._endpoint}"

    @on(CheckBrowser)
    async def check_browser(self, _: CheckBrowser) -> BrowserVersion | Fault:
        return await self.call(self.check)

    def check(self, cancel: Cancel) -> BrowserVersion:
        """Return who answers at the endpoint; blocks.

        Raises:
            WebError: Nobody does, or not in time.
            ServiceFaultError: It is no browser.
        """
        began = time.monotonic()
        version = self._read("/json/version", _Version)
        cancel.check()
        targets = self._read("/json/list", list[_Target])
        return BrowserVersion(version.browser, version.protocol, len(targets), time.monotonic() - began)

    def _read(self, path: str, kind: type[T]) -> T:
        answer = web.get(self._endpoint + path, timeout=self._timeout, limit=_LIMIT)
        if answer.status != 200:
            raise ServiceFaultError(f"{self._endpoint}{path} answered with status {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.DecodeError as error:
            raise ServiceFaultError(f"{self._endpoint}{path} is no debugging endpoint: {error}") from None
