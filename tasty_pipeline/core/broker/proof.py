"""When a read is complete: the argument, and the pure functions that decide it.

Here belongs the judgement on answers that have been read. Asking for them belongs to `reading.py`, the arithmetic on
days to `windows.py`.

*One page.* The server makes one answer from one look at its rows. If it holds as many distinct rows as it says there
are in the range (`total-items`), it is the range at one instant, and nothing more is needed. A count and a list that
were made on both sides of a change disagree, and the page is asked for again.

*Many windows.* The windows are looked at one after the other, while rows may be booked, withdrawn, restated or moved
to another date between any two requests. Counting alone does not settle that: a row that moves from a window not yet
read into one already read is missed, and a new row and a withdrawn one that was read before can make up the number.
So every window is read twice, and the second pass begins only when the first has ended. With A the rows of the first
pass and B those of the second, B is taken if

1. no row of A is missing from B, and none of A's rows reads differently in B,
2. no row of B reads differently in two overlapping windows of B,
3. B holds no fewer rows than the API counted for the whole range just before the second pass, and no more than it
   counted just after; nor does A hold fewer than were counted before the first.

(2) needs no look of its own where B answers as A did, byte for byte: rows that differed in two windows of B differed so
in A, and are then found when the windows are put together. The counts of (3) are asked for together with B's first and
last windows. What is booked makes a count that comes too late or too early fail the proof; a withdrawal just before the
first count lowers it, which loses a row only if that row also moved in each pass at the wrong moment. The count before
A was made for another purpose, or is that before the pass that A was compared with.

Then every row that was there all the time is in B:

- A row that a pass misses was moved, during that pass, into a window already read. Moved once, it can be missed by A
  or by B, not by both; if it is only in A, (1) fails. (To be missed by both it has to move in each pass at the wrong
  moment, and then (3) fails unless in each of them another row is booked that makes up the number.)
- A row booked meanwhile may be in B or not: it was not there all the time.
- A row withdrawn meanwhile is in A and not in B, and (1) fails, unless it went after B had read its window: then B is
  the state before, or (3) fails.
- A row restated meanwhile fails (1) or (2), or B read it before the change.

Where (1) to (3) fail, B becomes A and one more pass is made. New bookings alone never fail them, so an account that
trades on all the time is read in two passes. (3) is besides a witness against the server: windows that together lose
rows of the whole range, by whatever fault of its filter, do not pass.

*A day with more rows than a page* is read page by page, oldest first. Within one such reading the keys must be
distinct, the count must not fall from page to page, and the rows must be as many as the last page says. A row can
then slip between two pages only if another, already read, was withdrawn or moved out of the window. If that happens
in A, that other row is missing from B or different in it; if it happens in B, the row that slipped is in A and not in
B. Either way (1) fails.

*Windows side by side* need bounds that belong to the range: where they do not, both passes lack the rows of the border
days, and a row that is booked meanwhile could make up the number. So it is found out first: a range of one day that has
rows shows all rows of that day, or a bound is exclusive, and the windows overlap.

*A filter that lets rows through from outside* shows a row in several windows and counts it in some totals and not in
others. Rows are counted once, by key. If two passes agree with each other and still not with the total, twice, the
whole range is read by pages instead, where rows and total come from the same question.

*What was proven before* can stand for A. The range is counted, and then every window answers, byte for byte, what it
answered when its rows were published, as many as were counted: one pass is enough. A row that was there from the count
on and was missed would be one of those counted, so that one of the published rows, all of which were seen after the
count, would have to be none of them: withdrawn before, or moved out, and back again with its id. That the tables still
hold what was published is for the caller to make sure of. With a single window that answers anything else, all are read
twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline.core.broker import contents
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.windows import Span
from tasty_pipeline.core.payloads import Rejected


@dataclass(frozen=True)
class Reading:
    """One window as it was answered.

    `rows` counts the distinct rows, good and bad, and `others` the items that are no rows of the list (the current
    balance at the end of the snapshots). `number` is where the good rows of the wanted days wait, None for a window
    that answers as it did when it was proven before: of that one nothing else is known. `outside` are the good rows of
    other days, `days` the number of good rows of each wanted day that has some, and `exact` says whether all rows are
    of the days that were asked for.
    """

    span: Span
    total: int
    pages: int
    digests: tuple[str, ...]
    rows: int
    others: int = 0
    number: int | None = None
    keys: pa.ChunkedArray | None = None
    rejected: tuple[Rejected, ...] = ()
    outside: pa.Table | None = None
    days: Mapping[date, int] = field(default_factory=dict)
    exact: bool = True


@dataclass(frozen=True)
class Pass:
    """One look at all windows."""

    readings: tuple[Reading, ...]
    started_at: datetime

    @property
    def others(self) -> int:
        """Items of the whole range that are no rows: each window repeats them."""
        return max((reading.others for reading in self.readings), default=0)

    def rows(self, table: sa.Table) -> int:
        """Distinct rows of all windows, good and bad."""
        read = [reading for reading in self.readings if reading.keys is not None]
        known = sum(reading.rows for reading in self.readings if reading.keys is None)
        keys = joined(reading.keys for reading in read)
        return known + contents.count_distinct(table, keys, [bad for reading in read for bad in reading.rejected])


def joined(arrays: Iterable[pa.ChunkedArray | None]) -> pa.ChunkedArray:
    """Return several columns of keys as one."""
    chunks = [chunk for array in arrays if array is not None for chunk in array.chunks]
    return pa.chunked_array(chunks or [pa.array([], pa.int64())])


@dataclass(frozen=True)
class Verdict:
    """How two passes compare: rows of the first that are gone or different in the second, and rows against totals."""

    vanished: int
    altered: int
    rows: int
    others: int
    before: int
    after: int

    @property
    def still(self) -> bool:
        """No row was lost or changed between the passes."""
        return not self.vanished and not self.altered

    @property
    def counted(self) -> bool:
        """As many rows as the API counts, with what was booked meanwhile."""
        return self.before - self.others <= self.rows <= self.after

    def __str__(self) -> str:
        totals = str(self.before) if self.before == self.after else f"{self.before}, then {self.after}"
        return (
            f"{self.rows} distinct rows against a total of {totals}; "
            f"{self.vanished} gone and {self.altered} changed between two passes"
        )


def flaw_of_one(page: Page, others: int) -> str:
    """Say what keeps a single page from proving its window; empty if nothing does. So many items are no rows."""
    rows = page.items - page.repeats - others
    if page.count != page.items:
        return f"{page.items} rows where {page.count} were announced"
    if page.repeats:
        return f"{page.repeats} rows twice in one answer"
    if page.offset != 0:
        return f"page {page.offset} instead of the first"
    if page.total not in {page.items, rows}:
        return f"{page.items} rows where the total says {page.total}"
    return ""


def flaw_of_many(pages: Sequence[Page], distinct: int, others: int) -> str:
    """Say what keeps pages from fitting together; empty if nothing does.

    In all they hold so many distinct rows, and so many items that are no rows.
    """
    items = sum(page.items for page in pages)
    repeats = items - distinct - others
    totals = [page.total for page in pages]
    miscounted = [page for page in pages if page.count != page.items]
    if miscounted:
        return f"{miscounted[0].items} rows on a page where {miscounted[0].count} were announced"
    if [page.offset for page in pages] != list(range(len(pages))):
        return "pages out of order"
    if repeats:
        return f"{repeats} rows on two pages"
    if totals != sorted(totals):
        return f"totals that fall between pages ({max(totals)}, then {totals[-1]})"
    if totals[-1] not in {items, distinct}:
        return f"{items} rows where the total says {totals[-1]}"
    return ""


Content = Mapping[Any, Any]


def compare(
    table: sa.Table, earlier: Pass, later: Pass, totals: tuple[int, int], content: Callable[[Reading], Content]
) -> Verdict:
    """The second of two passes, judged by the first and by the totals of the whole range around it.

    `content` gives the rows of a reading by key. Only windows that do not answer as before are looked into.
    """
    vanished = 0
    altered: set[Any] = set()
    news: dict[Any, Any] = {}
    seen: Counter[Any] = Counter()
    for left, right in _changed(earlier, later):
        # nobody knows which rows a window held that was not read, as it was proven before: any of them may have gone
        vanished += sum(reading.rows for reading in left if reading.keys is None)
        old, new = _united(left, content, altered), _united(right, content, altered)
        vanished += len(old.keys() - new.keys())
        altered |= {key for key, row in new.items() if key in old and old[key] != row}
        for key in new.keys() - old.keys():
            seen[key] += 1
            if news.setdefault(key, new[key]) != new[key]:
                altered.add(key)
    altered |= _elsewhere(table, later, news, seen)
    return Verdict(vanished, len(altered), later.rows(table), later.others, *totals)


def _elsewhere(table: sa.Table, later: Pass, news: Mapping[Any, Any], seen: Counter[Any]) -> set[Any]:
    """Return what is new in some windows and was in others all the time: it has moved, or is in two of them."""
    if not news:
        return set()
    keys = joined(reading.keys for reading in later.readings)
    wanted = pa.array([key for key in news if not isinstance(key, tuple)], keys.type)
    times = Counter(keys.filter(pc.is_in(keys, value_set=wanted)).to_pylist())
    times.update(contents.key_of_bad(table, bad) for reading in later.readings for bad in reading.rejected)
    return {key for key, found in times.items() if key in news and found > seen[key]}


def _changed(earlier: Pass, later: Pass) -> Iterable[tuple[list[Reading], list[Reading]]]:
    """Pair the readings that differ, window by window; windows that only one pass has make one pair."""
    old = {reading.span: reading for reading in earlier.readings}
    new = {reading.span: reading for reading in later.readings}
    for span in old.keys() & new.keys():
        if old[span] is not new[span]:
            yield [old[span]], [new[span]]
    if old.keys() != new.keys():
        yield [old[span] for span in old.keys() - new.keys()], [new[span] for span in new.keys() - old.keys()]


def _united(readings: list[Reading], content: Callable[[Reading], Content], torn: set[Any]) -> dict[Any, Any]:
    rows: dict[Any, Any] = {}
    for reading in readings:
        for key, row in content(reading).items():
            if rows.setdefault(key, row) != row:
                torn.add(key)
    return rows
