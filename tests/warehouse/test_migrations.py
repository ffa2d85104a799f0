"""Migrations lead both databases to exactly what `core.schema` describes, from any number of processes at once."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlalchemy as sa

from tasty_pipeline import migrations
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import SchemaVersionError
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.core.warehouse.dialects import DUCKDB, POSTGRES

from .catalog import DUCKDB_CATALOG, POSTGRES_CATALOG, catalog
from .conftest import Python


def _described(dialect: sa.Dialect) -> Iterator[str]:
    """Yield the DDL of core.schema itself."""
    statements: list[str] = []

    def keep(statement: Any, *_: Any, **__: Any) -> None:
        if dialect is POSTGRES or not isinstance(statement, sa.schema.CreateIndex):
            statements.append(str(statement.compile(dialect=dialect)))

    schema.METADATA.create_all(sa.create_mock_engine("postgresql+psycopg://", keep), checkfirst=False)
    yield "CREATE SCHEMA tasty"
    yield from statements


def test_migrated_and_described_tables_are_the_same_in_postgres(postgres_database: str) -> None:
    open_warehouse(postgres_database).migrate()
    with psycopg.connect(postgres_database, autocommit=True) as connection:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query.encode()).fetchall()

        migrated = catalog(ask, POSTGRES_CATALOG)
        connection.execute("ALTER SCHEMA tasty RENAME TO before")
        for statement in _described(POSTGRES):
            connection.execute(statement.encode())
        connection.execute("CREATE TABLE tasty.schema_version ()")
        assert migrated == catalog(ask, POSTGRES_CATALOG)
    # the queries above do see every kind of thing
    assert {name: bool(found) for name, found in migrated.items()} == dict.fromkeys(POSTGRES_CATALOG, True)
    assert any("CHECK" in line for line in migrated["constraints"])


def test_migrated_and_described_tables_are_the_same_in_duckdb(duckdb_url: str) -> None:
    open_warehouse(duckdb_url).migrate()
    with duckdb.connect(duckdb_url.removeprefix("duckdb:///")) as connection:
        migrated = catalog(lambda query: connection.execute(query).fetchall(), DUCKDB_CATALOG)
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (0,)
    with duckdb.connect() as connection:
        for statement in _described(DUCKDB):
            connection.execute(statement)
        assert migrated == catalog(lambda query: connection.execute(query).fetchall(), DUCKDB_CATALOG)
    for kind in ("DECIMAL(38,12)", "JSON", "BIGINT", "TIMESTAMP WITH TIME ZONE", "DATE", "BOOLEAN", "VARCHAR"):
        assert any(f"'{kind}'" in line for line in migrated["columns"])
    assert any("CHECK" in line for line in migrated["constraints"])


def test_every_table_and_column_has_a_comment_the_version_table_too(warehouse: Warehouse) -> None:
    where = {
        "duckdb": "SELECT table_name FROM duckdb_columns() WHERE schema_name = 'tasty' AND comment IS NULL",
        "postgres": "SELECT relname, attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 "
        "AND NOT attisdropped AND relkind IN ('r', 'v') AND relnamespace::regnamespace::text IN ('tasty', 'tasty_v1') "
        "AND (obj_description(attrelid) IS NULL OR col_description(attrelid, attnum) IS NULL)",
    }[warehouse.kind]
    with warehouse.read() as reader:
        assert reader.rows(sa.select(sa.literal_column("*")).select_from(sa.text(f"({where}) AS bare"))) == []


def test_a_second_migration_changes_nothing(warehouse: Warehouse) -> None:
    assert warehouse.version() == warehouse.migrate() == warehouse.migrate() == migrations.head()


def test_a_version_that_only_a_newer_package_knows_is_an_error_and_nothing_changes(warehouse: Warehouse) -> None:
    version = sa.table("schema_version", sa.column("version_num", sa.Text()), schema="tasty")
    with warehouse.write() as writer:
        writer.execute(sa.update(version).values(version_num="9999"))
    with pytest.raises(SchemaVersionError, match=r"9999.*upgrade tasty-pipeline"):
        warehouse.migrate()
    assert warehouse.version() == "9999"


MIGRATE = """
import pathlib, sys, time
from tasty_pipeline.core.warehouse import open_warehouse
warehouse = open_warehouse(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(warehouse.migrate())
"""


def test_processes_that_migrate_at_the_same_moment_all_succeed(warehouse_url: str, python: Python) -> None:
    racers = [python(MIGRATE, warehouse_url) for _ in range(3)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    ends = [_go(racer) for racer in racers]
    for racer, end in zip(racers, ends, strict=True):
        assert end() == (f"{migrations.head()}\n", "")
        assert racer.returncode == 0
    assert open_warehouse(warehouse_url).version() == migrations.head()


def _go(racer: Any) -> Callable[[], tuple[str, str]]:
    racer.stdin.write("go\n")
    racer.stdin.flush()
    return lambda: racer.communicate(timeout=30)


def test_a_migration_that_fails_half_way_leaves_nothing(warehouse_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = open_warehouse(warehouse_url)
    whole = migrations.upgrade_script

    def broken(*arguments: Any) -> str:
        return whole(*arguments) + "\nCREATE TABLE tasty.accounts (again BIGINT);"

    monkeypatch.setattr(migrations, "upgrade_script", broken)
    with pytest.raises(Exception, match="already exists"):
        warehouse.migrate()
    monkeypatch.undo()
    assert warehouse.version() is None
    assert warehouse.migrate() == migrations.head()


def test_a_released_revision_imports_nothing_of_this_package() -> None:
    for path in (Path(migrations.__file__).parent / "versions").glob("0*.py"):
        assert re.findall(r"(?m)^\s*(?:from|import)\s+tasty_pipeline", path.read_text()) == []


def test_revisions_are_one_line_numbered_from_1() -> None:
    numbers = [script.revision for script in reversed(list(migrations.scripts().walk_revisions()))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_migrating_again_is_cheap(warehouse: Warehouse) -> None:
    warehouse.migrate()
    started = time.perf_counter()
    warehouse.migrate()
    assert time.perf_counter() - started < 1
