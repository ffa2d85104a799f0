"""Typed rows go into both databases and come out of them as they were, from memory and from files."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.arrow import arrow_schema, to_arrow
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.spool import Rows, Spool
from tasty_pipeline.core.warehouse import Merge, Reader, Warehouse

from .conftest import READ_AT, AllRows, MakeRow
from .test_exact_values import EXTREME, LEAST, TEXTS

TX = schema.transactions
NAMES = schema.content(TX)
CONTENT = [TX.c[name] for name in NAMES]
ACCOUNT = "5WX00001"
DAY = dt.date(2026, 3, 6)
Row = dict[str, Any]


def typed(*rows: Row) -> pa.Table:
    return to_arrow(TX, [{name: row.get(name) for name in NAMES} for row in rows], NAMES)


@pytest.fixture
def odd(transaction: MakeRow) -> pa.Table:
    """Rows with every kind of value that is hard to carry, and every column both filled and null."""
    amounts = [EXTREME, LEAST, Decimal("1E-12"), Decimal(0)]
    times = [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), READ_AT]
    documents = [None, [], {}, {"text": 'a "b",\n\\', "d": [Decimal("1.50"), None, True]}, "", 7]
    rows = [
        transaction(
            number,
            description=text,
            value=amounts[number % 4],
            price=amounts[number % 4] if number % 3 else None,
            executed_at=times[number % 3],
            created_at=None if number % 2 else READ_AT,
            is_estimated_fee=(True, False, None)[number % 3],
            order_id=(2**63 - 1, -(2**63), None)[number % 3],
            cost_basis_reconciliation_date=None if number % 2 else dt.date(1969, 12, 31),
            lots=documents[number % 6],
            currency=None if number % 2 else "",
        )
        for number, text in enumerate(TEXTS)
    ]
    return typed(*rows)


def everything(reader: Reader) -> pa.Table:
    return reader.table(sa.select(*CONTENT).order_by(TX.c.transaction_id))


def test_what_is_staged_and_merged_comes_back_as_it_was(warehouse: Warehouse, odd: pa.Table) -> None:
    with warehouse.write() as writer:
        stage = writer.stage(TX, odd, synced_at=READ_AT, run_id='it\'s \\ "r" 🥐')
        staged = [stage.c[name] for name in NAMES]
        assert writer.table(sa.select(*staged).order_by(stage.c.transaction_id)).equals(odd)
        assert writer.merge(TX, stage).inserted == odd.num_rows
    with warehouse.read() as reader:
        assert everything(reader).equals(odd)
        provenance = reader.rows(sa.select(TX.c.synced_at, TX.c.run_id, TX.c.removed_at).distinct())
    assert provenance == [{"synced_at": READ_AT, "run_id": 'it\'s \\ "r" 🥐', "removed_at": None}]


def test_rows_from_files_and_from_memory_are_one_stage(
    warehouse: Warehouse, transaction: MakeRow, odd: pa.Table, stored: AllRows
) -> None:
    with Spool(arrow_schema(TX, NAMES), rows_in_memory=3) as spool:
        numbers = [spool.add(odd.slice(at, 2)) for at in range(0, odd.num_rows, 2)]
        spool.drop(numbers[0])
        rows = spool.rows().plus(typed(transaction(99)))
        assert rows.files
        with warehouse.write() as writer:
            stage = writer.stage(TX, rows, synced_at=READ_AT, run_id="run-1")
            assert writer.merge(TX, stage, newer_only=True) == Merge(odd.num_rows - 1, 0, 0, frozenset({DAY}))
    assert [row["transaction_id"] for row in stored(warehouse)] == [*range(2, odd.num_rows), 99]
    with warehouse.read() as reader:
        assert everything(reader).equals(pa.concat_tables([odd.slice(2), typed(transaction(99))]))


def test_a_column_that_is_not_staged_is_null(warehouse: Warehouse, transaction: MakeRow) -> None:
    keys = typed(transaction(1), transaction(2)).select(["transaction_id"])
    with warehouse.write() as writer:
        stage = writer.stage(TX, keys, description="the same")
        assert writer.rows(sa.select(stage.c.transaction_id, stage.c.value, stage.c.description, stage.c.extra)) == [
            {"transaction_id": number, "value": None, "description": "the same", "extra": None} for number in (1, 2)
        ]


def test_no_rows_are_a_stage_too(warehouse: Warehouse) -> None:
    with warehouse.write() as writer:
        for nothing in (typed(), Rows(arrow_schema(TX, NAMES)), []):
            stage = writer.stage(TX, nothing, synced_at=READ_AT, run_id="run-1")
            assert writer.table(sa.select(stage)).num_rows == 0
            assert writer.merge(TX, stage) == Merge(0, 0, 0, frozenset())


def test_what_its_column_cannot_hold_exactly_is_refused_before_it_is_sent(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    rows = typed(transaction(1))
    at = rows.column_names.index("value")
    rounded = rows.set_column(at, "value", rows["value"].cast(pa.float64()))
    with warehouse.write() as writer:
        with pytest.raises(AuditError, match=r"value \(double\)"):
            writer.stage(TX, rounded)
        with pytest.raises(AuditError, match="symbol"):
            writer.stage(TX, rows, symbol="given twice")
        with pytest.raises(AuditError, match="synced_at"):
            writer.stage(TX, rows, synced_at=dt.datetime(2026, 3, 6))  # noqa: DTZ001 - a time without a zone
        with pytest.raises(AuditError, match="pirce"):
            writer.stage(TX, rows, pirce=Decimal(1))


def test_an_answer_has_the_exact_types_of_its_columns_in_both_databases(warehouse: Warehouse, odd: pa.Table) -> None:
    with warehouse.write() as writer:
        writer.merge(TX, writer.stage(TX, odd, synced_at=READ_AT, run_id="run-1"))
        few = writer.table(sa.select(TX.c.description).where(TX.c.description.in_(TEXTS[:6])))
        assert set(few["description"].to_pylist()) == set(TEXTS[:6])
        (row,) = writer.table(
            sa.select(
                sa.func.count().label("rows"),
                sa.func.sum(TX.c.quantity).label("nothing"),
                sa.func.max(TX.c.transaction_date).label("day"),
                sa.literal("%s 'x'", sa.Text()).label("text"),
            )
        ).to_pylist()
        assert row == {"rows": odd.num_rows, "nothing": None, "day": DAY, "text": "%s 'x'"}
        only_null = writer.table(sa.select(TX.c.quantity))
        assert (only_null.num_rows, only_null["quantity"].null_count) == (odd.num_rows, odd.num_rows)
        with pytest.raises(NotImplementedError, match="no exact Arrow type"):
            writer.table(sa.select(sa.func.avg(TX.c.value, type_=sa.Float())))


def test_json_that_somebody_spelled_otherwise_comes_back_canonical(warehouse: Warehouse, transaction: MakeRow) -> None:
    with warehouse.write() as writer:
        writer.insert(TX, [transaction(1, extra={"a": 1})])
        spelled = sa.literal_column("""'{"b": 1.50,  "a": [ ] }'""")
        writer.execute(sa.update(TX).values(extra=sa.cast(spelled, schema.JSON)))
        assert writer.table(sa.select(TX.c.extra))["extra"].to_pylist() == ['{"a":[],"b":1.5}']


def test_a_days_fingerprint_changes_with_any_row_and_with_nothing_else(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    monday, tuesday = dt.date(2026, 3, 9), dt.date(2026, 3, 10)
    rows = [
        transaction(1, transaction_date=monday),
        transaction(2, transaction_date=monday, removed_at=READ_AT, lots=[1]),
        transaction(3, transaction_date=tuesday),
        transaction(4, transaction_date=tuesday, account_number="5WX00002"),
        transaction(5, transaction_date=dt.date(2026, 3, 11)),
    ]
    with warehouse.write() as writer:
        writer.merge(TX, writer.stage(TX, list(reversed(rows))))

    def now(reader: Reader) -> dict[dt.date, tuple[int, int]]:
        return reader.fingerprints(TX, ACCOUNT, monday, tuesday)

    with warehouse.read() as reader:
        before = now(reader)
        assert {day: rows for day, (rows, _) in before.items()} == {monday: 2, tuesday: 1}
        assert reader.fingerprints(TX, ACCOUNT, tuesday, tuesday) == {tuesday: before[tuesday]}
        assert reader.fingerprints(TX, "nobody", monday, tuesday) == {}
    with warehouse.write() as writer:
        writer.execute(sa.delete(TX).where(TX.c.transaction_id.in_([1, 2])))
        writer.insert(TX, rows[:2])
        assert now(writer) == before
    one = TX.c.transaction_id == 1
    by_hand: list[sa.Update] = [
        *(sa.update(TX).where(TX.c.transaction_id == 2).values({name: None}) for name in ("removed_at", "lots")),
        *(
            sa.update(TX).where(one).values({name: value})
            for name, value in {
                "description": "",
                "run_id": "by hand",
                "synced_at": READ_AT + dt.timedelta(microseconds=1),
                "value": Decimal("-27.740000000001"),
                "is_estimated_fee": False,
                "extra": {},
                "price": Decimal(0),
                "order_id": 0,
            }.items()
        ),
    ]
    seen = {before[monday]}
    with warehouse.write() as writer:
        for number, change in enumerate(by_hand, 1):
            assert writer.execute(change) == 1
            changed = now(writer)
            assert changed[tuesday] == before[tuesday]
            seen.add(changed[monday])
            assert len(seen) == number + 1, change
