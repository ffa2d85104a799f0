"""Models and tables are the same; values are exact; nothing can be written."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from books import A1, NOON, O1, SHARED, Books
from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.db import DatabaseError, connections, models, router
from django.template import Context, Template
from scene import People, Site

from tasty_django import vocabulary
from tasty_django.errors import ReadOnlyError
from tasty_django.models import Account, Position, RejectedRow, Transaction
from tasty_django.models.fields import AccountKey
from tasty_pipeline.core import schema
from tasty_pipeline.core import vocabulary as pipelines_vocabulary

MODELS = list(apps.get_app_config("tasty_django").get_models())
HIDDEN = {"sealed_credentials", "refused_login"}
TABLES = {"removed_transactions": "transactions"}


def _view(model: type[models.Model]) -> str:
    return model._meta.db_table.split('"')[3]


def _table(model: type[models.Model]) -> sa.Table:
    view = _view(model)
    return schema.METADATA.tables[f"tasty.{TABLES.get(view, view)}"]


def _real_columns(url: str) -> dict[str, dict[str, tuple[str, str | None]]]:
    """By view and column: type and comment."""
    found: dict[str, dict[str, tuple[str, str | None]]] = {}
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname, attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) "
            "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE relnamespace = 'tasty_v1'::regnamespace AND attnum > 0"
        ).fetchall()
    for view, column, kind, comment in rows:
        found.setdefault(view, {})[column] = (kind, comment)
    return found


def test_every_view_has_a_model_of_the_same_columns_types_and_comments(site: Site) -> None:
    real = _real_columns(site.owner_url)
    assert {*map(_view, MODELS)} == {*real} - {"schema_version"}
    for model in MODELS:
        fields = {
            field.column: (str(field.db_type(connections["tasty"])).replace(" ", ""), field.help_text)
            for field in model._meta.concrete_fields
        }
        expected = {name: (kind.replace(" ", ""), comment) for name, (kind, comment) in real[_view(model)].items()}
        assert fields == expected, model


@pytest.mark.parametrize("model", MODELS, ids=_view)
def test_a_model_says_of_its_columns_what_the_schema_says(model: type[models.Model]) -> None:
    table = _table(model)
    fields = {field.column: field for field in model._meta.concrete_fields}
    made_up = {"id"} if len(schema.key_of(table)) > 1 else set()
    assert {*fields} == {column.name for column in table.columns} - HIDDEN | made_up
    assert model._meta.pk.column in (made_up or schema.key_of(table))
    for column in table.columns:
        field = fields.get(column.name)
        if field is None or (table.name, column.name) == ("connections", "state"):
            continue
        assert field.help_text == column.comment
        assert isinstance(field, AccountKey) or field.null == column.nullable, column
        assert str(field.db_type(connections["tasty"])).replace(" ", "") == schema.type_of(column).replace(" ", "")
        known = column.info.get("vocabulary")
        assert known is None or {value for value, _ in field.flatchoices} == known, column


def test_the_choices_are_the_pipelines_vocabulary() -> None:
    for name, known in vars(pipelines_vocabulary).items():
        if isinstance(known, frozenset):
            assert {value for value, _ in getattr(vocabulary, name)} == known, name
    assert [value for value, _ in vocabulary.MIRRORED] == list(schema.MIRRORED)


def test_decimals_are_exact_to_the_last_place(books: Books) -> None:
    largest = Decimal("12345678901234567890123456.123456789012")
    books.position(A1, "MAX", quantity=largest, average_open_price=Decimal("0.000000000001"))
    row = Position.objects.get(symbol="MAX")
    assert (row.quantity, row.average_open_price) == (largest, Decimal("0.000000000001"))
    assert Position.objects.filter(quantity=largest, average_open_price__lt=Decimal("0.000000000002")).exists()
    assert Position.objects.filter(symbol="MAX").aggregate(sum=models.Sum("quantity"))["sum"] == largest


def test_times_are_aware_and_exact_to_the_microsecond(books: Books) -> None:
    row = Transaction.objects.get(account=A1)
    assert row.executed_at == NOON
    assert row.executed_at.tzinfo is not None
    assert row.transaction_date == dt.date(2026, 3, 6)


def test_numbers_in_json_stay_decimals_and_can_be_asked_for(books: Books) -> None:
    exact = Decimal("1234567890123456789.000000000001")
    books.transaction(A1, "JSON", transaction_id=99, extra={"new": exact, "more": [{"whole": 7}, "€", None, True]})
    row = Transaction.objects.get(pk=99)
    assert row.extra == {"new": exact, "more": [{"whole": 7}, "€", None, True]}
    assert list(Transaction.objects.filter(extra__contains={"new": exact})) == [row]
    assert not Transaction.objects.filter(extra__contains={"new": exact + Decimal("0.000000000001")}).exists()
    assert '"new": 1234567890123456789.000000000001' in json.dumps(
        row.extra, cls=Transaction._meta.get_field("extra").encoder
    )  # type: ignore[union-attr]


def test_a_row_stays_when_its_account_is_listed_no_more(books: Books) -> None:
    books.update("accounts", {"account_number": O1}, removed_at=NOON)
    rows = {row.account_number: row for row in Transaction.objects.select_related("account")}
    assert len(rows) == 4
    row = rows[O1]
    assert row.account is None
    assert Transaction.objects.get(account_id=O1).account is None
    assert row.account_number == O1
    assert [each.account for each in Transaction.objects.filter(account_id=O1).prefetch_related("account")] == [None]


def test_rows_know_their_account_and_accounts_their_rows(books: Books) -> None:
    account = Account.objects.get(pk=A1)
    assert [row.account for row in account.transactions.all()] == [account]
    assert [row.symbol for row in account.positions.open()] == ["SPY"]
    assert (account.balances.count(), account.balance_snapshots.count(), account.seen_by.count()) == (1, 1, 1)
    assert account.removed_transactions.count() == 0


def test_a_removed_transaction_is_found_apart(books: Books) -> None:
    gone = books.transaction(A1, removed_at=NOON)["transaction_id"]
    assert not Transaction.objects.filter(pk=gone).exists()
    assert Account.objects.get(pk=A1).removed_transactions.get().pk == gone


def _writes(row: Transaction) -> dict[str, Any]:
    rows, account = Transaction.objects, Account.objects.get(pk=A1)
    return {
        "save": row.save,
        "save of a copy": lambda: Transaction(transaction_id=5).save(),
        "delete": row.delete,
        "create": lambda: rows.create(transaction_id=5),
        "get_or_create": lambda: rows.get_or_create(transaction_id=5),
        "update_or_create": lambda: rows.update_or_create(transaction_id=5),
        "bulk_create": lambda: rows.bulk_create([row]),
        "bulk_update": lambda: rows.bulk_update([row], ["symbol"]),
        "update": lambda: rows.filter(pk=row.pk).update(symbol="X"),
        "delete of many": lambda: rows.all().delete(),
        "through the base manager": lambda: Transaction._base_manager.all().update(symbol="X"),
        "through a relation": lambda: account.transactions.create(transaction_id=5),  # type: ignore[func-returns-value]
        "cleared relation": account.transactions.clear,  # type: ignore[attr-defined]
        "added to a relation": lambda: account.transactions.add(row),  # type: ignore[attr-defined]
        "a fixture": lambda: next(iter(serializers.deserialize("json", serializers.serialize("json", [row])))).save(),
        "raw": lambda: row.save_base(raw=True),
        "a lock": lambda: list(rows.select_for_update()),
    }


def test_nothing_can_be_written_through_a_model(books: Books) -> None:
    row = Transaction.objects.get(account=A1)
    for name, write in _writes(row).items():
        with pytest.raises(ReadOnlyError, match="Transaction cannot be written: its table is the pipeline's"):
            pytest.fail(f"{name} was done: {write()}")
    assert books.rows("transactions")[0]["symbol"] == "SPY"
    assert len(books.rows("transactions")) == 4


def test_a_template_cannot_delete_a_row(books: Books) -> None:
    page = Template("{{ row.delete }}{{ row.save }}{{ row.account.transactions.all.delete }}|{{ row.symbol }}")
    assert page.render(Context({"row": Transaction.objects.get(account=A1)})) == "|SPY"


def test_the_database_refuses_too(books: Books) -> None:
    tried = (
        'UPDATE "tasty_v1"."transactions" SET symbol = NULL',
        "DELETE FROM tasty.transactions",
        "INSERT INTO tasty.accounts (account_number, synced_at, run_id) VALUES ('X', now(), 'x')",
        "UPDATE tasty.sync_requests SET state = 'done'",
        "SELECT sealed_credentials FROM tasty.connections",
        "SELECT * FROM tasty.access_tokens",
        "TRUNCATE tasty.positions",
    )
    for sql in tried:
        with pytest.raises(DatabaseError, match="permission denied"), connections["tasty"].cursor() as cursor:
            cursor.execute(sql)


def test_reads_go_to_the_alias_and_writes_and_migrations_nowhere(site: Site) -> None:
    assert router.db_for_read(Transaction) == "tasty"
    with pytest.raises(ReadOnlyError, match="cannot be written"):
        router.db_for_write(Transaction)
    for alias in ("default", "tasty"):
        assert not router.allow_migrate(alias, "tasty_django")
    assert router.db_for_read(apps.get_model("auth", "User")) == "default"
    assert router.allow_migrate("default", "auth")
    assert not router.allow_migrate("tasty", "auth")
    assert router.allow_relation(Account(pk=A1), Transaction(pk=1))


def test_django_neither_makes_nor_misses_a_migration(site: Site) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE '%tasty_django%'")
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT codename FROM auth_permission JOIN django_content_type ON content_type_id = django_content_type.id "
            "WHERE app_label = 'tasty_django'"
        )
        assert {name.split("_")[0] for (name,) in cursor.fetchall()} == {"view"}


def test_a_row_says_what_it_is(books: Books) -> None:
    books.insert(
        "rejected_rows", account_number=A1, table_name="transactions", payload_digest="0", reason="odd", payload={}
    )
    books.insert("sealing_keys", key_id="k1", public_key="x", created_at=NOON)
    books.insert("sync_requests", request_id="r1", owner="1", requested_at=NOON, state="queued")
    books.change(1)
    books.transaction(A1, removed_at=NOON)
    told = {model.__name__: str(model._default_manager.order_by("pk").first()) for model in MODELS}
    assert told["Account"] == f"Account 1 ({A1})"
    assert told["Position"] == "100 SPY"
    assert told["RejectedRow"] == f"transactions of {A1}: odd"
    assert told["BalanceSnapshot"] == f"{A1} in USD on 2026-03-06 (EOD)"
    assert all(told.values())
    assert RejectedRow.objects.standing().count() == 1


def test_a_wrong_setting_is_told_by_its_name() -> None:
    program = (
        "from django.conf import settings; settings.configure(INSTALLED_APPS=['tasty_django'], TASTY_DJANGO={!r});"
        "import django; django.setup()"
    )
    for setting, told in (
        ({"SCHEMES": "x"}, "TASTY_DJANGO is a dictionary of DATABASE, SCHEMA, TABLES; it has 'SCHEMES'"),
        ({"SCHEMA": 'x"; DROP'}, "which is no name of a schema"),
        ("tasty", "TASTY_DJANGO is a dictionary of DATABASE, SCHEMA, TABLES; it has 'tasty'"),
        ({"SCHEMA": 5}, "it must be text"),
    ):
        command = [sys.executable, "-c", program.replace("{!r}", repr(setting))]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own
        assert told in done.stderr.splitlines()[-1]


def test_an_account_is_shared_and_each_row_comes_once(books: Books, people: People) -> None:
    books.connection("alice-2", people.alice.pk)
    books.seen("alice-2", SHARED)
    assert [row.account_number for row in Transaction.objects.for_user(people.alice).order_by("account")] == [
        A1,
        SHARED,
    ]
