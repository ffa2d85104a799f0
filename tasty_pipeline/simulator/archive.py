"""What a reader may see of one account: its written rows, sorted and indexed, and the sums kept along with them.

It knows nothing of HTTP, clocks or how rows come about. A change anywhere moves ``version``, which everything
that caches looks at.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

from tasty_pipeline.simulator.books import MARK_TO_MARKET, Book
from tasty_pipeline.simulator.days import new_york_date
from tasty_pipeline.simulator.instruments import FUTURE, read_symbol
from tasty_pipeline.simulator.rows import ZERO, Row


@dataclass(slots=True)
class Sums:
    """Cash, quantities and unsettled futures cost, either of one day's rows or of all rows up to a day."""

    cash: Decimal = ZERO
    quantities: dict[str, Decimal] = field(default_factory=dict)
    futures_cost: dict[str, Decimal] = field(default_factory=dict)

    def add_row(self, row: Row, sign: int) -> None:
        """Take a row in (1) or out (-1)."""
        self.cash += sign * row.net_value
        if row.symbol is None:
            return
        if row.delta:
            self.quantities[row.symbol] = self.quantities.get(row.symbol, ZERO) + sign * row.delta
        if row.kind == FUTURE:
            cost = row.value if row.sub_type in MARK_TO_MARKET else ZERO
            if row.price is not None:
                multiplier = read_symbol(row.symbol, row.executed_at.year).multiplier
                cost += row.delta * row.price * multiplier
            self.futures_cost[row.symbol] = self.futures_cost.get(row.symbol, ZERO) + sign * cost

    def plus(self, other: "Sums") -> "Sums":
        """Return both together, without what has become zero."""
        return Sums(
            self.cash + other.cash,
            _merged(self.quantities, other.quantities),
            _merged(self.futures_cost, other.futures_cost),
        )


def _merged(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    merged = dict(left)
    for key, value in right.items():
        total = merged.get(key, ZERO) + value
        if total:
            merged[key] = total
        else:
            merged.pop(key, None)
    return merged


class Archive:
    """The visible rows of one account, in the order (executed-at, id)."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.by_id: dict[int, Row] = {}
        self.version = 0
        self.last_written: datetime | None = None
        self._slack = 1
        self._days: dict[date, Sums] = {}
        self._closes: list[tuple[date, Sums]] | None = None
        self._book: Book | None = None
        #: What others have worked out from the present rows; forgotten with every change.
        self.remembered: dict[tuple[Any, ...], Any] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in."""
        new = sorted(rows, key=_key)
        if not new:
            return
        at_end = not self.rows or self.rows[-1].key <= new[0].key
        self.rows.extend(new)
        if not at_end:
            self.rows.sort(key=_key)
        for row in new:
            self.by_id[row.id] = row
            self._count(row, 1)
            if self._book is not None and at_end:
                self._book.apply(row)
            if self.last_written is None or row.created_at > self.last_written:
                self.last_written = row.created_at
        self._changed(keep_book=at_end)

    def discard(self, row: Row) -> None:
        """Take a row out."""
        del self.by_id[row.id]
        del self.rows[bisect_left(self.rows, row.key, key=_key)]
        self._count(row, -1)
        self._changed()

    def clear(self) -> None:
        """Forget everything."""
        version = self.version
        self.__init__()  # type: ignore[misc]
        self.version = version + 1

    def _changed(self, *, keep_book: bool = False) -> None:
        self.version += 1
        self._closes = None
        self.remembered.clear()
        if not keep_book:
            self._book = None

    def _count(self, row: Row, sign: int) -> None:
        self._days.setdefault(row.transaction_date, Sums()).add_row(row, sign)
        apart = abs((row.transaction_date - row.executed_at.date()).days) + 1
        self._slack = max(self._slack, apart)

    def book(self) -> Book:
        """Return the replay of all visible rows."""
        if self._book is None:
            self._book = Book.of(self.rows)
        return self._book

    def totals(self) -> Sums:
        """Return the sums over all visible rows."""
        closes = self._all_closes()
        return closes[-1][1] if closes else Sums()

    def through(self, day: date) -> Sums:
        """Return the sums over the rows booked up to and including a day."""
        closes = self._all_closes()
        index = bisect_right(closes, day, key=lambda item: item[0])
        return closes[index - 1][1] if index else Sums()

    def _all_closes(self) -> list[tuple[date, Sums]]:
        if self._closes is None:
            days = sorted(self._days)
            sums = accumulate((self._days[day] for day in days), Sums.plus, initial=Sums())
            next(sums)
            self._closes = list(zip(days, sums, strict=True))
        return self._closes

    def near(self, first: date | None, last: date | None) -> list[Row]:
        """Return rows among which are all whose executed-at or transaction-date lies between two days."""
        low, high = 0, len(self.rows)
        slack = timedelta(days=self._slack + 1)
        if first is not None:
            low = bisect_left(self.rows, datetime.combine(first - slack, time(), UTC), key=lambda row: row.executed_at)
        if last is not None:
            end = datetime.combine(last + slack, time.max, UTC)
            high = bisect_right(self.rows, end, key=lambda row: row.executed_at)
        return self.rows[low:high]

    def fees_on(self, day: date) -> Decimal:
        """Return the day's fees, signed."""
        rows = self.near(day, day)
        return sum((row.fees for row in rows if new_york_date(row.executed_at) == day), ZERO)


def _key(row: Row) -> tuple[datetime, int]:
    return (row.executed_at, row.id)
