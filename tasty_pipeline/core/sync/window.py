"""One window of days of one account: read until its absences agree, look after what is gone, publish.

Which windows there are to read is decided in days.py.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline.core import arrow, payloads, publish, schema
from tasty_pipeline.core.broker import PAD_DAYS, Receipt
from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.core.publish import Answer, SyncResult
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.spool import Spool
from tasty_pipeline.core.sync.base import (
    Sync,
    agreed,
    gone_from,
    refuse_mass_removal,
    refuse_moved,
    unless_stale,
)
from tasty_pipeline.core.tradingdays import new_york_day

PAD = timedelta(days=PAD_DAYS)
# More missing rows than these are not asked for one by one, but looked for in the whole history.
ASKED_FOR = 25


@dataclass(frozen=True, kw_only=True)
class Book:
    """One account's table that is kept by day, and the sync that reads and writes it."""

    sync: Sync
    table: sa.Table
    account: str

    async def answer(self, start: date, end: date, spool: Spool, known: Sequence[Receipt]) -> Answer:
        """Read a window; rows before the history's start are not ours to keep."""
        broker = self.sync.broker
        if self.table is schema.transactions:
            read = await broker.transactions(self.account, start, end, spool, known)
        else:
            read = await broker.snapshots(self.account, start, end, spool)
        first = pa.scalar(self.sync.run.history_start, pa.date32())
        precedes = pc.less(read.outside[DAY[self.table.name]], first)
        return Answer(
            rows=read.rows,
            rejected=read.rejected,
            left_out=pc.sum(precedes).as_py() or 0,
            outside=read.outside.filter(pc.invert(precedes)),
            proofs=read.days,
            unchanged=read.unchanged,
            receipts=read.receipts,
            started_at=read.started_at,
            ended_at=read.ended_at,
            windows=read.windows,
            start=start,
            end=end,
        )

    def missing_from(self, answer: Answer) -> pa.Table:
        """Return the keys that we hold in the answer's window and the answer does not list."""
        with self.sync.warehouse.read() as reader:
            return gone_from(reader, self.table, self.account, answer)

    def receipts(self, start: date, end: date) -> list[Receipt]:
        """Return what is known of the windows of a read."""
        if self.table is not schema.transactions:
            return []
        with self.sync.warehouse.read() as reader:
            return publish.receipts_of(reader, self.table, self.account, start, end)


async def sync_window(book: Book, start: date, end: date) -> tuple[SyncResult, set[date]]:
    """Bring the days start..end into proven agreement; return other days that are to be proven next."""
    return await unless_stale(partial(_sync_window, book, start, end))


async def _sync_window(book: Book, start: date, end: date) -> tuple[SyncResult, set[date]]:
    today = new_york_day(book.sync.run.now())
    open_end = end + PAD if end >= today else end
    content = arrow.content_schema(book.table)
    known = book.receipts(start, open_end)
    with ExitStack() as stack:

        async def once() -> Answer:
            return await book.answer(start, open_end, stack.enter_context(Spool(content)), known)

        answer, gone = await agreed(once, book.missing_from)
        hidden: list[int] = []
        if gone.num_rows > ASKED_FOR and _has_ids(book.table) and not _is_whole(book, start, end):
            # a correction may move many rows to far days: in the whole history it is seen which of them are gone
            return await _sync_window(book, book.sync.run.history_start, today)
        if gone.num_rows and _has_ids(book.table) and gone.num_rows <= ASKED_FOR:
            answer, hidden = await _looked_for(book, answer, gone)
            gone = book.missing_from(answer)
        if gone.num_rows and not book.sync.run.confirm_removal:
            await _refuse_mass_removal(book, answer, gone.num_rows)
            _refuse_hidden(book, answer, hidden)
        return _publish(book, answer, gone, end)


def _is_whole(book: Book, start: date, end: date) -> bool:
    return start <= book.sync.run.history_start and end >= new_york_day(book.sync.run.now())


def _has_ids(table: sa.Table) -> bool:
    """Say whether the API shows single rows of a table by id, and counts them."""
    return table is schema.transactions


