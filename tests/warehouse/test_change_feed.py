"""The change feed: every row that a publication wrote, numbered without a gap in the order of the commits."""

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.arrow import to_arrow
from tasty_pipeline.core.publish import Run, feed
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .conftest import READ_AT, MakeRow
from .users import row_of

TX, POSITIONS, SNAPSHOTS, CHANGES = schema.transactions, schema.positions, schema.balance_snapshots, schema.changes
LATER = READ_AT + dt.timedelta(minutes=5)
PATIENCE = 20  # seconds
Row = dict[str, Any]


def run_of(run_id: str = "run-1", *, dry_run: bool = False) -> Run:
    beginning = dt.date(2026, 1, 1)
    return Run(run_id=run_id, environment="simulator", history_start=beginning, dry_run=dry_run, now=lambda: LATER)


def published(warehouse: Warehouse, table: sa.Table, rows: Sequence[Row], run: Run | None = None) -> None:
    with publish.transaction(warehouse, run or run_of()) as writer:
        writer.merge(table, writer.stage(table, rows))


class _Undone(Exception):  # noqa: N818 - takes a publication back
    pass


def undone(warehouse: Warehouse, rows: Sequence[Row], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Take numbers, and give them back."""
    with contextlib.suppress(_Undone), publish.transaction(warehouse, run_of("never")) as writer:
        writer.merge(TX, writer.stage(TX, rows))
        feed.tell(writer, "never", LATER)
        meanwhile()
        raise _Undone


def told(warehouse: Warehouse, after: int = 0) -> list[Row]:
    with warehouse.read() as reader:
        return reader.rows(sa.select(CHANGES).where(CHANGES.c.sequence > after).order_by(CHANGES.c.sequence))


def numbers(warehouse: Warehouse, after: int = 0) -> list[int]:
    return [row["sequence"] for row in told(warehouse, after)]


def kinds(warehouse: Warehouse, after: int = 0) -> list[tuple[str, Row]]:
    return [(row["kind"], row["row_key"]) for row in told(warehouse, after)]


def position(symbol: str, **columns: Any) -> Row:
    key = {"symbol": symbol, "instrument_type": "Equity", "quantity_direction": "Long"}
    return row_of(POSITIONS, account_number="5WX00001", **key, **columns)


def keys(table: sa.Table, *rows: Row) -> pa.Table:
    names = schema.key_of(table)
    return to_arrow(table, [{name: row[name] for name in names} for row in rows], names)


def test_an_entry_says_which_row_of_whose_account_changed_how_when_and_by_which_run(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    published(warehouse, TX, [transaction(2**60), transaction(7, account_number="5WX00002")])
    common = {"table_name": "transactions", "kind": "insert", "changed_at": LATER, "run_id": "run-1"}
    assert told(warehouse) == [
        {"sequence": 1, "account_number": "5WX00002", "row_key": {"transaction_id": 7}, **common},
        {"sequence": 2, "account_number": "5WX00001", "row_key": {"transaction_id": 2**60}, **common},
    ]


def test_the_key_holds_every_part_by_its_column_the_same_in_both_databases(warehouse: Warehouse) -> None:
    published(warehouse, POSITIONS, [position('./ESM6  E1AH6 "é" 260320C5900')])
    published(warehouse, SNAPSHOTS, [row_of(SNAPSHOTS, account_number="5WX00001", currency="USD", time_of_day="EOD")])
    assert [row["row_key"] for row in told(warehouse)] == [
        {
            "account_number": "5WX00001",
            "symbol": './ESM6  E1AH6 "é" 260320C5900',
            "instrument_type": "Equity",
            "quantity_direction": "Long",
        },
        {"account_number": "5WX00001", "currency": "USD", "snapshot_date": "2026-03-06", "time_of_day": "EOD"},
    ]


def test_only_the_rows_that_were_written_are_told(warehouse: Warehouse, transaction: MakeRow) -> None:
    rows = [transaction(number) for number in range(1, 6)]
    published(warehouse, TX, rows)
    published(warehouse, TX, [{**row, "synced_at": LATER, "run_id": "run-2"} for row in rows], run_of("run-2"))
    assert numbers(warehouse) == [1, 2, 3, 4, 5]
    published(warehouse, TX, [*rows[:4], transaction(5, price=Decimal(1)), transaction(6)], run_of("run-3"))
    assert kinds(warehouse, 5) == [("update", {"transaction_id": 5}), ("insert", {"transaction_id": 6})]
    assert {row["run_id"] for row in told(warehouse, 5)} == {"run-3"}


def test_a_row_that_is_marked_removed_and_comes_back_is_removed_and_updated(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    published(warehouse, TX, [transaction(1), transaction(2)])
    for _ in range(2):  # a row that is marked already is not removed again
        with publish.transaction(warehouse, run_of("run-2")) as writer:
            publish.mark_removed(writer, TX, run_of("run-2"), keys(TX, {"transaction_id": 2}), (READ_AT, LATER))
    published(warehouse, TX, [transaction(2)], run_of("run-3"))
    assert kinds(warehouse, 2) == [("remove", {"transaction_id": 2}), ("update", {"transaction_id": 2})]
    assert {row["account_number"] for row in told(warehouse)} == {"5WX00001"}


def test_a_position_that_leaves_is_removed(warehouse: Warehouse) -> None:
    published(warehouse, POSITIONS, [position("SPY"), position("QQQ")])
    gone = keys(POSITIONS, position("SPY"), position("NEVER"))
    with publish.transaction(warehouse, run_of()) as writer:
        assert publish.delete_gone(writer, POSITIONS, gone) == 1
    ((kind, key),) = kinds(warehouse, 2)
    assert (kind, key["symbol"]) == ("remove", "SPY")
    with warehouse.read() as reader:
        assert [row["symbol"] for row in reader.rows(sa.select(POSITIONS.c.symbol))] == ["QQQ"]


def test_all_tables_of_one_publication_are_told_in_the_order_of_their_writing(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    proven = row_of(schema.proven_days, account_number="5WX00001")
    with publish.transaction(warehouse, run_of()) as writer:
        for table, row in ((POSITIONS, position("SPY")), (schema.proven_days, proven), (TX, transaction(1))):
            writer.merge(table, writer.stage(table, [row]))
        publish.delete_gone(writer, POSITIONS, keys(POSITIONS, position("SPY")))
    assert [(row["sequence"], row["table_name"], row["kind"]) for row in told(warehouse)] == [
        (1, "positions", "insert"),
        (2, "transactions", "insert"),
        (3, "positions", "remove"),
    ]


def test_a_dry_run_and_a_publication_that_fails_tell_nothing_and_leave_no_gap(
    warehouse: Warehouse, transaction: MakeRow
) -> None:
    published(warehouse, TX, [transaction(1)], run_of(dry_run=True))
    assert numbers(warehouse) == []
    published(warehouse, TX, [transaction(1)])
    undone(warehouse, [transaction(2)])
    published(warehouse, TX, [transaction(3)])
    assert kinds(warehouse) == [("insert", {"transaction_id": 1}), ("insert", {"transaction_id": 3})]
    assert numbers(warehouse) == [1, 2]


@pytest.fixture
def postgres(postgres_database: str) -> Warehouse:
    """A warehouse in Postgres, migrated."""
    warehouse = open_warehouse(postgres_database, wait_seconds=PATIENCE)
    warehouse.migrate()
    return warehouse


def test_who_publishes_second_waits_for_the_first_to_commit_and_numbers_after_it(
    postgres: Warehouse, postgres_database: str, transaction: MakeRow
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with postgres.write() as first:
            first.merge(TX, first.stage(TX, [transaction(1), transaction(2)]))
            feed.tell(first, "run-1", LATER)
            second = pool.submit(published, postgres, TX, [transaction(3)], run_of("run-2"))
            assert _somebody_waits(postgres_database)
            assert not second.done()
        second.result(PATIENCE)
    assert [(row["sequence"], row["run_id"]) for row in told(postgres)] == [(1, "run-1"), (2, "run-1"), (3, "run-2")]


def _somebody_waits(url: str) -> bool:
    """Wait until a session waits for an advisory lock."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
    with psycopg.connect(url, autocommit=True) as connection:
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=PATIENCE)
        while dt.datetime.now(dt.UTC) < deadline:
            row = connection.execute(waiting).fetchone()
            if row and row[0]:
                return True
    return False


