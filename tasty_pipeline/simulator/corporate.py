"""Corporate actions: splits, a symbol change, a cash merger. Close/Open pairs at dawn, equal and opposite in value."""

from decimal import Decimal

from tasty_pipeline.simulator.books import Position
from tasty_pipeline.simulator.desk import CENT, Desk
from tasty_pipeline.simulator.instruments import EQUITY
from tasty_pipeline.simulator.market import SPLITS
from tasty_pipeline.simulator.rows import DELIVERY
from tasty_pipeline.simulator.stock_orders import META_DAY, TWTR_DAY

_DAWN = (6, 34)
MERGER_PRICE = Decimal("54.20")


def corporate_actions(desk: Desk) -> None:
    """Apply the actions that fall on the desk's day to what it holds."""
    for split in SPLITS.values():
        if split.day == desk.day:
            _split(desk, split.root, split.new, split.old)
    if desk.day == META_DAY:
        for position in _of(desk, "FB"):
            quantity = position.quantity
            _replace(desk, "Symbol Change", position, position.instrument.symbol.replace("FB", "META", 1), quantity)
    if desk.day == TWTR_DAY:
        for position in _of(desk, "TWTR"):
            value = (position.quantity * MERGER_PRICE).quantize(CENT)
            desk.event(
                (DELIVERY, "Cash Merger"), "Cash merger TWTR @ 54.20", value, clock=_DAWN, symbol="TWTR",
                delta=-position.quantity, action="Sell to Close", prompt=True,
            )  # fmt: skip


def _of(desk: Desk, symbol: str) -> list[Position]:
    return [p for p in desk.book.held() if p.instrument.symbol == symbol and p.instrument.kind == EQUITY]


def _split(desk: Desk, root: str, new: int, old: int) -> None:
    name = "Forward Split" if new > old else "Reverse Split"
    for position in _of(desk, root):
        whole = position.quantity * new
        quantity = Decimal(int(whole / old))
        _replace(desk, name, position, root, quantity)
        left = whole / old - quantity
        if left:
            cash = (left * desk.mark(root)).quantize(CENT)
            desk.event((DELIVERY, name), f"{root} CASH IN LIEU", cash, clock=_DAWN, prompt=True)


def _replace(desk: Desk, sub_type: str, position: Position, symbol: str, quantity: Decimal) -> None:
    """Write the pair: the old position out at its cost, the new one in at the same cost."""
    old, group = position.instrument.symbol, desk.group()
    cost, held = position.cost.quantize(CENT), position.quantity
    long = held > 0
    out, back = ("Sell to Close", "Buy to Open") if long else ("Buy to Close", "Sell to Open")
    text = f"{sub_type}: Close {abs(held)} {old}; Open {abs(quantity)} {symbol}"
    clock = (_DAWN[0], _DAWN[1] + desk.random.randrange(21))
    for name, delta, value, action in ((old, -held, cost, out), (symbol, quantity, -cost, back)):
        if delta:
            desk.event(
                (DELIVERY, sub_type), text, value, clock=clock, symbol=name, delta=delta, action=action,
                group=group, prompt=True,
            )  # fmt: skip
