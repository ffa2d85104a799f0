"""Two users in one Postgres database: who sees what, and a row of everything for each account.

alice's login `a` sees A1 and A2, bob's login `b` sees A2 and A3, the operator's own login `default` sees all four.
"""

import contextlib
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Writer, open_warehouse

AT = dt.datetime(2026, 3, 6, 21, 30, tzinfo=dt.UTC)
ACCOUNTS = ("A1", "A2", "A3", "A4")
SEES = {"alice": {"A1", "A2"}, "bob": {"A2", "A3"}, "eve": set[str](), "nobody": set[str]()}
LOGINS = {"a": ("alice", ("A1", "A2")), "b": ("bob", ("A2", "A3")), "default": (None, ACCOUNTS)}
# what is nobody's own
COMMON = {"sealing_keys", "schema_version"}
SEALED = "tp1.k1.c2VhbGVk"
Rows = list[tuple[Any, ...]]
RELATIONS = """
    SELECT relnamespace::regnamespace || '.' || relname FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND relnamespace::regnamespace::text IN ('tasty', 'tasty_v1')
    ORDER BY 1"""
READABLE = """
    SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
    AND has_column_privilege(attrelid, attnum, 'SELECT') ORDER BY attnum"""
KINDS = ("tasty_reader", "tasty_app")

_SAMPLES: tuple[tuple[type, Any], ...] = (
    (sa.JSON, {}),
    (sa.Text, "x"),
    (sa.Numeric, Decimal(1)),
    (sa.Boolean, False),
    (sa.DateTime, AT),
    (sa.Date, AT.date()),
)
_NUMBERS = itertools.count(1)


def row_of(table: sa.Table, **columns: Any) -> dict[str, Any]:
    """Make a row whose required columns are filled, with these columns besides; whole numbers are never the same."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if not column.nullable:
            whole = isinstance(column.type, sa.BigInteger)
            row[column.name] = next(_NUMBERS) if whole else next(v for k, v in _SAMPLES if isinstance(column.type, k))
    return row | {name: value for name, value in columns.items() if name in table.columns}


def fill(url: str) -> None:
    """Migrate a database and store both users and a row of every table for each account."""
    warehouse = open_warehouse(url)
    warehouse.migrate()
    with warehouse.write() as writer:
        _fill_users(writer)
        for table in schema.METADATA.tables.values():
            if "account_number" in table.columns and table is not schema.connection_accounts:
                words = {"result": "published", "kind": "insert", "connection": "default"}
                writer.insert(
                    table, [row_of(table, account_number=account, **words, **_id(table)) for account in ACCOUNTS]
                )
        transactions, log = schema.transactions, schema.sync_log
        writer.insert(transactions, [row_of(transactions, account_number=each, removed_at=AT) for each in ACCOUNTS])
        for login in LOGINS:
            failed = {"sync_id": f"failed-{login}", "result": "failed", "connection": login}
            writer.insert(log, [row_of(log, **failed, account_number="", error="what happened")])


def _id(table: sa.Table) -> dict[str, str]:
    return {"sync_id": uuid.uuid4().hex} if table is schema.sync_log else {}


def _fill_users(writer: Writer) -> None:
    logins, links, asked = schema.connections, schema.connection_accounts, schema.sync_requests
    for login, (owner, accounts) in LOGINS.items():
        sealed = {"sealed_credentials": SEALED, "refused_login": "digest"}
        writer.insert(logins, [row_of(logins, connection_id=login, owner=owner, label=login, **sealed)])
        writer.insert(links, [row_of(links, connection_id=login, account_number=each) for each in accounts])
        writer.insert(schema.access_tokens, [row_of(schema.access_tokens, connection_id=login)])
        if owner:
            writer.insert(asked, [row_of(asked, request_id=f"r-{owner}", owner=owner, state="done")])
    writer.insert(schema.sealing_keys, [row_of(schema.sealing_keys)])


@contextlib.contextmanager
def member_of(url: str, *roles: str, password: str = "", rights: str = "") -> Iterator[str]:
    """Make a login without any right but these and the roles'; yield the URL of the database with it.

    The server of the tests lets a login in without asking; one that is made with a password must give it.
    """
    name = f"{'guarded' if password else 'member'}_{uuid.uuid4().hex[:8]}"
    password = password or name
    parts = urlsplit(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN {rights} PASSWORD '{password}'".encode())
        for role in roles:
            admin.execute(f"GRANT {role} TO {name}".encode())
        try:
            yield urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{parts.hostname}:{parts.port}"))
        finally:
            admin.execute(f"DROP OWNED BY {name} CASCADE".encode())
            admin.execute(f"DROP ROLE {name}".encode())


class Session:
    """One connection of an application, whose transaction is rolled back in the end."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def ask(self, sql: str, *parameters: Any) -> Rows:
        """Run a statement; an error leaves the transaction as it was before."""
        with self._connection.transaction():
            cursor = self._connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, sql: str, *parameters: Any) -> int:
        """Run a statement that changes rows; return how many."""
        with self._connection.transaction():
            return self._connection.execute(sql.encode(), parameters or None).rowcount

    def act_as(self, user: str) -> None:
        """Set the current user; '' is a trusted application that has none."""
        self._connection.execute("SELECT set_config('tasty.current_user', %s, true)", (user,))


@contextlib.contextmanager
def session(url: str, user: str | None = None) -> Iterator[Session]:
    """Open a session that acts as a user, or has never heard of users; nothing that it does stays."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")  # begins the transaction that is rolled back
        opened = Session(connection)
        if user is not None:
            opened.act_as(user)
        yield opened
        connection.rollback()


def columns_of(who: Session, relation: str) -> list[str]:
    """Return the columns of a table or view that the session may read."""
    return [name for (name,) in who.ask(READABLE, relation)]


def seen(who: Session) -> dict[str, dict[str, set[str | None]]]:
    """Return, of every relation that may be read, what stands in the columns that say whose rows they are."""
    found: dict[str, dict[str, set[str | None]]] = {}
    for (relation,) in who.ask(RELATIONS):
        columns = columns_of(who, relation)
        if columns:
            whose = [each for each in ("account_number", "owner", "connection_id") if each in columns]
            rows = who.ask(f"SELECT {', '.join(whose) or '1'} FROM {relation}")  # noqa: S608 - names of the catalogue
            values = zip(*rows, strict=True) if rows else ([] for _ in whose or [""])
            found[relation] = {name: set(each) for name, each in zip(whose or [""], values, strict=True)}
    return found
