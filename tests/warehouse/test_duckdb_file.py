"""A DuckDB file is held for moments only, and whatever is wrong with it is one clear error."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from dagster_duckdb import DuckDBResource

from tasty_pipeline import migrations
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import (
    TastyError,
    WarehouseError,
    WarehouseLockedError,
    WarehouseUnavailableError,
)
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, duckdb_file, open_warehouse

from .conftest import AllRows, MakeRow, MergeRows, Python
from .files import full_disk, opens_elsewhere, warehouse_at

TX = schema.transactions
COUNT = sa.select(sa.func.count()).select_from(TX)

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


def _through_dagster(path: Path, wait_seconds: float = 5) -> Warehouse:
    resource = DuckDBResource(database=str(path), connection_config=dict(DUCKDB_CONFIG))
    return open_warehouse(f"duckdb:///{path}", connect=resource.get_connection, wait_seconds=wait_seconds)


@contextlib.contextmanager
def _held(python: Python, path: Path) -> Iterator["subprocess.Popen[str]"]:
    with python(HOLD, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_file_that_stays_held_is_an_error_that_names_the_process(file: Path, python: Python) -> None:
    for opened in (warehouse_at(file, 0.3), _through_dagster(file, 0.3)):
        with _held(python, file) as holder:
            for use in (opened.write, opened.read):
                with pytest.raises(WarehouseLockedError, match=rf"{file}.*process {holder.pid} .*close"), use():
                    pass


OPEN_AS_A_RUN = """
import sys
from tasty_pipeline.core.errors import WarehouseLockedError
from tasty_pipeline.core.warehouse import open_warehouse
try:
    with open_warehouse("duckdb:///" + sys.argv[1], wait_seconds=0.1).read():
        print("opened")
except WarehouseLockedError as error:
    print(error)
"""


def test_a_run_is_kept_out_where_duckdb_has_lost_its_own_lock_on_the_file(file: Path, python: Python) -> None:
    with warehouse_at(file).read():
        # as DuckDB does when another thread opens the file: with it go all of the process's locks
        file.open("rb").close()
        assert opens_elsewhere(file)
        told = python(OPEN_AS_A_RUN, file).communicate(timeout=30)[0]
    assert f"held open by process {os.getpid()} (another run)" in told
    assert python(OPEN_AS_A_RUN, file).communicate(timeout=30)[0] == "opened\n"


def test_a_file_that_is_let_go_in_time_is_waited_for(file: Path, python: Python) -> None:
    with _held(python, file) as holder:
        letting_go = threading.Timer(0.3, holder.kill)
        letting_go.start()
        with warehouse_at(file).write() as writer:
            assert writer.scalar(COUNT) == 0
        letting_go.join()


@pytest.mark.parametrize("opener", [warehouse_at, _through_dagster])
def test_the_file_is_free_after_an_exception(file: Path, opener: type) -> None:
    def fail(use: str) -> None:
        with getattr(opener(file), use)():
            raise KeyError(use)

    for use in ("write", "read"):
        # what is caught keeps the traceback, with it every frame, and with them every forgotten connection
        with pytest.raises(KeyError) as caught:
            fail(use)
        assert opens_elsewhere(file)
        assert caught.value.args == (use,)


def test_it_works_through_dagsters_own_resource(
    tmp_path: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    warehouse = _through_dagster(tmp_path / "new" / "warehouse.duckdb")
    warehouse.migrate()
    assert merged(warehouse, [transaction(1)]).inserted == 1
    assert len(stored(warehouse)) == 1
    assert opens_elsewhere(tmp_path / "new" / "warehouse.duckdb")


def test_a_connection_of_this_process_with_other_settings_is_an_error_after_the_wait(file: Path) -> None:
    with (
        duckdb.connect(str(file)),
        pytest.raises(WarehouseLockedError, match="close other connections"),
        warehouse_at(file, 0.1).read(),
    ):
        pass


def _overwrite(path: Path, offset: int, junk: bytes) -> None:
    with path.open("r+b") as opened:
        opened.seek(offset)
        opened.write(junk)


@pytest.mark.parametrize("damage", ["text", "empty", "half", "header", "folder"])
def test_a_damaged_file_is_an_error_at_once_and_stays_as_it_is(file: Path, damage: str) -> None:
    if damage in {"text", "empty"}:
        file.write_text("not a database\n" * 1000 if damage == "text" else "")
    elif damage == "half":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "header":
        _overwrite(file, 4096, b"x" * 200)
        _overwrite(file, 8192, b"x" * 200)
    else:
        file.unlink()
        file.mkdir()
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(WarehouseUnavailableError, match="damaged or is not a DuckDB database"):
        warehouse_at(file, 60).migrate()
    assert (file.read_bytes() if file.is_file() else b"") == before


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    warehouse = warehouse_at(tmp_path / "none" / "warehouse.duckdb")
    assert warehouse.version() is None
    with pytest.raises(WarehouseUnavailableError, match="does not exist"), warehouse.read():
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_of_a_new_file_is_no_matter_to_one_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    # in a container every start of the pipeline can have one number
    path.with_name(f"{path.name}.{os.getpid()}.new").write_bytes(b"half")
    assert open_warehouse(f"duckdb:///{path}").migrate() == migrations.head()


KILLED_AFTER_COMMIT = """
import os, signal, sys, duckdb
from tasty_pipeline.core.warehouse import open_warehouse
real = duckdb.DuckDBPyConnection.execute
def execute(connection, sql, *parameters):
    done = real(connection, sql, *parameters)
    if sql == "COMMIT":
        os.kill(os.getpid(), signal.SIGKILL)
    return done
