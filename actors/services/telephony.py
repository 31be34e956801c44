"""A telephony provider with Twilio's REST interface: the status of the account."""

from __future__ import annotations

import base64
import re
import time

import msgspec
from msgspec import Struct

from actors import on
from actors.jobs import web
from actors.jobs.offload import Cancel
from actors.jobs.requests import CheckTelephony, Fault, TelephonyAccount
from actors.services.base import Service
from actors.services.errors import ServiceFaultError

_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class _Account(Struct, frozen=True):
    status: str
    friendly_name: str = ""
    type: str = ""


class TelephonyService(Service):
    """One account.

    Args:
        account: Its identifier (`AC…`); needed.
        token: Its secret; needed, shown nowhere.
        base_url: Where the provider answers.
        timeout: Seconds one check may take.
        concurrency: Most checks at once.

    Raises:
        ValueError: `account` has other characters than letters, digits, _ and -, or `base_url` is no URL.
    """

    def __init__(
        self,
        account: str = "",
        token: str = "",
        base_url: str = "https://api.twilio.com",
        timeout: float = 10.0,
        concurrency: int = 4,
    ) -> None:
        super().__init__(timeout=timeout, concurrency=concurrency)
        if account and _ACCOUNT.match(account) is None:
            raise ValueError("account is 1 to 64 of letters, digits, _ and -")
        self._account = account
        self._token = token
        self._base_url = web.check_url(base_url)

    def settings(self) -> dict[str, object]:
        return {"account": self._account, "token": self._token}

    def secrets(self) -> tuple[str, ...]:
        return (self._token, self._credential())

    def probe(self, cancel: Cancel) -> str:
        found = self.check(cancel)
        if found.status != "active":
            raise ServiceFaultError(f"the account is {found.status}")
        return f"account {self._account} ({found.name}) at {self._base_url}, {found.status}"

    @on(CheckTelephony)
    async def check_telephony(self, _: CheckTelephony) -> TelephonyAccount | Fault:
        return await self.call(self.check)

    def check(self, _: Cancel) -> TelephonyAccount:
        """Return the account's status; blocks.

        Raises:
            WebError: No answer.
            ServiceFaultError: The provider refused, or answered something else.
        """
        began = time.monotonic()
        url = f"{self._base_url}/2010-04-01/Accounts/{self._account}.json"
        headers = {"Authorization": f"Basic {self._credential()}"}
        answer = web.get(url, headers=headers, timeout=self._timeout)
        if answer.status in {401, 403}:
            raise ServiceFaultError(f"{self._base_url} refused account and token (status {answer.status})")
        if answer.status != 200:
            raise ServiceFaultError(f"{self._base_url} answered with status {answer.status}")
        try:
            account = msgspec.json.decode(answer.body, type=_Account)
        except msgspec.DecodeError as error:
            raise ServiceFaultError(f"{self._base_url} sent no account: {error}") from None
        return TelephonyAccount(account.friendly_name, account.status, account.type, time.monotonic() - began)

    def _credential(self) -> str:
        return base64.b64encode(f"{self._account}:{self._token}".encode()).decode()
