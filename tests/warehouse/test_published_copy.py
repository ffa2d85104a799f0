"""The published copy of a DuckDB file is whole at every moment, whoever reads it."""

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import (
    AuditError,
    ConfigurationError,
    WarehouseError,
)

from .conftest import AllRows, MakeRow, MergeRows, Python
from .files import full_disk, opens_elsewhere, warehouse_at

TX = schema.transactions
COUNT = sa.select(sa.func.count()).select_from(TX)


def test_a_copy_is_complete_and_replaces_the_one_before(
    file: Path, tmp_path: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    copy = tmp_path / "published" / "copy.duckdb"
    for price in (1, 2):
        merged(warehouse_at(file), [transaction(1, price=Decimal(price), extra={"n": price})])
        warehouse_at(file).publish_copy(copy)
        assert stored(warehouse_at(copy)) == stored(warehouse_at(file))
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name, f"{copy.name}.lock"]
    with pytest.raises(AuditError), warehouse_at(copy).write() as writer:
        writer.insert(TX, [transaction(1)])


WATCH = """
import sys, duckdb
seen = set()
print("watching", flush=True)
while not seen or max(seen) < int(sys.argv[2]):
    connection = duckdb.connect(sys.argv[1], read_only=True)
    rows, ids = connection.execute("SELECT count(*), sum(transaction_id) FROM tasty.transactions").fetchone()
    connection.close()
    assert ids == sum(range(rows)), (rows, ids)
    seen.add(rows)
print(sorted(seen))
"""


def test_a_reader_of_the_copy_in_another_process_never_fails_and_sees_whole_versions(
    file: Path, tmp_path: Path, transaction: MakeRow, merged: MergeRows, python: Python
) -> None:
    copy, warehouse = tmp_path / "copy.duckdb", warehouse_at(file)
    versions = list(range(100, 600, 100))
    reader = None
    for count in versions:
        merged(warehouse, [transaction(number) for number in range(count)])
        warehouse.publish_copy(copy)
        if reader is None:
            reader = python(WATCH, copy, versions[-1])
            assert reader.stdout is not None
            assert reader.stdout.readline() == "watching\n"
    assert reader is not None
    answer, errors = reader.communicate(timeout=30)
    assert errors == ""
    assert set(json.loads(answer)) <= set(versions)


def test_a_copy_that_cannot_be_made_leaves_the_old_one(
    file: Path, tmp_path: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    copy, warehouse = tmp_path / "copy.duckdb", warehouse_at(file)
    warehouse.publish_copy(copy)
    noise = random.Random(7)  # noqa: S311 - nothing secret: text that does not compress
    merged(warehouse, [transaction(number, description=noise.randbytes(300).hex()) for number in range(3_000)])
    with (
        full_disk(copy.stat().st_size + 100_000),
        pytest.raises(WarehouseError, match=r"published copy.*disk is full"),
    ):
        warehouse.publish_copy(copy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.duckdb", "data"]
    assert stored(warehouse_at(copy)) == []
    assert opens_elsewhere(file)


def test_a_copy_over_which_a_process_was_killed_is_removed_by_the_next_and_nothing_else_is(
    file: Path, tmp_path: Path
) -> None:
    copies, copy = tmp_path / "published", tmp_path / "published" / "[1] copy.duckdb"
    copies.mkdir()
    dead, others = f"{copy.name}.0123456789ab.unfinished", "other.duckdb.0123456789ab.unfinished"
    for name in (dead, f"{dead}.wal", others):
        (copies / name).write_bytes(b"half")
    warehouse_at(file).publish_copy(copy)
    assert sorted(path.name for path in copies.iterdir()) == [copy.name, others]


def test_a_copy_over_the_warehouse_itself_is_refused(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="another path"):
        warehouse_at(file).publish_copy(file.parent / "." / file.name)
