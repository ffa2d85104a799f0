"""What a customer orders on a day: how many orders, of which habits, at which times.

Chance comes from the desk's generator of the day only. Each kind of order belongs to its module of orders; what
happens without an order belongs to ``events``.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from tasty_pipeline.simulator import future_orders, option_orders, stock_orders
from tasty_pipeline.simulator.days import at, close_hour, is_session
from tasty_pipeline.simulator.desk import Desk

Order = Callable[[Desk, datetime], None]
_ORDERS: dict[str, Order] = {
    "equity": stock_orders.equity,
    "short": stock_orders.short_sale,
    "crypto": stock_orders.crypto,
    "option": option_orders.option,
    "vertical": option_orders.vertical,
    "condor": option_orders.condor,
    "index": option_orders.index_spread,
    "covered_call": option_orders.covered_call,
    "secured_put": option_orders.secured_put,
    "future": future_orders.future,
    "future_option": future_orders.future_option,
}


def trade_day(desk: Desk) -> None:
    """Let the account's holder do the orders of a day, in the order of their times."""
    random = desk.random
    session = is_session(desk.day)
    mean = desk.config.trades_per_day * desk.holder.persona.activity
    if not session:
        mean = mean / 5 if "crypto" in desk.holder.persona.habits else 0
    orders = int(random.uniform(0, 2 * mean) + random.random())
    hours = close_hour(desk.day) - 9 if session else 12
    seconds = sorted(random.randrange(hours * 3600 - 1800 - 60) for _ in range(orders))
    habits = desk.holder.persona.habits if session else {"crypto": 1}
    kinds = random.choices(list(habits), weights=list(habits.values()), k=orders)
    opening = at(desk.day, 9, 30)
    for kind, second in zip(kinds, seconds, strict=True):
        when = opening + timedelta(seconds=second, milliseconds=random.randrange(1000))
        _ORDERS[kind](desk, when)