def test_a_reader_sees_a_gapless_sequence_grow_while_many_publish_and_fail(
    postgres: Warehouse, transaction: MakeRow
) -> None:
    writers, rounds, rows_each = 4, 12, 3
    done = threading.Event()

    def work(writer: int) -> None:
        for turn in range(rounds):
            first = (writer * rounds + turn) * rows_each
            rows = [transaction(first + number, account_number=f"5WX{writer}") for number in range(rows_each)]
            if turn % 3 == 1:
                undone(postgres, rows)
            else:
                published(postgres, TX, rows, run_of(f"run-{first}"))

    def watch() -> list[int]:
        found: list[int] = []
        while True:
            last_look = done.is_set()
            found += numbers(postgres, found[-1] if found else 0)
            if last_look:
                return found

    with ThreadPoolExecutor(writers + 1) as pool:
        watching = pool.submit(watch)
        list(pool.map(work, range(writers)))
        done.set()
        seen = watching.result(PATIENCE)
    kept = [turn for turn in range(rounds) if turn % 3 != 1]
    assert seen == list(range(1, writers * len(kept) * rows_each + 1))
    # one commit's rows stand together
    runs = [row["run_id"] for row in told(postgres)]
    assert all(len(set(runs[at : at + rows_each])) == 1 for at in range(0, len(runs), rows_each))


Hear = Callable[..., list[int]]


@pytest.fixture
def hear(postgres_database: str) -> Iterator[Hear]:
    """Listens from the beginning of the test; returns the numbers that were told so far, waiting for so many."""
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"LISTEN {feed.CHANNEL}".encode())

        def heard(count: int) -> list[int]:
            told = connection.notifies(timeout=PATIENCE if count else 0.2, stop_after=count or None)
            return [json.loads(each.payload)["sequence"] for each in told]

        yield heard


def test_whoever_listens_hears_the_last_number_of_every_commit(
    postgres: Warehouse, transaction: MakeRow, hear: Hear
) -> None:
    published(postgres, TX, [transaction(1), transaction(2)])
    published(postgres, TX, [transaction(1), transaction(2)])
    published(postgres, TX, [transaction(3)])
    assert hear(2) == [2, 3]


def test_nobody_hears_of_what_is_not_committed(postgres: Warehouse, transaction: MakeRow, hear: Hear) -> None:
    published(postgres, TX, [transaction(1)], run_of(dry_run=True))
    undone(postgres, [transaction(1)], lambda: hear(0))
    assert hear(0) == []
    published(postgres, TX, [transaction(1)])
    assert hear(1) == [1]
