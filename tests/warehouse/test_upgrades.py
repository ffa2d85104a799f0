"""A database of an earlier version that holds rows becomes what a new one is, and keeps them."""

import shutil
from collections.abc import Callable
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

from .catalog import DUCKDB_CATALOG, POSTGRES_CATALOG, SURROUNDINGS, catalog
from .conftest import MakeRow

FIRST = """
INSERT INTO tasty.accounts (account_number, nickname, authority_level, removed_at, synced_at, run_id) VALUES
    ('5WX00001', 'Mine', 'owner', NULL, '2026-03-06 21:30:00+00', 'run-1'),
    ('5WX00002', NULL, 'read-only', NULL, '2026-03-07 21:30:00+00', 'run-2'),
    ('5WX00003', NULL, 'owner', '2026-03-07 21:30:00+00', '2026-03-07 21:30:00+00', 'run-2');
INSERT INTO tasty.transactions (transaction_id, account_number, transaction_type, transaction_sub_type, executed_at,
    transaction_date, value, net_value, synced_at, run_id) VALUES
    (1, '5WX00001', 'Trade', 'Buy to Open', '2026-03-06 21:30:00+00', '2026-03-06', -1, -2, '2026-03-06 21:30:00+00',
     'run-1');
INSERT INTO tasty.sync_log (sync_id, connection, environment, account_number, table_name, result, rows_read,
    rows_inserted, rows_updated, rows_removed, rows_rejected, requests, retries, throttled, read_started_at, synced_at,
    run_id) VALUES
    ('s-1', 'default', '{}', '', 'accounts', '{}', 3, 3, 0, 0, 0, 1, 0, 0, '2026-03-06 21:30:00+00',
     '2026-03-06 21:30:00+00', 'run-1');
"""
Version = Callable[[str], None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Version:
    """Makes the package one that knows no later version than this."""

    def know(version: str) -> None:
        versions = tmp_path / version / "versions"
        shutil.copytree(Path(migrations.__file__).parent / "versions", versions)
        for path in versions.glob("0*.py"):
            if path.name[:4] > version:
                path.unlink()
        known = ScriptDirectory(str(versions.parent))
        monkeypatch.setattr(migrations, "scripts", lambda: known)
        monkeypatch.setattr(migrations, "head", lambda: version)

    return know


def _run(url: str, *statements: str) -> None:
    if url.startswith("duckdb"):
        with duckdb.connect(url.removeprefix("duckdb:///")) as file:
            for statement in statements:
                file.execute(statement)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _everything(url: str) -> dict[str, list[str]]:
    if url.startswith("duckdb"):
        with duckdb.connect(url.removeprefix("duckdb:///")) as file:
            return catalog(lambda query: file.execute(query).fetchall(), DUCKDB_CATALOG)
    with psycopg.connect(url) as connection:
        return catalog(lambda query: connection.execute(query.encode()).fetchall(), POSTGRES_CATALOG | SURROUNDINGS)


def _rows(warehouse: Warehouse, table: sa.Table) -> list[dict[str, Any]]:
    with warehouse.read() as reader:
        return reader.rows(sa.select(table).order_by(*table.primary_key.columns))


def _upgraded(url: str, only: Version, monkeypatch: pytest.MonkeyPatch, *statements: str) -> Warehouse:
    warehouse = open_warehouse(url)
    only("0001")
    assert warehouse.migrate() == "0001"
    _run(url, *statements)
    monkeypatch.undo()
    assert warehouse.migrate() == warehouse.version() == migrations.head()
    return warehouse


def test_a_database_of_the_first_version_becomes_what_a_new_one_is(
    warehouse_url: str, only: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = _upgraded(warehouse_url, only, monkeypatch, FIRST.format("production", "published"))
    upgraded = _everything(warehouse_url)
    _run(warehouse_url, "DROP SCHEMA tasty CASCADE")
    if warehouse.kind == "postgres":
        _run(warehouse_url, "DROP SCHEMA tasty_v1 CASCADE")
    warehouse.migrate()
    assert _everything(warehouse_url) == upgraded
    assert all(upgraded.values())


def test_what_the_login_may_do_moves_to_its_connection_and_all_else_stays(
    warehouse_url: str, only: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = _upgraded(warehouse_url, only, monkeypatch, FIRST.format("production", "published"))
    links = _rows(warehouse, schema.connection_accounts)
    assert [(row["connection_id"], row["account_number"], row["authority_level"], row["run_id"]) for row in links] == [
        ("default", "5WX00001", "owner", "run-1"),
        ("default", "5WX00002", "read-only", "run-2"),
    ]
    accounts = {row["account_number"]: row for row in _rows(warehouse, schema.accounts)}
    assert [row["synced_at"] for row in links] == [accounts[row["account_number"]]["synced_at"] for row in links]
    assert all(row["removed_at"] is None for row in links)
    assert len(accounts) == 3
    assert accounts["5WX00001"]["nickname"] == "Mine"
    assert accounts["5WX00003"]["removed_at"]
    assert len(_rows(warehouse, schema.transactions)) == len(_rows(warehouse, schema.sync_log)) == 1
    assert _rows(warehouse, schema.changes) == []


@pytest.mark.parametrize(
    ("environment", "result", "sandbox"),
    [("sandbox", "published", True), ("sandbox", "failed", False), ("production", "published", False)],
)
def test_the_login_that_has_read_the_accounts_is_the_connection_default(
    warehouse_url: str, only: Version, monkeypatch: pytest.MonkeyPatch, environment: str, result: str, sandbox: bool
) -> None:
    warehouse = _upgraded(warehouse_url, only, monkeypatch, FIRST.format(environment, result))
    (row,) = _rows(warehouse, schema.connections)
    assert row.pop("connected_at").utcoffset() is not None
    given = {"connection_id": "default", "label": "default", "sandbox": sandbox}
    assert {name: value for name, value in row.items() if value is not None} == given


def test_a_database_that_has_read_nothing_has_no_connection(
    warehouse_url: str, only: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = _upgraded(warehouse_url, only, monkeypatch)
    assert _rows(warehouse, schema.connections) == _rows(warehouse, schema.connection_accounts) == []


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"


def upgrade() -> None:
    postgres = op.get_context().opts["backend"] == "postgres"
    if postgres:
        op.execute("DROP VIEW tasty_v1.accounts")  # it has a column that goes
    op.add_column("transactions", sa.Column("note", sa.Text(), comment="A note."), schema="tasty")
    op.alter_column("accounts", "nickname", new_column_name="called", schema="tasty")
    op.drop_column("accounts", "risk_tolerance", schema="tasty")
    op.create_table("notes", sa.Column("note", sa.Text(), primary_key=True), schema="tasty")
    if postgres:
        # the column that was renamed keeps its name here
        op.execute(
            "CREATE VIEW tasty_v1.accounts WITH (security_invoker = true) AS "
            "SELECT account_number, called AS nickname FROM tasty.accounts WHERE removed_at IS NULL"
        )
        op.execute("SELECT tasty.make_roles()")
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
        if warehouse.kind == "postgres":
            may = sa.func.has_table_privilege("tasty_reader", "tasty_v1.accounts", "SELECT")
            assert reader.scalar(sa.select(may)) is True
    monkeypatch.undo()
    with pytest.raises(SchemaVersionError):
        warehouse.migrate()
