"""What every publication shares: the run, the answer, the result; staging, removing, and which rows are live.

What refuses a publication is in guards.py; what only tables kept by day need, in days.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.broker import Meter, Window
from tasty_pipeline.core.payloads import Parsed, Row
from tasty_pipeline.core.publish.feed import tell
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer

# where each table that is kept by day holds its day
DAY = {"transactions": "transaction_date", "balance_snapshots": "snapshot_date"}
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
    """One complete answer of the API about one account and table, parsed.

    For tables kept by day, `start` to `end` are the days that it is proven for, both included.
    """

    parsed: Parsed
    started_at: datetime
    ended_at: datetime
    windows: Sequence[Window] = ()
    start: date | None = None
    end: date | None = None

    def holds(self, day: date) -> bool:
        """Say whether a day belongs to the answer's window."""
        return self.start is not None and self.end is not None and self.start <= day <= self.end


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


def stage_answer(writer: Writer, table: sa.Table, run: Run, answer: Answer) -> sa.Table:
    """Stage an answer's rows with their provenance; a row that is listed is not removed."""
    provenance = {"synced_at": answer.started_at, "run_id": run.run_id}
    return writer.stage(table, [{**row, **provenance} for row in answer.parsed.rows])


def same_key(table: sa.Table, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two rows have one key."""
    return sa.and_(*(left.c[name] == right.c[name] for name in schema.key_of(table)))


def stage_keys(writer: Writer, table: sa.Table, keys: Iterable[Key]) -> sa.Table:
    """Stage bare keys, to join the table with."""
    names = schema.key_of(table)
    return writer.stage(table, [dict(zip(names, key, strict=True)) for key in keys])


def rejected_keys(table: sa.Table, parsed: Parsed) -> set[Key]:
    """Return the keys of an answer's bad rows, where they can be read."""
    keys = {payloads.key_of_payload(table, bad.payload) for bad in parsed.rejected}
    return {key for key in keys if key is not None}


def has_keyless(table: sa.Table, parsed: Parsed) -> bool:
    """Say whether an answer holds a bad row without a readable key: it could be any row that seems to be missing."""
    return any(payloads.key_of_payload(table, bad.payload) is None for bad in parsed.rejected)


def mark_removed(writer: Writer, table: sa.Table, run: Run, answer: Answer, gone: Sequence[Row]) -> int:
    """Set `removed_at` on rows that two agreeing answers no longer hold."""
    if not gone:
        return 0
    keys = writer.stage(table, gone)
    marks = {"removed_at": answer.ended_at, "synced_at": answer.started_at, "run_id": run.run_id}
    return writer.remove(table, table.c.removed_at.is_(None), sa.exists().where(same_key(table, keys, table)), **marks)


def delete_gone(writer: Writer, table: sa.Table, gone: Sequence[Row]) -> int:
    """Delete rows from a table that holds only what is there now."""
    if not gone:
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
