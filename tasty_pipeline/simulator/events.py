"""What happens on a day without an order: deposits, expirations, dividends, interest, corrections, settlement.

Each event is one small function over a desk, called by ``morning`` or ``afternoon``. Corporate actions have their own
module.
"""

from datetime import date, timedelta
from decimal import Decimal

from tasty_pipeline.simulator.books import Position
from tasty_pipeline.simulator.days import SATURDAY, at, close_hour, is_session, new_york_date, previous_session
from tasty_pipeline.simulator.desk import CENT, DELIVERY_FEE, MILL, Desk
from tasty_pipeline.simulator.instruments import EQUITY, FUTURE, FUTURE_OPTION, OPTION
from tasty_pipeline.simulator.rows import DELIVERY, MONEY, TRANSFER, ZERO
from tasty_pipeline.simulator.stock_orders import keepsakes
from tasty_pipeline.simulator.tickets import close

_EXPIRATIONS_HAVE_ACTIONS_SINCE = 2025
_DIVIDEND_MONTHS = {"AAPL": 2, "KO": 0, "SPY": 0, "T": 1, "TSM": 0, "QQQ": 0}
_WITHHELD = {"TSM"}


def _first_session(day: date) -> bool:
    """Tell whether the day is the first session of its month."""
    return is_session(day) and previous_session(day).month != day.month


def deposits(desk: Desk) -> None:
    """Fund the account on its first day and twice a year; one odd withdrawal comes in instead of out."""
    persona = desk.holder.persona
    if not desk.funded:
        desk.funded = True
        wire = persona.deposit
        desk.event((MONEY, "Deposit"), f"Wire Funds Received {wire}", wire, clock=(8, 0), prompt=True)
    elif desk.day.month in (1, 7) and desk.day.day == 15 and not persona.closes:  # noqa: PLR2004
        amount = (persona.deposit / 40).quantize(CENT)
        desk.event((MONEY, "Deposit"), "ACH DEPOSIT", amount)
    if (desk.day.month, desk.day.day) == (10, 20) and persona.margin and desk.book.cash > persona.deposit:
        desk.event((MONEY, "Withdrawal"), "ACH DISBURSEMENT", -(persona.deposit / 20).quantize(CENT))
    if desk.day == date(2023, 3, 15) and desk.holder.slot == 0:
        desk.event((MONEY, "Withdrawal"), "ACH DISBURSEMENT RETURNED", Decimal("4770.40"))


def transfers(desk: Desk) -> None:
    """Move money between the first and the third account each April, and bring shares in from another broker once."""
    slots = desk.config.accounts
    if (desk.day.month, desk.day.day) == (4, 5) and slots > 2 and desk.holder.slot in (0, 2):  # noqa: PLR2004
        amount = Decimal("1500.00") if desk.holder.slot else Decimal("-1500.00")
        desk.event((TRANSFER, "Transfer"), "INTERNAL TRANSFER", amount)
    if desk.day == new_york_date(desk.holder.opened) + timedelta(days=16) and desk.holder.slot == 0:
        group = desk.group()
        desk.event(
            (DELIVERY, "ACAT"),
            "ACAT RECEIVE T",
            symbol="T",
            delta=Decimal(50),
            action="Buy to Open",
            group=group,
            extras={"cost-basis-reconciliation-date": (desk.day + timedelta(days=9)).isoformat()},
        )


def monthly(desk: Desk) -> None:
    """Pay or charge interest, the market data fee and the lending income of a month."""
    day, cash = desk.day, desk.book.cash
    if _first_session(day):
        sub_type, rate = ("Credit Interest", Decimal("0.0004")) if cash > 0 else ("Debit Interest", Decimal("0.008"))
        value = (cash * rate).quantize(CENT)
        if cash < -desk.holder.persona.deposit / 4:
            desk.event((MONEY, "Deposit"), "Wire Funds Received (margin call)", desk.holder.persona.deposit / 2)
        if value:
            desk.event((MONEY, sub_type), f"INTEREST ON {sub_type.split()[0].upper()} BALANCE", value)
        if desk.holder.persona.margin:
            extras = {"other-charge": "0.01", "other-charge-effect": "Debit", "other-charge-description": "TAX"}
            fee = desk.event((MONEY, "Fee"), "MARKET DATA FEE", Decimal("-1.50"), extras=extras)
            if day.month in (5, 11):
                back = {"reverses-id": fee.id}
                desk.event((MONEY, "Fee"), "MARKET DATA FEE REVERSAL", -fee.value, extras=back, group=fee.group)
    shares = sum((p.quantity for p in desk.book.held() if p.instrument.kind == EQUITY and p.quantity > 0), ZERO)
    if day.day == 10 and shares:  # noqa: PLR2004
        value = (shares * Decimal("0.0031")).quantize(CENT) + CENT
        desk.event((MONEY, "Fully Paid Stock Lending Income"), "FULLY PAID LENDING REBATE", value)


