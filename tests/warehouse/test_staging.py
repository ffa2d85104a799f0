"""Rows become an Arrow table exactly, or a row and its column are named."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.arrow import arrow_schema, canonical_text, content_schema, refuse_inexact, to_arrow
from tasty_pipeline.core.errors import AuditError

from .conftest import READ_AT, MakeRow

TX = schema.transactions


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("value", Decimal("0.1234567890129")),
        ("value", Decimal("1E+26")),
        ("value", Decimal("NaN")),
        ("value", Decimal("Infinity")),
        ("value", 27.74),
        ("value", "27.74"),
        ("value", True),
        ("order_id", 2**63),
        ("order_id", True),
        ("order_id", Decimal(1)),
        ("executed_at", dt.datetime(2026, 3, 6)),  # noqa: DTZ001 - a time without a zone is the point
        ("transaction_date", READ_AT),
        ("symbol", 5),
        ("symbol", "nul\0"),
        ("symbol", "\ud83e"),
        ("is_estimated_fee", "true"),
        ("extra", {"price": math.nan}),
    ],
)
def test_a_value_that_its_column_cannot_hold_exactly_is_refused_by_name(
    transaction: MakeRow, column: str, value: Any
) -> None:
    rows = [transaction(1), transaction(2, **{column: value}), transaction(3)]
    with pytest.raises(AuditError, match=rf"{column} in transactions \(transaction_id=2\) does not fit"):
        to_arrow(TX, rows)


def test_a_column_that_the_table_does_not_have_is_refused(transaction: MakeRow) -> None:
    with pytest.raises(AuditError, match="pirce"):
        to_arrow(TX, [transaction(1, pirce=Decimal(1))])


def test_every_table_can_be_staged_whole_or_in_part() -> None:
    for table in schema.METADATA.tables.values():
        assert to_arrow(table, [{}, {}]).shape == (2, len(table.columns))
        assert to_arrow(table, []).column_names == list(table.columns.keys())
        assert to_arrow(table, [], schema.content(table)).schema == content_schema(table)


def test_a_column_beside_those_that_are_wanted_is_refused(transaction: MakeRow) -> None:
    with pytest.raises(AuditError, match="synced_at"):
        to_arrow(TX, [transaction(1)], schema.content(TX))


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("value", pa.decimal128(38, 11)),
        ("value", pa.float64()),
        ("order_id", pa.int32()),
        ("executed_at", pa.timestamp("us")),
        ("executed_at", pa.timestamp("ms", tz="UTC")),
        ("executed_at", pa.timestamp("us", tz="America/New_York")),
        ("transaction_date", pa.date64()),
        ("symbol", pa.large_string()),
        ("symbol", pa.null()),
        ("pirce", pa.decimal128(38, 12)),
    ],
)
def test_typed_rows_of_any_other_type_are_refused_by_name(column: str, given: pa.DataType) -> None:
    exact = arrow_schema(TX, ("transaction_id",))
    refuse_inexact(TX, exact)
    with pytest.raises(AuditError, match=rf"a column {column} \("):
        refuse_inexact(TX, exact.append(pa.field(column, given)))


def test_a_column_that_stands_twice_in_typed_rows_is_refused() -> None:
    twice = pa.schema([*arrow_schema(TX, ("symbol",)), *arrow_schema(TX, ("symbol",))])
    with pytest.raises(AuditError, match="symbol"):
        refuse_inexact(TX, twice)


def test_json_of_any_spelling_becomes_canonical_text() -> None:
    spelled = pa.chunked_array([['{"b": 1.50, "a" : [ ]}', None], ["null", '"é\\u0000"']], pa.string())
    assert canonical_text(spelled).to_pylist() == ['{"a":[],"b":1.5}', None, "null", '"é\\\\u0000"']
    assert canonical_text(pa.chunked_array([[None]], pa.string())).to_pylist() == [None]


@pytest.mark.parametrize("number", [Decimal("1E+999999"), Decimal("-1E-99999")])
def test_a_json_number_beyond_every_database_is_kept_as_its_text(number: Decimal, transaction: MakeRow) -> None:
    arrow = to_arrow(TX, [transaction(1, extra={"odd": number})])
    assert arrow["extra"].to_pylist() == [f'{{"odd":"{number}"}}']
