"""Where the rows of a read wait until it is proven, and how the windows of a proven read are put together.

Here belongs what becomes of typed rows between an answer and the tables: the wanted days go to the spool, rows of other
days stay beside them, each day gets its digest. What is asked and whether it is proven belongs to `reading.py` and
`proof.py`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import chain, pairwise
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline.core import arrow, schema
from tasty_pipeline.core.broker import contents, proof
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.proof import Pass, Reading
from tasty_pipeline.core.broker.windows import Span, Window
from tasty_pipeline.core.digests import day_digests
from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.core.payloads import Parsed, Rejected
from tasty_pipeline.core.spool import Rows, Spool


@dataclass(frozen=True)
class Receipt:
    """What a window answered when its rows were published: so many rows, all of its own days, in these bytes."""

    span: Span
    rows: int
    digest: str

    def reading(self) -> Reading:
        """Return the reading of a window that answers so again."""
        return Reading(self.span, self.rows, 1, (self.digest,), self.rows)


@dataclass(frozen=True)
class Proven:
    """A pass that is proven, of one listing. Its rows lie on the shelf."""

    subject: str
    time_of_day: str | None
    taken: Pass
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class ProvenRead:
    """Rows of the API, complete for the days from `start` to `end` by the argument of `proof.py`.

    `rows` are typed rows of these days, distinct by key; `outside` are those that came back of other days. `days` holds
    the number and the digest of the rows of each day that has some. Of the windows in `unchanged` nothing is in `rows`
    and `days`: they answer as they did in their receipts. `receipts` are those of the windows that could have some.
    `started_at` is before the first request whose answer was used, `ended_at` after the last; both aware, in UTC.
    """

    rows: Rows = field(repr=False)
    outside: pa.Table = field(repr=False)
    rejected: tuple[Rejected, ...]
    days: Mapping[date, tuple[int, str]] = field(repr=False)
    start: date
    end: date
    windows: tuple[Window, ...]
    unchanged: tuple[Span, ...]
    receipts: tuple[Receipt, ...]
    started_at: datetime
    ended_at: datetime


class Shelf:
    """The rows of one read of the days from `start` to `end`."""

    def __init__(self, table: sa.Table, start: date, end: date, spool: Spool) -> None:
        self.table = table
        self.start, self.end = start, end
        self._day = schema.DAY[table.name]
        self._spool = spool
        self._prepared: tuple[frozenset[int], Mapping[date, tuple[int, str]]] | None = None
        self._preparing = Lock()

    def one_page(self, span: Span, page: Page) -> Reading | str:
        """Put the window away if this single page proves it; otherwise return what is wrong with it, in words."""
        rejected, others = contents.with_lost_snapshots(self.table, page.rejected, page.others)
        flaw = proof.flaw_of_one(page, others)
        return flaw or self._put(span, page.rows, rejected, others, [page])

    def many_pages(self, span: Span, pages: Sequence[Page]) -> Reading | str:
        """Put the window away if these pages fit together; otherwise return what is wrong with them, in words."""
        rows = pa.concat_tables([page.rows for page in pages])
        bad = [each for page in pages for each in page.rejected]
        rejected, others = contents.with_lost_snapshots(
            self.table, bad, [each for page in pages for each in page.others]
        )
        distinct = contents.count_distinct(self.table, contents.keys_of(self.table, rows), rejected)
        flaw = proof.flaw_of_many(pages, distinct, others)
        return flaw or self._put(span, rows, rejected, others, pages)

    def _put(
        self, span: Span, rows: pa.Table, rejected: tuple[Rejected, ...], others: int, pages: Sequence[Page]
    ) -> Reading:
        inside, outside = self._split(rows)
        extent = pc.min_max(rows[self._day]).as_py()
        return Reading(
            span=span,
            total=pages[-1].total,
            pages=len(pages),
            digests=tuple(page.digest for page in pages),
            rows=rows.num_rows + len(rejected),
            others=others,
            number=self._spool.add(inside),
            keys=contents.keys_of(self.table, rows),
            rejected=rejected,
            outside=outside,
            days={each["values"]: each["counts"] for each in inside[self._day].value_counts().to_pylist()},
            exact=not rows.num_rows or (extent["min"] >= span.start and extent["max"] <= span.end),
        )

    def days_of(self, page: Page) -> list[date]:
        """Return the days of a page's good rows, in their order."""
        days: list[date] = page.rows[self._day].to_pylist()
        return days

    def middle_of(self, page: Page) -> tuple[date, int] | None:
        """Return the day of the row in the middle of a page, and how many rows of it there are; None without rows."""
        days = self.days_of(page)
        return (days[len(days) // 2], days.count(days[len(days) // 2])) if days else None

    def content(self, reading: Reading) -> dict[Any, Any]:
        """Return the rows of a reading as Python values, good and bad, by key."""
        if reading.number is None or reading.outside is None:
            return {}
        rows = pa.concat_tables([self._spool.get(reading.number), reading.outside])
        return contents.by_key(self.table, Parsed(rows, reading.rejected))

    def drop(self, readings: Iterable[Reading]) -> None:
        """Forget the rows of readings that others replace."""
        for reading in readings:
            if reading.number is not None:
                self._spool.drop(reading.number)

    def together(self, *proven: Proven) -> ProvenRead:
        """Put the windows of a read together, of one listing or of several of the same table.

        Raises `IncompleteAnswerError` where two windows show one row differently: nobody could say which one holds.
        """
        readings = [reading for each in proven for reading in each.taken.readings]
        read = [reading for reading in readings if reading.keys is not None]
        keys = proof.joined(reading.keys for reading in read)
        apart = len(keys) == contents.count_distinct(self.table, keys, ())
        shared = Counter(day for reading in read for day in reading.days)
        days: Mapping[date, tuple[int, str]]
        if apart and all(times == 1 for times in shared.values()):
            outside = self._outside(read)
            days = self._digests(read)
        else:
            outside, days = self._sorted_out(proven[0].subject, read)
        return ProvenRead(
            rows=self._spool.rows(),
            outside=outside,
            rejected=_distinct_bad(read),
            days=days,
            start=self.start,
            end=self.end,
            windows=tuple(
                Window(reading.span.start, reading.span.end, reading.total, reading.pages, each.time_of_day)
                for each in proven
                for reading in each.taken.readings
            ),
            unchanged=tuple(reading.span for reading in readings if reading.keys is None),
            receipts=_receipts(readings) if apart and len(proven) == 1 else (),
            started_at=min(each.started_at for each in proven),
            ended_at=max(each.ended_at for each in proven),
        )

    def prepare(self, taken: Pass) -> None:
        """Make the digests of a pass that may be the one that is taken."""
        self._digests([reading for reading in taken.readings if reading.keys is not None])

    def _digests(self, read: Sequence[Reading]) -> Mapping[date, tuple[int, str]]:
        """Return the digests of the wanted days of readings that share none; in few large pieces, which is faster."""
        numbers = frozenset(reading.number for reading in read if reading.number is not None)
        with self._preparing:
            if self._prepared is None or self._prepared[0] != numbers:
                rows = self._spool.rows()
                days: dict[date, tuple[int, str]] = {}
                waiting = [pa.concat_tables(rows.tables)] if rows.tables else []
                for part in chain(waiting, replace(rows, tables=()).batches()):
                    days |= day_digests(self.table, part, self._day)
                self._prepared = numbers, days
            return self._prepared[1]

    def _outside(self, read: Sequence[Reading]) -> pa.Table:
        none = arrow.content_schema(self.table).empty_table()
        return pa.concat_tables([none, *(reading.outside for reading in read if reading.outside is not None)])

    def _sorted_out(self, subject: str, read: Sequence[Reading]) -> tuple[pa.Table, Mapping[date, tuple[int, str]]]:
        """Keep every row once where windows share rows or days; all rows are then in memory at once."""
        rows = pa.concat_tables([*self._spool.rows().batches(), self._outside(read)])
        rows = _distinct(self.table, subject, rows)
        self.drop(read)
        inside, outside = self._split(rows)
        self._spool.add(inside)
        return outside, day_digests(self.table, inside, self._day)

    def _split(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Part the rows of the wanted days from the others."""
        days = rows[self._day]
        first, last = pa.scalar(self.start, pa.date32()), pa.scalar(self.end, pa.date32())
        wanted = pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last))
        return rows.filter(wanted), rows.filter(pc.invert(wanted))


def _distinct(table: sa.Table, subject: str, rows: pa.Table) -> pa.Table:
    keys = contents.keys_of(table, rows)
    numbered = pa.table({"key": keys, "at": pa.array(range(len(keys)), pa.int64())})
    first = numbered.group_by("key").aggregate([("at", "min"), ("at", "count")])
    twice = first.filter(pc.greater(first["at_count"], 1))["key"]
    seen: dict[Any, Any] = {}
    for row in rows.filter(pc.is_in(keys, value_set=twice)).to_pylist():
        key = tuple(row[name] for name in schema.key_of(table))
        if seen.setdefault(key, row) != row:
            raise IncompleteAnswerError(
                f"{subject}: two windows of one read show {key} differently.",
                "nothing, if the account is being corrected right now: the old rows stay and the next run asks again.",
            )
    return rows.take(first["at_min"].combine_chunks().sort())


def _distinct_bad(read: Sequence[Reading]) -> tuple[Rejected, ...]:
    """Return each bad row once: windows that overlap show it twice."""
    found = [bad for reading in read for bad in reading.rejected]
    return tuple({json.dumps(bad.payload, sort_keys=True, default=str): bad for bad in found}.values())


def _receipts(readings: Sequence[Reading]) -> tuple[Receipt, ...]:
    """Return what can be known again: windows of one page, of their own days alone, with good rows alone.

    If one holds rows of other days none is: the rows of a day would not all be in its window. What was a receipt
    already is not made anew.
    """
    apart = all(left.span.end < right.span.start for left, right in pairwise(readings))
    if len(readings) == 1 or not apart or not all(reading.exact for reading in readings):
        return ()
    read = (reading for reading in readings if reading.keys is not None)
    sure = (reading for reading in read if reading.pages == 1 and not reading.rejected and not reading.others)
    return tuple(Receipt(reading.span, reading.rows, reading.digests[0]) for reading in sure)
