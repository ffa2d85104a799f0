"""The SDK's own methods work against the simulator, unchanged, over real HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import TypeVar

import httpx2
import pytest
from conftest import MAIN, Start
from tastytrade import Account, Session
from tastytrade.order import InstrumentType
from tastytrade.utils import TastytradeError

from tasty_pipeline.simulator import Simulator

T = TypeVar("T")


class Redirected(httpx2.AsyncHTTPTransport):
    """Sends what is meant for the real API to a simulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme=self._url.scheme, host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


def with_session(sim: Simulator, use: Callable[[Session], Awaitable[T]], *, secret: str | None = None) -> T:
    async def run() -> T:
        async with Session(
            secret or sim.client_secret, sim.refresh_token, is_test=sim.config.sandbox, transport=Redirected(sim.url)
        ) as session:
            return await use(session)

    return asyncio.run(run())


def test_accounts_are_listed_closed_ones_on_request(sim: Simulator) -> None:
    async def use(session: Session) -> None:
        assert len(await Account.get(session)) == 3
        everything = await Account.get(session, include_closed=True)
        assert [account.is_closed for account in everything] == [False, False, False, True]
        assert {account.margin_or_cash for account in everything} == {"Margin", "Cash"}
        one = await Account.get(session, everything[1].account_number)
        assert "'" in one.nickname
        assert not one.nickname.isascii()
        assert (await session.get_customer()).id == "me"
        assert await session.validate()

    with_session(sim, use)


def test_history_by_default_is_one_page_and_with_none_all(start: Start) -> None:
    sim = start(trades_per_day=12.0)

    async def use(session: Session) -> None:
        account = await Account.get(session, MAIN)
        assert len(await account.get_history(session)) == 250
        everything = await account.get_history(session, page_offset=None)
        assert sorted(row.id for row in everything) == [row["id"] for row in sim.brokerage.transactions(MAIN)]
        assert len(everything) > 500
        one = await account.get_transaction(session, everything[0].id)
        assert one == everything[0]
        trades = await account.get_history(
            session, per_page=2000, sort="Asc", types=["Trade"], instrument_type=InstrumentType.EQUITY,
            start_date=date(2026, 11, 2), end_date=date(2026, 11, 6),
        )  # fmt: skip
        assert trades
        assert {row.transaction_type for row in trades} == {"Trade"}
        assert [row.executed_at for row in trades] == sorted(row.executed_at for row in trades)
        day = trades[-1].transaction_date
        fees = await account.get_total_fees(session, day)
        assert fees.total_fees < 0

    with_session(sim, use)


def test_positions_and_balances_are_read_by_the_sdk(sim: Simulator) -> None:
    async def use(session: Session) -> None:
        for account in await Account.get(session, include_closed=True):
            positions = await account.get_positions(session, include_marks=True, include_closed=True)
            assert len(positions) >= len(await account.get_positions(session))
            assert all(position.mark_price is not None for position in positions)
            balance = await account.get_balances(session)
            money = {key: value for key, value in balance if isinstance(value, Decimal) and "margin" not in key}
            worth = balance.cash_balance + sum(value for key, value in money.items() if key.startswith("long_"))
            worth -= sum(value for key, value in money.items() if key.startswith("short_"))
            assert worth == balance.net_liquidating_value
            assert (await account.get_trading_status(session)).is_closed == account.is_closed

    with_session(sim, use)


def test_snapshots_and_net_liq_are_read_by_the_sdk(sim: Simulator) -> None:
    async def use(session: Session) -> None:
        account = await Account.get(session, MAIN)
        range_ = {"start_date": date(2026, 11, 2), "end_date": date(2026, 11, 13), "page_offset": None}
        evenings = await account.get_balance_snapshots(session, **range_)  # type: ignore[arg-type]
        mornings = await account.get_balance_snapshots(session, time_of_day="BOD", **range_)  # type: ignore[arg-type]
        assert [s.snapshot_date.day for s in evenings] == [2, 3, 4, 5, 6, 9, 10, 11, 12, 13]
        assert [s.time_of_day for s in mornings] == ["BOD"] * 10
        newest = await account.get_balance_snapshots(session)
        assert [s.time_of_day for s in newest] == ["EOD", None]
        history = await account.get_net_liquidating_value_history(session, time_back="1m")
        assert history[-1].close == round((await account.get_balances(session)).net_liquidating_value, 2)

    with_session(sim, use)


def test_the_sandbox_is_read_by_a_test_session_and_has_no_net_liq(start: Start) -> None:
    async def use(session: Session) -> None:
        account = (await Account.get(session))[0]
        assert await account.get_history(session)
        with pytest.raises(TastytradeError, match="not_found"):
            await account.get_net_liquidating_value_history(session, time_back="1m")

    with_session(start(sandbox=True), use)


def test_a_wrong_secret_is_refused_in_the_shape_of_oauth(sim: Simulator) -> None:
    with pytest.raises(TastytradeError, match="invalid_client"):
        with_session(sim, Account.get, secret="wrong")
    assert sim.brokerage.tokens.failures == 1