def adjustments(desk: Desk) -> None:
    """Adjust the week's regulatory fees below a cent, on Saturdays."""
    if desk.day.weekday() == SATURDAY and desk.random.random() < 0.6:  # noqa: PLR2004
        value = Decimal(desk.random.randint(1, 9)) * MILL
        if desk.random.random() < 0.5:  # noqa: PLR2004
            value = -value
        clock = (desk.random.randint(1, 22), desk.random.randrange(60))
        desk.event((MONEY, "Balance Adjustment"), "Regulatory fee adjustment", value, clock=clock)


def dividends(desk: Desk) -> None:
    """Pay the quarter's dividends: gross and withholding as two rows, reinvested where the holder wants that."""
    if not is_session(desk.day) or not 12 <= desk.day.day <= 18 or previous_session(desk.day).day >= 12:  # noqa: PLR2004
        return
    for position in desk.book.held():
        symbol = position.instrument.symbol
        if _DIVIDEND_MONTHS.get(symbol) != desk.day.month % 3 or position.quantity <= 0:
            continue
        price = desk.mark(symbol)
        gross = (position.quantity * price * Decimal("0.006")).quantize(CENT) + CENT
        group = desk.group()
        name = f"{symbol} DIVIDEND"
        desk.event((MONEY, "Dividend"), name, gross, symbol=symbol, group=group)
        if symbol in _WITHHELD:
            held_back = -(gross * Decimal("0.21")).quantize(CENT)
            extras = {"currency-conversion-fees": "0.02", "currency-conversion-fees-effect": "Debit"}
            desk.event(
                (MONEY, "Dividend"), f"{name} NRA WITHHOLD", held_back, symbol=symbol, group=group, extras=extras
            )
        if desk.holder.persona.reinvests:
            shares = (gross / price).quantize(Decimal("0.00001"))
            desk.event((MONEY, "Dividend"), f"{name} REINVEST", -gross, symbol=symbol, group=group)
            desk.event(
                (DELIVERY, "Dividend"), f"{symbol} DIVIDEND REINVESTMENT", symbol=symbol, delta=shares, price=price,
                action="Buy to Open", group=group,
            )  # fmt: skip


def expirations(desk: Desk) -> None:
    """Expire, exercise, assign or settle every option whose last day has come; now and then assign one early."""
    for position in desk.book.held():
        instrument = position.instrument
        if instrument.kind not in {OPTION, FUTURE_OPTION} or instrument.expiry is None:
            continue
        early = position.quantity < 0 and not instrument.cash_settled and desk.random.randrange(400) == 0
        intrinsic = _intrinsic(desk, position)
        if instrument.expiry <= desk.day:
            if intrinsic <= 0:
                _expire(desk, position)
            elif instrument.cash_settled:
                _settle_in_cash(desk, position, intrinsic)
            else:
                _assign(desk, position)
        elif early and intrinsic > 0 and is_session(desk.day):
            _assign(desk, position)


def _intrinsic(desk: Desk, position: Position) -> Decimal:
    instrument = position.instrument
    strike = instrument.strike or ZERO
    spot = desk.market.ticks(instrument.product.root, desk.day) * instrument.product.tick
    return spot - strike if instrument.right == "C" else strike - spot


def _expire(desk: Desk, position: Position) -> None:
    symbol, quantity = position.instrument.symbol, position.quantity
    action = None
    if desk.day.year >= _EXPIRATIONS_HAVE_ACTIONS_SINCE:
        action = "Sell to Close" if quantity > 0 else "Buy to Close"
    clock = (16, 15) if position.instrument.cash_settled else (16, 0)
    text = f"Removal of {abs(quantity)} {symbol} due to expiration."
    desk.event((DELIVERY, "Expiration"), text, clock=clock, symbol=symbol, delta=-quantity, action=action)


def _assign(desk: Desk, position: Position) -> None:
    """Remove an option and deliver its underlying, in the same second."""
    instrument, quantity = position.instrument, position.quantity
    sub_type = "Exercise" if quantity > 0 else "Assignment"
    group = desk.group()
    text = f"Removal of option due to {sub_type.lower()}"
    desk.event((DELIVERY, sub_type), text, symbol=instrument.symbol, delta=-quantity, group=group)
    size = Decimal(1) if instrument.kind == FUTURE_OPTION else instrument.multiplier
    shares = quantity * size if instrument.right == "C" else -quantity * size
    desk.deliver(instrument.underlying, shares, instrument.strike or ZERO, group)