async def _looked_for(book: Book, answer: Answer, gone: pa.Table) -> tuple[Answer, list[int]]:
    """Ask for each missing transaction by its id: one that was moved to a far day is not gone.

    Return the answer with those that were found on other days, and the ids of those that the API shows by id, and not
    in its lists, as of the answer's days.
    """
    day = DAY[book.table.name]
    ids = gone["transaction_id"].to_pylist()
    asked = [await book.sync.broker.transaction(book.account, identifier) for identifier in ids]
    found = payloads.parse(book.table, [row for row in asked if row])
    days = found.table[day]
    inside = pa.array([answer.holds(each) for each in days.to_pylist()], pa.bool_())
    precedes = pc.less(days, pa.scalar(book.sync.run.history_start, pa.date32()))
    elsewhere = found.table.filter(pc.invert(pc.or_(inside, precedes)))
    outside = found.table.slice(0, 0) if answer.outside is None else answer.outside
    known = outside.filter(pc.invert(pc.is_in(outside["transaction_id"], elsewhere["transaction_id"])))
    with_them = replace(
        answer,
        outside=pa.concat_tables([known, elsewhere]),
        rejected=(*answer.rejected, *found.rejected),
        left_out=answer.left_out + (pc.sum(precedes).as_py() or 0),
    )
    return with_them, found.table.filter(inside)["transaction_id"].to_pylist()


def _refuse_hidden(book: Book, answer: Answer, hidden: list[int]) -> None:
    if hidden:
        raise IncompleteAnswerError(
            f"Two lists of the transactions of {book.account} from {answer.start} to {answer.end} lack {hidden}, which "
            "the API shows by id as of these days.",
            "run it again; the rows of the last sync are untouched.",
        )


async def _refuse_mass_removal(book: Book, answer: Answer, gone: int) -> None:
    """Raise `MassRemovalError` where the window, or the account as a whole, lacks more than a correction takes back.

    The few rows of a short window look like a correction also when the whole account was wiped: so the API's total is
    looked at too. Snapshots have none, and are judged by their window alone.
    """
    run, table, account = book.sync.run, book.table, book.account
    whole = _has_ids(table)
    start, end = (run.history_start, last_counted(book.sync)) if whole else (answer.start, answer.end)
    with book.sync.warehouse.read() as reader:
        stored = publish.count_live(reader, table, account, start, end)
    if whole:
        gone = max(gone, stored - await count_history(book.sync, account))
    refuse_mass_removal(table, account, gone, stored)


async def count_history(sync: Sync, account: str) -> int:
    """Return the API's total from shortly before the history's start to shortly after today: later-dated rows count."""
    start = sync.run.history_start - PAD
    return await sync.broker.count_transactions(account, start=start, end=last_counted(sync))


def last_counted(sync: Sync) -> date:
    """Return the last day of what is counted: rows are dated some days ahead, and seldom more."""
    return new_york_day(sync.run.now()) + PAD


def _publish(book: Book, answer: Answer, gone: pa.Table, last: date) -> tuple[SyncResult, set[date]]:
    sync, table, account, run = book.sync, book.table, book.account, book.sync.run
    with publish.transaction(sync.warehouse, run, f"{table.name}/{account}") as writer:
        publish.refuse_other_environment(writer, run)
        publish.refuse_stale(writer, table, account, answer)
        publish.refuse_overwritten(writer, table, account, answer)
        refuse_moved(writer, table, account, answer, gone)
        merged = publish.merge_days(writer, table, run, account, answer)
        removed = publish.mark_removed(writer, table, run, gone, answer.read, account)
        rejected = publish.record_rejects(writer, table, run, account, answer)
        counts, digest = publish.prove_days(writer, table, run, account, answer, last)
        publish.keep_receipts(writer, table, run, account, answer)
        as_before = sum(rows for day, rows in counts.items() if day in answer.unchanged_days)
        result = SyncResult(
            table=table.name,
            account=account,
            start=answer.start,
            end=last,
            read=sum(counts.values()),
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged + as_before,
            removed=removed,
            rejected=rejected,
            left_out=answer.left_out,
            rows_by_day=counts,
        )
        entry = publish.log_entry(run, table.name, account, answer, result, digest=digest, meter=sync.used())
        writer.insert(schema.sync_log, [entry])
        unproven = publish.unproven_days(writer, table, account)
    days = {day for day in unproven if day >= run.history_start}
    return result, set() if run.dry_run else days
