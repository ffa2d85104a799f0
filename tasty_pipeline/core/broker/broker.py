"""One login at one broker: everything that the core asks of the API, as raw rows.

Here belongs one method per question. How a request travels is `transport.py`, how a range is proven `proof.py`; what a
field means belongs to the payload contract.
"""

import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx2
import sqlalchemy as sa

from tasty_pipeline.core import arrow, schema
from tasty_pipeline.core.broker import decode
from tasty_pipeline.core.broker.api import AccountListing, Api, Params, below
from tasty_pipeline.core.broker.config import BrokerConfig, Credentials
from tasty_pipeline.core.broker.login import AccessToken, Login
from tasty_pipeline.core.broker.meter import Meter
from tasty_pipeline.core.broker.reading import Prover, together
from tasty_pipeline.core.broker.shelf import ProvenRead, Receipt, Shelf
from tasty_pipeline.core.broker.transport import layers, open_wire
from tasty_pipeline.core.broker.verdicts import Judge
from tasty_pipeline.core.errors import IncompleteAnswerError, NotFoundError
from tasty_pipeline.core.spool import Spool

_ACCOUNTS_PATH = "/customers/me/accounts"


class Broker:
    """An open connection; made by `connect`, used on one event loop.

    Every method raises the taxonomy of `core.errors`: `AuthenticationError` for a refused login or token,
    `TransientError` when the API could not answer within the budget, `PermanentError` when it refused (an account that
    it does not know, for one), `ContractError` and `IncompleteAnswerError` for answers that cannot be trusted.
    """

    def __init__(self, api: Api, environment: str, meter: Meter) -> None:
        self._api = api
        self.environment = environment
        self.meter = meter

    @property
    def access_token(self) -> AccessToken | None:
        """The valid access token of this moment, to be kept for the next connection; None where there is none."""
        return self._api.login.access_token

    async def log_in(self) -> None:
        """Makes sure that a valid access token is there; asks for none if it is."""
        await self._api.login.token()

    async def accounts(self) -> list[dict[str, Any]]:
        """Items `{"account": {...}, "authority-level": ...}` of all accounts, closed ones too."""
        items = decode.whole_list(await self._api.get(_ACCOUNTS_PATH), _ACCOUNTS_PATH)
        numbers = [decode.account_number(item, _ACCOUNTS_PATH) for item in items]
        if len(set(numbers)) != len(numbers):
            raise IncompleteAnswerError(
                f"The answer of {_ACCOUNTS_PATH} lists an account twice.", "nothing; the next run asks again."
            )
        return list(items)

    async def positions(self, account: str) -> list[dict[str, Any]]:
        """Open positions now; the list is not paged, so that one answer is one consistent read."""
        path = below(account, "positions")
        items = decode.whole_list(await self._api.get(path), path)
        return list(decode.of_account(items, account, path))

    async def balances(self, account: str) -> list[dict[str, Any]]:
        """The balances now, one row a currency; the API answers an object or a list, by its version."""
        path = below(account, "balances")
        payload = await self._api.get(path)
        data = decode.data_of(payload, path)
        if isinstance(data, list):
            rows = decode.rows_in(data, path)
        elif isinstance(data, dict) and "items" not in data and "account-number" in data:
            rows = (data,)
        else:
            rows = decode.whole_list(payload, path)
        return list(decode.of_account(rows, account, path))

    async def transactions(
        self, account: str, start: date, end: date, spool: Spool | None = None, known: Iterable[Receipt] = ()
    ) -> ProvenRead:
        """All transactions with a `transaction-date` from `start` to `end`, and some around them, proven complete.

        The rows wait in `spool`, and are gone when it is closed; without one, in memory. A window that answers as
        `known` says is not read.
        """
        shelf = Shelf(schema.transactions, start, end, spool or _spool(schema.transactions))
        listing = AccountListing(self._api, account, schema.transactions)
        return shelf.together(await Prover(listing, shelf, known).read())

    async def transaction(self, account: str, identifier: int) -> dict[str, Any] | None:
        """One transaction by its id, whatever its date; None where the API shows none of that id for the account."""
        path = below(account, f"transactions/{identifier}")
        try:
            row = decode.data_of(await self._api.get(path), path)
        except NotFoundError:  # an unknown account answers so too, but its list could not have been read before
            return None
        return decode.of_account(decode.rows_in([row], path), account, path)[0]

    async def snapshots(self, account: str, start: date, end: date, spool: Spool | None = None) -> ProvenRead:
        """All balance snapshots with a `snapshot-date` from `start` to `end`, of the beginning and the end of the day.

        The current balance that the API appends to the list is no snapshot and is left out. Should the API ignore the
        time of day, both answers hold the same rows: still one of each.
        """
        table = schema.balance_snapshots
        shelf = Shelf(table, start, end, spool or _spool(table))
        listings = [AccountListing(self._api, account, table, time_of_day=time) for time in ("BOD", "EOD")]
        return shelf.together(*await together(Prover(listing, shelf).read() for listing in listings))

    async def count_transactions(self, account: str, start: date | None = None, end: date | None = None) -> int:
        """The API's own total of an account's transactions, of all or from `start` to `end` as its filter means it.

        Without an `end` the API stops at now, and rows that are dated after today may be left out.
        """
        return (await self._newest(account, start, end))[0]

    async def activity(self, account: str) -> str:
        """A fingerprint that changes when a transaction is booked or cash moves; two requests.

        It is made of the number of transactions, the id of the newest, and per currency the cash and the time of the
        last update. It is a trigger, not a proof: a row that is booked late while another is withdrawn leaves
        the first two as they were.
        """
        total, newest = await self._newest(account)
        balances = await self.balances(account)
        last = newest[0].get("id") if newest else None
        cash = sorted(
            "|".join(
                str(balance.get(name)) for name in ("currency", "cash-balance", "cash-balance-effect", "updated-at")
            )
            for balance in balances
        )
        digest = hashlib.sha256("\n".join(cash).encode()).hexdigest()[:16]
        return f"{total}:{last}:{digest}"

    async def _newest(
        self, account: str, start: date | None = None, end: date | None = None
    ) -> tuple[int, tuple[dict[str, Any], ...]]:
        path = below(account, "transactions")
        params: Params = {"sort": "Desc", "per-page": 1, "page-offset": 0}
        params |= {name: day.isoformat() for name, day in (("start-date", start), ("end-date", end)) if day}
        items, (total, *_) = decode.page_of(await self._api.get(path, params), path)
        decode.of_account(items, account, path)
        return total, items


