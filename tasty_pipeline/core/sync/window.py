"""One window of days of one account: read until its absences agree, look after what is gone, publish.

Which windows there are to read is decided in days.py.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

import sqlalchemy as sa

from tasty_pipeline.core import payloads, publish, schema
from tasty_pipeline.core.broker.windows import PAD_DAYS
from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.core.payloads import Parsed, Row
from tasty_pipeline.core.publish import DAY, Answer, SyncResult
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
# More missing rows than these are not asked for one by one: that many are no correction.
ASKED_FOR = 25


@dataclass(frozen=True, kw_only=True)
class Book:
    """One account's table that is kept by day, and the sync that reads and writes it."""

    sync: Sync
    table: sa.Table
    account: str

    async def answer(self, start: date, end: date) -> Answer:
        """Read a window and parse it; rows before the history's start are not ours to keep."""
        broker = self.sync.broker
        read = broker.transactions if self.table is schema.transactions else broker.snapshots
        proven = await read(self.account, start, end)
        return Answer(
            parsed=payloads.parse(self.table, proven.rows, leave_out=self.precedes_history),
            started_at=proven.started_at,
            ended_at=proven.ended_at,
            windows=proven.windows,
            start=start,
            end=end,
        )

    def precedes_history(self, row: Row) -> bool:
        """Say whether a row is dated before the history's start."""
        return bool(row[DAY[self.table.name]] < self.sync.run.history_start)

    def missing_from(self, answer: Answer) -> list[Row]:
        """Return the keys that we hold in the answer's window and the answer does not list."""
        with self.sync.warehouse.read() as reader:
            return gone_from(reader, self.table, self.account, answer)


async def sync_window(book: Book, start: date, end: date) -> tuple[SyncResult, set[date]]:
    """Bring the days start..end into proven agreement; return the days outside of them that are to be proven next."""
    return await unless_stale(partial(_sync_window, book, start, end))


async def _sync_window(book: Book, start: date, end: date) -> tuple[SyncResult, set[date]]:
    today = new_york_day(book.sync.run.now())
    open_end = end + PAD if end >= today else end
    answer, gone = await agreed(partial(book.answer, start, open_end), book.missing_from)
    hidden: list[int] = []
    if gone and _has_ids(book.table) and len(gone) <= ASKED_FOR:
        answer, hidden = await _looked_for(book, answer, gone)
        gone = book.missing_from(answer)
    if gone and not book.sync.run.confirm_removal:
        await _refuse_mass_removal(book, answer, len(gone))
        _refuse_hidden(book, answer, hidden)
    return _publish(book, answer, gone, end)


def _has_ids(table: sa.Table) -> bool:
    """Say whether the API shows single rows of a table by id, and counts them."""
    return table is schema.transactions


async def _looked_for(book: Book, answer: Answer, gone: list[Row]) -> tuple[Answer, list[int]]:
    """Ask for each missing transaction by its id: one that was moved to a far day is not gone.

    Return the answer with those that were found on other days, and the ids of those that the API shows by id, and not
    in its lists, as of the answer's days.
    """
    asked = [await book.sync.broker.transaction(book.account, row["transaction_id"]) for row in gone]
    found = payloads.parse(book.table, [row for row in asked if row], leave_out=book.precedes_history)
    hidden = [row for row in found.rows if answer.holds(row[DAY[book.table.name]])]
    elsewhere = [row for row in found.rows if row not in hidden]
    told = answer.parsed
    both = Parsed((*told.rows, *elsewhere), (*told.rejected, *found.rejected), told.left_out + found.left_out)
    return replace(answer, parsed=both), [row["transaction_id"] for row in hidden]


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
    start, end = (run.history_start, None) if whole else (answer.start, answer.end)
    with book.sync.warehouse.read() as reader:
        stored = publish.count_live(reader, table, account, start, end)
    if whole:
        gone = max(gone, stored - await count_history(book.sync, account))
    refuse_mass_removal(table, account, gone, stored)


async def count_history(sync: Sync, account: str) -> int:
    """Return the API's total from shortly before the history's start to shortly after today: later-dated rows count."""
    today = new_york_day(sync.run.now())
    return await sync.broker.count_transactions(account, start=sync.run.history_start - PAD, end=today + PAD)


def _publish(book: Book, answer: Answer, gone: list[Row], last: date) -> tuple[SyncResult, set[date]]:
    sync, table, account, run = book.sync, book.table, book.account, book.sync.run
    with publish.transaction(sync.warehouse, run, f"{table.name}/{account}") as writer:
        publish.refuse_other_environment(writer, run)
        publish.refuse_stale(writer, table, account, answer)
        refuse_moved(writer, table, account, answer, gone)
        staged = publish.stage_answer(writer, table, run, answer)
        merged, touched = publish.merge_days(writer, table, staged, account, answer)
        removed = publish.mark_removed(writer, table, run, answer, gone)
        rejected = publish.record_rejects(writer, table, run, account, answer)
        counts, digest = publish.prove_days(writer, table, run, account, answer, last)
        result = SyncResult(
            table=table.name,
            account=account,
            start=answer.start,
            end=last,
            read=sum(counts.values()),
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            removed=removed,
            rejected=rejected,
            left_out=answer.parsed.left_out,
            rows_by_day=counts,
        )
        entry = publish.log_entry(run, table.name, account, answer, result, digest=digest, meter=sync.used())
        writer.insert(schema.sync_log, [entry])
    first = run.history_start
    return result, set() if run.dry_run else {day for day in touched if day >= first}
