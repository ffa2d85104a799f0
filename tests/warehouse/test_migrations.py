"""Migrations lead both databases to exactly what `core.schema` describes, from any number of processes at once."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from tasty_pipeline import migrations
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import SchemaVersionError
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.core.warehouse.dialects import DUCKDB, POSTGRES

from .conftest import MakeRow, Python

Ask = Callable[[str], list[tuple[Any, ...]]]

POSTGRES_CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, datetime_precision, is_nullable,
               column_default, is_identity, col_description(format('tasty.%I', table_name)::regclass, ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'tasty' AND table_name <> 'schema_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
        WHERE connamespace = 'tasty'::regnamespace AND conrelid <> 'tasty.schema_version'::regclass""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_catalog.pg_indexes
        WHERE schemaname = 'tasty' AND tablename <> 'schema_version'""",
    "tables": """
        SELECT relname, relkind, obj_description(oid) FROM pg_catalog.pg_class
        WHERE relnamespace = 'tasty'::regnamespace AND relkind <> 'i' AND relname <> 'schema_version'""",
}
DUCKDB_CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()
        WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
    "constraints": """
        SELECT table_name, constraint_name, constraint_type, constraint_text, constraint_column_names
        FROM duckdb_constraints() WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
    "tables": """
        SELECT table_name, comment, has_primary_key FROM duckdb_tables()
        WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
}


def _catalog(ask: Ask, queries: dict[str, str]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, ask(query))) for name, query in queries.items()}


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

        migrated = _catalog(ask, POSTGRES_CATALOG)
        connection.execute("ALTER SCHEMA tasty RENAME TO before")
        for statement in _described(POSTGRES):
            connection.execute(statement.encode())
        connection.execute("CREATE TABLE tasty.schema_version ()")
        assert migrated == _catalog(ask, POSTGRES_CATALOG)
    # the queries above do see every kind of thing
    assert {name: bool(found) for name, found in migrated.items()} == dict.fromkeys(POSTGRES_CATALOG, True)
    assert any("CHECK" in line for line in migrated["constraints"])


def test_migrated_and_described_tables_are_the_same_in_duckdb(duckdb_url: str) -> None:
    open_warehouse(duckdb_url).migrate()
    with duckdb.connect(duckdb_url.removeprefix("duckdb:///")) as connection:
        migrated = _catalog(lambda query: connection.execute(query).fetchall(), DUCKDB_CATALOG)
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (0,)
    with duckdb.connect() as connection:
        for statement in _described(DUCKDB):
            connection.execute(statement)
        assert migrated == _catalog(lambda query: connection.execute(query).fetchall(), DUCKDB_CATALOG)
    for kind in ("DECIMAL(38,12)", "JSON", "BIGINT", "TIMESTAMP WITH TIME ZONE", "DATE", "BOOLEAN", "VARCHAR"):
        assert any(f"'{kind}'" in line for line in migrated["columns"])
    assert any("CHECK" in line for line in migrated["constraints"])


def test_every_table_and_column_has_a_comment_the_version_table_too(warehouse: Warehouse) -> None:
    where = {
        "duckdb": "SELECT table_name FROM duckdb_columns() WHERE schema_name = 'tasty' AND comment IS NULL",
        "postgres": "SELECT attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 "
        "AND relkind = 'r' AND relnamespace = 'tasty'::regnamespace AND col_description(attrelid, attnum) IS NULL",
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
        assert "tasty_pipeline" not in path.read_text()


def test_revisions_are_one_line_numbered_from_1() -> None:
    numbers = [script.revision for script in reversed(list(migrations.scripts().walk_revisions()))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_migrating_again_is_cheap(warehouse: Warehouse) -> None:
    warehouse.migrate()
    started = time.perf_counter()
    warehouse.migrate()
    assert time.perf_counter() - started < 1


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("transactions", sa.Column("note", sa.Text(), comment="A note."), schema="tasty")
    op.alter_column("accounts", "nickname", new_column_name="called", schema="tasty")
    op.drop_column("accounts", "risk_tolerance", schema="tasty")
    op.create_table("notes", sa.Column("note", sa.Text(), primary_key=True), schema="tasty")
    if op.get_context().opts["backend"] == "postgres":
        op.execute("CREATE VIEW tasty.spoken AS SELECT called FROM tasty.accounts")
"""


def test_a_later_revision_changes_tables_that_hold_rows(
    warehouse_url: str, tmp_path: Path, transaction: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = open_warehouse(warehouse_url)
    warehouse.migrate()
    with warehouse.write() as writer:
        writer.insert(schema.transactions, [transaction(1)])
    versions = tmp_path / "next" / "versions"
    shutil.copytree(Path(migrations.__file__).parent / "versions", versions)
    (versions / "9001_notes.py").write_text(NEXT.format(head=migrations.head()))
    later = ScriptDirectory(str(versions.parent))
    monkeypatch.setattr(migrations, "scripts", lambda: later)
    monkeypatch.setattr(migrations, "head", lambda: "9001")
    assert warehouse.migrate() == warehouse.version() == "9001"
    with warehouse.read() as reader:
        assert reader.rows(sa.select(sa.column("note")).select_from(schema.transactions)) == [{"note": None}]
    monkeypatch.undo()
    with pytest.raises(SchemaVersionError):
        warehouse.migrate()
