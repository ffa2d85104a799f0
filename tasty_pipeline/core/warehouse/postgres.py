"""The Postgres backend: psycopg 3, one connection per transaction.

Here belong the transaction, its locks and COPY. The text that is copied belongs to `postgres_copy.py`, what errors mean
to `postgres_errors.py`, how statements are written to `dialects.py` and `merging.py`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import psycopg.sql
import pyarrow as pa
import sqlalchemy as sa
from psycopg.types.json import set_json_dumps, set_json_loads

from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.spool import Rows
from tasty_pipeline.core.warehouse import postgres_copy
from tasty_pipeline.core.warehouse.base import Warehouse
from tasty_pipeline.core.warehouse.dialects import POSTGRES, parsed
from tasty_pipeline.core.warehouse.postgres_errors import Explain

_LONGEST_CONNECT = 10
# A server that vanishes without a word is noticed within a minute or so, not after the system's two hours.
_DEFAULTS: dict[str, str] = {
    "application_name": "tasty_pipeline",
    "client_encoding": "utf8",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class PostgresWarehouse(Warehouse):
    """Tables in the schema `tasty` of a Postgres database."""

    kind: Literal["postgres"] = "postgres"

    def __init__(self, settings: dict[str, Any], label: str, wait_seconds: float) -> None:
        super().__init__(label, wait_seconds)
        limit = str(max(2, min(int(wait_seconds), _LONGEST_CONNECT)))
        self._settings = {"connect_timeout": limit, **_DEFAULTS, **settings}
        self._explain = Explain(label, str(settings.get("password") or ""), wait_seconds)

    def publish_copy(self, path: Path) -> None:
        """Raise ConfigurationError: readers of Postgres need no copy."""
        raise ConfigurationError(
            f"A read-only copy ({path}) was asked for, but the warehouse is the {self.label}.",
            "leave the copy's path unset; readers of Postgres neither block the pipeline nor are blocked by it.",
        )

    @contextmanager
    def _transaction(self, *locks: str, write: bool) -> Iterator["_PostgresSession"]:
        with self._explain.connecting():
            connection = psycopg.connect(**self._settings)
        try:
            # said in either case: a role's or a database's default may be another one, and a snapshot that is taken
            # before a lock was waited for does not see what its last holder committed
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            if not write:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
            session = _PostgresSession(connection, self._explain)
            session.begin(int(self._wait_seconds * 1000), locks)
            yield session
            with self._explain.committing():
                connection.commit()
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            connection.close()


class _PostgresSession:
    dialect: sa.Dialect = POSTGRES

    def __init__(self, connection: psycopg.Connection[Any], explain: Explain) -> None:
        self._connection = connection
        self._explain = explain
        set_json_loads(parsed, connection)
        set_json_dumps(canonical_json, connection)

    def begin(self, wait_milliseconds: int, locks: tuple[str, ...]) -> None:
        """Start the transaction with its settings and take the locks, in one order everywhere.

        READ COMMITTED, so that what is read after a lock was waited for is what its last holder committed. The
        settings are LOCAL, so that a connection pooler between us and the server hands none of them on.
        """
        settings = {"TimeZone": "UTC", "DateStyle": "ISO", "lock_timeout": f"{max(wait_milliseconds, 1)}ms"}
        for name, value in settings.items():
            self.fetch("SELECT set_config(%s, %s, true)", (name, value))
        for lock in sorted(set(locks)):
            self.lock(lock)

    def lock(self, name: str) -> None:
        with self._explain.waiting_for(name):
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number(name),))

    def notify(self, channel: str, text: str) -> None:
        self.fetch("SELECT pg_notify(%s, %s)", (channel, text))

    def fetch(self, sql: str, parameters: Any = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        with self._explain.working():
            cursor = self._connection.execute(sql.encode(), parameters)
            names = [column.name for column in cursor.description or ()]
            return names, cursor.fetchall()

    def fetch_arrow(self, sql: str, parameters: Any, schema: pa.Schema) -> pa.Table:
        """Read the answer as CSV, some megabytes at a time: its rows never become Python values."""
        tables: list[pa.Table] = []
        waiting: list[postgres_copy.Cells] = []
        size = 0
        with self._explain.working(), psycopg.ClientCursor(self._connection) as cursor:
            # COPY takes no parameters
            whole = cursor.mogrify(sql.encode(), parameters)
            with cursor.copy(f"COPY ({whole}) TO STDOUT (FORMAT csv)".encode()) as copy:
                for row in copy:
                    waiting.append(row)
                    size += len(row)
                    if size > postgres_copy.BYTES_AT_ONCE:
                        tables.append(postgres_copy.parsed(waiting, schema))
                        waiting, size = [], 0
        return pa.concat_tables([*tables, postgres_copy.parsed(waiting, schema)])

    def run(self, sql: str, parameters: Any = None) -> int:
        with self._explain.working():
            return self._connection.execute(sql.encode(), parameters).rowcount

    def script(self, sql: str) -> None:
        with self._explain.working():
            self._connection.execute(sql.encode())

    def stage(self, stage: sa.Table, rows: Rows, constants: Mapping[str, pa.Scalar]) -> None:
        """Copy the rows into a temporary table; what all have in common is a column's default."""
        columns = []
        for column in stage.columns:
            value = constants[column.name].as_py() if column.name in constants else None
            default = "" if value is None else f" DEFAULT {psycopg.sql.Literal(str(value)).as_string(self._connection)}"
            columns.append(f"{_named(column.name)} {column.type.compile(self.dialect)}{default}")
        self.script(f"CREATE TEMPORARY TABLE {stage.name} ({', '.join(columns)}) ON COMMIT DROP")
        with self._explain.working(), self._connection.cursor() as cursor:
            for names, text in postgres_copy.written(rows):
                into = f"COPY {stage.name} ({', '.join(map(_named, names))}) FROM STDIN (FORMAT csv)"
                with cursor.copy(into.encode()) as copy:
                    copy.write(text)


def _named(column: str) -> str:
    return POSTGRES.identifier_preparer.quote(column)


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    """Let go of the locks now; the server would do it a moment after the connection is closed."""
    try:
        connection.rollback()
    except psycopg.Error:
        # the connection is gone, and the transaction with it; what must be told is why
        return


def _number(lock: str) -> int:
    """Return the 64-bit number that stands for a lock's name in this database."""
    return int.from_bytes(hashlib.blake2b(f"tasty:{lock}".encode(), digest_size=8).digest(), signed=True)
