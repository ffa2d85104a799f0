"""What every publication shares: the run, the answer, the result; staging, removing, and which rows are live.

What refuses a publication is in guards.py; what only tables kept by day need, in days.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.broker import Meter, Receipt, Span, Window
from tasty_pipeline.core.payloads import Rejected
from tasty_pipeline.core.publish.feed import tell
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.spool import Rows
from tasty_pipeline.core.tradingdays import days
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer

Key = tuple[Any, ...]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every sync of one run shares. `environment` is the broker's; a dry run writes nothing at all."""

    run_id: str
    environment: str
    history_start: date
    connection: str = "default"
    dry_run: bool = False
    confirm_removal: bool = False
    now: Callable[[], datetime] = _utc_now


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """What one sync of one account's table did (or, in a dry run, would have done)."""

    table: str
    account: str
    start: date | None = None
    end: date | None = None
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    rejected: int = 0
    left_out: int = 0
    rows_by_day: Mapping[date, int] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)

    @property
    def written(self) -> int:
        """Rows of the table that were changed."""
        return self.inserted + self.updated + self.removed


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One complete answer of the API about one account and table: typed rows, and those that do not fit.

    For tables kept by day, `start` to `end` are the days that it is proven for, both included, and all rows are of
    them; `outside` are typed rows of other days, `proofs` the number and digest of each day's rows. Of the windows in
    `unchanged` nothing is in `rows` and `proofs`: they are as the table holds them, by the receipts of their last
    reading. `receipts` are those of this reading.
    """

    rows: pa.Table | Rows
    rejected: tuple[Rejected, ...]
    started_at: datetime
    ended_at: datetime
    left_out: int = 0
    windows: Sequence[Window] = ()
    start: date | None = None
    end: date | None = None
    outside: pa.Table | None = None
    proofs: Mapping[date, tuple[int, str]] = field(default_factory=dict)
    unchanged: Sequence[Span] = ()
    receipts: Sequence[Receipt] = ()

    def holds(self, day: date) -> bool:
        """Say whether a day belongs to the answer's window."""
        return self.start is not None and self.end is not None and self.start <= day <= self.end

    @cached_property
    def unchanged_days(self) -> frozenset[date]:
        """The days of windows that answer as before."""
        return frozenset(day for span in self.unchanged for day in days(span.start, span.end))

    @property
    def read(self) -> tuple[datetime, datetime]:
        """When the reading began and ended."""
        return self.started_at, self.ended_at

    def keys(self, table: sa.Table) -> pa.Table:
        """Return the keys of all good rows, also those of other days."""
        names = list(schema.key_of(table))
        batches = self.rows.batches() if isinstance(self.rows, Rows) else [self.rows]
        parts = [batch.select(names) for batch in batches]
        if self.outside is not None:
            parts.append(self.outside.select(names))
        return pa.concat_tables(parts) if parts else self.rows.schema.empty_table().select(names)


class _Undo(Exception):  # noqa: N818 - not an error: it rolls a dry run back
    pass


@contextmanager
def transaction(warehouse: Warehouse, run: Run, *locks: str) -> Iterator[Writer]:
    """Open the publishing transaction, and tell the change feed at its end what was written.

    A dry run goes all the way and is then rolled back.
    """
    try:
        with warehouse.write(*locks) as writer:
            yield writer
            if run.dry_run:
                raise _Undo  # noqa: TRY301 - rolls back by leaving
            tell(writer, run.run_id, run.now())
    except _Undo:
        pass


def stage_answer(writer: Writer, table: sa.Table, run: Run, answer: Answer, more: pa.Table | None = None) -> sa.Table:
    """Stage an answer's rows with their provenance, and some more; a row that is listed is not removed."""
    rows = answer.rows
    if more is not None and more.num_rows:
        rows = rows.plus(more) if isinstance(rows, Rows) else pa.concat_tables([rows, more])
    return writer.stage(table, rows, synced_at=answer.started_at, run_id=run.run_id)


def same_key(table: sa.Table, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two rows have one key."""
    return sa.and_(*(left.c[name] == right.c[name] for name in schema.key_of(table)))


def stage_keys(writer: Writer, table: sa.Table, keys: Iterable[Key]) -> sa.Table:
    """Stage bare keys, to join the table with."""
    names = schema.key_of(table)
    return writer.stage(table, [dict(zip(names, key, strict=True)) for key in keys])


def not_rejected(writer: Writer, table: sa.Table, rejected: Sequence[Rejected]) -> list[sa.ColumnElement[bool]]:
    """Return the condition that a row is not the older version of a bad one: that stays, and is no fault."""
    if not rejected:
        return []
    bad = stage_keys(writer, table, rejected_keys(table, rejected))
    return [sa.not_(sa.exists().where(same_key(table, bad, table)))]


def rejected_keys(table: sa.Table, rejected: Sequence[Rejected]) -> set[Key]:
    """Return the keys of bad rows, where they can be read."""
    keys = {payloads.key_of_payload(table, bad.payload) for bad in rejected}
    return {key for key in keys if key is not None}


def has_keyless(table: sa.Table, rejected: Sequence[Rejected]) -> bool:
    """Say whether a bad row has no readable key: it could be any row that seems to be missing."""
    return any(payloads.key_of_payload(table, bad.payload) is None for bad in rejected)


def mark_removed(
    writer: Writer, table: sa.Table, run: Run, gone: pa.Table, read: tuple[datetime, datetime], account: str = ""
) -> int:
    """Set `removed_at` on rows, given by their keys, that a read from one moment to another no longer holds.

    Of an account's rows only those that are still its own: another account's sync may just have found one there.
    """
    if not gone.num_rows:
        return 0
    keys = writer.stage(table, gone)
    marks = {"removed_at": read[1], "synced_at": read[0], "run_id": run.run_id}
    doomed = [*live_rows(table, account), sa.exists().where(same_key(table, keys, table))]
    return writer.remove(table, *doomed, **marks)


def delete_gone(writer: Writer, table: sa.Table, gone: pa.Table) -> int:
    """Delete rows, given by their keys, from a table that holds only what is there now."""
    if not gone.num_rows:
        return 0
    keys = writer.stage(table, gone)
    return writer.remove(table, sa.exists().where(same_key(table, keys, table)))


def live_rows(table: sa.Table, account: str, start: date | None = None, end: date | None = None) -> list[Any]:
    """Return the conditions that choose an account's rows that are not marked removed, from a day on, to a day."""
    conditions: list[Any] = [table.c.account_number == account] if account else []
    if "removed_at" in table.c:
        conditions.append(table.c.removed_at.is_(None))
    if start is not None:
        conditions.append(table.c[DAY[table.name]] >= start)
    if end is not None:
        conditions.append(table.c[DAY[table.name]] <= end)
    return conditions


def count_live(
    reader: Reader, table: sa.Table, account: str = "", start: date | None = None, end: date | None = None
) -> int:
    """Return how many rows, of an account or of all, are stored and not marked removed, within a window of days."""
    counted = sa.select(sa.func.count()).select_from(table).where(*live_rows(table, account, start, end))
    return int(reader.scalar(counted))
