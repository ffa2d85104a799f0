"""What a warehouse does, the same on every backend: read, write, stage, compare, merge, migrate.

Here belongs behaviour; how a connection is opened, begun, committed and mended belongs to `duckdb.py` and
`postgres.py`, which implement `Session` and `Warehouse`. Nothing here knows accounts, windows or proofs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from tasty_pipeline import migrations
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.schema import key_of
from tasty_pipeline.core.warehouse import dialects, merging, staging
from tasty_pipeline.core.warehouse.dialects import Query


class Session(Protocol):
    """One open transaction of one backend. Its methods raise the taxonomy of `core.errors`."""

    dialect: sa.Dialect

    def fetch(self, sql: str, parameters: Any = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query; return the names of its columns and its rows."""

    def run(self, sql: str, parameters: Any = None) -> int:
        """Run one statement; return the number of rows it changed."""

    def script(self, sql: str) -> None:
        """Run several statements without parameters."""

    def load(self, stage: sa.Table, rows: pa.Table) -> None:
        """Put all rows into an empty temporary table."""

    def lock(self, name: str) -> None:
        """Hold a lock from here to the end of the transaction; nothing to do where there is one writer anyway."""

    def notify(self, channel: str, text: str) -> None:
        """Tell whoever listens in this database, at the commit; nothing to do where nobody can listen."""


@dataclass(frozen=True)
class Merge:
    """What a merge did, or a diff would do.

    `unchanged` counts the staged rows that were left unwritten, those of an older read included. `changed` has one
    entry per inserted or updated row, in the order of the keys: the key columns, `change` ("insert" or "update") and,
    where the table has them, `account_number` and `transaction_date` or `snapshot_date`, as staged.
    """

    inserted: int
    updated: int
    unchanged: int
    changed: tuple[dict[str, Any], ...]


class Reader:
    """Reads inside one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rows(self, statement: Query) -> list[dict[str, Any]]:
        """Return the answer as dictionaries, with the same Python values from both databases.

        NUMERIC is Decimal (equal in value, not always in scale), times are aware and in UTC, JSON is parsed with
        Decimal for what has a point. Raises TypeError where a database computed an amount as a float.
        """
        sql, parameters = dialects.compiled(statement, self._session.dialect)
        names, records = self._session.fetch(sql, parameters)
        convert = dialects.converters(statement, self._session.dialect)
        return [
            {name: turn(cell) for name, turn, cell in zip(names, convert, record, strict=True)} for record in records
        ]

    def scalar(self, statement: Query) -> Any:
        """Return the first column of the first row, None if there is no row."""
        first = next(iter(self.rows(statement)), None)
        return None if first is None else next(iter(first.values()))


class Writer(Reader):
    """Reads and writes inside one transaction, which is committed as a whole or not at all."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._numbers = count(1)
        # which rows of which table were written, for as long as the transaction lasts: see `merging.changes_of`
        self.written: list[tuple[sa.Table, sa.Table]] = []

    def stage(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> sa.Table:
        """Load rows into a fresh temporary table like `table` but without constraints, and return it.

        A key that a row leaves out is NULL. Raises AuditError for a value that its column cannot hold exactly.
        """
        arrow = staging.to_arrow(table, rows)
        stage = merging.stage_of(table, f"stage_{next(self._numbers)}_{table.name}")
        self._create(stage)
        self._session.load(stage, arrow)
        return stage

    def merge(self, table: sa.Table, staged: sa.Table, *, newer_only: bool = False) -> Merge:
        """Make the table hold what is staged: insert what is new, update what differs, leave the rest unwritten.

        What counts as a difference is `schema.compared(table)`. With `newer_only`, rows whose stored `synced_at` is
        later than the staged one are left as they are. Raises AuditError for a key that is missing or staged twice,
        for what the table's constraints refuse, and when another transaction changed the same rows meanwhile.
        """
        changes = merging.changes_of(table, f"changes_{next(self._numbers)}_{table.name}")
        self._create(changes)
        names = [column.name for column in changes.columns]
        found = merging.differences(table, staged, newer_only=newer_only)
        self._refuse_duplicates(table, staged)
        self.execute(sa.insert(changes).from_select(names, found))
        merge = self._merge_of(table, staged, sa.select(changes))
        written = (
            self.execute(merging.insertion(table, staged, changes)) if merge.inserted else 0,
            self.execute(merging.update(table, staged, changes)) if merge.updated else 0,
        )
        if written != (merge.inserted, merge.updated):
            raise AuditError(
                f"{table.name}: {merge.inserted} new and {merge.updated} changed rows were found, {written} written.",
                "run it again; somebody else is writing to the same rows without the pipeline's lock.",
            )
        if merge.changed:
            self.written.append((table, changes))
        return merge

    def remove(self, table: sa.Table, *conditions: sa.ColumnElement[bool], **marks: Any) -> int:
        """Delete the rows that meet all conditions or, with `marks`, set these columns of them; return how many.

        Either way they stand as removed in `written`.
        """
        removed = merging.changes_of(table, f"removed_{next(self._numbers)}_{table.name}")
        self._create(removed)
        names = [column.name for column in removed.columns]
        if not self.execute(sa.insert(removed).from_select(names, merging.removals(table, conditions))):
            return 0
        self.written.append((table, removed))
        chosen = sa.exists().where(merging.same_key(table, removed, table))
        return self.execute((sa.update(table).values(marks) if marks else sa.delete(table)).where(chosen))

    def diff(self, table: sa.Table, staged: sa.Table, *, newer_only: bool = False) -> Merge:
        """Return what `merge` would do, writing nothing."""
        self._refuse_duplicates(table, staged)
        return self._merge_of(table, staged, merging.differences(table, staged, newer_only=newer_only))

    def insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert new rows in bulk. Raises AuditError for what the table's constraints refuse."""
        if rows:
            stage = self.stage(table, rows)
            names = [column.name for column in table.columns]
            self.execute(sa.insert(table).from_select(names, sa.select(stage)))

    def execute(self, statement: sa.Update | sa.Delete | sa.Insert) -> int:
        """Run one statement that changes rows; return how many."""
        return self._session.run(*dialects.compiled(statement, self._session.dialect))

    def lock(self, name: str) -> None:
        """Take one more lock, after those that the transaction began with; raises WarehouseLockedError as `write`."""
        self._session.lock(name)

    def notify(self, channel: str, text: str) -> None:
        """Tell whoever listens in a Postgres database, when and only when the transaction is committed."""
        self._session.notify(channel, text)

    def _create(self, table: sa.Table) -> None:
        self._session.run(str(CreateTable(table).compile(dialect=self._session.dialect)))

    def _refuse_duplicates(self, table: sa.Table, staged: sa.Table) -> None:
        twice = self.rows(merging.duplicates(table, staged))
        if twice:
            raise AuditError(
                f"{table.name}: a key is missing or was read more than once in one answer: {twice}.",
                "nothing was written; run it again. If it stays, the broker's ids are no longer unique: report it.",
            )

    def _merge_of(self, table: sa.Table, staged: sa.Table, changes: sa.Select[Any]) -> Merge:
        key = key_of(table)
        changed = sorted(self.rows(changes), key=lambda row: tuple(map(str, (row[name] for name in key))))
        total = self.scalar(sa.select(sa.func.count()).select_from(staged))
        inserted = sum(row["change"] == "insert" for row in changed)
        return Merge(inserted, len(changed) - inserted, total - len(changed), tuple(changed))


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
            with self._transaction("migrate", write=True) as session:
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
