"""The DuckDB backend: a file that is opened only for the moment of a transaction.

Here belong the transaction, the loading of an Arrow table and the published copy. Opening the file, waiting for it
and what its errors mean belong to `duckdb_file.py`.
"""

import glob
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core.errors import ConfigurationError, WarehouseLockedError
from tasty_pipeline.core.spool import READING, File, Rows
from tasty_pipeline.core.warehouse.base import MIGRATE, Warehouse
from tasty_pipeline.core.warehouse.dialects import DUCKDB
from tasty_pipeline.core.warehouse.duckdb_file import STORAGE, Connect, DuckDBFile, explained, quoted, refuse_ambiguous

# What a load of files may take: measured, a million rows want 350 MiB; an index of them has to stay in memory.
_MEGABYTES, _BYTES_A_ROW = 300, 100

# Threads of one process share the database instance, where two writers would collide instead of waiting.
_WRITERS: dict[Path, threading.Lock] = {}
_WRITERS_GUARD = threading.Lock()


class DuckDBWarehouse(Warehouse):
    """Tables in one DuckDB file: one writer at a time, and no reader in another process meanwhile."""

    kind: Literal["duckdb"] = "duckdb"

    def __init__(self, path: Path, shown: str, connect: Connect | None, wait_seconds: float) -> None:
        super().__init__(f"DuckDB file {shown}", wait_seconds)
        self._file = DuckDBFile(path, self.label, connect, wait_seconds)
        with _WRITERS_GUARD:
            self._writer = _WRITERS.setdefault(path, threading.Lock())

    def version(self) -> str | None:
        """Return the stored schema version, None where there is no file or there are no tables yet."""
        return super().version() if self._file.path.exists() else None

    @contextmanager
    def _transaction(self, *locks: str, write: bool) -> Iterator["_DuckDBSession"]:
        if not write:
            with self._file.opened(create=False) as connection:
                yield from self._begun(connection, "BEGIN TRANSACTION READ ONLY")
            return
        with self._only_writer(), self._file.opened(create=True) as connection:
            self._file.refuse_another()
            if MIGRATE in locks:
                # by way of the log, a process killed right after the commit leaves one that DuckDB cannot read: of our
                # views it wants an extension that it has, but not yet
                connection.execute("SET wal_autocheckpoint = '0KB'")
            yield from self._begun(connection, "BEGIN TRANSACTION")
            self._file.refuse_another()

    def _begun(self, connection: duckdb.DuckDBPyConnection, begin: str) -> Iterator["_DuckDBSession"]:
        session = _DuckDBSession(connection, self.label)
        session.script("SET TimeZone = 'UTC'; SET python_enable_replacements = false;")
        session.script(begin)
        try:
            yield session
            session.script("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=self._wait_seconds):
            raise WarehouseLockedError(
                f"Another thread of this process has been writing to the {self.label} for {self._wait_seconds:g} s.",
                "wait until it is done and run this again.",
            )
        try:
            yield
        finally:
            self._writer.release()

    def publish_copy(self, path: Path) -> None:
        """Copy everything into a new file beside `path` and rename it over `path`.

        Whoever opens `path` finds the old copy or the new one, whole; whoever has it open keeps the old one.
        """
        refuse_ambiguous(path)
        target = path.absolute()
        if target.resolve() == self._file.path:
            raise ConfigurationError(
                f"The read-only copy cannot replace the {self.label} itself.", "choose another path for the copy."
            )
        # a name of its own, and renamed while the file is held: runs that publish at once take turns, in order
        unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}.unfinished")
        with self._only_writer(), explained(f"published copy {path}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._file.opened(create=False) as connection:
                    _sweep(target)
                    _copy_into(connection, unfinished)
                    _flush(unfinished)
                    unfinished.replace(target)
                    _flush(target.parent)
            finally:
                unfinished.unlink(missing_ok=True)
                unfinished.with_name(f"{unfinished.name}.wal").unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove the copies over which a process was killed; whoever works at one holds the file, and we hold it now."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.*.unfinished*"):
        left.unlink(missing_ok=True)


