"""One raw question to the API and its parsed answer.

Here belongs what every read shares: the token, the path below an account, the date filter of a paged list. Which
questions there are belongs to `broker.py`.
"""

import re
from concurrent.futures import Executor
from typing import Any, Literal

import httpx2
import sqlalchemy as sa

from tasty_pipeline.core.broker import contents, decode
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.login import Login
from tasty_pipeline.core.broker.verdicts import TokenRefusedError
from tasty_pipeline.core.broker.windows import PAGE_ROWS, Span
from tasty_pipeline.core.errors import ConfigurationError

_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")
Params = dict[str, str | int]
_NAMES = {"transactions": "transactions", "balance_snapshots": "balance-snapshots"}
# answers that are read while as many as may be in flight are on their way
_READ_MEANWHILE = 2


def below(account: str, name: str) -> str:
    """The path of a list of an account. Raises `ConfigurationError` for what cannot be an account number."""
    if not _ACCOUNT.fullmatch(account):
        raise ConfigurationError(
            f"{account[:64]!r} is not an account number.", "give it as the broker shows it, such as 5WT00001."
        )
    return f"/accounts/{account}/{name}"


class Api:
    """Sends a raw `GET` with a valid token and gives back the parsed answer."""

    def __init__(self, client: httpx2.AsyncClient, login: Login, in_flight: int, threads: Executor) -> None:
        self._client = client
        self.login = login
        self.in_flight = in_flight
        self.threads = threads
        # by table: whether the bounds of its date filter belong to the range, as far as anybody asked
        self.inclusive: dict[str, bool | None] = {}

    async def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The JSON object of a good answer. Raises any `TastyError`."""
        return decode.parse(await self.body(path, params), path)

    async def body(self, path: str, params: Params | None = None) -> bytes:
        """The bytes of a good answer. Raises any `TastyError`; a token that is refused is renewed once."""
        token = await self.login.token()
        try:
            response = await self._send(path, params, token)
        except TokenRefusedError:
            response = None
        if response is None:
            token = await self.login.renewed(token)
            try:
                response = await self._send(path, params, token)
            except TokenRefusedError:
                self.login.distrust(token)
                raise
        return response.content

    async def _send(self, path: str, params: Params | None, token: str) -> httpx2.Response:
        return await self._client.get(path, params=params, headers={"Authorization": f"Bearer {token}"})


class AccountListing:
    """A paged list below an account, filtered by `start-date` and `end-date`."""

    def __init__(
        self, api: Api, account: str, table: sa.Table, *, time_of_day: Literal["BOD", "EOD"] | None = None
    ) -> None:
        name = _NAMES[table.name]
        self._api = api
        self._account = account
        self._path = below(account, name)
        # Oldest first: what is booked while pages are read lands behind them. Only transactions document a sort.
        self._fixed: dict[str, str] = {"time-of-day": time_of_day} if time_of_day else {"sort": "Asc"}
        self.table = table
        self.time_of_day: str | None = time_of_day
        self.subject = f"{name} of account {account}" + (f" ({time_of_day})" if time_of_day else "")
        self.slots = api.in_flight + _READ_MEANWHILE
        self.threads = api.threads
        self.page_rows = PAGE_ROWS

    @property
    def inclusive(self) -> bool | None:
        """Whether the bounds of the API's date filter belong to the range; None while this connection has not asked."""
        return self._api.inclusive.get(self.table.name)

    @inclusive.setter
    def inclusive(self, known: bool | None) -> None:
        self._api.inclusive[self.table.name] = known

    async def fetch(self, span: Span, offset: int, size: int) -> bytes:
        """The bytes of one page."""
        params: Params = {
            **self._fixed,
            "start-date": span.start.isoformat(),
            "end-date": span.end.isoformat(),
            "per-page": size,
            "page-offset": offset,
        }
        return await self._api.body(self._path, params)

    def read(self, body: bytes) -> Page:
        """One page. Raises `IncompleteAnswerError` if it holds another account's rows."""
        return contents.read(self.table, body, self._account, self._path)
