"""Rows as the pipeline writes them, for the tests of the application's side: written through its own warehouse.

`Books.fill` makes the usual scene: alice sees A1 and SHARED, bob SHARED (read-only) and B1, and the operator's own
connection `default` sees O1, which is nobody's in the application.
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Warehouse

DAY = dt.date(2026, 3, 6)
NOON = dt.datetime(2026, 3, 6, 17, 0, 0, 123456, tzinfo=dt.UTC)
A1, SHARED, B1, O1 = "5WX00001", "5WX00002", "5WX00003", "5WX00009"


class Books:
    """Writes rows with sensible columns; keywords replace or add some. Every method returns the row."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self._numbers = itertools.count(1)
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._is_together = False

    def insert(self, table: str, **columns: Any) -> dict[str, Any]:
        """Insert one row into a table."""
        into = schema.METADATA.tables[f"tasty.{table}"]
        provenance = {"synced_at": NOON, "run_id": "run-1"} if "synced_at" in into.columns else {}
        row = {**provenance, **columns}
        self._waiting.setdefault(table, []).append(row)
        if not self._is_together:
            self._write()
        return row

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the block's rows in one transaction."""
        self._is_together = True
        yield
        self._is_together = False
        self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        with self.warehouse.write() as writer:
            for table, rows in waiting.items():
                writer.insert(schema.METADATA.tables[f"tasty.{table}"], rows)

    def update(self, table: str, key: dict[str, Any], **columns: Any) -> None:
        """Change the rows with this key."""
        into = schema.METADATA.tables[f"tasty.{table}"]
        matches = [into.c[name] == value for name, value in key.items()]
        with self.warehouse.write() as writer:
            writer.execute(sa.update(into).where(*matches).values(**columns))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, as the pipeline reads them."""
        with self.warehouse.read() as reader:
            return reader.rows(sa.select(schema.METADATA.tables[f"tasty.{table}"]))

    def connection(self, name: str, owner: Any, **columns: Any) -> dict[str, Any]:
        """A connection of a user's key, None for the operator's."""
        owned = None if owner is None else str(owner)
        usual = {"label": name, "sandbox": False, "state": "active", "connected_at": NOON}
        return self.insert("connections", connection_id=name, owner=owned, **{**usual, **columns})

    def account(self, number: str, **columns: Any) -> dict[str, Any]:
        """An account."""
        usual = {"nickname": f"Account {number[-1]}", "account_type": "Individual", "is_closed": False}
        return self.insert("accounts", account_number=number, **{**usual, "opened_at": NOON, **columns})

    def seen(self, connection: str, number: str, **columns: Any) -> dict[str, Any]:
        """Let a connection see an account."""
        usual = {"authority_level": "owner", **columns}
        return self.insert("connection_accounts", connection_id=connection, account_number=number, **usual)

    def position(self, number: str, symbol: str = "SPY", **columns: Any) -> dict[str, Any]:
        """A position of 100 shares, long."""
        usual = {
            "instrument_type": "Equity",
            "quantity_direction": "Long",
            "underlying_symbol": symbol.split(maxsplit=1)[0],
            "quantity": Decimal(100),
            "average_open_price": Decimal("500.123456789012"),
            "close_price": Decimal("510.5"),
            "multiplier": Decimal(1),
            "updated_at": NOON,
        }
        return self.insert("positions", account_number=number, symbol=symbol, **{**usual, **columns})

    def balance(self, number: str, **columns: Any) -> dict[str, Any]:
        """The newest balance."""
        usual = {"currency": "USD", "cash_balance": Decimal("1000.25"), "net_liquidating_value": Decimal("52050.25")}
        return self.insert("balances", account_number=number, **{**usual, "snapshot_date": DAY, **columns})

    def snapshot(self, number: str, day: dt.date = DAY, **columns: Any) -> dict[str, Any]:
        """A balance at the end of a day."""
        usual = {"currency": "USD", "time_of_day": "EOD", "net_liquidating_value": Decimal(52000)}
        return self.insert("balance_snapshots", account_number=number, snapshot_date=day, **{**usual, **columns})

    def transaction(self, number: str, symbol: str = "SPY", **columns: Any) -> dict[str, Any]:
        """A trade at noon, with an id of its own."""
        usual = {
            "transaction_id": next(self._numbers),
            "transaction_type": "Trade",
            "transaction_sub_type": "Buy to Open",
            "description": f"Bought 1 {symbol}",
            "executed_at": NOON,
            "transaction_date": DAY,
            "symbol": symbol,
            "instrument_type": "Equity",
            "underlying_symbol": symbol.split(maxsplit=1)[0],
            "action": "Buy to Open",
            "quantity": Decimal(1),
            "quantity_unsigned": Decimal(1),
            "price": Decimal("500.12"),
            "value": Decimal("-500.12"),
            "net_value": Decimal("-500.123456789012"),
            "currency": "USD",
        }
        return self.insert("transactions", account_number=number, **{**usual, **columns})

    def log(self, number: str, table: str, connection: str = "alice", **columns: Any) -> dict[str, Any]:
        """A published sync."""
        counts = ("read", "inserted", "updated", "removed", "rejected")
        usual = {
            "sync_id": f"sync-{next(self._numbers)}",
            "environment": "production",
            "result": "published",
            "window_end": DAY if table in {"transactions", "balance_snapshots"} else None,
            "read_started_at": NOON,
            "read_ended_at": NOON + dt.timedelta(seconds=2),
            **{f"rows_{name}": 0 for name in counts},
            **dict.fromkeys(("requests", "retries", "throttled"), 0),
        }
        columns = {**usual, **columns}
        return self.insert("sync_log", connection=connection, account_number=number, table_name=table, **columns)

    def proven(self, number: str, day: dt.date = DAY, table: str = "transactions") -> dict[str, Any]:
        """A proven day."""
        return self.insert("proven_days", account_number=number, table_name=table, day=day, row_count=1, digest="00")

    def change(self, sequence: int, number: str = A1, **columns: Any) -> dict[str, Any]:
        """An entry of the change feed, without a notification."""
        usual = {"table_name": "transactions", "row_key": {"transaction_id": sequence}, "kind": "insert"}
        usual |= {"changed_at": NOON, "run_id": "run-1", **columns}
        return self.insert("changes", sequence=sequence, account_number=number, **usual)

    def fill(self, alice: Any, bob: Any) -> None:
        """Write the usual scene for the keys of two users."""
        with self.together():
            self._fill(alice, bob)

    def _fill(self, alice: Any, bob: Any) -> None:
        for name, owner, numbers in (
            ("alice", alice, {A1: "owner", SHARED: "owner"}),
            ("bob", bob, {SHARED: "read-only", B1: "owner"}),
            ("default", None, {O1: "owner"}),
        ):
            self.connection(name, owner)
            for number, authority in numbers.items():
                self.seen(name, number, authority_level=authority)
        for number in (A1, SHARED, B1, O1):
            self.account(number)
            self.position(number)
            self.balance(number)
            self.snapshot(number)
            self.transaction(number)
            self.proven(number)
            for table in ("positions", "balances", "balance_snapshots", "transactions"):
                self.log(number, table, {A1: "alice", SHARED: "alice", B1: "bob", O1: "default"}[number])