def _spool(table: sa.Table) -> Spool:
    # nobody closes it: nothing may go to files
    return Spool(arrow.content_schema(table), rows_in_memory=sys.maxsize)


@asynccontextmanager
async def connect(
    credentials: Credentials, config: BrokerConfig, token: AccessToken | None = None
) -> AsyncIterator[Broker]:
    """A connection that lives as long as the block. Nothing is sent before the first question.

    `token` is one that an earlier connection of the same credentials and address had left: while it is valid, no login
    is needed.
    """
    # The SDK takes over a second to import: not before it is needed.
    import tastytrade  # noqa: PLC0415

    meter = Meter()
    default = httpx2.URL(tastytrade.CERT_URL if config.sandbox else tastytrade.API_URL)
    host = (config.base or default).netloc.decode("ascii")
    name = config.base.host if config.base is not None else "sandbox" if config.sandbox else "production"
    judge = Judge(host, name, (credentials.client_secret, credentials.refresh_token))
    async with open_wire(config) as wire:
        transport = layers(wire, config, meter, judge)
        session = tastytrade.Session(
            credentials.client_secret,
            credentials.refresh_token,
            is_test=config.sandbox,
            transport=transport,
            timeout=config.timeout_seconds,
        )
        headers = {"Accept": "application/json"}
        if not config.sandbox:
            # As the SDK does: the sandbox answers 404 to it.
            headers["Accept-Version"] = tastytrade.API_VERSION
        client = httpx2.AsyncClient(
            base_url=default, headers=headers, transport=transport, timeout=config.timeout_seconds
        )
        # more threads than cores would only get into each other's way, and hold more memory
        with ThreadPoolExecutor(os.cpu_count(), "read") as threads:
            async with session, client:
                yield Broker(Api(client, Login(session, token), config.in_flight, threads), name, meter)
