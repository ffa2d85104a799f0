"""The behaviour that both backends share, proven on a real DuckDB file and a real Postgres."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import AuditError, WarehouseError, WarehouseLockedError
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


def test_a_merge_inserts_updates_and_leaves_and_says_on_which_days(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1), transaction(2), transaction(10)])
    merge = merged(
        warehouse,
        [
            transaction(1, synced_at=LATER, run_id="run-2"),
            transaction(2, value=Decimal("-27.75"), synced_at=LATER, run_id="run-2"),
            transaction(3, transaction_date=dt.date(2026, 3, 7), synced_at=LATER, run_id="run-2"),
        ],
    )
    assert (merge.inserted, merge.updated, merge.unchanged) == (1, 1, 1)
    assert merge.days == {dt.date(2026, 3, 6), dt.date(2026, 3, 7)}
    rows = {row["transaction_id"]: row for row in stored(warehouse)}
    assert {number: row["run_id"] for number, row in rows.items()} == {1: "run-1", 2: "run-2", 3: "run-2", 10: "run-1"}
    assert rows[2]["value"] == Decimal("-27.75")
    assert rows[2]["synced_at"] == LATER


def test_a_value_that_becomes_null_or_stops_being_null_is_a_difference(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1, removed_at=READ_AT, price=Decimal(0)), transaction(2)])
    assert merged(warehouse, [transaction(1), transaction(2, price=Decimal(0))]).updated == 2
    one, two = stored(warehouse)
    assert (one["removed_at"], one["price"], two["price"]) == (None, None, 0)


def test_a_second_merge_of_the_same_rows_touches_no_row(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows
) -> None:
    rows = [transaction(number, extra={"n": number}, lots=[], price=Decimal("1.1")) for number in range(50)]
    merged(warehouse, rows)
    before = _physical(warehouse)
    again = merged(warehouse, [{**row, "synced_at": LATER, "run_id": "run-2"} for row in reversed(rows)])
    assert (again.inserted, again.updated, again.unchanged, again.days) == (0, 0, 50, frozenset())
    assert _physical(warehouse) == before


def _physical(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Read where rows lie and who wrote or locked them (Postgres), or what an update would replace (DuckDB)."""
    names = ("xmin::text", "xmax::text", "ctid::text") if warehouse.kind == "postgres" else ("rowid", "run_id")
    with warehouse.read() as reader:
        columns: list[sa.ColumnClause[Any]] = [
            sa.literal_column(f"{name} AS column_{number}") for number, name in enumerate(names)
        ]
        return reader.rows(sa.select(*columns).select_from(TX).order_by(TX.c.transaction_id))


def test_a_key_that_is_staged_twice_is_refused_and_nothing_is_written(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    with pytest.raises(AuditError, match=r"more than once.*'transaction_id': 7"):
        merged(warehouse, [transaction(6), transaction(7), transaction(7, price=Decimal(1))])
    with warehouse.write() as writer:
        staged = writer.stage(TX, [transaction(7), transaction(7)])
        with pytest.raises(AuditError, match="more than once"):
            writer.merge(TX, staged)
    with pytest.raises(AuditError, match="missing"):
        merged(warehouse, [transaction(6), transaction(7, transaction_id=None)])
    assert stored(warehouse) == []


@pytest.mark.parametrize("columns", [{"value": None}, {"quantity": Decimal(2), "quantity_unsigned": Decimal(1)}])
def test_a_row_that_breaks_a_rule_of_its_table_is_refused_with_all_others(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows, columns: dict[str, Any]
) -> None:
    with pytest.raises(AuditError, match="refused rows"):
        merged(warehouse, [transaction(1), transaction(2, **columns)])
    assert stored(warehouse) == []


def test_inserting_a_key_that_is_there_is_refused(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1)])
    with pytest.raises(AuditError, match="refused rows"), warehouse.write() as writer:
        writer.insert(TX, [transaction(2), transaction(1)])
    assert [row["transaction_id"] for row in stored(warehouse)] == [1]


def test_an_exception_takes_everything_back_and_lets_go_of_the_locks(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1)])

    def interrupted() -> None:
        with warehouse.write("account/5WX00001") as writer:
            writer.merge(TX, writer.stage(TX, [transaction(1, price=Decimal(5)), transaction(2)]))
            writer.execute(sa.delete(TX))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(row["transaction_id"], row["price"]) for row in stored(warehouse)] == [(1, None)]
    with warehouse.write("account/5WX00001") as writer:
        assert writer.execute(sa.delete(TX)) == 1


