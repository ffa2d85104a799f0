"""The same content gives the same text and the same digest, however it was spelled, ordered or stored."""

import datetime as dt
import hashlib
import json
import math
import struct
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tasty_pipeline.core import schema
from tasty_pipeline.core.arrow import to_arrow
from tasty_pipeline.core.digests import canonical_json, day_digests, is_comparable, payload_digest, rows_digest

from .conftest import READ_AT, MakeRow

TX = schema.transactions
WIDE = Context(prec=50)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=12) | st.integers().map(Decimal)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e22, "1" + "0" * 22),
        (Decimal("1.00"), "1"),
        (Decimal("-0.000"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50E-7"), "0.00000015"),
        (Decimal("-27.740000000000"), "-27.74"),
        (Decimal("99999999999999999999999999.999999999999"), "99999999999999999999999999.999999999999"),
        (Decimal("-1E+999999999"), "-1E999999999"),
        (True, "true"),
        (None, "null"),
        ("1.00", '"1.00"'),
        ('é "x"\n\0', '"é \\"x\\"\\n\\u0000"'),
        (dt.date(2026, 3, 6), '"2026-03-06"'),
        (READ_AT, '"2026-03-06T21:30:00.123456Z"'),
        (dt.datetime(2026, 3, 6, 16, tzinfo=dt.timezone(dt.timedelta(hours=-5))), '"2026-03-06T21:00:00Z"'),
        ({"b": [1, {}], "a": ()}, '{"a":[],"b":[1,{}]}'),
    ],
)
def test_a_value_has_one_canonical_text(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        (Decimal("Infinity"), ValueError),
        (dt.datetime(2026, 3, 6), ValueError),  # noqa: DTZ001 - a time without a zone is the point
        ({1: 2}, TypeError),
        (object(), TypeError),
        (b"bytes", TypeError),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical_json(value)


@given(JSON)
def test_canonical_text_is_json_of_the_same_content_and_stays_as_it_is(value: Any) -> None:
    text = canonical_json(value)
    parsed = json.loads(text, parse_float=Decimal)
    assert parsed == value
    assert canonical_json(parsed) == text


@given(NUMBERS, st.integers(0, 9))
def test_a_number_has_one_text_at_any_scale(number: Decimal, zeros: int) -> None:
    spelled = format(number, "f")
    longer = Decimal((spelled if "." in spelled else f"{spelled}.") + "0" * zeros)
    assert canonical_json(longer) == canonical_json(number)
    assert Decimal(canonical_json(number)) == number


def test_a_payloads_digest_is_that_of_its_content() -> None:
    payload = json.loads('{"value": "1.0", "n": 1.50, "lots": []}', parse_float=Decimal)
    assert payload_digest(payload) == payload_digest({"lots": [], "n": 1.5, "value": "1.0"})
    assert payload_digest(payload) != payload_digest({"lots": [], "n": 1.5, "value": "1.00"})
    assert len(payload_digest(payload)) == 32
    assert payload_digest("\ud83e") != payload_digest("?")


def typed(*rows: dict[str, Any], table: sa.Table = TX) -> pa.Table:
    names = schema.content(table)
    return to_arrow(table, [{name: row.get(name) for name in names} for row in rows], names)


def test_rows_have_one_digest_in_any_order_and_spelling_whoever_stored_them(transaction: MakeRow) -> None:
    one = typed(transaction(9, value=Decimal("27.74"), extra={"a": 1, "b": Decimal("2.0")}), transaction(10))
    other = typed(
        transaction(10, description=None, synced_at=READ_AT + dt.timedelta(1), run_id="other", removed_at=READ_AT),
        transaction(9, value=Decimal("27.740000000000"), extra={"b": 2, "a": Decimal(1)}),
    )
    digest = rows_digest(TX, one)
    assert digest == rows_digest(TX, other) == rows_digest(TX, pa.concat_tables([one.slice(1), one.slice(0, 1)]))
    assert is_comparable(digest)
    assert not is_comparable(digest.partition(":")[2])
    assert digest != rows_digest(TX, one.slice(0, 1))
    assert rows_digest(TX, typed()) == rows_digest(schema.positions, typed(table=schema.positions))


@pytest.mark.parametrize(
    "columns",
    [
        {"description": ""},
        {"symbol": None},
        {"symbol": "SPY   260320C0050000", "description": "0"},
        {"value": Decimal("-27.740000000001")},
        {"is_estimated_fee": False},
        {"executed_at": READ_AT + dt.timedelta(microseconds=1)},
        {"lots": []},
        {"order_id": 0},
        {"price": Decimal(0)},
    ],
)
def test_any_difference_makes_another_digest(transaction: MakeRow, columns: dict[str, Any]) -> None:
    before = typed(transaction(1), transaction(2), transaction(3))
    assert rows_digest(TX, typed(transaction(1), transaction(2, **columns), transaction(3))) != rows_digest(TX, before)


def test_a_column_that_a_later_version_adds_leaves_the_digests_of_rows_without_it(transaction: MakeRow) -> None:
    later = TX.to_metadata(sa.MetaData())
    later.append_column(sa.Column("another", sa.Numeric(38, 12), info={"api": "another"}))
    rows = [transaction(1), transaction(2)]
    assert rows_digest(later, typed(*rows, table=later)) == rows_digest(TX, typed(*rows))
    assert rows_digest(later, typed(rows[0] | {"another": Decimal(0)}, table=later)) != rows_digest(TX, typed(rows[0]))


def odd_rows(transaction: MakeRow) -> list[dict[str, Any]]:
    return [
        transaction(2**40, description="", is_estimated_fee=True, lots=[{"quantity": Decimal("1.50"), "id": "é"}]),
        transaction(-3, symbol=None, price=Decimal("0.000000000001"), transaction_date=dt.date(1969, 12, 31)),
        transaction(5, description='a "b"\n', value=Decimal("-99999999999999999999999999.999999999999"), order_id=-1),
        transaction(4, executed_at=dt.datetime(1960, 1, 1, tzinfo=dt.UTC), transaction_date=dt.date(1969, 12, 31)),
    ]


def by_hand(rows: list[dict[str, Any]]) -> str:
    """Compute the digest from its definition, with Python's own means."""
    rows = sorted(rows, key=lambda row: row["transaction_id"])
    found = hashlib.blake2b(struct.pack("<q", len(rows)), digest_size=16)
    for name in sorted(schema.content(TX)):
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            found.update(f"{name}\n".encode())
            found.update(column_by_hand(TX.c[name].type, values))
    return f"2:{found.hexdigest()}"


def column_by_hand(type_: Any, values: list[Any]) -> bytes:
    if isinstance(type_, sa.Text | sa.JSON):
        if isinstance(type_, sa.JSON):
            values = [None if value is None else canonical_json(value) for value in values]
        texts = [(value or "").encode() for value in values]
        lengths = [-1 if value is None else len(text) for value, text in zip(values, texts, strict=True)]
        return b"".join([*(struct.pack("<i", length) for length in lengths), *texts])
    ways: dict[type, Any] = {
        sa.Numeric: lambda value: int(value.scaleb(12, context=WIDE)).to_bytes(16, "little", signed=True),
        sa.BigInteger: lambda value: struct.pack("<q", value),
        sa.Boolean: lambda value: struct.pack("<b", value),
        sa.Date: lambda value: struct.pack("<i", (value - dt.date(1970, 1, 1)).days),
        sa.DateTime: lambda value: struct.pack(
            "<q", (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        ),
    }
    kind, way = next((kind, way) for kind, way in ways.items() if isinstance(type_, kind))
    nothing = bytes({sa.Numeric: 16, sa.BigInteger: 8, sa.DateTime: 8, sa.Date: 4, sa.Boolean: 1}[kind])
    marks = bytes(value is not None for value in values)
    return b"".join([marks, *(nothing if value is None else way(value) for value in values)])


def test_the_digest_of_these_rows_is_this_and_what_its_definition_says(transaction: MakeRow) -> None:
    rows = odd_rows(transaction)
    assert rows_digest(TX, typed(*rows)) == "2:fe3d1f37baa0809fd8d933307b2d8e10" == by_hand(rows)


def test_each_days_digest_is_that_of_its_rows_alone(transaction: MakeRow) -> None:
    rows = odd_rows(transaction)
    found = day_digests(TX, typed(*rows), "transaction_date")
    assert found == {
        day: (len(mine), by_hand(mine))
        for day in {row["transaction_date"] for row in rows}
        if (mine := [row for row in rows if row["transaction_date"] == day])
    }
    assert list(found) == sorted(found)
    assert day_digests(TX, typed(), "transaction_date") == {}


def test_a_slice_of_rows_has_the_digest_of_its_rows(transaction: MakeRow) -> None:
    rows = sorted(odd_rows(transaction), key=lambda row: row["transaction_id"])
    assert rows_digest(TX, typed(*rows).slice(1, 2)) == by_hand(rows[1:3])
    whole = typed(*rows)
    assert rows_digest(TX, pa.concat_tables([whole.slice(3), whole.slice(0, 1), whole.slice(1, 2)])) == by_hand(rows)
