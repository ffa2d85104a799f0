"""The Postgres backend: psycopg 3, one connection per transaction.

Here belong the transaction, its locks and the loading of an Arrow table by COPY. What errors mean belongs to
`postgres_errors.py`; how statements are written, to `dialects.py` and `merging.py`.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from psycopg.types.json import set_json_dumps, set_json_loads

from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import ConfigurationError
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

    def run(self, sql: str, parameters: Any = None) -> int:
        with self._explain.working():
            return self._connection.execute(sql.encode(), parameters).rowcount

    def script(self, sql: str) -> None:
        with self._explain.working():
            self._connection.execute(sql.encode())

    def load(self, stage: sa.Table, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        text = io.BytesIO()
        # NULL is an empty cell, an empty text is "": exactly as COPY reads CSV
        pa.csv.write_csv(rows, text, pa.csv.WriteOptions(include_header=False))
        with (
            self._explain.working(),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {stage.name} FROM STDIN (FORMAT csv)".encode()) as copy,
        ):
            copy.write(text.getbuffer())


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
