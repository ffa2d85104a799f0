"""Tables kept by day: transactions and balance snapshots, day by day, and the whole history by its total.

How one window is read, agreed on and published is in window.py.
"""

from dataclasses import dataclass, replace
from datetime import date

import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.errors import ConfigurationError, IncompleteAnswerError
from tasty_pipeline.core.publish import Run, SyncResult
from tasty_pipeline.core.sync.base import TRIES, Sync, logged
from tasty_pipeline.core.sync.window import Book, count_history, last_counted, sync_window
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import Reader


async def sync_transactions(sync: Sync, account: str, start: date, end: date) -> SyncResult:
    """Bring an account's transactions of the trade dates start..end into proven agreement with the broker.

    Where `end` is today, later-dated rows (futures fills after 17:00 Chicago) belong to the window too. Days before the
    history's start and after today are left out. Raises `ConfigurationError` where no day is left,
    `IncompleteAnswerError`, `MassRemovalError`, the broker's errors and `WarehouseError`. Nothing is written then,
    unless it is days outside of start..end, of which rows came or went, that cannot be proven: the next run does that.
    """
    return await _sync_days(sync, schema.transactions, account, start, end)


async def sync_snapshots(sync: Sync, account: str, start: date, end: date) -> SyncResult:
    """Bring an account's balance snapshots of start..end into proven agreement with the broker; raises as above."""
    return await _sync_days(sync, schema.balance_snapshots, account, start, end)


def history_of_new(sync: Sync, table: sa.Table, account: str) -> date | None:
    """Return the first day of the history where an account does not reach back to it; None for one that does.

    It is the first day that is proven of any account, so that all have proofs of the same days; in an empty warehouse
    the history's start.
    """
    proven = schema.proven_days
    of_table = proven.c.table_name == table.name
    with sync.warehouse.read() as reader:
        first = reader.scalar(sa.select(sa.func.min(proven.c.day)).where(of_table))
        own = sa.select(sa.func.min(proven.c.day)).where(of_table, proven.c.account_number == account)
        # the start may have been moved to a later day since
        first = max(first, sync.run.history_start) if first else sync.run.history_start
        reached = reader.scalar(own)
        return None if reached and reached <= first else first


async def _sync_days(sync: Sync, table: sa.Table, account: str, start: date, end: date) -> SyncResult:
    start, end = _possible(sync.run, start, end)
    async with logged(sync, table.name, account, start, end) as measured:
        book = Book(sync=measured, table=table, account=account)
        result, unproven = await sync_window(book, start, end)
        for _ in range(TRIES):
            if not unproven:
                break
            # rows of days outside the window came, went or changed, now or in a run that was stopped since
            today = new_york_day(measured.run.now())  # days after it belong to a window that ends with it
            more, unproven = await sync_window(book, min(*unproven, today), min(max(unproven), today))
            result = _sum(result, more)
        if unproven:
            raise IncompleteAnswerError(
                f"{table.name} of {account}: {len(unproven)} days from {min(unproven)} on changed with every reading.",
                "run it again; all that was read is stored, and these days are proven by the next run.",
            )
        return replace(result, meter=measured.used())


def _possible(run: Run, start: date, end: date) -> tuple[date, date]:
    """Return the days from start to end that the history can have."""
    first, last = max(start, run.history_start), min(end, new_york_day(run.now()))
    if first > last:
        raise ConfigurationError(
            f"No day from {start} to {end} lies between the history's start {run.history_start} and today.",
            "choose other days, or set TASTY_HISTORY_START to an earlier one.",
        )
    return first, last


def _sum(first: SyncResult, more: SyncResult) -> SyncResult:
    return replace(
        first,
        inserted=first.inserted + more.inserted,
        updated=first.updated + more.updated,
        removed=first.removed + more.removed,
        rejected=first.rejected + more.rejected,
        rows_by_day={**first.rows_by_day, **more.rows_by_day},
    )


@dataclass(frozen=True)
class _Totals:
    """What the API counts from shortly before the history's start on, and what we make of the same rows."""

    api: int
    ours: int


async def verify_totals(sync: Sync, account: str) -> SyncResult | None:
    """Compare the whole history's total with the table's; where they differ, read and prove all of it again.

    Return the result of that second look, or None where the totals agree. Raises `IncompleteAnswerError` where the API
    still counts the same and has not listed as many rows; what it listed is published then. A total does not see rows
    that only moved or changed, nor one that came while another went: those show when their days are read again.
    """
    run, table = sync.run, schema.transactions
    async with logged(sync, table.name, account, run.history_start) as measured:
        before = await _totals(measured, account)
    if before.api == before.ours:
        return None
    result = await sync_transactions(sync, account, run.history_start, new_york_day(run.now()))
    if run.dry_run:
        return result
    async with logged(sync, table.name, account, run.history_start) as measured:
        after = await _totals(measured, account)
        if after.api == before.api != after.ours:
            raise IncompleteAnswerError(
                f"The API counts {after.api} transactions of {account}, and lists {after.ours}.",
                "what is listed is stored and proven; if this repeats, compare the account with the broker's "
                "statement and report it.",
            )
    return result


async def _totals(sync: Sync, account: str) -> _Totals:
    """Count both sides; rows before the history's start are counted by reading its edge, whatever the filter means."""
    first = sync.run.history_start
    total = await count_history(sync, account)
    edge = await sync.broker.transactions(account, first, first)
    before = sum(day < first for day in edge.outside["transaction_date"].to_pylist())
    before += sum(bad.day is not None and bad.day < first for bad in edge.rejected)
    with sync.warehouse.read() as reader:
        stored = _known_ids(reader, account, first, last_counted(sync))
    return _Totals(total, stored + before)


def _known_ids(reader: Reader, account: str, first: date, last: date) -> int:
    """Count the transactions of the days first..last that are stored or stand rejected; those that are both once.

    A rejection of days before the history's start stands from when that was an earlier one: nobody asks for it now.
    """
    table, bad = schema.transactions, schema.rejected_rows
    live = publish.live_rows(table, account, first, last)
    standing = reader.rows(
        sa.select(bad.c.row_key, bad.c.payload_digest).where(
            bad.c.account_number == account,
            bad.c.table_name == table.name,
            bad.c.resolved_at.is_(None),
            sa.or_(bad.c.window_end.is_(None), bad.c.window_end >= first),
        )
    )
    keys = {row["row_key"] or f"without a key: {row['payload_digest']}" for row in standing}
    ids = [int(key) for key in keys if key.isdecimal()]
    both = reader.scalar(sa.select(sa.func.count()).select_from(table).where(*live, table.c.transaction_id.in_(ids)))
    return publish.count_live(reader, table, account, first, last) + len(keys) - int(both)