def _copy_into(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    row = connection.execute("SELECT current_database()").fetchone()
    source = '"' + str(row[0] if row else "").replace('"', '""') + '"'
    connection.execute(f"ATTACH {quoted(path)} AS published ({STORAGE})")
    connection.execute(f"COPY FROM DATABASE {source} TO published")
    connection.execute("DETACH published")


class _DuckDBSession:
    dialect: sa.Dialect = DUCKDB

    def __init__(self, connection: duckdb.DuckDBPyConnection, label: str) -> None:
        self._connection = connection
        self._label = label

    def fetch(self, sql: str, parameters: Any = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        # by way of Arrow, because DuckDB's own fetch needs the package pytz for a time with a zone
        with explained(self._label):
            table = self._connection.sql(sql, params=parameters or None).to_arrow_table()
        return table.column_names, list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def fetch_arrow(self, sql: str, parameters: Any, schema: pa.Schema) -> pa.Table:
        with explained(self._label):
            found = self._connection.sql(sql, params=parameters or None).to_arrow_table()
        return found.rename_columns(schema.names).cast(schema)

    def run(self, sql: str, parameters: Any = None) -> int:
        with explained(self._label):
            row = self._connection.execute(sql, parameters or None).fetchone()
        return int(row[0]) if row else 0

    def script(self, sql: str) -> None:
        with explained(self._label):
            self._connection.execute(sql)

    def lock(self, name: str) -> None:
        pass  # a transaction that writes is the only one

    def notify(self, channel: str, text: str) -> None:
        pass  # nobody can listen to a file

    def stage(self, stage: sa.Table, rows: Rows, constants: Mapping[str, pa.Scalar]) -> None:
        """Lay a view over the rows where they are: nothing is copied."""
        source = f"arrow_{stage.name}"
        given = ", ".join(map(_named, rows.schema.names))
        parts = [f"SELECT {given} FROM {source}"] if rows.tables or not rows.files else []  # noqa: S608 - own names
        parts += [_of_file(file, given) for file in rows.files]
        chosen = []
        for column in stage.columns:
            name = _named(column.name)
            text = name if column.name in rows.schema.names else _literal(constants.get(column.name))
            chosen.append(f"{text}::{column.type.compile(self.dialect)} AS {name}")
        with explained(self._label):
            if rows.files:
                self._make_modest(rows.num_rows)
            self._connection.register(source, pa.concat_tables([rows.schema.empty_table(), *rows.tables]))
            self._connection.execute(
                f"CREATE TEMP VIEW {stage.name} AS SELECT {', '.join(chosen)} FROM ({' UNION ALL '.join(parts)})"  # noqa: S608
            )

    def _make_modest(self, more: int) -> None:
        """Let a large load take no more memory than it needs; by itself it would fill most of the machine's."""
        known = self._connection.execute("SELECT coalesce(sum(estimated_size), 0) FROM duckdb_tables()").fetchone()
        rows = more + (int(known[0]) if known else 0)
        limit = _MEGABYTES + rows * _BYTES_A_ROW // 2**20
        # keeping the order of a million rows takes twice as long, and nobody asked for it
        self._connection.execute(f"SET memory_limit = '{limit}MiB'; SET preserve_insertion_order = false")


def _literal(value: pa.Scalar | None) -> str:
    return "NULL" if value is None or not value.is_valid else quoted(value.as_py())


def _named(column: str) -> str:
    return DUCKDB.identifier_preparer.quote(column)


def _of_file(file: File, given: str) -> str:
    """Select the wanted rows of a Parquet file."""
    left = f" WHERE {READING} NOT IN ({', '.join(map(str, sorted(file.dropped)))})" if file.dropped else ""
    return f"SELECT {given} FROM read_parquet({quoted(file.path)}){left}"  # noqa: S608 - own names and numbers


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        # a commit that failed has ended the transaction already; what must be told is that failure
        return


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
