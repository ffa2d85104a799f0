"""What the API said and what the tables hold, as rows that can be compared.

Here belongs how answers and tables are read for a judgement; what is judged belongs to the searches.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sync.ledger import row_of, stored

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator.answers import Answer

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[Key, Row]


def rejected(warehouse: Warehouse, table: str) -> list[Row]:
    """The bad rows of a table that stand."""
    bad = schema.rejected_rows
    with warehouse.read() as reader:
        return reader.rows(sa.select(bad).where(bad.c.table_name == table, bad.c.resolved_at.is_(None)))


def removed(warehouse: Warehouse, table: str) -> set[str]:
    """The keys, as text, of rows of a table that a publication removed, even if a later one brought them back."""
    feed = schema.changes
    with warehouse.read() as reader:
        rows = reader.rows(sa.select(feed.c.row_key).where(feed.c.table_name == table, feed.c.kind == "remove"))
    names = schema.key_of(schema.MIRRORED[table])
    return {" ".join(str(row["row_key"][name]) for name in names) for row in rows}


def by_key(name: str, rows: list[Row]) -> Rows:
    key = schema.key_of(schema.MIRRORED[name])
    return {tuple(row.get(part) for part in key): row for row in rows}


def flat(row: Row) -> Row:
    """A stored row without provenance and nulls, the fields of `extra` beside the columns."""
    flattened = stored(row)
    for name, value in (flattened.pop("extra", None) or {}).items():
        column = name.replace("-", "_")
        flattened[column if column not in flattened else f"{column} (extra)"] = value
    return flattened


def payloads_in(answer: Answer) -> list[Row]:
    """The rows that an answer lists, if it can be read at all; of accounts, those inside the wrapper."""
    try:
        content = json.loads(answer.body, parse_float=Decimal)
        data = content["data"]
        rows = data.get("items", [data])
        return [row["account"] if isinstance(row.get("account"), dict) else row for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def rows_said(table: str, payloads: list[Row]) -> Iterator[Row]:
    """What payloads say of a table's rows, as far as it can be understood."""
    for payload in payloads:
        try:
            row = row_of(payload, money="balance" in table)
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            continue
        if "day_trader_status" in row:  # a flag that is kept as text
            row["day_trader_status"] = str(row["day_trader_status"]).lower()
        yield row


def told_by(table: str, answers: list[Answer]) -> dict[Key, list[Row]]:
    """What answers say of a table's rows, by key."""
    found: dict[Key, list[Row]] = {}
    for row in rows_said(table, [each for answer in answers for each in payloads_in(answer)]):
        found.setdefault(tuple(row.get(part) for part in schema.key_of(schema.MIRRORED[table])), []).append(row)
    return found
