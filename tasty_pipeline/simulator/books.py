"""The replay: rows in, cash and positions out. The only place where an amount or a quantity is added up.

The generator keeps one book to know what it holds; the API's positions, balances and snapshots come from another
that saw exactly the rows a reader may see. How these are worded for the API belongs to ``statements``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from tasty_pipeline.simulator.days import new_york_date
from tasty_pipeline.simulator.instruments import FUTURE, Instrument, read_symbol
from tasty_pipeline.simulator.rows import ZERO, Row

MARK_TO_MARKET = ("Mark to Market", "Futures Settlement")


@dataclass(slots=True)
class Position:
    """What is held of one symbol: signed quantity, its signed cost, and the gain realized on the latest day."""

    instrument: Instrument
    opened_at: datetime
    updated_at: datetime
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    realized_on: date | None = None

    @property
    def average_price(self) -> Decimal:
        """The mean price at which the present quantity was opened."""
        if not self.quantity:
            return ZERO
        return abs(self.cost / self.quantity / self.instrument.multiplier)


@dataclass(slots=True)
class Book:
    """Cash and positions after some rows, in the order in which they were applied."""

    cash: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)
    #: Positions that have become zero; the API still shows those of today on request.
    closed: dict[str, Position] = field(default_factory=dict)
    #: Futures pay through daily settlement: what was bought for, less what has been settled.
    futures_cost: dict[str, Decimal] = field(default_factory=dict)
    last: Row | None = None

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Book":
        """Return the book of some rows."""
        book = cls()
        for row in rows:
            book.apply(row)
        return book

    def apply(self, row: Row) -> None:
        """Take one row in."""
        self.cash += row.net_value
        self.last = row
        if row.symbol is None:
            return
        if row.sub_type in MARK_TO_MARKET and row.kind == FUTURE:
            self.futures_cost[row.symbol] = self.futures_cost.get(row.symbol, ZERO) + row.value
        if row.delta:
            self._move(row, row.symbol)

    def _move(self, row: Row, symbol: str) -> None:
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = self._opened(symbol, row.executed_at)
        multiplier = position.instrument.multiplier
        if row.price is not None and not row.sub_type.startswith("Cash Settled"):
            cost = row.delta * row.price * multiplier
        else:
            cost = -row.value if row.value else ZERO
        if row.kind == FUTURE and row.price is not None:
            self.futures_cost[symbol] = self.futures_cost.get(symbol, ZERO) + cost
        position.updated_at = row.executed_at
        opening = not position.quantity or (position.quantity > 0) == (row.delta > 0)
        if opening:
            position.quantity += row.delta
            position.cost += cost
            return
        self._reduce(position, row, cost)
        if not position.quantity:
            self.closed[symbol] = self.positions.pop(symbol)

    def _opened(self, symbol: str, when: datetime) -> Position:
        """Return a new position; it keeps the day's gain of one closed earlier on the same day."""
        position = Position(read_symbol(symbol, when.year), when, when)
        before = self.closed.pop(symbol, None)
        if before is not None and before.realized_on == new_york_date(when):
            position.realized, position.realized_on = before.realized, before.realized_on
        return position

    @staticmethod
    def _reduce(position: Position, row: Row, cost: Decimal) -> None:
        """Close some or all of a position, and open the other side with what is left over."""
        closing = min(abs(row.delta), abs(position.quantity))
        share = closing / abs(row.delta)
        released = position.cost * closing / abs(position.quantity)
        day = new_york_date(row.executed_at)
        if position.realized_on != day:
            position.realized, position.realized_on = ZERO, day
        position.realized -= cost * share + released
        position.cost -= released
        position.quantity += row.delta
        if closing < abs(row.delta):
            position.cost = cost * (1 - share)
            position.opened_at = row.executed_at
        elif not position.quantity:
            position.cost = ZERO

    def held(self) -> list[Position]:
        """Return the open positions, by symbol."""
        return [self.positions[symbol] for symbol in sorted(self.positions)]

    def unsettled(self, symbol: str, quantity: Decimal, mark: Decimal, multiplier: Decimal) -> Decimal:
        """Return what the futures of a symbol have gained since they were last settled."""
        return quantity * mark * multiplier - self.futures_cost.get(symbol, ZERO)
