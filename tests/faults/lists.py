"""Small lists of every kind that a pager meets, and everything that can happen to one row of them.

Here belongs what is read, how, and from which state of the table; the lists are asked directly (`broker/ledger.py`), so
that everything can be tried. What is tried belongs to `paging.py` and `pager.py`.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from broker.brokerage import Rows, judged, typed
from broker.ledger import FIRST, LAST, Ledger, Row, Wireless, transaction

from tasty_pipeline.core import schema
from tasty_pipeline.core.broker import ProvenRead, Receipt, contents
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.windows import Span, padded

SPAN = padded(FIRST, LAST)
FAR = FIRST - timedelta(days=60)
DAY = timedelta(days=1)
LEAK = timedelta(days=3)
REPLACED, BOOKED = 500, 2000  # ids of new rows: before and behind the others of a day
MOST = 2_500  # requests of one read, whatever the server does


class EndlessError(Exception):
    """A read asks and asks."""


class InPlace(Executor):
    """Does work where it is asked for: the same order of events every time, and no thread for ten rows."""

    def submit(self, work: Any, /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*given, **named))
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            done.set_exception(error)
        return done


@dataclass
class Listed(Ledger):
    """A ledger whose filter may let a third of the rows through that lie a little outside."""

    leaky: bool = False

    def between(self, start: str, end: str) -> list[Row]:
        found = super().between(start, end)
        if self.leaky:
            wider = super().between(str(date.fromisoformat(start) - LEAK), str(date.fromisoformat(end) + LEAK))
            ids = {row["id"] for row in found}
            found = [row for row in wider if row["id"] in ids or row["id"] % 3 == 0]
        return found


@lru_cache(10_000)
def _page(body: bytes) -> Page:
    return contents.read(schema.transactions, body, "A1", "the ledger")


@dataclass
class Reader(Wireless):
    """Reads a ledger; `order` says which of several questions at once is answered first."""

    order: int = 0
    asked: int = 0

    async def fetch(self, span: Span, offset: int, size: int) -> bytes:
        self.asked += 1
        if self.asked > MOST:
            raise EndlessError
        for _ in range(random.Random(self.order * 1000 + self.asked).randrange(9) if self.order else 0):  # noqa: S311
            await asyncio.sleep(0)
        return await super().fetch(span, offset, size)

    def read(self, body: bytes) -> Page:
        return _page(body)


@dataclass(frozen=True)
class Change:
    """What becomes of one row; without a row it is taken away. `instead` is a new one that comes at the same time."""

    said: str
    key: int
    row: Row | None = field(hash=False, default=None)
    instead: Row | None = field(hash=False, default=None)

    def apply(self, rows: dict[int, Row]) -> None:
        rows.pop(self.key, None)
        for row in (self.row, self.instead):
            if row is not None:
                rows[row["id"]] = row


@dataclass(frozen=True)
class Start:
    """Where a read begins: the ledger, the table as it was published, and the receipts of that publication."""

    name: str
    rows: tuple[Row, ...]
    published: Rows
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True)
class Shape:
    """A list and how it is asked for: rows on days (counted from `FIRST`), rows of a page, the filter's habits."""

    name: str
    days: tuple[int, ...]
    page_rows: int = 4
    by: str = "transaction-date"
    bounds: tuple[int, int] = (0, 0)
    leaky: bool = False
    coarse: bool = False  # not to every day and every edge of a window

    def row(self, key: int, day: date, price: str = "1.5") -> Row:
        """Return a row; where the filter reads another column, that is not always the same day."""
        executed = day if self.by == "transaction-date" else day + (key // 10 % 3 - 1) * DAY
        return transaction(key, day, price=price, **{"executed-at": f"{executed}T15:00:00.000+00:00"})

    @cached_property
    def rows(self) -> list[Row]:
        """Return the rows in their order; their ids tell nothing of it, and there is room between any two."""
        count = len(self.days)
        return sorted(
            (self.row(1000 + 10 * (13 * n % count), FIRST + day * DAY) for n, day in enumerate(self.days)),
            key=lambda row: (row["transaction-date"], row["id"]),
        )

    def ledger(self, rows: Iterable[Row]) -> Listed:
        return Listed.of(rows, page_rows=self.page_rows, by=self.by, bounds=self.bounds, leaky=self.leaky)

    def truth(self, rows: Iterable[Row]) -> Rows:
        """Return what an honest answer to the whole range holds."""
        return judged(self.ledger(rows).between(str(SPAN.start), str(SPAN.end)))

    @cached_property
    def windows(self) -> list[Span]:
        return [Span(each.start, each.end) for each in self.read(self.ledger(self.rows)).windows]

    def read(self, ledger: Ledger, known: Iterable[Receipt] = (), order: int = 0) -> ProvenRead:
        """Read the wanted days as a broker does. Raises `IncompleteAnswerError`."""
        slots = 8 if order else 3
        reader = Reader(ledger, page_rows=self.page_rows, threads=InPlace(), slots=slots, order=order)
        return asyncio.run(reader.whole(known))

    @cached_property
    def changes(self) -> list[Change]:
        """Return everything that can happen to one row, at every position."""
        return [*self._of_rows(), *self._inserts()]

    @property
    def middles(self) -> set[date]:
        return {each.start + each.days // 2 * DAY for each in self.windows}

    @property
    def moves(self) -> list[Change]:
        """Return what is tried two by two: removals, bookings between the rows, rows that move to another window."""
        middles = {str(day) for day in self.middles}
        return [
            change
            for change in self.changes
            if (change.row is None and change.instead is None)
            or change.key == BOOKED
            or (change.row is not None and change.row["price"] == "1.5" and change.row["transaction-date"] in middles)
        ]

    def _of_rows(self) -> Iterator[Change]:
        days = self.middles | {FAR}
        if not self.coarse:
            days |= {day for each in self.windows for day in (each.start, each.end)}
        for row in self.rows:
            key, day = row["id"], date.fromisoformat(row["transaction-date"])
            yield Change(f"{key} removed", key)
            yield Change(f"{key} restated", key, self.row(key, day, price="2.5"))
            for other in sorted(days):
                yield Change(f"{key} re-dated to {other}", key, self.row(key, other))
            for new, where in ((REPLACED, day), (BOOKED, day), *((BOOKED, middle) for middle in sorted(self.middles))):
                said = f"{key} removed and {new} booked on {where}"
                yield Change(said, key, instead=self.row(new, where))

    def _inserts(self) -> Iterator[Change]:
        """Yield a booking between any two rows: beside each on its own day, and on every day between."""
        taken = [SPAN.start - DAY, *(date.fromisoformat(row["transaction-date"]) for row in self.rows), SPAN.end + DAY]
        free = [[left + n * DAY for n in range(1, (right - left).days)] for left, right in pairwise(taken)]
        places = [
            (BOOKED, day) for days in free if days for day in (days[len(days) // 2 :][:1] if self.coarse else days)
        ]
        places += [(row["id"] + n, date.fromisoformat(row["transaction-date"])) for row in self.rows for n in (-5, 5)]
        for key, day in places:
            yield Change(f"{key} booked on {day}", key, self.row(key, day))

    @cached_property
    def starts(self) -> list[Start]:
        """Return the first read, and those after a publication: with nothing new, and with a new row in a window."""
        rows = tuple(self.rows)
        found = [Start("first read", rows, {}, ())]
        read = self.read(self.ledger(rows))
        full = [receipt for receipt in read.receipts if receipt.rows]
        if sum(receipt.rows for receipt in full) > self.page_rows:
            published = held_after({}, read)
            found.append(Start("with receipts", rows, published, read.receipts))
            for number, each in enumerate(full):
                late = self.row(3000, max(each.span.start, FIRST))
                found.append(Start(f"window {number} has a new row", (*rows, late), published, read.receipts))
        return found


SPREAD = (1, 5, 9, 14, 21, 24, 28, 34, 38)  # three windows of three rows
BUSY = (2, 6, *[20] * 5, 31, 36)
SHAPES = (
    Shape("windows", SPREAD),
    Shape("one page", (3, 11, 29)),
    Shape("a day of several pages", BUSY, page_rows=3, coarse=True),
    *(
        Shape(f"{name} exclusive", (1, 5, 14, 19, 20, 31, 38), bounds=bounds)
        for name, bounds in (("start", (1, 0)), ("end", (0, 1)), ("both bounds", (1, 1)))
    ),
    Shape("both bounds exclusive, a day of several pages", BUSY, page_rows=3, bounds=(1, 1), coarse=True),
    Shape("by executed-at", SPREAD, by="executed-at"),
    Shape("by executed-at, end exclusive", SPREAD, by="executed-at", bounds=(0, 1)),
    Shape("leaky", SPREAD, leaky=True, coarse=True),
    Shape("leaky, by executed-at", SPREAD, by="executed-at", leaky=True, coarse=True),
)
SMALL = Shape("small", (5, 24, 28, 36), page_rows=2, coarse=True)


def held_after(published: Rows, read: ProvenRead) -> Rows:
    """Return what a table holds that published the one and takes over the other."""
    kept = {
        key: row
        for key, row in published.items()
        if any(span.start <= row["transaction_date"] <= span.end for span in read.unchanged)
    }
    return kept | {row["transaction_id"]: row for row in typed(read)}
