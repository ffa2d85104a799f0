"""A hundred invented users with a million transactions, loaded by COPY through the warehouse, and a publisher.

Here belongs what the tables of `readers.py` hold and how they change meanwhile; nothing measures here. Every figure
follows from its row's number, so that two runs hold the same.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing.synchronize import Event
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.publish import Run
from tasty_pipeline.core.warehouse import Warehouse, Writer, open_warehouse

SYMBOLS = ("AAPL", "AMD", "BRK/B", "F", "GE", "IWM", "KO", "NVDA", "QQQ", "SPY", "T", "TSM")
OPTIONS = tuple(f"{symbol:<6}261218C{strike:08d}" for symbol in SYMBOLS for strike in (50_000, 100_000, 150_000))
LAST = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
FIRST = LAST - timedelta(days=1500)
MIDDLE = (LAST - timedelta(days=750)).date()
BATCH = 20_000
SATURDAY = 5
CENT = Decimal("0.01")
_RUN = Run(run_id="crowd", environment="simulator", history_start=FIRST.date())
_LOG_ENTRIES = 500  # of each account: half a year of portfolio syncs


@dataclass(frozen=True)
class Account:
    """One account, whose login it is, and how many transactions it has."""

    number: str
    owner: str
    rows: int


def accounts_of(owners: Sequence[str], rows: int) -> list[Account]:
    """Return one account for each owner: every twentieth has traded ten times as much as the others."""
    weights = [10 if place % 20 == 0 else 1 for place in range(len(owners))]
    share = rows // sum(weights)
    counts = [share * weight for weight in weights]
    counts[0] += rows - sum(counts)
    return [
        Account(f"9WT{place:05d}", owner, count)
        for place, (owner, count) in enumerate(zip(owners, counts, strict=True))
    ]


def fill(warehouse: Warehouse, accounts: Sequence[Account]) -> None:
    """Fill the tables of a migrated, empty warehouse."""
    with warehouse.write() as writer:
        writer.insert(schema.connections, [_connection(each) for each in accounts])
        writer.insert(schema.accounts, [_account(each) for each in accounts])
        writer.insert(schema.connection_accounts, [_seen(each) for each in accounts])
        writer.insert(schema.positions, [row for each in accounts for row in positions(each, 0)])
        writer.insert(schema.balances, [balance(each, 0) for each in accounts])
    for table, rows in (
        (schema.sync_log, (row for each in accounts for row in _log(each))),
        (schema.proven_days, (row for each in accounts for row in _proven(each))),
        (schema.balance_snapshots, (row for each in accounts for row in _snapshots(each))),
        (schema.transactions, _transactions(accounts)),
    ):
        for batch in _batches(rows):
            with warehouse.write() as writer:
                writer.insert(table, batch)


def publish_without_pause(url: str, accounts: Sequence[Account], stop: Event, first_id: int) -> tuple[int, int]:
    """Publish new transactions and moved prices, account after account, until told to stop.

    Each publication is what a sync of an account that has traded does: five transactions, its positions and its
    balances, the change feed and the sync log, in one transaction. Returns how many, and the rows written.
    """
    warehouse, numbers, written = open_warehouse(url), itertools.count(first_id), 0
    for turn, account in enumerate(itertools.cycle(accounts), start=1):
        if stop.is_set():
            return turn - 1, written
        now = datetime.now(UTC)
        stamp = {"synced_at": now, "run_id": f"crowd-{turn}"}
        fresh = [_transaction(next(numbers), account.number, now) | stamp for _ in range(5)]
        with publish.transaction(warehouse, _RUN, f"portfolio/{account.number}") as writer:
            written += _merge(writer, schema.transactions, fresh)
            written += _merge(writer, schema.positions, [row | stamp for row in positions(account, turn)])
            written += _merge(writer, schema.balances, [balance(account, turn) | stamp])
            writer.insert(schema.sync_log, [_entry(account, "positions", now, f"crowd-{turn}")])
    raise AssertionError("a cycle has no end")


def _merge(writer: Writer, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    merge = writer.merge(table, writer.stage(table, rows))
    return merge.inserted + merge.updated


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _transactions(accounts: Sequence[Account]) -> Iterator[dict[str, Any]]:
    numbers = itertools.count(1)
    for account in accounts:
        step = (LAST - FIRST) / account.rows
        for place in range(account.rows):
            yield _transaction(next(numbers), account.number, FIRST + place * step)


def _transaction(number: int, account: str, executed_at: datetime) -> dict[str, Any]:
    option = number % 3 != 0
    underlying = SYMBOLS[number % len(SYMBOLS)]
    symbol = OPTIONS[number % len(OPTIONS)] if option else underlying
    quantity, price = Decimal(1 + number % 7), CENT * (100 + number % 9000)
    value = price * quantity * (100 if option else 1) * (1 if number % 2 else -1)
    return {
        "transaction_id": number,
        "account_number": account,
        "transaction_type": "Trade",
        "transaction_sub_type": "Sell to Open" if number % 2 else "Buy to Open",
        "description": f"{'Sold' if number % 2 else 'Bought'} {quantity} {symbol} @ {price}",
        "executed_at": executed_at,
        "transaction_date": executed_at.date(),
        "symbol": symbol,
        "instrument_type": "Equity Option" if option else "Equity",
        "underlying_symbol": symbol.split()[0] if option else underlying,
        "action": "Sell to Open" if number % 2 else "Buy to Open",
        "quantity": quantity if number % 2 == 0 else -quantity,
        "quantity_unsigned": quantity,
        "price": price,
        "value": value,
        "net_value": value - CENT * 114,
        "commission": -CENT * 100,
        "clearing_fees": -CENT * 10,
        "regulatory_fees": -CENT * 4,
        "currency": "USD",
        "created_at": executed_at,
        "order_id": number,
        **_PROVENANCE,
    }


_PROVENANCE = {"synced_at": LAST, "run_id": "crowd"}


def positions(account: Account, turn: int) -> list[dict[str, Any]]:
    """Return an account's 24 positions; the prices move with the turn."""
    held = [(symbol, "Equity", 1) for symbol in SYMBOLS]
    held += [(symbol, "Equity Option", 100) for symbol in OPTIONS[::3]]
    return [
        {
            "account_number": account.number,
            "symbol": symbol,
            "instrument_type": kind,
            "quantity_direction": "Long",
            "underlying_symbol": symbol.split()[0],
            "quantity": Decimal(10),
            "average_open_price": CENT * 5000,
            "close_price": CENT * (5000 + (place * 37 + turn) % 500),
            "mark_price": CENT * (5000 + (place * 41 + turn) % 500),
            "multiplier": Decimal(multiplier),
            "created_at": FIRST,
            **_PROVENANCE,
        }
        for place, (symbol, kind, multiplier) in enumerate(held)
    ]


