"""What the contract takes at its limits is stored as it is, in both databases."""

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.warehouse import Warehouse

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def deep(levels: int) -> Any:
    found: Any = "x"
    for _ in range(levels):
        found = [found]
    return found


LIMITS: dict[str, Any] = {
    "id": 2**63 - 1,
    "account-number": "5WT00001",
    "transaction-type": "Trade",
    "transaction-sub-type": "Brand New",
    "executed-at": "9999-12-31T23:59:59.999999Z",
    "created-at": "0001-01-01T00:00:00Z",
    "transaction-date": "2199-12-31",
    "cost-basis-reconciliation-date": "0001-01-01",
    "action": "Sell",
    "quantity": "99999999999999999999999999.999999999999",
    "value": "99999999999999999999999999.999999999999",
    "value-effect": "Debit",
    "net-value": "1E-12",
    "net-value-effect": "Debit",
    "price": "1." + "0" * 5000,
    "order-id": str(-(2**63)),
    "description": "é😀\r\n\t\x01\x7f ",
    "lots": deep(45),
    "greatest": Decimal("9.99E+999"),
    "least": Decimal("-1E-1000"),
    "whole": 10**1000 - 1,
    "texts": ["\x01", "\u2028", "\ufffe", "", "\\u0000"],
}


def test_the_limits_of_the_contract_are_stored_exactly(warehouse: Warehouse) -> None:
    row = payloads.parse_row(schema.transactions, LIMITS) | {"synced_at": NOW, "run_id": "run"}
    with warehouse.write() as writer:
        writer.merge(schema.transactions, writer.stage(schema.transactions, [row]))
    with warehouse.read() as reader:
        stored = reader.rows(sa.select(schema.transactions))
    assert stored == [row | {"removed_at": None}]
    assert stored[0]["value"] == Decimal("-99999999999999999999999999.999999999999")
