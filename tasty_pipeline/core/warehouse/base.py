"""A database that holds the tables: its transactions, and its migrations.

Here belongs what both backends share; how a connection is opened, begun, committed and mended belongs to `duckdb.py`
and `postgres.py`. What is done inside a transaction is in `writer.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from tasty_pipeline import migrations
from tasty_pipeline.core.warehouse.session import Session
from tasty_pipeline.core.warehouse.writer import Reader, Writer

MIGRATE = "migrate"  # the lock under which the tables are made and changed


class Warehouse(ABC):
    """A database that holds the tables of `core.schema`. Nothing is opened before it is used, or kept open after."""

    kind: Literal["duckdb", "postgres"]

    def __init__(self, label: str, wait_seconds: float) -> None:
        self.label = label
        self._wait_seconds = wait_seconds
        self._is_current = False

    @abstractmethod
    def _transaction(self, *locks: str, write: bool) -> AbstractContextManager[Session]:
        """Open, begin, yield, then commit or roll back, and close."""

    @abstractmethod
    def publish_copy(self, path: Path) -> None:
        """Put a complete, consistent copy of a DuckDB warehouse at `path` in one step."""

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Open one short read transaction: all its reads see one and the same state."""
        with self._transaction(write=False) as session:
            yield Reader(session)

    @contextmanager
    def write(self, *locks: str) -> Iterator[Writer]:
        """Open one transaction: committed at the end of the block, rolled back by any exception.

        `locks` are names; transactions that share one run after each other. Raises WarehouseLockedError when one is
        not free within the wait.
        """
        with self._transaction(*locks, write=True) as session:
            yield Writer(session)

    def version(self) -> str | None:
        """Return the stored schema version, None where there are no tables yet. Changes nothing."""
        with self._transaction(write=False) as session:
            return _stored_version(session)

    def is_current(self) -> bool:
        """Say whether the tables are there, and of this package's version; a yes is remembered by this object."""
        self._is_current = self._is_current or self.version() == migrations.head()
        return self._is_current

    def migrate(self) -> str:
        """Bring the tables to this package's version, under a lock; return it. Cheap when nothing is to be done.

        Raises SchemaVersionError, and changes nothing, when the tables have a version that this package does not know.
        """
        if not self.is_current():
            with self._transaction(MIGRATE, write=True) as session:
                _make_schema(session)
                # somebody else may have been faster
                sql = migrations.upgrade_script(session.dialect, self.kind, _stored_version(session), self.label)
                if sql:
                    session.script(sql)
        return migrations.head()


def _make_schema(session: Session) -> None:
    # not IF NOT EXISTS: Postgres then wants the right to create schemas even where an administrator has made this one
    known = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = "
    if not session.fetch(f"{known}'{migrations.SCHEMA}'")[1]:
        session.script(f"CREATE SCHEMA {migrations.SCHEMA}")


def _stored_version(session: Session) -> str | None:
    tables = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = "
    if not session.fetch(f"{tables}'{migrations.SCHEMA}' AND tablename = '{migrations.VERSION_TABLE}'")[1]:
        return None
    rows = session.fetch(f"SELECT version_num FROM {migrations.SCHEMA}.{migrations.VERSION_TABLE}")[1]  # noqa: S608
    return str(rows[0][0]) if rows else None
