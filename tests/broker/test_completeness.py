"""A range of days is read whole, whatever the filter means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

import httpx2
import pytest
import tastytrade

from tasty_pipeline.core.broker.transport import AddressedTransport
from tasty_pipeline.core.errors import ConfigurationError, IncompleteAnswerError
from tasty_pipeline.simulator import Fault, Simulator

from .brokerage import BUSY, FIRST, LAST, MANY, Config, broker_of, reads, simulated, truth, typed, within

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("leaky", [False, True], ids=["tight", "leaky"])
@pytest.mark.parametrize("inclusive", ["both", "start", "end", "neither"])
@pytest.mark.parametrize("meaning", ["executed_utc", "executed_new_york", "transaction_date"])
async def test_every_meaning_of_the_filter_gives_every_row(
    meaning: str, inclusive: str, leaky: bool, config: Config
) -> None:
    settings = MANY | {"date_filter": meaning, "inclusive": inclusive, "leaky_filter": leaky}
    with simulated(**settings) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, FIRST, LAST)
            assert len(read.windows) > 1
            assert within(read, FIRST, LAST) == truth(simulator, account, FIRST, LAST)
            # the whole, a day to learn of the bounds, two passes, a count before and after the second
            assert reads(simulator) == 2 + 2 * len(read.windows) + 2
            first, last = date(2026, 2, 6), date(2026, 2, 7)
            read = await broker.transactions(account, first, last)
            assert len(read.windows) == 1
            assert within(read, first, last) == truth(simulator, account, first, last)


async def test_what_fits_a_page_is_one_request(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            before = datetime.now(UTC)
            read = await broker.transactions(account, date(2026, 2, 10), date(2026, 2, 12))
            assert reads(simulator) == 1
            assert (read.start, read.end) == (date(2026, 2, 10), date(2026, 2, 12))
            (window,) = read.windows
            assert (window.start, window.end, window.pages) == (date(2026, 2, 3), date(2026, 2, 19), 1)
            assert window.total == len(typed(read))
            assert not read.receipts
            assert before <= read.started_at <= read.ended_at <= datetime.now(UTC)


@pytest.mark.parametrize("pages_when_empty", [0, 1])
async def test_an_empty_range_is_proven_empty(pages_when_empty: int, config: Config) -> None:
    settings = MANY | {"trades_per_day": 1, "total_pages_when_empty": pages_when_empty}
    with simulated(**settings) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, date(2020, 1, 1), date(2020, 12, 31))
            assert typed(read) == []
            assert read.days == {}
            assert [window.total for window in read.windows] == [0]


async def test_a_range_that_ends_before_it_begins_is_refused(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            with pytest.raises(ConfigurationError, match="ends before it begins"):
                await broker.transactions(account, LAST, FIRST)
            assert simulator.requests == []


@pytest.mark.parametrize("meaning", ["executed_utc", "transaction_date"])
async def test_a_day_with_more_rows_than_a_page_is_read_by_pages(meaning: str, config: Config) -> None:
    with simulated(**BUSY, date_filter=meaning) as (simulator, account):
        assert max(len(truth(simulator, account, day, day)) for day in (date(2026, 2, n) for n in (18, 19, 20))) > 2000
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, date(2026, 2, 16), date(2026, 2, 20))
            assert within(read) == truth(simulator, account)
            assert max(window.pages for window in read.windows) > 1


@pytest.mark.parametrize("kind", ["duplicate_row", "short_page"])
async def test_a_page_that_contradicts_itself_is_asked_for_again(kind: str, config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        fault = simulator.brokerage.faults.add(Fault(kind, path="transactions", times=2))
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, date(2026, 2, 10), date(2026, 2, 12))
            assert within(read, read.start, read.end) == truth(simulator, account, read.start, read.end)
            assert reads(simulator) == 3
            fault.times = None
            with pytest.raises(IncompleteAnswerError, match=r"contradicted itself 5 times, last with .* announced"):
                await broker.transactions(account, date(2026, 2, 10), date(2026, 2, 12))


async def test_rows_of_another_account_are_refused(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        simulator.brokerage.faults.add(Fault("wrong_account", row=-1))
        async with broker_of(simulator, config) as broker:
            for question in (
                broker.positions(account),
                broker.balances(account),
                broker.transactions(account, LAST, LAST),
                broker.snapshots(account, LAST, LAST),
                broker.count_transactions(account),
            ):
                with pytest.raises(IncompleteAnswerError, match=f"a row of another account than {account}"):
                    await question


async def test_an_odd_row_is_rejected_alone_and_counted(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        fields = {"id": 0, "account-number": 1, "transaction-date": 2}
        for field, row in fields.items():
            simulator.brokerage.faults.add(Fault("missing_field", path="transactions", field=field, row=row))
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, date(2026, 2, 10), date(2026, 2, 12))
            assert len(typed(read)) + len(read.rejected) == read.windows[0].total
            assert [bad.reason for bad in read.rejected] == [f"{field} is missing" for field in fields]
            expected = truth(simulator, account, date(2026, 2, 3), date(2026, 2, 19))
            odd = [bad.payload.get("id") for bad in read.rejected]
            assert len(expected) == read.windows[0].total
            assert {row["transaction_id"]: row for row in typed(read)}.items() <= expected.items()
            assert odd[0] is None
            assert {*odd[1:]} <= expected.keys()


@asynccontextmanager
async def sdk_session(simulator: Simulator) -> AsyncIterator[tastytrade.Session]:
    async with httpx2.AsyncHTTPTransport() as wire:
        addressed = AddressedTransport(wire, httpx2.URL(simulator.url), "sdk/1")
        async with tastytrade.Session(simulator.client_secret, simulator.refresh_token, transport=addressed) as session:
            yield session


async def test_the_sdk_gives_250_rows_by_default_and_we_give_all(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with sdk_session(simulator) as session:
            (theirs,) = await tastytrade.Account.get(session)
            assert len(await theirs.get_history(session)) == 250
        async with broker_of(simulator, config) as broker:
            assert len(within(await broker.transactions(account, FIRST, LAST))) == len(truth(simulator, account)) > 2000


async def test_the_sdk_loses_rows_under_drift_and_we_do_not(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        simulator.brokerage.faults.add(Fault("page_drift", path="transactions", mode="remove"))
        async with sdk_session(simulator) as session:
            (theirs,) = await tastytrade.Account.get(session)
            found = {row.id for row in await theirs.get_history(session, page_offset=None, per_page=250)}
        assert not set(truth(simulator, account)) <= found
        async with broker_of(simulator, config) as broker:
            assert within(await broker.transactions(account, FIRST, LAST)) == truth(simulator, account)
