"""Kebab-case payloads to typed rows, one by one: a bad row is set aside with its reason, the rest loads.

Here belongs what a row is made of: which key feeds which column, signs, what goes to `extra`. Column lists are in
schema.py, single values in values.py. A field without a column lands in `extra`; nothing is dropped. quick.py reads
ordinary pages many times faster; this is the judge of everything else, and of what ordinary means.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import schema, values
from tasty_pipeline.core.arrow import to_arrow

Row = dict[str, Any]

# Fields of the official descriptions and of the SDK's models that have no column of their own, with the reason.
NO_COLUMN: Mapping[str, Mapping[str, str]] = {
    table.name: {
        column.info["effect"]: f"carried by the sign of {column.name}"
        for column in table.columns
        if column.info.get("effect")
    }
    | special
    for table, special in (
        (
            schema.accounts,
            {
                "account": "its fields are columns of their own: account_payload lifts them",
                "authority-level": "belongs to the login and stands in connection_accounts",
            },
        ),
        (schema.positions, {}),
        (schema.balances, {}),
        (schema.balance_snapshots, {}),
        (
            schema.transactions,
            {
                f"lots.{field}": "kept inside lots: a transaction has any number of them"
                for field in (
                    *("id", "transaction-id", "transaction-date", "executed-at"),
                    *("quantity", "quantity-direction", "price"),
                )
            },
        ),
    )
}

_DOCUMENTS = frozenset(
    column.name for table in schema.MIRRORED.values() for column in table.columns if isinstance(column.type, sa.JSON)
)
_DERIVED = frozenset({"extra", "quantity"})


@dataclass(frozen=True)
class Rejected:
    """A payload that does not fit: `day` and `row_key` where they could be read."""

    payload: Mapping[str, Any]
    reason: str
    row_key: str | None
    day: date | None


@dataclass(frozen=True)
class Parsed:
    """Typed rows (the columns that a payload fills), what was rejected, how many were left out on purpose."""

    table: pa.Table
    rejected: tuple[Rejected, ...] = ()
    left_out: int = 0

    @property
    def rows(self) -> list[Row]:
        """The rows as Python values: Decimal, aware UTC, JSON as it is parsed. Made anew each time, for a few rows."""
        documents = _DOCUMENTS.intersection(self.table.column_names)
        return [
            {
                name: json.loads(value, parse_float=Decimal) if name in documents and value is not None else value
                for name, value in row.items()
            }
            for row in self.table.to_pylist()
        ]


@dataclass(frozen=True)
class _Field:
    column: str
    key: str
    effect: str | None
    required: bool
    parse: Callable[[Any], Any]
    usual: tuple[type, ...]


@cache
def _fields(table: sa.Table) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            column.name,
            column.info["api"],
            column.info.get("effect"),
            not column.nullable,
            values.trade_date if column.name == schema.DAY.get(table.name) else values.parser_of(column.type),
            _usual(column),
        )
        for column in table.columns
        if column.info["api"] is not None
    )


def _usual(column: sa.Column[Any]) -> tuple[type, ...]:
    """Return the JSON types of a field that is kept whatever its type; nothing for one that says the same in others."""
    if isinstance(column.type, sa.JSON):
        return (list,)
    if isinstance(column.type, sa.Text):
        return (str, bool) if column.info.get("flag") else (str,)
    return ()


def parse_row(table: sa.Table, payload: Mapping[str, Any]) -> Row:
    """Turn one payload into one row; raise `ValueError` with the field and the reason where it does not fit."""
    row: Row = {}
    rest = dict(payload)
    for field in _fields(table):
        raw = rest.pop(field.key, None)
        if raw is None:
            if field.required:
                raise ValueError(f"{field.key} is missing")
            row[field.column] = None  # an effect without its amount stays in the rest and so in `extra`
            continue
        try:
            row[field.column] = values.signed(raw, rest.pop(field.effect, None)) if field.effect else field.parse(raw)
        except ValueError as error:
            raise ValueError(f"{field.key}: {error}") from None
        if field.usual and not isinstance(raw, field.usual):
            rest[field.key] = raw  # in the column as text, and as it came in `extra`, where it is noticed
    if "extra" in table.columns:
        row["extra"] = _extra(rest)
    _FINISH.get(table.name, _as_it_is)(row)
    return row


def _extra(rest: Row) -> Row | None:
    for key, value in rest.items():
        try:
            values.document({key: value})
        except ValueError as error:
            raise ValueError(f"{values.shown(key)} (a field without a column): {error}") from None
    # a null without a column says nothing that its absence does not
    return {key: value for key, value in rest.items() if value is not None} or None


def _as_it_is(_: Row) -> None:
    pass


def _sign_transaction(row: Row) -> None:
    unsigned = row["quantity_unsigned"]
    if unsigned is not None and unsigned < 0:
        raise ValueError(f"quantity: {unsigned} is negative, which the API never sends")
    row["quantity"] = None
    if unsigned is not None and row["action"] in values.BOUGHT:
        row["quantity"] = unsigned
    elif unsigned is not None and row["action"] in values.SOLD:
        row["quantity"] = unsigned.copy_negate() if unsigned else unsigned


def _sign_position(row: Row) -> None:
    quantity, direction = row["quantity"], row["quantity_direction"]
    if quantity < 0:
        raise ValueError(f"quantity: {quantity} is negative, which the API never sends")
    if quantity.is_zero() and direction != "Zero":
        raise ValueError(f"quantity: 0 with direction {values.shown(direction)}")
    row["quantity"] = quantity.copy_negate() if direction == "Short" else quantity


_FINISH: Mapping[str, Callable[[Row], None]] = {
    "transactions": _sign_transaction,
    "positions": _sign_position,
}


def parse(
    table: sa.Table, payloads: Iterable[Mapping[str, Any]], *, leave_out: Callable[[Row], bool] | None = None
) -> Parsed:
    """Parse every payload of an answer; `leave_out` says which good rows the table is not meant for."""
    rows: list[Row] = []
    rejected: list[Rejected] = []
    left_out = 0
    for payload in payloads:
        try:
            row = parse_row(table, payload)
        except ValueError as error:
            rejected.append(Rejected(payload, str(error), _key_text(table, payload), _day_of(payload)))
            continue
        if leave_out and leave_out(row):
            left_out += 1
        else:
            rows.append(row)
    return Parsed(to_arrow(table, rows, _filled(table)), tuple(rejected), left_out)


def _filled(table: sa.Table) -> list[str]:
    """Name the columns of a parsed row: `schema.content`, but for what only a sync can know."""
    return [name for name in schema.content(table) if name in _DERIVED or table.columns[name].info["api"] is not None]


def key_of(table: sa.Table, row: Row) -> tuple[Any, ...]:
    """Return a row's key, in the order of the table's key columns."""
    return tuple(row[name] for name in schema.key_of(table))


def key_of_payload(table: sa.Table, payload: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return the key of a payload whose other fields may be bad, or None where the key itself is."""
    key = []
    for field in _fields(table):
        if field.column in schema.key_of(table):
            try:
                key.append(field.parse(payload.get(field.key)))
            except ValueError:
                return None
    return tuple(key)


def _key_text(table: sa.Table, payload: Mapping[str, Any]) -> str | None:
    key = key_of_payload(table, payload)
    return None if key is None else " ".join(str(part) for part in key)


def _day_of(payload: Mapping[str, Any]) -> date | None:
    for key in ("transaction-date", "snapshot-date"):
        try:
            return values.trade_date(payload.get(key))
        except ValueError:
            continue
    return None


def closed_today(row: Row) -> bool:
    """Say whether a position was closed today (direction Zero, purged overnight): not an open position."""
    return bool(row["quantity_direction"] == "Zero")


_AUTHORITY = "authority-level"


def account_payload(item: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten an item of the accounts list, `{"account": {...}, "authority-level": ...}`, into one payload.

    The authority level is left out: it says what the login may do, and another login may do something else.
    """
    account = item.get("account")
    if not isinstance(account, Mapping):
        return dict(item)  # is rejected for its missing account-number, with the payload kept
    return {**account, **{key: value for key, value in item.items() if key not in {"account", _AUTHORITY}}}


def listing_payload(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an item of the accounts list says of the login: the account's number and the authority level."""
    return {"account-number": account_payload(item).get("account-number"), _AUTHORITY: item.get(_AUTHORITY)}
