"""Each question that is not a range of transactions, and reads that go through trouble on the way."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.errors import PermanentError
from tasty_pipeline.simulator import Fault

from .brokerage import FIRST, LAST, MANY, Config, broker_of, simulated, truth, typed, within

pytestmark = pytest.mark.anyio


async def test_snapshots_of_both_times_of_day_come_without_the_current_balance(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            read = await broker.snapshots(account, FIRST, date(2026, 2, 20))
        expected = [
            snapshot for time in ("BOD", "EOD") for snapshot in simulator.brokerage.snapshots(account, time)
        ]  # fmt: skip
        key = lambda row: (row["snapshot_date"], row["time_of_day"])  # noqa: E731
        parsed = payloads.parse(schema.balance_snapshots, expected)
        assert sorted(typed(read), key=key) == sorted(parsed.rows, key=key)
        assert (read.rejected, parsed.rejected) == ((), ())
        wanted = Counter(row["snapshot_date"] for row in parsed.rows if row["snapshot_date"] >= FIRST)
        assert {day: rows for day, (rows, _) in read.days.items()} == wanted
        assert [(window.time_of_day, window.pages) for window in read.windows] == [("BOD", 1), ("EOD", 1)]
        assert sum(window.total for window in read.windows) == len(expected) + 2


@pytest.mark.parametrize("shape", ["object", "list"])
async def test_balances_are_a_list_in_both_shapes(shape: str, config: Config) -> None:
    with simulated(**MANY | {"balances_shape": shape}) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            (balance,) = await broker.balances(account)
            assert balance == simulator.brokerage.balances(account)
            sent = json.dumps(simulator.brokerage.positions(account))
            assert await broker.positions(account) == json.loads(sent, parse_float=Decimal)


async def test_all_accounts_are_listed_closed_ones_too(config: Config) -> None:
    with simulated(**MANY | {"accounts": 4, "trades_per_day": 1}) as (simulator, _):
        async with broker_of(simulator, config) as broker:
            items = await broker.accounts()
            assert [item["account"] for item in items] == simulator.brokerage.accounts()
            assert any(item["account"]["is-closed"] for item in items)
            assert all(item["authority-level"] == "owner" for item in items)


async def test_activity_changes_when_something_is_booked_and_only_then(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            await broker.log_in()
            seen = [await broker.activity(account)]
            assert broker.meter.requests == 3
            assert await broker.activity(account) == seen[0]
            for act in (
                lambda: simulator.brokerage.trade(account),
                lambda: simulator.brokerage.book_late(account, 5),
                lambda: simulator.brokerage.deposit(account, 100),
            ):
                act()
                seen.append(await broker.activity(account))
            assert len(set(seen)) == len(seen)


async def test_transactions_are_counted_with_one_small_request(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        async with broker_of(simulator, config) as broker:
            await broker.log_in()
            before = broker.meter.snapshot()
            assert await broker.count_transactions(account) == len(truth(simulator, account))
            spent = broker.meter - before
            assert spent.requests == 1
            assert spent.bytes_received < 5000
            later = truth(simulator, account, date(2026, 2, 2))
            assert await broker.count_transactions(account, date(2026, 2, 2)) == len(later)


async def test_a_transaction_is_shown_by_its_id_whatever_its_date_and_none_where_there_is_none(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        first = simulator.brokerage.transactions(account)[0]
        async with broker_of(simulator, config) as broker:
            assert await broker.transaction(account, first["id"]) == first
            assert await broker.transaction(account, 1) is None


async def test_a_transaction_that_may_not_be_seen_is_not_one_that_is_not_there(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        simulator.brokerage.faults.add(Fault("not_permitted", path="transactions/"))
        async with broker_of(simulator, config) as broker:
            with pytest.raises(PermanentError, match="403"):
                await broker.transaction(account, 1)


async def test_a_token_that_expires_in_the_middle_of_a_read_is_renewed(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        simulator.brokerage.faults.add(Fault("expired_token", path="transactions", after=2, times=1))
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, FIRST, LAST)
            assert within(read, FIRST, LAST) == truth(simulator, account, FIRST, LAST)
            assert broker.meter.token_refreshes == simulator.brokerage.tokens.attempts == 2


async def test_a_read_that_outlives_its_tokens_goes_on(config: Config) -> None:
    with simulated(**MANY | {"token_lifetime": 61}) as (simulator, account):
        simulator.brokerage.faults.add(Fault("latency", path="transactions", seconds=0.4))
        async with broker_of(simulator, config, in_flight=2) as broker:
            read = await broker.transactions(account, FIRST, LAST)
            assert within(read, FIRST, LAST) == truth(simulator, account, FIRST, LAST)
            assert broker.meter.token_refreshes > 1


async def test_faults_on_the_way_do_not_change_the_result(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        for after, (kind, params) in enumerate(
            [
                ("status", {"status": 429}),
                ("status", {"status": 503}),
                ("drop_connection", {}),
                ("truncated_body", {}),
                ("cut_json", {}),
                ("html", {"status": 502}),
                ("html", {"status": 200}),
                ("slow_body", {"seconds": 0.1}),
                ("empty_body", {}),
            ]
        ):
            fault = Fault(kind, path="transactions", times=1, after=after, **params)
            simulator.brokerage.faults.add(fault)
        async with broker_of(simulator, config, retry_budget_seconds=5) as broker:
            read = await broker.transactions(account, FIRST, LAST)
            assert within(read, FIRST, LAST) == truth(simulator, account, FIRST, LAST)
            assert broker.meter.throttled == 1
            assert broker.meter.retries == 8
            assert broker.meter.requests == len(simulator.requests)
