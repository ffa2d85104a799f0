"""Orders of equity and index options: single legs, spreads, and what a cash account may write."""

from datetime import date, datetime
from decimal import Decimal

from tasty_pipeline.simulator.days import friday_after
from tasty_pipeline.simulator.desk import Desk
from tasty_pipeline.simulator.instruments import EQUITY, FUTURE_OPTION, OPTION, PRODUCTS, option_symbol, product_of
from tasty_pipeline.simulator.stock_orders import stock_root
from tasty_pipeline.simulator.tickets import close, execute, positions

_CROWDED = 26


def listed_strike(desk: Desk, root: str, percent: int) -> Decimal:
    """Return a listed strike so many percent away from the money."""
    product = product_of(root)
    spot = desk.market.ticks(root, desk.day)
    step = product.step if spot > product.step * 20 else max(product.step // 4, 1)
    ticks = (spot + spot * percent // 100) // step * step
    return max(ticks, step) * product.tick


def close_one_option(desk: Desk, when: datetime) -> bool:
    """Close one option when many are open, or now and then; tell whether that was done."""
    options = positions(desk, OPTION, FUTURE_OPTION)
    if options and (len(options) > _CROWDED or desk.random.random() < 0.25):  # noqa: PLR2004
        close(desk, when, desk.random.choice(options).instrument.symbol)
        return True
    return False


def _occ(desk: Desk, root: str, expiry: date, right: str, percent: int) -> str:
    name = "SPXW" if root == "SPX" else root
    return option_symbol(name, expiry, right, listed_strike(desk, root, percent))


def _optionable(desk: Desk) -> str:
    root = stock_root(desk)
    return "SPY" if root in {"BRK/B", "GE", "NVDA", "TWTR", "FB", "META"} else root


def option(desk: Desk, when: datetime) -> None:
    """Buy or sell puts or calls of a stock."""
    if close_one_option(desk, when):
        return
    random = desk.random
    right = random.choice("PC")
    percent = random.randint(-6, 3) if right == "P" else random.randint(-3, 6)
    symbol = _occ(desk, _optionable(desk), friday_after(desk.day, random.choice((2, 9, 23, 44))), right, percent)
    quantity = Decimal(random.randint(1, 3))
    execute(desk, desk.order(when), symbol, quantity if random.random() < 0.4 else -quantity)  # noqa: PLR2004


def _spread(desk: Desk, when: datetime, root: str, legs: list[tuple[str, int, int]]) -> None:
    """Fill one order of several legs: (right, percent from the money, sign)."""
    expiry = friday_after(desk.day, desk.random.choice((2, 9, 30)))
    quantity = desk.random.randint(1, 3)
    symbols: dict[str, int] = {}
    for right, percent, sign in legs:
        symbols.setdefault(_occ(desk, root, expiry, right, percent), sign)
    order = desk.order(when, len(symbols))
    for symbol, sign in symbols.items():
        execute(desk, order, symbol, Decimal(sign * quantity))


def vertical(desk: Desk, when: datetime) -> None:
    """Trade a vertical spread: two legs of one order."""
    if not close_one_option(desk, when):
        near = desk.random.randint(2, 5)
        side = desk.random.choice((1, -1))
        right, way = desk.random.choice((("P", -1), ("C", 1)))
        _spread(desk, when, _optionable(desk), [(right, near * way, -side), (right, (near + 4) * way, side)])


def condor(desk: Desk, when: datetime) -> None:
    """Sell an iron condor: four legs of one order."""
    if not close_one_option(desk, when):
        legs = [("P", -8, 1), ("P", -4, -1), ("C", 4, -1), ("C", 8, 1)]
        _spread(desk, when, desk.random.choice(("SPY", "IWM", "QQQ")), legs)


def index_spread(desk: Desk, when: datetime) -> None:
    """Sell a spread on an index; it settles in cash."""
    if not close_one_option(desk, when):
        root = desk.random.choice(("XSP", "XSP", "SPX"))
        right, way = desk.random.choice((("P", -1), ("C", 1)))
        near = desk.random.randint(-1, 2)
        _spread(desk, when, root, [(right, near * way, -1), (right, (near + 2) * way, 1)])


def covered_call(desk: Desk, when: datetime) -> None:
    """Write calls on shares that are held, or buy a hundred to write them on."""
    short = {p.instrument.product.root for p in positions(desk, OPTION) if p.instrument.right == "C"}
    for position in positions(desk, EQUITY):
        symbol, root = position.instrument.symbol, position.instrument.product.root
        if position.quantity >= 100 and root not in short and root in PRODUCTS and root != "TWTR":  # noqa: PLR2004
            call = _occ(desk, root, friday_after(desk.day, 14), "C", 4)
            execute(desk, desk.order(when), call, Decimal(-(int(position.quantity) // 100)))
            return
        if symbol == "F":
            break
    cost = desk.mark("F") * 100
    if cost < desk.book.cash / 3:
        execute(desk, desk.order(when), "F", Decimal(100))


def secured_put(desk: Desk, when: datetime) -> None:
    """Write a put that the cash covers."""
    short = [p for p in positions(desk, OPTION) if p.instrument.right == "P"]
    put = _occ(desk, desk.random.choice(("F", "T")), friday_after(desk.day, 9), "P", -2)
    strike = desk.instrument(put).strike or Decimal(0)
    if len(short) < 3 and strike * 100 * (len(short) + 1) < desk.book.cash / 2:  # noqa: PLR2004
        execute(desk, desk.order(when), put, Decimal(-1))