duckdb.DuckDBPyConnection.execute = execute
open_warehouse(sys.argv[1]).migrate()
"""


def test_a_process_that_is_killed_right_after_it_migrated_leaves_a_file_that_the_next_one_opens(
    tmp_path: Path, python: Python
) -> None:
    path = tmp_path / "warehouse.duckdb"
    with python(KILLED_AFTER_COMMIT, f"duckdb:///{path}") as process:
        assert process.wait() == -signal.SIGKILL
    assert open_warehouse(f"duckdb:///{path}").version() == migrations.head()
    assert opens_elsewhere(path)


def test_a_migration_does_not_wait_in_the_log_beside_a_large_file_where_no_other_program_could_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_file, "_LARGE", 0)
    path = tmp_path / "warehouse.duckdb"
    open_warehouse(f"duckdb:///{path}").migrate()
    assert opens_elsewhere(path)


def test_a_file_made_by_us_is_readable_by_duckdb_1_5_and_so_is_its_copy(file: Path, tmp_path: Path) -> None:
    warehouse_at(file).publish_copy(tmp_path / "copy.duckdb")
    for path in (file, tmp_path / "copy.duckdb"):
        with duckdb.connect(str(path)) as connection:
            row = connection.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchone()
        assert row is not None
        assert row[0]["storage_version"].startswith("v1.5")


MIGRATE = """
import sys
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.warehouse import open_warehouse
for url in sys.argv[1:]:
    try:
        open_warehouse(url).migrate()
    except TastyError as error:
        print(type(error).__name__, error)
"""


def test_a_read_only_file_or_folder_is_an_error_of_rights(file: Path, python: Python, unprivileged: list[str]) -> None:
    # version 0 makes the migration want to write
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM tasty.schema_version")
    other = file.parent / "not_there" / "x.duckdb"
    new = file.parent / "new.duckdb"
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        program = python(MIGRATE, *(f"duckdb:///{path}" for path in (file, other, new)), prefix=unprivileged)
        answer, errors = program.communicate(timeout=30)
    finally:
        file.parent.chmod(0o755)
    assert errors == ""
    assert len(answer.splitlines()) == 3
    for line in answer.splitlines():
        assert line.startswith("WarehouseRightsError The DuckDB file")
        assert "let the pipeline's user write" in line
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, f"{file.name}.lock"]


def test_a_full_disk_is_an_error_and_what_was_there_before_stays(
    file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    merged(warehouse_at(file), [transaction(number) for number in range(10)])
    before = stored(warehouse_at(file))
    noise = random.Random(7)  # noqa: S311 - nothing secret: text that does not compress
    rows = [transaction(number, description=noise.randbytes(300).hex()) for number in range(3_000)]
    with full_disk(file.stat().st_size + 100_000), pytest.raises(WarehouseError, match="disk is full"):
        merged(warehouse_at(file), rows)
    assert stored(warehouse_at(file)) == before
    assert merged(warehouse_at(file), rows).inserted == 2_990


COUNT_ELSEWHERE = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(connection.execute("SELECT count(*) FROM tasty.transactions").fetchone()[0])
"""


def _large(transaction: MakeRow, first: int, count: int) -> list[dict[str, Any]]:
    """Rows of four kilobytes that do not compress."""
    noise = random.Random(first)  # noqa: S311 - nothing secret
    return [transaction(number, description=noise.randbytes(2_000).hex()) for number in range(first, first + count)]


def test_a_few_rows_more_do_not_write_a_large_file_anew_but_a_log_that_every_reader_reads(
    file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows, python: Python
) -> None:
    log = file.with_name(f"{file.name}.wal")
    merged(warehouse_at(file), _large(transaction, 0, 9_000))
    assert not log.exists()
    before = file.read_bytes()
    for number in (9_001, 9_002, 9_003):
        merged(warehouse_at(file), [transaction(number)])
        assert warehouse_at(file).version() == migrations.head()
    assert file.read_bytes() == before
    assert log.stat().st_size < 100_000
    assert len(stored(warehouse_at(file))) == 9_003
    assert python(COUNT_ELSEWHERE, file).communicate(timeout=30) == ("9003\n", "")
    merged(warehouse_at(file), _large(transaction, 10_000, 1_500))
    merged(warehouse_at(file), [transaction(9_004)])
    assert not log.exists()
    assert len(stored(warehouse_at(file))) == 10_504


