"""The desk of one account: it numbers rows, prices their fees, writes them and books them.

Every generated row is written through ``Desk``. When and why a row is written belongs to ``trader`` (orders) and
``events`` (what happens without an order).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tasty_pipeline.simulator.books import Book
from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.days import at, futures_date, new_york_date
from tasty_pipeline.simulator.instruments import CRYPTO, EQUITY, FUTURE, FUTURE_OPTION, OPTION, Instrument, read_symbol
from tasty_pipeline.simulator.market import Market
from tasty_pipeline.simulator.personas import Holder
from tasty_pipeline.simulator.rows import DELIVERY, TRADE, ZERO, Row, number, timestamp

CENT = Decimal("0.01")
MILL = Decimal("0.001")
DELIVERY_FEE = Decimal("-5.00")
_SLOTS = 500
_STREAMS = 3
_COUNTERS_A_DAY = 930
_ID_EPOCH = date(2017, 1, 1).toordinal()
_DEFAULT_SEED = 7
_SEED_STRIDE = 10_000_000_000
_LATE_OF_A_HUNDRED = 3
#: One row of the whole history (first account, a lending rebate) is off by a cent, as one in 428 real ones was.
_ODD_CENT = ("01", date(2023, 5, 10))


class Ids:
    """Unique 64-bit ids, roughly rising with the days, crossing 2**31 early in 2021, not monotone in time.

    Every account and every stream (generated, written late, written by hand) has a residue class of its own, so
    that one never moves the ids of another.
    """

    GENERATED, LATE, MANUAL = range(_STREAMS)

    def __init__(self, seed: int, slot: int) -> None:
        self._slot = slot
        self._offset = (seed - _DEFAULT_SEED) % 1000 * _SEED_STRIDE
        self._counters = [0] * _STREAMS

    def next(self, day: date, stream: int = GENERATED) -> int:
        """Return the next id of a stream on a day."""
        counter = max(self._counters[stream] + 1, (day.toordinal() - _ID_EPOCH) * _COUNTERS_A_DAY)
        self._counters[stream] = counter
        return self._offset + (counter * _STREAMS + stream) * _SLOTS + self._slot


@dataclass(slots=True)
class Order:
    """What the rows of one order share."""

    id: int
    legs: int
    when: datetime
    group: int


class Desk:
    """One account's generator state: its book, its ids, and the rows of the day being written."""

    def __init__(self, holder: Holder, config: SimulatorConfig, market: Market) -> None:
        self.holder = holder
        self.config = config
        self.market = market
        self.book = Book()
        self.ids = Ids(config.seed, holder.slot)
        self.day = config.start
        self.random = Random(0)  # noqa: S311 - a reproducible trader
        self.asleep = False
        #: The first deposit has been made.
        self.funded = False
        #: Rows have been changed by hand: the book must be replayed before the next day is written.
        self.stale = False
        self._openings: dict[str, Row] = {}
        #: Futures orders that are to be filled after the day's settlement.
        self.tonight: list[tuple[str, Decimal]] = []
        self.stream = Ids.GENERATED
        self._orders = 0
        self._groups = 0
        self._written: list[Row] = []

    def begin(self, day: date) -> None:
        """Start a day: its chance depends on seed, account and day only."""
        self.day = day
        self.random = Random(f"{self.config.seed}/{self.holder.slot}/{day}")  # noqa: S311

    def take(self) -> list[Row]:
        """Return what has been written since the last call."""
        rows, self._written = self._written, []
        return rows

    def group(self) -> int:
        """Return a number for rows that belong together."""
        self._groups += 1
        return self._groups

    def order(self, when: datetime, legs: int = 1) -> Order:
        """Open an order ticket."""
        self._orders += 1
        return Order(self._orders * _SLOTS + self.holder.slot + 30_000_000, legs, when, self.group())

    def instrument(self, symbol: str) -> Instrument:
        """Read a symbol as of the desk's day."""
        return read_symbol(symbol, self.day.year)

    def held(self, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        position = self.book.positions.get(symbol)
        return position.quantity if position else ZERO

    def mark(self, symbol: str) -> Decimal:
        """Return the closing price of the desk's day."""
        return self.market.mark(symbol, self.day)

    def write(self, row: Row) -> Row:
        """Number, settle and book a row. An id of zero is replaced."""
        if not row.id:
            day = self.day
            stream = self.stream
            if stream == Ids.GENERATED and row.created_at > at(day + timedelta(days=2), 0):
                # Written days later: it takes its number where it is written.
                day, stream = new_york_date(row.created_at), Ids.LATE
            row.id = self.ids.next(day, stream)
        row.net_value = row.value + row.fees
        if row.sub_type == "Fully Paid Stock Lending Income" and (row.account[-2:], row.transaction_date) == _ODD_CENT:
            row.net_value -= CENT
        self.book.apply(row)
        self._written.append(row)
        return row

    def fill(self, order: Order, symbol: str, delta: Decimal, price: Decimal, copies: int = 1) -> None:
        """Book an execution, or several identical ones of ``delta`` each."""
        instrument = self.instrument(symbol)
        held = self.held(symbol)
        opens = not held or (held > 0) == (delta > 0)
        side = "Buy" if delta > 0 else "Sell"
        action = side if instrument.kind == FUTURE else f"{side} to {'Open' if opens else 'Close'}"
        quantity = abs(delta)
        value = ZERO if instrument.kind == FUTURE else -(delta * price * instrument.multiplier).quantize(CENT)
        fees = trade_fees(instrument, quantity, value, opens=opens)
        booked = futures_date(order.when) if instrument.kind in {FUTURE, FUTURE_OPTION} else new_york_date(order.when)
        extras = self._execution(order, instrument)
        verb = "Bought" if delta > 0 else "Sold"
        if instrument.kind == EQUITY:
            self._put_rarities(extras, symbol, quantity, price, opens=opens)
        for _ in range(copies):
            written = self.write(
                Row(
                    0, self.holder.number, TRADE, action, f"{verb} {quantity} {symbol} @ {price}",
                    order.when, booked, order.when, value, ZERO,
                    symbol, instrument.kind, instrument.underlying, action, quantity, price,
                    *fees, order.id, delta, order.group, extras,
                )
            )  # fmt: skip

        if opens:
            self._openings[symbol] = written

    def _put_rarities(
        self, extras: dict[str, Any], symbol: str, quantity: Decimal, price: Decimal, *, opens: bool
    ) -> None:
        """Put what few rows have: the lot that a sale closes, an agency price."""
        chance = self.random.randrange(40)
        opening = self._openings.get(symbol)
        if chance < 4 and not opens and opening is not None:  # noqa: PLR2004 - one sale in ten
            lot = {"id": f"L{opening.id}", "transaction-id": opening.id, "quantity": number(quantity)}
            lot |= {"price": number(opening.price or price), "quantity-direction": "Long"}
            lot |= {"executed-at": timestamp(opening.executed_at)}
            extras["lots"] = [lot | {"transaction-date": opening.transaction_date.isoformat()}]
        elif chance == 39:  # noqa: PLR2004
            extras["agency-price"] = extras["principal-price"] = number(price)

    def _execution(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        serial = self.random.randrange(10**9, 10**10)
        extras: dict[str, Any] = {
            "leg-count": order.legs,
            "exec-id": f"{serial}",
            "ext-exchange-order-number": f"{order.id * 7919 % 10**12}",
            "ext-global-order-number": order.id % 100_000,
            "ext-group-id": "0",
            "ext-group-fill-id": f"{serial // 7}",
            "ext-exec-id": f"{serial // 3}",
        }
        if instrument.kind in {EQUITY, OPTION}:
            venue = ("CITADEL_EQUITIES_A", "DASH_OPTIONS", "JANE_STREET_EQUITIES_A")[serial % 3]
            extras |= {"exchange": "0", "exchange-affiliation-identifier": "", "destination-venue": venue}
        elif instrument.kind == CRYPTO:
            extras["destination-venue"] = "ZERO_HASH"
        else:
            extras |= {"exchange": "2", "destination-venue": "CME"}
        return extras

    def event(
        self,
        kind: tuple[str, str],
        description: str,
        value: Decimal = ZERO,
        *,
        clock: tuple[int, int] = (17, 0),
        symbol: str | None = None,
        delta: Decimal = ZERO,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        action: str | None = None,
        fees: tuple[Decimal | None, Decimal | None] = (None, None),
        group: int = 0,
        prompt: bool = False,
        extras: dict[str, Any] | None = None,
    ) -> Row:
        """Write a row that no order caused, at a nominal time; it can be read from the next morning on, or later.

        ``prompt`` rows are written minutes after their nominal time. ``fees`` are clearing and regulatory fees.
        """
        executed = at(self.day, *clock)
        instrument = self.instrument(symbol) if symbol else None
        return self.write(
            Row(
                0, self.holder.number, kind[0], kind[1], description,
                executed, self.day, executed + timedelta(minutes=10) if prompt else self._written_at(),
                value, ZERO,
                symbol, instrument.kind if instrument else None, instrument.underlying if instrument else None,
                action, quantity if quantity is not None else abs(delta) or None, price,
                None, fees[0], fees[1], None, None, delta, group, extras or {},
            )
        )  # fmt: skip

    def _written_at(self) -> datetime:
        """Return when the back office writes today's events: the next morning, rarely up to nine days later."""
        days = 1
        if self.random.randrange(100) < _LATE_OF_A_HUNDRED:
            days = self.random.randint(2, 9)
        return at(self.day + timedelta(days=days), 5, self.random.randrange(150), self.random.randrange(60))

    def deliver(self, symbol: str, delta: Decimal, price: Decimal, group: int) -> None:
        """Deliver stock or futures at a strike for an assignment or an exercise, for a flat clearing fee."""
        instrument = self.instrument(symbol)
        held = self.held(symbol)
        side = "Buy" if delta > 0 else "Sell"
        opens = not held or (held > 0) == (delta > 0)
        action = side if instrument.kind == FUTURE else f"{side} to {'Open' if opens else 'Close'}"
        value = ZERO if instrument.kind == FUTURE else -(delta * price).quantize(CENT)
        regulatory = -(value * Decimal("0.0000278")).quantize(MILL) if value > 0 else None
        self.event(
            (DELIVERY, action),
            f"{side} to {'Open' if opens else 'Close'} {abs(delta)} {symbol} @ {price}",
            value, symbol=symbol, delta=delta, price=price, action=action,
            fees=(DELIVERY_FEE, regulatory), group=group,
        )  # fmt: skip


Fees = tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None]


def trade_fees(instrument: Instrument, quantity: Decimal, value: Decimal, *, opens: bool) -> Fees:
    """Return commission, clearing, regulatory and proprietary index fees of a fill: signed, so never above zero."""
    if instrument.kind == EQUITY:
        sold = -(value * Decimal("0.0000278")).quantize(MILL) if value > 0 else ZERO
        return ZERO, -(quantity * Decimal("0.0008")).quantize(MILL), sold, None
    if instrument.kind == CRYPTO:
        return -min(abs(value) * CENT, Decimal(10)).quantize(CENT), None, None, None
    if instrument.kind == FUTURE:
        small = instrument.multiplier < 50  # noqa: PLR2004 - micro contracts cost less
        return -quantity * (Decimal("0.85") if small else Decimal("1.25")), -quantity * Decimal("0.30"), (
            -quantity * (Decimal("0.37") if small else Decimal("1.38"))
        ), None  # fmt: skip
    if instrument.kind == FUTURE_OPTION:
        return (
            -quantity * Decimal("2.50") if opens else ZERO,
            -quantity * Decimal("0.30"),
            -quantity * Decimal("0.57"),
            None,
        )
    commission = -min(quantity, Decimal(10)) * Decimal("1.00") if opens else ZERO
    regulatory = (-quantity * Decimal("0.02915")).quantize(MILL)
    own_fee = {"SPX": Decimal("0.65"), "XSP": Decimal("0.07")}.get(instrument.product.root)
    return commission, -quantity * Decimal("0.10"), regulatory, -quantity * own_fee if own_fee else None
