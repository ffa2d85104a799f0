"""Whether a typed row states exactly what its payload says; nothing of the package is used to read a value.

Here belongs the second reading of payloads, of any value that can be in them. Which payloads are read is drawn in
`fuzzing.py`; columns and their API names come from `core/schema.py`, as they must.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema

Item = Mapping[str, Any]
Row = Mapping[str, Any]
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):?(\d\d)?)", re.ASCII)


def parsed(body: bytes) -> dict[str, Any]:
    """Return an answer, numbers as they are spelled. Raises AssertionError where JSON gives it no one meaning."""
    found: dict[str, Any] = json.loads(
        body.decode(), parse_float=_number, parse_constant=_no_number, object_pairs_hook=_object
    )
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key that stands there twice was read as if it stood there once"
    return dict(pairs)


def _no_number(text: str) -> None:
    raise AssertionError(f"{text} was read as a number")


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


def same(left: Any, right: Any) -> bool:
    """Say whether two JSON values say the same; `true` is no 1, and a number is one however it is written."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return Decimal(left) == Decimal(right)
    return type(left) is type(right) and bool(left == right)


def kept(sent: Any, stored: Any) -> bool:
    """Say whether a stored JSON value holds all that was sent; what no database takes is there to be seen, as text."""
    if isinstance(sent, Mapping) and isinstance(stored, Mapping):
        shown = {_visible(key): value for key, value in sent.items()}
        if len(shown) != len(sent) or shown.keys() != stored.keys():
            return False
        return all(kept(value, stored[key]) for key, value in shown.items())
    if isinstance(sent, list) and isinstance(stored, list):
        return len(sent) == len(stored) and all(map(kept, sent, stored))
    if isinstance(sent, str):
        return bool(stored == _visible(sent))
    if isinstance(sent, int | Decimal) and isinstance(stored, str):
        return Decimal(int(stored, 16) if "x" in stored else stored) == sent
    return same(sent, stored)


def _visible(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" if each == "\0" or "\ud800" <= each <= "\udfff" else each for each in text)


def misstated(table: sa.Table, item: Item, row: Row) -> str:
    """Say what a row has otherwise than its payload; empty if nothing."""
    rest = {key: value for key, value in item.items() if value is not None}
    for column in table.columns:
        key = column.info["api"]
        if key is None:
            continue
        effect = column.info.get("effect")
        raw, value = rest.pop(key, None), row[column.name]
        if raw is None:
            expected = None
        elif effect:
            expected = _signed(raw, rest.pop(effect, None))
        else:
            expected = _value(column, raw)
        if table is schema.positions and column.name == "quantity" and item.get("quantity-direction") == "Short":
            expected = expected.copy_negate()
        if raw is not None and not _is_usual(column, raw):
            rest[key] = raw  # stands in both, so that its type is noticed
        if not _holds(column, expected, value):
            return f"{column.name} is {value!r:.200} for {raw!r:.200}"
    extra = row.get("extra")
    if "extra" in table.columns and not same(rest or None, extra and json.loads(extra, parse_float=_number)):
        return f"extra is {extra!r:.200} for {rest!r:.200}"
    if table is schema.transactions and not _equal(_quantity(row), row["quantity"]):
        return f"quantity is {row['quantity']} for {row['action']} {row['quantity_unsigned']}"
    return ""


def _holds(column: sa.Column[Any], expected: Any, value: Any) -> bool:
    if isinstance(column.type, sa.JSON):
        return same(expected, value and json.loads(value, parse_float=_number))
    return _equal(expected, value)


def _is_usual(column: sa.Column[Any], raw: Any) -> bool:
    """Say whether a field came as its column has it; numbers, times and dates say the same in any spelling."""
    if isinstance(column.type, sa.JSON):
        return isinstance(raw, list)
    if isinstance(column.type, sa.Text):
        return isinstance(raw, str) or (isinstance(raw, bool) and bool(column.info.get("flag")))
    return True


def _equal(expected: Any, value: Any) -> bool:
    return type(expected) is type(value) and bool(expected == value)


def _quantity(row: Row) -> Decimal | None:
    action, unsigned = str(row["action"]), row["quantity_unsigned"]
    if unsigned is None or not action.startswith(("Buy", "Sell")):
        return None
    return unsigned if action.startswith("Buy") else unsigned.copy_negate()


def _signed(raw: Any, effect: Any) -> Decimal | None:
    """Return what an amount is with its sign, None for one whose sign is not certain."""
    amount = Decimal(raw)
    if effect == "Debit":
        return amount.copy_abs().copy_negate()
    return amount if not amount or (effect == "Credit" and amount > 0) else None


def _value(column: sa.Column[Any], raw: Any) -> Any:
    read = next(read for kind, read in _READ.items() if isinstance(column.type, kind))
    return read(raw)


def _text(raw: Any) -> str:
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def _instant(raw: Any) -> datetime:
    if isinstance(raw, int):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=raw)
    found = _TIME.fullmatch(raw)
    assert found is not None, raw
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    micros = int((fraction or "").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, micros, timezone(offset)).astimezone(UTC)


_READ: dict[type[sa.types.TypeEngine[Any]], Callable[[Any], Any]] = {
    sa.JSON: lambda raw: raw,
    sa.Numeric: Decimal,
    sa.BigInteger: int,
    sa.Boolean: lambda raw: {"true": True, "false": False}[_text(raw)],
    sa.DateTime: _instant,
    sa.Date: lambda raw: date(int(raw[:4]), int(raw[5:7]), int(raw[8:])),
    sa.Text: _text,
}
