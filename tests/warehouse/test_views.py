"""What applications read: one view for each table, with its columns by name, and only what is live."""

import pytest

from tasty_pipeline import migrations
from tasty_pipeline.core import schema

from .conftest import As
from .users import RELATIONS

SEALED = {"sealed_credentials", "refused_login"}
COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
TABLES = {name.removeprefix("tasty."): table for name, table in schema.METADATA.tables.items()}
# what is between the pipeline and itself
WITHOUT_VIEW = {"access_tokens", "proven_windows"}
OF_OTHER_NAMES = {"removed_transactions": "transactions"}


def test_there_is_a_view_for_every_table_but_the_pipelines_own(acting: As) -> None:
    views = {name for (name,) in acting("owner").ask(RELATIONS) if name.startswith("tasty_v1.")}
    names = (set(TABLES) - WITHOUT_VIEW) | {"removed_transactions", "schema_version"}
    assert views == {f"tasty_v1.{name}" for name in names}


@pytest.mark.parametrize("view", [*sorted(set(TABLES) - WITHOUT_VIEW), *OF_OTHER_NAMES])
def test_a_view_has_its_tables_columns_in_order_and_one_key(acting: As, view: str) -> None:
    table = TABLES[OF_OTHER_NAMES.get(view, view)]
    who = acting("owner")
    wanted = [each for each in who.ask(COLUMNS, f"tasty.{table.name}") if each[0] not in SEALED]
    if len(schema.key_of(table)) > 1:
        wanted.insert(0, ("id", "text"))
    assert [name for name, _ in wanted if name != "id"] == [
        column.name for column in table.columns if column.name not in SEALED
    ]
    assert who.ask(COLUMNS, f"tasty_v1.{view}") == wanted


def test_every_view_asks_for_the_rights_of_its_reader(acting: As) -> None:
    options = "SELECT DISTINCT reloptions FROM pg_class WHERE relkind = 'v' AND relnamespace = 'tasty_v1'::regnamespace"
    assert acting("owner").ask(options) == [(["security_invoker=true"],)]


def test_a_composite_key_is_one_text(acting: As) -> None:
    who = acting("tasty_reader", "eve")
    who.act_as("")
    who.ask("SET DateStyle = 'German'")
    where = "WHERE account_number = 'A1'"
    for view, key in (
        ("positions", "A1|x|x|x"),
        ("balances", "A1|x"),
        ("balance_snapshots", "A1|x|2026-03-06|x"),
        ("proven_days", "A1|x|2026-03-06"),
        ("rejected_rows", "A1|x|x"),
        ("connection_accounts", "a|A1"),
    ):
        assert (key,) in who.ask(f"SELECT id FROM tasty_v1.{view} {where}"), view  # noqa: S608


def test_a_view_shows_what_is_live_and_removed_transactions_have_their_own(acting: As) -> None:
    who = acting("owner")
    for table in ("accounts", "balance_snapshots", "connection_accounts"):
        (before,) = who.ask(f"SELECT count(*) FROM tasty_v1.{table}")  # noqa: S608
        marked = who.count(f"UPDATE tasty.{table} SET removed_at = now() WHERE account_number = 'A2'")  # noqa: S608
        assert marked
        assert who.ask(f"SELECT count(*) FROM tasty_v1.{table}") == [(before[0] - marked,)]  # noqa: S608
    live, gone, both = (
        {number for (number,) in who.ask(f"SELECT transaction_id FROM {relation}")}  # noqa: S608
        for relation in ("tasty_v1.transactions", "tasty_v1.removed_transactions", "tasty.transactions")
    )
    assert len(live) == len(gone) == 4
    assert live | gone == both


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("state = NULL", "new"),
        ("state = 'active'", "active"),
        ("state = 'needs reauthorisation'", "needs reauthorisation"),
        ("state = 'needs reauthorisation', disconnected_at = now()", "disconnected"),
    ],
)
def test_a_connection_is_new_until_tried_and_disconnected_whatever_it_was(acting: As, change: str, state: str) -> None:
    who = acting("owner")
    who.ask(f"UPDATE tasty.connections SET {change} WHERE connection_id = 'a'")  # noqa: S608
    assert who.ask("SELECT state FROM tasty_v1.connections WHERE connection_id = 'a'") == [(state,)]


def test_an_application_sees_the_version(acting: As) -> None:
    assert acting("tasty_app", "alice").ask("SELECT version FROM tasty_v1.schema_version") == [(migrations.head(),)]
