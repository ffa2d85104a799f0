"""Orders of stock and crypto, and the holdings that later corporate actions need."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from tasty_pipeline.simulator.days import at, next_session
from tasty_pipeline.simulator.desk import Desk
from tasty_pipeline.simulator.instruments import EQUITY, OPTION
from tasty_pipeline.simulator.tickets import close, execute, fill_price, positions

SATOSHI = Decimal("0.00000001")
META_DAY = date(2022, 6, 9)
TWTR_DAY = date(2022, 10, 28)
KEPT_UNTIL = {"GE": date(2021, 8, 2), "FB": META_DAY, "NVDA": date(2024, 6, 10), "TSM": date.max}
_KEEPSAKES = {"GE": 84, "FB": 15, "NVDA": 4, "TSM": 40, "BRK/B": 12}


def stock_root(desk: Desk) -> str:
    """Choose one of the persona's stocks, by the name it has on the day."""
    root = desk.random.choice(desk.holder.persona.roots)
    if root == "FB" and desk.day >= META_DAY:
        return "META"
    return "SPY" if root == "TWTR" and desk.day >= TWTR_DAY else root


def equity(desk: Desk, when: datetime) -> None:
    """Buy shares, or sell what is held: more willingly when cash is short."""
    called: set[str] = set()
    if not desk.holder.persona.margin:
        # A cash account keeps the shares that its calls are written on.
        called = {p.instrument.product.root for p in positions(desk, OPTION) if p.instrument.right == "C"}
    held = [
        p
        for p in positions(desk, EQUITY)
        if p.quantity > 0 and p.instrument.symbol not in called and not _is_kept(desk, p.instrument.symbol)
    ]
    short = [p for p in positions(desk, EQUITY) if p.quantity <= -100]  # noqa: PLR2004 - delivered, not wanted
    if short:
        close(desk, when, short[0].instrument.symbol)
        return
    poor = desk.book.cash < desk.holder.persona.deposit / 5
    if held and (poor or desk.random.random() < 0.4):  # noqa: PLR2004
        position = desk.random.choice(held)
        share = position.quantity
        if share > 20 and desk.random.random() < 0.5:  # noqa: PLR2004
            share = Decimal(int(share) // 2)
        execute(desk, desk.order(when), position.instrument.symbol, -share)
        return
    symbol = stock_root(desk)
    quantity = Decimal(desk.random.choice((1, 5, 10, 20, 25, 50, 100, 200)))
    limit = desk.book.cash / 8
    while quantity > 1 and quantity * desk.mark(symbol) > limit:
        quantity = Decimal(int(quantity) // 2)
    if quantity * desk.mark(symbol) <= limit and desk.held(symbol) >= 0:
        execute(desk, desk.order(when), symbol, quantity)


def _is_kept(desk: Desk, symbol: str) -> bool:
    """Tell whether a holding is kept until its corporate action has come."""
    return desk.holder.slot == 0 and desk.day < KEPT_UNTIL.get(symbol, date.min)


def keepsakes(desk: Desk) -> None:
    """Buy, in the second week, what the corporate actions of later years will find."""
    if desk.holder.slot == 0 and desk.day == next_session(desk.holder.opened.date() + timedelta(days=7)):
        for minute, (symbol, quantity) in enumerate(_KEEPSAKES.items()):
            if desk.held(symbol) >= 0:
                execute(desk, desk.order(at(desk.day, 9, 31 + minute)), symbol, Decimal(quantity))


def short_sale(desk: Desk, when: datetime) -> None:
    """Sell a stock short, or buy it back."""
    held = desk.held("AMD")
    if held < 0:
        close(desk, when, "AMD")
    elif not held:
        execute(desk, desk.order(when), "AMD", Decimal(-20))


def crypto(desk: Desk, when: datetime) -> None:
    """Buy crypto for a round amount of dollars, or sell a part of it."""
    symbol = desk.random.choice(("BTC/USD", "ETH/USD"))
    held = desk.held(symbol)
    price = fill_price(desk, symbol)
    if held and desk.random.random() < 0.5:  # noqa: PLR2004
        share = held if desk.random.random() < 0.3 else (held / 2).quantize(SATOSHI)  # noqa: PLR2004
        desk.fill(desk.order(when), symbol, -share, price)
        return
    dollars = Decimal(desk.random.choice((50, 100, 250, 500, 1000)))
    if dollars < desk.book.cash / 10:
        desk.fill(desk.order(when), symbol, (dollars / price).quantize(SATOSHI), price)
