"""What goes in comes out exactly, the same from a real DuckDB file and a real Postgres."""

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.arrow import to_arrow
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .conftest import READ_AT, AllRows, MakeRow, MergeRows

TX = schema.transactions
LATER = READ_AT + dt.timedelta(minutes=15)
EXTREME = Decimal("99999999999999999999999999.999999999999")
# Decimal's unary minus would round to 28 digits
LEAST = EXTREME.copy_negate()
TEXTS = (
    "",
    " ",
    "./ESM6  E1AH6 260320C5900",
    "a  b ",
    'say "hi", then\nnew line\r\n\ttab',
    "\\.",
    "\\N",
    "NULL",
    "null",
    "Ünïcödé 日本語 🥐 \u202e",
    "100% $1 %(x)s {} '; --",
)


def test_the_largest_and_smallest_amounts_come_back_exactly(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    amounts = [EXTREME, LEAST, Decimal("1E-12"), Decimal("-0"), Decimal("1E+25"), Decimal("2.5000000000000000000")]
    merged(warehouse, [transaction(number, value=amount) for number, amount in enumerate(amounts)])
    values = [row["value"] for row in stored(warehouse)]
    assert values == amounts
    assert all(type(value) is Decimal for value in values)
    assert not any(value.is_signed() for value in values if not value)


def test_every_text_comes_back_as_it_was(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(number, description=text, symbol=text) for number, text in enumerate(TEXTS)])
    rows = stored(warehouse)
    assert tuple(row["description"] for row in rows) == TEXTS
    assert tuple(row["symbol"] for row in rows) == TEXTS


def test_a_missing_value_is_null_like_a_none_and_an_empty_text_is_not(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1), transaction(2, description=None), transaction(3, description="")])
    assert [row["description"] for row in stored(warehouse)] == [None, None, ""]
    assert merged(warehouse, [transaction(1, description=None, lots=None)]).unchanged == 1


def test_json_keeps_its_decimals_and_is_compared_by_content(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    extra = {"b": [1, None, True, "é  x"], "a": {"price": Decimal("0.1234567890123456789"), "n": 10**30}}
    merged(warehouse, [transaction(1, extra=extra, lots=["just text"]), transaction(2, extra="text", lots=[])])
    one, two = stored(warehouse)
    assert one["extra"] == extra
    assert type(one["extra"]["a"]["price"]) is Decimal
    assert (two["extra"], two["lots"]) == ("text", [])
    respelled = {
        "a": {"n": Decimal(10**30), "price": Decimal("0.12345678901234567890")},
        "b": [1.0, None, True, "é  x"],
    }
    assert merged(warehouse, [transaction(1, extra=respelled, lots=["just text"])]).unchanged == 1
    assert merged(warehouse, [transaction(1, extra={**extra, "b": []}, lots=["just text"])]).updated == 1


def test_what_json_can_say_and_postgres_cannot_store_stays_visible(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1, extra={"nul\0": "a\0b", "half": "\ud83e"})])
    assert stored(warehouse)[0]["extra"] == {"nul\\u0000": "a\\u0000b", "half": "\\ud83e"}


def test_times_of_any_zone_come_back_as_the_same_instant_in_utc(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    # the second 01:30 of the night in which New York's clocks go back
    night = dt.datetime(2026, 11, 1, 1, 30, 0, 1, tzinfo=ZoneInfo("America/New_York"), fold=1)
    merged(warehouse, [transaction(1, executed_at=night, created_at=dt.datetime(1, 1, 1, tzinfo=dt.UTC))])
    row = stored(warehouse)[0]
    assert row["executed_at"] == dt.datetime(2026, 11, 1, 6, 30, 0, 1, tzinfo=dt.UTC)
    assert row["executed_at"].tzinfo is dt.UTC
    assert row["created_at"] == dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    assert type(row["transaction_date"]) is dt.date


def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    with pytest.raises(AuditError, match=r"price in transactions \(transaction_id=2\)"):
        merged(warehouse, [transaction(1), transaction(2, price=Decimal("0.1234567890129"))])
    assert stored(warehouse) == []


def test_a_statement_cannot_round_an_amount_either(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1)])
    with warehouse.write() as writer, pytest.raises(AuditError, match="NUMERIC"):
        writer.execute(sa.update(TX).values(price=Decimal("0.1234567890129")))
    with warehouse.write() as writer:
        wanted = sa.update(TX).where(TX.c.value == Decimal("-27.740"), TX.c.value.in_([Decimal("-27.74"), EXTREME]))
        assert writer.execute(wanted.values(price=EXTREME, extra={"a": Decimal("0.10")})) == 1
    assert stored(warehouse)[0]["price"] == EXTREME
    assert merged(warehouse, [transaction(1, price=EXTREME, extra={"a": Decimal("0.1")})]).unchanged == 1


