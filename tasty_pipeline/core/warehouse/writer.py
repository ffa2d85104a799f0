"""What is done inside one transaction, the same on every backend: read, stage, merge, remove.

Here belongs behaviour; the statements behind it are in `merging.py`, how they reach a database in `duckdb.py` and
`postgres.py`. Nothing here knows windows or proofs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from tasty_pipeline.core import arrow
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.spool import Rows
from tasty_pipeline.core.warehouse import dialects, merging
from tasty_pipeline.core.warehouse.dialects import Query
from tasty_pipeline.core.warehouse.session import Session


@dataclass(frozen=True)
class Merge:
    """What a merge did. `unchanged` are the staged rows that were left unwritten, those of an older read included.

    `days` are those to which a row was written or from which it was taken away, in tables kept by day.
    """

    inserted: int
    updated: int
    unchanged: int
    days: frozenset[date]


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

    def table(self, statement: Query) -> pa.Table:
        """Return the answer as typed rows (see `core.arrow`), the same from both databases; for very many rows.

        Raises NotImplementedError for a column of a type that no table has, such as a float.
        """
        columns = statement.exported_columns
        typed = pa.schema([pa.field(column.name, arrow.arrow_type(column)) for column in columns])
        found = self._session.fetch_arrow(*dialects.compiled(statement, self._session.dialect), typed)
        for at, column in enumerate(columns):
            if isinstance(column.type, sa.JSON):
                found = found.set_column(at, column.name, arrow.canonical_text(found.column(at)))
        return found

    def scalar(self, statement: Query) -> Any:
        """Return the first column of the first row, None if there is no row."""
        first = next(iter(self.rows(statement)), None)
        return None if first is None else next(iter(first.values()))

    def fingerprints(self, table: sa.Table, account: str, start: date, end: date) -> dict[date, tuple[int, int]]:
        """Return of each day from start to end that has rows how many they are, removed ones too, and a hash of them.

        The hash is over every column and whatever the order of the rows. It is made inside the database, fast, and says
        something only beside another one of the same database; a new version of it may hash otherwise.
        """
        rows = {row["day"]: row for row in self.rows(merging.fingerprints(table, account, start, end))}
        return {day: (row["rows"], row["hashes"]) for day, row in rows.items()}


class Writer(Reader):
    """Reads and writes inside one transaction, which is committed as a whole or not at all."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._numbers = count(1)
        # which rows of which table were written, for as long as the transaction lasts: see `merging.changes_of`
        self.written: list[tuple[sa.Table, sa.Table]] = []

    def stage(self, table: sa.Table, rows: Sequence[Mapping[str, Any]] | pa.Table | Rows, **constants: Any) -> sa.Table:
        """Make rows readable like `table`, without constraints, and return that stage; it must not be changed.

        Rows are mappings, or typed rows with some of the table's columns; `constants` give further columns one value
        for all rows, what is left out is NULL. Files of `Rows` must be there until the transaction ends. Raises
        AuditError for a value that its column cannot hold exactly, and for typed rows of any other type.
        """
        typed, fixed = _typed(table, rows, constants)
        stage = merging.stage_of(table, f"stage_{next(self._numbers)}_{table.name}")
        self._session.stage(stage, typed, fixed)
        return stage

    def merge(self, table: sa.Table, staged: sa.Table, *, newer_only: bool = False) -> Merge:
        """Make the table hold what is staged: insert what is new, update what differs, leave the rest unwritten.

        What counts as a difference is `schema.compared(table)`. With `newer_only`, rows whose stored `synced_at` is
        later than the staged one are left as they are. Raises AuditError for a key that is missing or staged twice,
        for what the table's constraints refuse, and when another transaction changed the same rows meanwhile.
        """
        self._refuse_duplicates(table, staged)
        changes = self._changes(table, merging.differences(table, staged, newer_only=newer_only))
        kinds = self.rows(sa.select(changes.c.change, sa.func.count().label("rows")).group_by(changes.c.change))
        found = {row["change"]: row["rows"] for row in kinds}
        inserted, updated, total = found.get("insert", 0), found.get("update", 0), self._count(staged)
        only_new = inserted == total
        written = (
            self.execute(merging.insertion(table, staged, None if only_new else changes)) if inserted else 0,
            self.execute(merging.update(table, staged, changes)) if updated else 0,
        )
        if written != (inserted, updated):
            raise AuditError(
                f"{table.name}: {inserted} new and {updated} changed rows were found, {written} written.",
                "run it again; somebody else is writing to the same rows without the pipeline's lock.",
            )
        return Merge(inserted, updated, total - inserted - updated, self._days(table, changes))

    def remove(self, table: sa.Table, *conditions: sa.ColumnElement[bool], **marks: Any) -> int:
        """Delete the rows that meet all conditions or, with `marks`, set these columns of them; return how many.

        Either way they stand as removed in `written`.
        """
        removed = self._changes(table, merging.removals(table, conditions))
        if not self._count(removed):
            return 0
        chosen = sa.exists().where(merging.same_key(table, removed, table))
        return self.execute((sa.update(table).values(marks) if marks else sa.delete(table)).where(chosen))

    def insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert new rows in bulk. Raises AuditError for what the table's constraints refuse."""
        if rows:
            self.execute(merging.insertion(table, self.stage(table, rows), None))

    def execute(self, statement: sa.Update | sa.Delete | sa.Insert) -> int:
        """Run one statement that changes rows; return how many."""
        return self._session.run(*dialects.compiled(statement, self._session.dialect))

    def lock(self, name: str) -> None:
        """Take one more lock, after those that the transaction began with; raises WarehouseLockedError as `write`."""
        self._session.lock(name)

    def notify(self, channel: str, text: str) -> None:
        """Tell whoever listens in a Postgres database, when and only when the transaction is committed."""
        self._session.notify(channel, text)

    def _changes(self, table: sa.Table, found: sa.Select[Any]) -> sa.Table:
        """Keep what is about to be written, or was, in a temporary table, and in `written` if it is anything."""
        changes = merging.changes_of(table, f"changes_{next(self._numbers)}_{table.name}")
        self._session.run(str(CreateTable(changes).compile(dialect=self._session.dialect)))
        if self.execute(sa.insert(changes).from_select([column.name for column in changes.columns], found)):
            self.written.append((table, changes))
        return changes

    def _count(self, rows: sa.Table) -> int:
        return int(self.scalar(sa.select(sa.func.count()).select_from(rows)))

    def _days(self, table: sa.Table, changes: sa.Table) -> frozenset[date]:
        days = self.rows(merging.written_days(changes)) if table.name in DAY else ()
        return frozenset(row["day"] for row in days)

    def _refuse_duplicates(self, table: sa.Table, staged: sa.Table) -> None:
        twice = self.rows(merging.duplicates(table, staged))
        if twice:
            raise AuditError(
                f"{table.name}: a key is missing or was read more than once in one answer: {twice}.",
                "nothing was written; run it again. If it stays, the broker's ids are no longer unique: report it.",
            )


def _typed(
    table: sa.Table, rows: Sequence[Mapping[str, Any]] | pa.Table | Rows, constants: Mapping[str, Any]
) -> tuple[Rows, dict[str, pa.Scalar]]:
    """Return rows as typed ones, and the values that all have in common."""
    fixed = arrow.to_arrow(table, [constants], tuple(constants))
    if not isinstance(rows, pa.Table | Rows):
        names = [column.name for column in table.columns if column.name not in constants]
        rows = arrow.to_arrow(table, rows, names)
    typed = rows if isinstance(rows, Rows) else Rows(rows.schema, (rows,))
    arrow.refuse_inexact(table, pa.schema([*typed.schema, *fixed.schema]))
    return typed, {name: fixed[name][0] for name in constants}