def balance(account: Account, turn: int) -> dict[str, Any]:
    """Return an account's balance; it moves with the turn."""
    return {
        "account_number": account.number,
        "currency": "USD",
        "cash_balance": Decimal(25_000) + turn,
        "net_liquidating_value": Decimal(100_000) + turn,
        "equity_buying_power": Decimal(50_000),
        "derivative_buying_power": Decimal(25_000),
        "maintenance_requirement": Decimal(10_000),
        "updated_at": LAST,
        **_PROVENANCE,
    }


def _snapshots(account: Account) -> Iterator[dict[str, Any]]:
    for number, day in enumerate(day for day in _days() if day.weekday() < SATURDAY):
        for time_of_day in ("BOD", "EOD"):
            value = Decimal(80_000 + number * 20 + (number * 7919) % 1500)
            when = {"currency": "USD", "snapshot_date": day, "time_of_day": time_of_day}
            worth = {"net_liquidating_value": value, "cash_balance": Decimal(25_000)}
            yield {"account_number": account.number, **when, **worth, **_PROVENANCE}


def _proven(account: Account) -> Iterator[dict[str, Any]]:
    for day in _days():
        what = {"account_number": account.number, "table_name": "transactions", "day": day}
        yield {**what, "row_count": 5, "digest": "of the crowd", **_PROVENANCE}


def _days() -> list[date]:
    return [FIRST.date() + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]


def _connection(account: Account) -> dict[str, Any]:
    stored = {"sealed_credentials": "tp1.none.none", "connected_at": FIRST, "state": "active", "state_changed_at": LAST}
    return {"connection_id": f"c{account.owner}", "owner": account.owner, "label": "Main", "sandbox": False, **stored}


def _account(account: Account) -> dict[str, Any]:
    about = {"account_type": "Individual", "nickname": "Everything", "margin_or_cash": "Margin", "is_closed": False}
    return {"account_number": account.number, **about, "opened_at": FIRST, "created_at": FIRST, **_PROVENANCE}


def _seen(account: Account) -> dict[str, Any]:
    which = {"connection_id": f"c{account.owner}", "account_number": account.number}
    return {**which, "authority_level": "owner", **_PROVENANCE}


def _log(account: Account) -> Iterator[dict[str, Any]]:
    for number in range(_LOG_ENTRIES):
        for table in ("positions", "balances", "transactions", "balance_snapshots"):
            yield _entry(account, table, LAST - timedelta(hours=number), f"crowd-log-{number}")


def _entry(account: Account, table: str, read_at: datetime, run_id: str) -> dict[str, Any]:
    window: tuple[date, date] = (read_at.date() - timedelta(days=10), read_at.date())
    by_day = {"window_start": window[0], "window_end": window[1]} if table in schema.DAY else {}
    counts = dict.fromkeys(("rows_read", "rows_inserted", "rows_updated", "rows_removed", "rows_rejected"), 0)
    counts |= dict.fromkeys(("requests", "retries", "throttled"), 0)
    return {
        "sync_id": f"{account.number}/{table}/{run_id}/{time.monotonic_ns()}",
        "connection": f"c{account.owner}",
        "environment": "simulator",
        "account_number": account.number,
        "table_name": table,
        "result": "published",
        **by_day,
        **counts,
        "read_started_at": read_at,
        "read_ended_at": read_at,
        "synced_at": read_at,
        "run_id": run_id,
    }