SAMPLES: tuple[tuple[type, Any], ...] = (
    (sa.JSON, {"a": [Decimal("0.5"), None]}),
    (sa.Text, "a text"),
    (sa.Numeric, EXTREME),
    (sa.BigInteger, 2**63 - 1),
    (sa.Boolean, True),
    (sa.DateTime, READ_AT),
    (sa.Date, dt.date(2026, 3, 6)),
)
# columns that take certain words only
WORDS = {
    schema.sync_log.c.result: "published",
    schema.connections.c.state: "active",
    schema.sync_requests.c.state: "queued",
    schema.changes.c.kind: "insert",
}


@pytest.mark.parametrize("table", schema.METADATA.tables.values(), ids=str)
def test_a_row_with_every_column_of_every_table_comes_back_as_it_was(warehouse: Warehouse, table: sa.Table) -> None:
    row = {
        column.name: WORDS.get(column) or next(value for kind, value in SAMPLES if isinstance(column.type, kind))
        for column in table.columns
    }
    for again in (False, True):
        with warehouse.write() as writer:
            merge = writer.merge(table, writer.stage(table, [row]))
            assert (merge.inserted, merge.unchanged) == (0, 1) if again else (1, 0)
            assert writer.rows(sa.select(table)) == [row]


def test_sums_and_counts_are_exact_and_of_one_type(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows
) -> None:
    merged(warehouse, [transaction(number, value=Decimal("0.1")) for number in range(2**40, 2**40 + 3)])
    statement = sa.select(
        sa.func.sum(TX.c.value).label("total"),
        sa.func.sum(TX.c.transaction_id).label("ids"),
        sa.func.count().label("rows"),
        sa.func.max(TX.c.executed_at).label("newest"),
        sa.func.coalesce(sa.func.max(TX.c.symbol), "").label("symbol"),
    ).where(TX.c.symbol.in_(["SPY   260320C00500000", "X"]), TX.c.description.is_(None), TX.c.symbol.like("SPY%"))
    with warehouse.read() as reader:
        row = reader.rows(statement)[0]
        assert reader.scalar(sa.select(TX.c.price).where(TX.c.transaction_id == 1)) is None
        assert reader.rows(sa.union_all(sa.select(TX.c.value), sa.select(TX.c.net_value)).limit(1))
    assert row["total"] == Decimal("0.3")
    assert (row["ids"], row["rows"]) == (3 * 2**40 + 3, 3)
    assert (type(row["total"]), type(row["ids"]), row["newest"]) == (Decimal, int, READ_AT)


def test_an_amount_that_a_database_computes_as_a_float_is_never_returned(duckdb_url: str, transaction: MakeRow) -> None:
    warehouse = open_warehouse(duckdb_url)
    warehouse.migrate()
    with warehouse.write() as writer:
        writer.insert(TX, [transaction(1)])
        with pytest.raises(TypeError, match="float"):
            writer.rows(sa.select(sa.func.avg(TX.c.value, type_=sa.Numeric())))


def test_both_backends_hold_equal_rows_and_digests_after_the_same_input(
    duckdb_url: str, postgres_database: str, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    first = [
        transaction(
            number, description=text, value=Decimal(f"-{number}.125000000001"), extra={"t": text, "d": Decimal("1.50")}
        )
        for number, text in enumerate(TEXTS)
    ]
    both = [open_warehouse(url) for url in (duckdb_url, postgres_database)]
    merges = []
    for warehouse in both:
        warehouse.migrate()
        merges.append(merged(warehouse, first))
        merges.append(merged(warehouse, [*first[3:], transaction(99), {**first[0], "symbol": None}]))
    assert merges[:2] == merges[2:]
    one, two = (stored(warehouse) for warehouse in both)
    assert one == two
    names = schema.content(TX)
    given = {row["transaction_id"]: row for row in [*first, transaction(99), {**first[0], "symbol": None}]}
    digests = {rows_digest(TX, to_arrow(TX, [{n: row.get(n) for n in names} for row in given.values()], names))}
    for warehouse in both:
        with warehouse.read() as reader:
            digests.add(rows_digest(TX, reader.table(sa.select(*(TX.c[name] for name in names)))))
    assert len(digests) == 1
