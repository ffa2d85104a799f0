"""What stands in the tables after a sync, against the simulator's own books."""

import dataclasses
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Simulator

from .bench import BUSY, NEW_YORK, NOW, QUIET, START, TODAY, Bench, day
from .ledger import row_of, stored

Start = Callable[..., Simulator]


@pytest.mark.usefixtures("either_backend")
def test_the_tables_hold_the_ledger_row_for_row_and_value_for_value(bench: Bench) -> None:
    bench.everything()
    books, accounts = bench.sim.brokerage, (BUSY, QUIET)
    expected = [row_of(payload) for account in accounts for payload in books.transactions(account)]
    found = [stored(row) for row in bench.rows(schema.transactions)]
    assert found == sorted(expected, key=lambda row: row["transaction_id"])
    assert len(found) > 100
    by_key = {(row["account_number"], row["symbol"]): stored(row) for row in bench.rows(schema.positions)}
    held = [row_of(payload) for account in accounts for payload in books.positions(account)]
    assert by_key == {(row["account_number"], row["symbol"]): row for row in held}
    balances = [stored(row) for row in bench.rows(schema.balances)]
    assert balances == [row_of(books.balances(account), money=True) for account in accounts]
    snapshots = [
        row_of(payload, money=True)
        for account in accounts
        for time_of_day in ("BOD", "EOD")
        for payload in books.snapshots(account, time_of_day, START, TODAY)
    ]
    key = ("account_number", "snapshot_date", "time_of_day")
    snapshots.sort(key=lambda row: [row[name] for name in key])
    assert [stored(row) for row in bench.rows(schema.balance_snapshots)] == snapshots
    numbers = [row_of({**account, "authority-level": "owner"}) for account in books.accounts()]
    assert [stored(row)["account_number"] for row in bench.rows(schema.accounts)] == [
        row["account_number"] for row in numbers
    ]


def test_both_databases_hold_the_same_rows(bench: Bench, duckdb_url: str) -> None:
    other = dataclasses.replace(bench, warehouse=open_warehouse(duckdb_url))
    bench.everything()
    other.everything()
    provenance = {"synced_at", "run_id"}
    for table in (*schema.MIRRORED.values(), schema.proven_days):
        ours, theirs = (
            [{key: value for key, value in row.items() if key not in provenance} for row in each.rows(table)]
            for each in (bench, other)
        )
        assert ours == theirs
        assert ours


@pytest.mark.parametrize("meaning", ["executed_utc", "executed_new_york", "transaction_date"])
@pytest.mark.parametrize("leaky", [False, True], ids=["strict", "leaky"])
def test_every_meaning_of_the_date_filter_gives_the_same_table(
    meaning: str, leaky: bool, start: Start, warehouse: Warehouse
) -> None:
    for inclusive in ("both", "start", "end", "neither"):
        sim = start(date_filter=meaning, inclusive=inclusive, leaky_filter=leaky)
        bench = Bench(sim, warehouse, {"history_start": day(30)})
        bench.transactions(day(12), day(12))
        bench.transactions(day(30), day(6))
        bench.transactions(day(10), TODAY)
        assert bench.live() == set(bench.dated(day(30), TODAY + timedelta(days=9)))
        assert bench.complete()
        assert bench.verify() is None
        bench.change(schema.transactions.delete())
        bench.change(schema.proven_days.delete())


def at(clock: str) -> datetime:
    return datetime.fromisoformat(clock).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("clock", "symbol", "booked"),
    [
        ("2026-11-18T18:00", "/ESZ6", date(2026, 11, 19)),
        ("2026-11-20T18:30", "/ESZ6", date(2026, 11, 23)),  # a Friday evening: Monday
        ("2026-11-18T19:30", "BTC/USD", date(2026, 11, 18)),  # half past midnight in UTC
        ("2026-11-18T23:59", "BTC/USD", date(2026, 11, 18)),
        ("2026-11-01T00:30", "BTC/USD", date(2026, 11, 1)),  # the clock goes back that night
        ("2026-11-01T23:30", "BTC/USD", date(2026, 11, 1)),
        ("2026-03-08T00:30", "BTC/USD", date(2026, 3, 8)),  # the clock goes forward that night
        ("2026-03-08T23:30", "BTC/USD", date(2026, 3, 8)),
    ],
)
def test_a_row_belongs_to_the_brokers_new_york_trade_date(
    clock: str, symbol: str, booked: date, start: Start, warehouse: Warehouse
) -> None:
    now = at(clock)
    sim = start(now=now, start=now.date() - timedelta(days=20))
    bench = Bench(sim, warehouse, {"history_start": now.date() - timedelta(days=20)})
    (identifier,) = sim.brokerage.trade(QUIET, symbol=symbol)
    result = bench.transactions(now.date(), now.date())
    row = bench.row(identifier)
    assert row is not None
    assert row["transaction_date"] == booked
    assert row["executed_at"] == now
    assert result.end == now.date()
    assert result.rows_by_day[booked] == len(bench.dated(booked, booked))
    proofs = bench.rows(schema.proven_days, schema.proven_days.c.day == booked)
    assert [proof["row_count"] for proof in proofs] == [result.rows_by_day[booked]]
    if booked > now.date():
        sim.brokerage.set_now(at(f"{booked}T12:00"))
        assert bench.transactions(booked, booked).rows_by_day[booked] >= 1
        assert bench.complete()


def test_a_day_after_today_whose_only_row_went_is_proven_empty(bench: Bench) -> None:
    (identifier,) = bench.sim.brokerage.trade(BUSY, symbol="/ESZ6")
    bench.transactions(day(1), account=BUSY)
    monday = date(2026, 11, 23)
    assert [row["transaction_date"] for row in [bench.row(identifier)] if row] == [monday]
    bench.sim.brokerage.remove(identifier)
    bench.transactions(day(1), account=BUSY)
    proofs = bench.rows(schema.proven_days, schema.proven_days.c.day == monday)
    assert [proof["row_count"] for proof in proofs] == [0]
    assert bench.complete()


@pytest.mark.usefixtures("either_backend")
def test_a_second_sync_writes_no_row(bench: Bench) -> None:
    bench.everything()
    before, versions = bench.data(), row_versions(bench)
    again = bench.everything()
    assert [result.written for result in again] == [0] * len(again)
    assert all(result.unchanged == result.read for result in again)
    assert bench.data() == before
    assert row_versions(bench) == versions


def row_versions(bench: Bench) -> list[Any]:
    """Postgres' own number of the transaction that wrote each row; DuckDB has none."""
    if bench.warehouse.kind != "postgres":
        return []
    found = []
    for table in (*schema.MIRRORED.values(), schema.proven_days, schema.rejected_rows):
        versions = sa.select(sa.cast(sa.literal_column("xmin"), sa.Text).label("xmin"), *table.primary_key.columns)
        with bench.warehouse.read() as reader:
            found.append(reader.rows(versions.select_from(table).order_by(*table.primary_key.columns)))
    return found


def test_amounts_are_exact_to_the_last_digit(bench: Bench) -> None:
    identifier = bench.sim.brokerage.deposit(QUIET, "12345678901234.123456789012")
    bench.transactions(TODAY)
    row = bench.row(identifier)
    assert row is not None
    assert row["value"] == row["net_value"] == Decimal("12345678901234.123456789012")
    assert NOW.date() == TODAY