def test_a_large_file_beside_the_log_of_another_moment_is_an_error_and_stays_as_it_is(
    file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    log = file.with_name(f"{file.name}.wal")
    merged(warehouse_at(file), _large(transaction, 0, 9_000))
    backup = file.read_bytes()
    merged(warehouse_at(file), _large(transaction, 10_000, 1_500))
    for number in (20_001, 20_002):  # the first brings the log into the file, the second begins another
        merged(warehouse_at(file), [transaction(number)])
    file.write_bytes(backup)
    with pytest.raises(WarehouseUnavailableError, match=r"\.wal beside it are not of one moment.*move the \.wal away"):
        warehouse_at(file).version()
    assert file.read_bytes() == backup
    log.unlink()
    assert len(stored(warehouse_at(file))) == 9_000


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_somebody_takes_away_while_it_is_written_to_is_an_error_once(
    how: str, file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    warehouse, backup = warehouse_at(file), file.read_bytes()
    other = file.with_name("other")

    def write() -> None:
        with warehouse.write() as writer:
            writer.insert(TX, [transaction(1)])
            file.unlink()
            if how == "replaced":
                other.write_bytes(backup)
                other.rename(file)

    with pytest.raises(WarehouseUnavailableError, match=r"removed or replaced while .*leave the file alone"):
        write()
    warehouse_at(file).migrate()
    assert merged(warehouse_at(file), [transaction(2)]).inserted == 1
    assert [row["transaction_id"] for row in stored(warehouse)] == [2]


def test_a_file_that_is_replaced_between_two_transactions_of_a_run_is_an_error_once(
    file: Path, transaction: MakeRow, merged: MergeRows
) -> None:
    warehouse, backup = warehouse_at(file), file.read_bytes()
    merged(warehouse, [transaction(1)])
    file.with_name("other").write_bytes(backup)
    file.with_name("other").rename(file)
    with pytest.raises(WarehouseUnavailableError, match="removed or replaced"):
        merged(warehouse, [transaction(2)])
    assert merged(warehouse, [transaction(2)]).inserted == 1


def test_a_log_with_garbage_in_it_is_an_error_and_without_it_the_file_is_as_before(
    file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged(warehouse_at(file), [transaction(1)])
    monkeypatch.setattr(duckdb_file, "_LARGE", 0)
    merged(warehouse_at(file), [transaction(2)])
    log = file.with_name(f"{file.name}.wal")
    _overwrite(log, log.stat().st_size // 2, b"x" * 50)
    with pytest.raises(WarehouseUnavailableError, match=r"together with the \.wal.*move the \.wal away"):
        stored(warehouse_at(file))
    log.unlink()
    assert [row["transaction_id"] for row in stored(warehouse_at(file))] == [1]


def test_threads_of_one_process_write_after_each_other(
    file: Path, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    failures: list[TastyError] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 5):
                merged(warehouse_at(file), [transaction(number)])
        except TastyError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stored(warehouse_at(file))) == 15


def test_threads_of_one_process_that_open_the_file_at_the_same_moment_wait_for_each_other(file: Path) -> None:
    warehouse_at(file).migrate()
    failures: list[TastyError] = []

    def work() -> None:
        try:
            for _ in range(30):
                assert warehouse_at(file).version() == migrations.head()
        except TastyError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


PUBLISH = """
import sys
from pathlib import Path
from tasty_pipeline.core.warehouse import open_warehouse
for _ in range(12):
    open_warehouse("duckdb:///" + sys.argv[1]).publish_copy(Path(sys.argv[2]))
"""


def test_processes_that_publish_copies_at_once_take_turns_and_a_reader_always_finds_a_whole_one(
    file: Path, tmp_path: Path
) -> None:
    warehouse_at(file).migrate()
    copy = tmp_path / "readers" / "copy.duckdb"
    warehouse_at(file).publish_copy(copy)
    command = [sys.executable, "-c", PUBLISH, str(file), str(copy)]
    publishers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]  # noqa: S603
    while any(each.poll() is None for each in publishers):
        with duckdb.connect(copy, read_only=True) as connection:
            assert connection.execute("SELECT count(*) FROM tasty.transactions").fetchall() == [(0,)]
    told = [each.communicate()[1] for each in publishers]
    assert [each.returncode for each in publishers] == [0, 0], told
    assert [path.name for path in copy.parent.iterdir()] == ["copy.duckdb"]
