"""What the open positions are worth: price, value and profit of each, grouped by underlying, with their sums.

Here belongs the arithmetic of the portfolio page, without a database and without a template. The rules:

- the price is the mark where the broker gave one with the positions, otherwise the previous session's close;
- value = price x quantity x multiplier, profit = (price - average opening price) x quantity x multiplier, both with the
  signed quantity, so that a short position gains when its price falls;
- a future's value is the notional one: no money was paid for it, so it is shown and left out of the sums; its profit
  counts;
- what is not known (no price, no multiplier) stays unknown and is counted beside the sums, never taken for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from itertools import groupby

from tasty_django.figures import EXACT
from tasty_django.models import Position

MARK, CLOSE = "mark", "close"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One position with what it is worth; None is not known."""

    position: Position
    price: Decimal | None
    price_kind: str
    value: Decimal | None
    is_notional: bool
    profit: Decimal | None
    realised_today: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums over what is known, None where nothing is; `unpriced` holdings are missing in value or profit."""

    value: Decimal | None
    profit: Decimal | None
    realised_today: Decimal | None
    unpriced: int
    has_notional: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """The holdings of one underlying."""

    underlying: str
    holdings: Sequence[Holding]
    sums: Sums


def _holding(position: Position, today: date) -> Holding:
    price, kind = position.mark_price, MARK
    if price is None:
        price, kind = position.close_price, CLOSE
    opened, multiplier = position.average_open_price, position.multiplier
    value = profit = None
    if price is not None and multiplier is not None:
        value = price * position.quantity * multiplier
        if opened is not None:
            profit = (price - opened) * position.quantity * multiplier
    return Holding(
        position=position,
        price=price,
        price_kind=kind,
        value=value,
        is_notional=position.instrument_type == "Future",
        profit=profit,
        realised_today=position.realized_today if position.realized_today_date == today else None,
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _sums(holdings: Sequence[Holding]) -> Sums:
    return Sums(
        value=_sum(h.value for h in holdings if not h.is_notional),
        profit=_sum(h.profit for h in holdings),
        realised_today=_sum(h.realised_today for h in holdings),
        unpriced=sum(h.value is None or h.profit is None for h in holdings),
        has_notional=any(h.is_notional for h in holdings),
    )


def _underlying(holding: Holding) -> str:
    return holding.position.underlying_symbol or holding.position.symbol


def group(positions: Iterable[Position], today: date) -> tuple[list[Group], Sums]:
    """Return the positions by underlying, in the alphabet's order, and the sums over all of them.

    `today` is the trade date whose realised gains count as today's.
    """
    with localcontext(EXACT):
        holdings = [_holding(position, today) for position in positions]
        holdings.sort(key=lambda h: (_underlying(h), h.position.instrument_type != "Equity", h.position.symbol))
        groups = []
        for underlying, found in groupby(holdings, key=_underlying):
            members = list(found)
            groups.append(Group(underlying=underlying, holdings=members, sums=_sums(members)))
        return groups, _sums(holdings)