def _settle_in_cash(desk: Desk, position: Position, intrinsic: Decimal) -> None:
    """Pay an index option's intrinsic value, less a flat fee, and remove it in a second row."""
    instrument, quantity = position.instrument, position.quantity
    sub_type = "Cash Settled Exercise" if quantity > 0 else "Cash Settled Assignment"
    value = (intrinsic * quantity * instrument.multiplier).quantize(CENT)
    group = desk.group()
    desk.event(
        (DELIVERY, sub_type), f"{sub_type} of {instrument.symbol}", value, symbol=instrument.symbol,
        quantity=abs(quantity), price=instrument.strike, fees=(DELIVERY_FEE, None), group=group,
    )  # fmt: skip
    removal = "Exercise" if quantity > 0 else "Assignment"
    text = f"Removal of option due to {removal.lower()}"
    desk.event((DELIVERY, removal), text, symbol=instrument.symbol, delta=-quantity, group=group)


def roll_futures(desk: Desk) -> None:
    """Close futures before their last days; one in five is left to be settled by the exchange."""
    for position in desk.book.held():
        expiry = position.instrument.expiry
        if position.instrument.kind != FUTURE or expiry is None:
            continue
        symbol = position.instrument.symbol
        if expiry <= desk.day:
            mark = desk.mark(symbol)
            gain = desk.book.unsettled(symbol, position.quantity, mark, position.instrument.multiplier)
            desk.event(
                (DELIVERY, "Futures Settlement"), f"Final settlement of {symbol}", gain.quantize(CENT),
                symbol=symbol, delta=-position.quantity, price=mark, prompt=True,
            )  # fmt: skip


def mark_to_market(desk: Desk) -> None:
    """Pay the day's futures profit and loss; afterwards nothing is unsettled."""
    for symbol in sorted(desk.book.futures_cost):
        quantity, multiplier = desk.held(symbol), desk.instrument(symbol).multiplier
        gain = desk.book.unsettled(symbol, quantity, desk.mark(symbol), multiplier)
        gain = gain.quantize(CENT)
        if gain:
            text = f"{symbol} mark to market at {desk.mark(symbol)}"
            desk.event((MONEY, "Mark to Market"), text, gain, symbol=symbol, prompt=True)
        if not quantity:
            del desk.book.futures_cost[symbol]


def leave(desk: Desk) -> None:
    """Empty an account on its last day: sell what can be sold, hand the rest to another broker, pay out the cash."""
    if desk.day != _last_day(desk):
        return
    for position in desk.book.held():
        symbol = position.instrument.symbol
        if is_session(desk.day):
            close(desk, at(desk.day, close_hour(desk.day) - 1, 55), symbol)
        else:
            action = "Sell to Close" if position.quantity > 0 else "Buy to Close"
            text = f"ACAT DELIVER {symbol}"
            desk.event((DELIVERY, "ACAT"), text, symbol=symbol, delta=-position.quantity, action=action, prompt=True)
    cash = desk.book.cash
    if cash:
        sub_type = "Withdrawal" if cash > 0 else "Deposit"
        desk.event((MONEY, sub_type), "ACCOUNT CLOSING SETTLEMENT", -cash, prompt=True)


def _last_day(desk: Desk) -> date | None:
    closing = desk.holder.closing
    return new_york_date(closing) if closing else None


def morning(desk: Desk) -> None:
    """Do what comes before the session."""
    deposits(desk)
    keepsakes(desk)
    for position in desk.book.held():
        instrument = position.instrument
        left = (instrument.expiry - desk.day).days if instrument.expiry else 99
        if instrument.kind == FUTURE and 0 < left <= 8 and is_session(desk.day) and hash_of(instrument.symbol) % 5:  # noqa: PLR2004
            close(desk, at(desk.day, 9, 30, 5), instrument.symbol)


def hash_of(text: str) -> int:
    """Return a small number that depends on a text only, in every process."""
    return sum((index + 1) * ord(letter) for index, letter in enumerate(text))


def afternoon(desk: Desk) -> None:
    """Do what comes after the session, in the order in which it depends on each other."""
    session = is_session(desk.day)
    if session:
        expirations(desk)
        roll_futures(desk)
        mark_to_market(desk)
    transfers(desk)
    dividends(desk)
    monthly(desk)
    adjustments(desk)
    leave(desk)
