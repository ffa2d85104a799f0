"""Orders of futures and their options, in the session and in the evening after it."""

from datetime import datetime, timedelta
from decimal import Decimal

from tasty_pipeline.simulator.days import at, friday_after
from tasty_pipeline.simulator.desk import Desk
from tasty_pipeline.simulator.instruments import FUTURE, PRODUCTS, future_option_symbol, future_symbol
from tasty_pipeline.simulator.option_orders import close_one_option, listed_strike
from tasty_pipeline.simulator.tickets import close, execute, positions

_MAX_CONTRACTS = 3


def future(desk: Desk, when: datetime) -> None:
    """Buy or sell a future; one in five after the close in Chicago, which is the next day's business."""
    random = desk.random
    symbol = future_symbol(PRODUCTS[random.choice(("ES", "MES", "MES", "MES", "GC", "CL", "NG", "6J"))], desk.day)
    open_now = positions(desk, FUTURE)
    if len(open_now) >= (2 if "future_option" in desk.holder.persona.habits else 1):
        close(desk, when, random.choice(open_now).instrument.symbol)
        return
    held = desk.held(symbol)
    side = random.choice((1, -1))
    if abs(held) >= _MAX_CONTRACTS or (held and random.random() < 0.5):  # noqa: PLR2004
        side = -1 if held > 0 else 1
    quantity = Decimal(side * (random.randint(1, 2) if symbol.startswith("/MES") else 1))
    if random.randrange(5) or desk.day.weekday() > 3:  # noqa: PLR2004 - no Friday evening session
        execute(desk, desk.order(when), symbol, quantity)
    else:
        desk.tonight.append((symbol, quantity))


def future_option(desk: Desk, when: datetime) -> None:
    """Buy or sell an option on a future, some percent out of the money."""
    if close_one_option(desk, when):
        return
    random = desk.random
    product = PRODUCTS[random.choice(("ES", "MES", "GC", "6J"))]
    expiry = friday_after(desk.day, random.choice((9, 20)))
    future = future_symbol(product, expiry)
    right, way = random.choice((("P", -1), ("C", 1)))
    strike = listed_strike(desk, product.root, way * random.randint(0, 5))
    symbol = future_option_symbol(future, product, expiry, right, strike)
    execute(desk, desk.order(when), symbol, Decimal(random.choice((1, -1))))


def evening(desk: Desk) -> None:
    """Fill the futures orders left for the evening, after the day has been settled."""
    for symbol, quantity in desk.tonight:
        seconds = desk.random.randrange(5 * 3600)
        execute(desk, desk.order(at(desk.day, 18, 5) + timedelta(seconds=seconds)), symbol, quantity)
    desk.tonight.clear()
