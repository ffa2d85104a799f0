"""A small ledger that may change between any two requests, behind the loopback server or without a wire.

Here belongs a server that is honest about rows that anybody moves under the reader's eyes. Its pages are small, so that
a few rows make several windows. What a whole brokerage does comes from the simulator.
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import arrow, schema
from tasty_pipeline.core.broker import ProvenRead, Receipt, contents
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.reading import Prover
from tasty_pipeline.core.broker.shelf import Shelf
from tasty_pipeline.core.broker.windows import Span
from tasty_pipeline.core.spool import Spool

from .loopback import Answer, Asked

Row = dict[str, Any]
CONTENT = arrow.content_schema(schema.transactions)
FIRST, LAST = date(2025, 3, 3), date(2025, 4, 11)  # forty days; with the pad 54


def transaction(identifier: int, day: date | str, **more: Any) -> Row:
    """Return a row with all that the contract requires, and a price, so that a change shows."""
    shown = {"id": identifier, "account-number": "A1", "transaction-type": "Trade", "transaction-sub-type": "Buy"}
    shown |= {"transaction-date": str(day), "executed-at": f"{day}T15:00:00.000+00:00", "price": "1.5"}
    return shown | {"value": "0.0", "value-effect": "None", "net-value": "0.0", "net-value-effect": "None"} | more


def on_days(*days: int) -> list[Row]:
    """Return a row on each of these days, counted from `FIRST`; their ids tell nothing of their order."""
    return [transaction(900 - 7 * n, FIRST + timedelta(days=day)) for n, day in enumerate(days)]


@dataclass
class Ledger:
    """Rows by id, and how they are asked for.

    `by` is the key whose first ten characters the date filter reads, `bounds` are how many days of the range the filter
    leaves out at its start and end. `before` is called before every answer with its number, from 1.
    """

    rows: dict[int, Row]
    page_rows: int = 5
    by: str = "transaction-date"
    bounds: tuple[int, int] = (0, 0)
    before: Callable[[int], None] = lambda _: None
    asked: int = 0

    @classmethod
    def of(cls, rows: Iterable[Row], **settings: Any) -> "Ledger":
        return cls({row["id"]: row for row in rows}, **settings)

    def __call__(self, asked: Asked) -> Answer:
        query = asked.query
        size, offset = int(query["per-page"]), int(query["page-offset"])
        return Answer(self.body(query["start-date"], query["end-date"], offset, size))

    def body(self, start: str, end: str, offset: int, size: int) -> bytes:
        """Return the bytes of one page."""
        self.asked += 1
        self.before(self.asked)
        found = self.between(start, end)
        size = min(size, self.page_rows)
        items = found[offset * size : (offset + 1) * size]
        pagination = {"total-items": len(found), "page-offset": offset, "per-page": size}
        pagination["current-item-count"] = len(items)
        return json.dumps({"data": {"items": items}, "pagination": pagination}).encode()

    def between(self, start: str, end: str) -> list[Row]:
        """Return what the filter lets through, oldest first."""
        first = date.fromisoformat(start) + timedelta(days=self.bounds[0])
        last = date.fromisoformat(end) - timedelta(days=self.bounds[1])
        found = [row for row in self.rows.values() if str(first) <= row[self.by][:10] <= str(last)]
        return sorted(found, key=lambda row: (row[self.by], row["id"]))

    def copy(self) -> dict[int, Row]:
        """Return the rows as they are now."""
        copied: dict[int, Row] = {int(key): row for key, row in json.loads(json.dumps(self.rows)).items()}
        return copied

    def book(self, identifier: int, day: date, **more: Any) -> None:
        """Let a row appear."""
        self.rows[identifier] = transaction(identifier, day, **more)

    def redate(self, identifier: int, day: date) -> None:
        """Move a row to another day."""
        self.rows[identifier] = transaction(identifier, day)

    def remove(self, identifier: int) -> None:
        """Take a row back."""
        del self.rows[identifier]


@dataclass
class Wireless:
    """A ledger as a list to be read, asked directly: hundreds of reads take no longer than a few over HTTP."""

    ledger: Ledger
    table: sa.Table = schema.transactions
    subject: str = "transactions of account A1"
    time_of_day: str | None = None
    slots: int = 3
    page_rows: int = 5
    threads: Executor = field(default_factory=lambda: ThreadPoolExecutor(2))
    inclusive: bool | None = None

    async def fetch(self, span: Span, offset: int, size: int) -> bytes:
        return self.ledger.body(str(span.start), str(span.end), offset, size)

    def read(self, body: bytes) -> Page:
        return contents.read(self.table, body, "A1", "the ledger")

    async def whole(
        self, known: Iterable[Receipt] = (), start: date = FIRST, end: date = LAST, spool: Spool | None = None
    ) -> ProvenRead:
        """Read the days from `start` to `end` as a broker does."""
        shelf = Shelf(self.table, start, end, spool or Spool(CONTENT))
        return shelf.together(await Prover(self, shelf, known).read())
