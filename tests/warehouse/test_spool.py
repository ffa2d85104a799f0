"""Rows wait in memory or in files, come out as they went in, and leave nothing behind."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.arrow import arrow_schema, to_arrow
from tasty_pipeline.core.errors import WarehouseError
from tasty_pipeline.core.spool import Rows, Spool

from .conftest import MakeRow
from .files import full_disk

TX = schema.transactions
NAMES = schema.content(TX)
SCHEMA = arrow_schema(TX, NAMES)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def reading(transaction: MakeRow, *numbers: int) -> pa.Table:
    rows = [transaction(number, lots=[number], description="") for number in numbers]
    return to_arrow(TX, [{name: row.get(name) for name in NAMES} for row in rows], NAMES)


def ids(rows: Rows) -> list[int]:
    return sorted(number for batch in rows.batches() for number in batch["transaction_id"].to_pylist())


def test_few_rows_stay_in_memory_and_make_no_folder(transaction: MakeRow, temporary: Path) -> None:
    with Spool(SCHEMA, rows_in_memory=4) as spool:
        first, second = spool.add(reading(transaction, 1, 2)), spool.add(reading(transaction, 3, 4))
        assert (ids(spool.rows()), spool.rows().num_rows, spool.rows().files) == ([1, 2, 3, 4], 4, ())
        spool.drop(first)
        assert ids(spool.rows()) == [3, 4]
        assert spool.get(second).equals(reading(transaction, 3, 4))
        spool.add(reading(transaction, 5, 6))
        assert list(temporary.iterdir()) == []


def test_more_rows_wait_in_files_that_only_their_owner_can_read_and_that_are_gone_in_the_end(
    transaction: MakeRow, temporary: Path
) -> None:
    with Spool(SCHEMA, rows_in_memory=3) as spool:
        numbers = [spool.add(reading(transaction, 2 * each, 2 * each + 1)) for each in range(5)]
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        rows = spool.rows()
        assert (len(rows.files), len(rows.tables)) == (2, 1)
        assert (ids(rows), rows.num_rows) == (list(range(10)), 10)
        assert all(batch.schema.equals(SCHEMA) for batch in rows.batches())
        for each, number in enumerate(numbers):
            assert spool.get(number).equals(reading(transaction, 2 * each, 2 * each + 1))
    assert list(temporary.iterdir()) == []


def test_what_is_dropped_is_gone_wherever_it_waits(transaction: MakeRow, temporary: Path) -> None:
    with Spool(SCHEMA, rows_in_memory=3) as spool:
        numbers = [spool.add(reading(transaction, 2 * each, 2 * each + 1)) for each in range(5)]
        for number in (numbers[0], numbers[2], numbers[3], numbers[4]):
            spool.drop(number)
            with pytest.raises(KeyError):
                spool.get(number)
            with pytest.raises(KeyError):
                spool.drop(number)
        rows = spool.rows()
        # of a file whose readings are all dropped nothing is left to read
        assert (ids(rows), rows.num_rows, len(rows.files), rows.tables) == ([2, 3], 2, 1, ())
        with pytest.raises(KeyError):
            spool.get(99)


def test_what_was_dropped_counts_no_more(transaction: MakeRow, temporary: Path) -> None:
    with Spool(SCHEMA, rows_in_memory=4) as spool:
        for _ in range(5):
            spool.drop(spool.add(reading(transaction, 1, 2)))
        spool.add(reading(transaction, 3, 4))
        assert list(temporary.iterdir()) == []


def test_the_folder_is_gone_after_an_error_too(transaction: MakeRow, temporary: Path) -> None:
    with pytest.raises(KeyError), Spool(SCHEMA, rows_in_memory=0) as spool:
        spool.get(spool.add(reading(transaction, 1)) + len(list(temporary.iterdir())))
    assert list(temporary.iterdir()) == []


def test_more_rows_can_be_put_beside_those_that_waited(transaction: MakeRow, temporary: Path) -> None:
    with Spool(SCHEMA, rows_in_memory=1) as spool:
        spool.add(reading(transaction, 1, 2))
        rows = spool.rows().plus(reading(transaction, 3))
        assert (ids(rows), rows.num_rows) == ([1, 2, 3], 3)
        assert ids(spool.rows()) == [1, 2]


def test_rows_of_another_schema_are_refused(transaction: MakeRow) -> None:
    other = reading(transaction, 1).drop_columns(["lots"])
    with Spool(SCHEMA) as spool, pytest.raises(ValueError, match="another schema"):
        spool.add(other)
    with pytest.raises(ValueError, match="another schema"):
        Rows(SCHEMA).plus(other)


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(
    transaction: MakeRow, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with Spool(SCHEMA, rows_in_memory=0) as spool, pytest.raises(WarehouseError, match="TMPDIR"):
        spool.add(reading(transaction, 1))


def test_a_full_disk_is_an_error_and_leaves_no_file_open_that_would_keep_the_room(
    transaction: MakeRow, temporary: Path
) -> None:
    with Spool(SCHEMA, rows_in_memory=0) as spool:
        with full_disk(100), pytest.raises(WarehouseError, match="make room"):
            spool.add(reading(transaction, *range(2_000)))
        opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert not [path for path in opened if path.startswith(str(temporary))]


def test_many_threads_may_add_get_and_drop_at_once(transaction: MakeRow, temporary: Path) -> None:
    pages = {each: reading(transaction, *range(10 * each, 10 * each + 10)) for each in range(40)}
    start = threading.Barrier(4)
    with Spool(SCHEMA, rows_in_memory=25) as spool:

        def work(worker: int) -> None:
            start.wait()
            for each in range(worker, 40, 4):
                number = spool.add(pages[each])
                assert spool.get(number).equals(pages[each])
                if each % 2:
                    spool.drop(number)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        kept = [number for each in range(0, 40, 2) for number in range(10 * each, 10 * each + 10)]
        assert (ids(spool.rows()), spool.rows().num_rows) == (kept, 200)