def test_a_reader_sees_the_old_state_until_the_commit_and_one_state_all_along(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    def count() -> int:
        return len(stored(warehouse))

    merged(warehouse, [transaction(1)])
    with warehouse.write() as writer:
        writer.merge(TX, writer.stage(TX, [transaction(2)]))
        assert count() == 1
    assert count() == 2
    with warehouse.read() as reader:
        how_many = sa.select(sa.func.count()).select_from(TX)
        assert reader.scalar(how_many) == 2
        merged(warehouse, [transaction(3)])
        assert reader.scalar(how_many) == 2
    assert count() == 3


def test_an_older_read_never_overwrites_a_newer_one_when_asked_not_to(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse, [transaction(1, synced_at=LATER, price=Decimal(2))])
    late = merged(warehouse, [transaction(1, price=Decimal(1)), transaction(2)], newer_only=True)
    assert (late.inserted, late.updated, late.unchanged) == (1, 0, 1)
    assert stored(warehouse)[0]["price"] == 2
    assert merged(warehouse, [transaction(1, synced_at=LATER, price=Decimal(3))], newer_only=True).updated == 1
    assert merged(warehouse, [transaction(1, price=Decimal(4))]).updated == 1


def test_a_row_that_moves_touches_the_day_that_it_leaves_unless_it_was_removed(
    warehouse: Warehouse, transaction: MakeRow, merged: MergeRows
) -> None:
    days = [dt.date(2026, 3, number) for number in range(1, 9)]
    merged(
        warehouse,
        [
            transaction(1, transaction_date=days[1]),
            transaction(2, transaction_date=days[2]),
            transaction(3, transaction_date=days[3], removed_at=READ_AT),
            transaction(4, transaction_date=days[4]),
        ],
    )
    moved = [
        transaction(1, transaction_date=days[1]),
        transaction(2, transaction_date=days[5]),
        transaction(3, transaction_date=days[6]),
        transaction(4, transaction_date=days[4], removed_at=READ_AT),
    ]
    assert merged(warehouse, moved).days == {days[2], days[5], days[6], days[4]}


def test_a_table_without_days_has_none_that_changed(warehouse: Warehouse) -> None:
    proven = {**dict.fromkeys(("account_number", "table_name", "digest", "run_id"), "x"), "row_count": 1}
    row = {**proven, "day": dt.date(2026, 3, 6), "synced_at": READ_AT}
    with warehouse.write() as writer:
        merge = writer.merge(schema.proven_days, writer.stage(schema.proven_days, [row]))
    assert (merge.inserted, merge.days) == (1, frozenset())


def test_an_empty_stage_changes_nothing(warehouse: Warehouse, transaction: MakeRow, merged: MergeRows) -> None:
    merged(warehouse, [transaction(1)])
    nothing = merged(warehouse, [])
    assert (nothing.inserted, nothing.updated, nothing.unchanged) == (0, 0, 0)
    with warehouse.write() as writer:
        writer.insert(TX, [])


def test_one_transaction_may_merge_the_same_keys_again_and_again(
    warehouse: Warehouse, transaction: MakeRow, stored: AllRows
) -> None:
    with warehouse.write() as writer:
        for price in range(4):
            writer.merge(TX, writer.stage(TX, [transaction(1, price=Decimal(price)), transaction(2)]))
        writer.execute(sa.delete(TX).where(TX.c.transaction_id == 1))
        writer.merge(TX, writer.stage(TX, [transaction(1, price=Decimal(9))]))
        writer.execute(sa.update(TX).values(symbol="X"))
    assert [(row["price"], row["symbol"]) for row in stored(warehouse)] == [(9, "X"), (None, "X")]


def test_a_lock_that_is_not_free_in_time_is_an_error_that_names_it(warehouse_url: str) -> None:
    patient, impatient = open_warehouse(warehouse_url), open_warehouse(warehouse_url, wait_seconds=0.2)
    patient.migrate()
    with patient.write("accounts", "account/1"):
        with pytest.raises(WarehouseLockedError, match=r"0\.2 s"), impatient.write("account/1"):
            pass
        if patient.kind == "postgres":
            with impatient.write("account/2"):
                pass
    with impatient.write("account/1"):
        pass


def test_reading_before_the_first_migration_says_what_to_do(warehouse_url: str) -> None:
    warehouse = open_warehouse(warehouse_url)
    assert warehouse.version() is None
    with pytest.raises(WarehouseError, match="run a sync"), warehouse.read() as reader:
        reader.rows(sa.select(TX))
