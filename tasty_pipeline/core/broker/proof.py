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
   counted just after.

Then every row that was there all the time is in B:

- A row that a pass misses was moved, during that pass, into a window already read. Moved once, it can be missed by A
  or by B, not by both; if it is only in A, (1) fails. (To be missed by both it has to move in each pass at the wrong
  moment, and then (3) fails unless a booking and a withdrawal in the same seconds balance it.)
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

*A filter that lets rows through from outside* shows a row in several windows and counts it in some totals and not in
others. Rows are counted once, by key. If two passes agree with each other and still not with the total, twice, the
whole range is read by pages instead, where rows and total come from the same question.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasty_pipeline.core.broker.decode import Page
from tasty_pipeline.core.broker.windows import Span

Row = dict[str, Any]
Key = tuple[Any, ...]
KeyOf = Callable[[Row], Key | None]


@dataclass(frozen=True)
class Reading:
    """One window as it was answered: its rows by key, the API's total, and how many pages it took.

    `others` counts items that are no rows of the list (the current balance at the end of the snapshots).
    """

    span: Span
    rows: Mapping[Key, Row]
    total: int
    pages: int
    others: int


@dataclass(frozen=True)
class Collection:
    """One pass over all windows: the rows of all of them, and the keys that read differently in two of them."""

    readings: tuple[Reading, ...]
    rows: Mapping[Key, Row]
    torn: frozenset[Key]
    started_at: datetime

    @property
    def others(self) -> int:
        """Items of the whole range that are no rows: each window repeats them."""
        return max((reading.others for reading in self.readings), default=0)


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


def transaction_key(row: Row) -> Key | None:
    """The `id`, the only key of a transaction: byte-identical fills of one order differ in nothing else."""
    identifier = row.get("id")
    if isinstance(identifier, str) and identifier.isascii() and identifier.isdigit():
        identifier = int(identifier)
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        return (identifier,)
    return _odd(row)


def snapshot_key(row: Row) -> Key | None:
    """The day, time of day and currency; None for the current balance, which has no time of day."""
    if row.get("time-of-day") is None:
        return None
    key = (row.get("snapshot-date"), row["time-of-day"], row.get("currency"))
    return key if isinstance(key[0], str) and isinstance(key[1], str) else _odd(row)


def _odd(row: Row) -> Key:
    # A row without a key is not lost: it is told from others by all it says, and the payload contract rejects it.
    return ("no key", json.dumps(row, sort_keys=True, default=str))


def keyed(items: Iterable[Row], key_of: KeyOf) -> tuple[dict[Key, Row], int, int]:
    """Rows by key, how many were repeats of a key, and how many items were no rows of the list."""
    rows: dict[Key, Row] = {}
    repeats = 0
    others: list[Row] = []
    for item in items:
        key = key_of(item)
        if key is None:
            others.append(item)
        elif key in rows:
            repeats += 1
        else:
            rows[key] = item
    if others and not _is_current(others, rows.values()):
        rows |= {_odd(item): item for item in others}
        return rows, repeats, 0
    return rows, repeats, len(others)


def _is_current(others: list[Row], rows: Iterable[Row]) -> bool:
    # The current balance is one, and newer than every snapshot. Anything else is a snapshot that lost its time of day:
    # the payload contract rejects it, and while it stands nothing counts as gone.
    days = [str(row.get("snapshot-date")) for row in rows]
    return len(others) == 1 and all(str(others[0].get("snapshot-date")) >= day for day in days)


def as_one_answer(span: Span, page: Page, key_of: KeyOf) -> Reading | str:
    """The window, if this single page proves it; otherwise what is wrong with it, in words."""
    rows, repeats, others = keyed(page.items, key_of)
    if page.count != len(page.items):
        return f"{len(page.items)} rows where {page.count} were announced"
    if repeats:
        return f"{repeats} rows twice in one answer"
    if page.offset != 0:
        return f"page {page.offset} instead of the first"
    if page.total not in {len(page.items), len(rows)}:
        return f"{len(page.items)} rows where the total says {page.total}"
    return Reading(span, rows, page.total, 1, others)


def as_pages(span: Span, pages: list[Page], key_of: KeyOf) -> Reading | str:
    """The window, if these pages fit together; otherwise what is wrong with them, in words."""
    items = [item for page in pages for item in page.items]
    rows, repeats, others = keyed(items, key_of)
    totals = [page.total for page in pages]
    miscounted = [page for page in pages if page.count != len(page.items)]
    if miscounted:
        return f"{len(miscounted[0].items)} rows on a page where {miscounted[0].count} were announced"
    if [page.offset for page in pages] != list(range(len(pages))):
        return "pages out of order"
    if repeats:
        return f"{repeats} rows on two pages"
    if totals != sorted(totals):
        return f"totals that fall between pages ({max(totals)}, then {totals[-1]})"
    if totals[-1] not in {len(items), len(rows)}:
        return f"{len(items)} rows where the total says {totals[-1]}"
    return Reading(span, rows, totals[-1], len(pages), others)


def merged(readings: Iterable[Reading], known: Mapping[Key, Row], started_at: datetime) -> Collection:
    """All windows as one pass.

    Rows equal to `known` ones are replaced by those, so that two passes cost the memory of one.
    """
    readings = tuple(readings)
    rows: dict[Key, Row] = {}
    torn: set[Key] = set()
    for reading in readings:
        for key, row in reading.rows.items():
            if rows.setdefault(key, row) != row:
                torn.add(key)
    for key, row in rows.items():
        if known.get(key) == row:
            rows[key] = known[key]
    return Collection(readings, rows, frozenset(torn), started_at)


def compare(earlier: Collection, later: Collection, before: int, after: int) -> Verdict:
    """The second of two passes, judged by the first and by the totals of the whole range around it."""
    vanished = sum(key not in later.rows for key in earlier.rows)
    altered = set(later.torn)
    altered.update(key for key, row in later.rows.items() if key in earlier.rows and earlier.rows[key] != row)
    return Verdict(vanished, len(altered), len(later.rows), later.others, before, after)
