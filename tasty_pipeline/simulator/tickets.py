"""Executing an order: at which price, in how many fills. What is ordered belongs to the modules of orders."""

from datetime import datetime, timedelta
from decimal import Decimal

from tasty_pipeline.simulator.books import Position
from tasty_pipeline.simulator.desk import Desk, Order


def fill_price(desk: Desk, symbol: str) -> Decimal:
    """Return a fill price near the day's mark, in whole ticks, above zero."""
    instrument = desk.instrument(symbol)
    mark = desk.mark(symbol)
    ticks = int(mark / instrument.product.tick)
    spread = max(ticks // 500, 1)
    return max(ticks + desk.random.randint(-spread, spread), 1) * instrument.product.tick


def execute(desk: Desk, order: Order, symbol: str, delta: Decimal) -> None:
    """Fill one leg: at once, in identical parts, or in two unlike parts."""
    price = fill_price(desk, symbol)
    count = abs(delta)
    chance = desk.random.randrange(100)
    if count != int(count) or count < 2 or chance >= 30:  # noqa: PLR2004 - three in ten are partial fills
        desk.fill(order, symbol, delta, price)
        return
    parts = next(n for n in (2, 3, 5, 7, 1) if not int(count) % n)
    if chance < 20 and parts > 1:  # noqa: PLR2004
        desk.fill(order, symbol, delta / parts, price, copies=parts)
        return
    first = Decimal(desk.random.randint(1, int(count) - 1)).copy_sign(delta)
    desk.fill(order, symbol, first, price)
    order.when += timedelta(milliseconds=desk.random.randint(1, 900))
    desk.fill(order, symbol, delta - first, price)


def positions(desk: Desk, *kinds: str) -> list[Position]:
    """Return the open positions of some instrument types."""
    return [position for position in desk.book.held() if position.instrument.kind in kinds]


def close(desk: Desk, when: datetime, symbol: str) -> None:
    """Close a whole position."""
    quantity = desk.held(symbol)
    if quantity:
        execute(desk, desk.order(when), symbol, -quantity)
