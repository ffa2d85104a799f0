"""Positions, balances, snapshots and net liquidating values as the API words them, from sums and marks alone.

Nothing here holds state or decides who may read. Sums come from ``archive``, prices from ``market``.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

from tasty_pipeline.simulator.archive import Sums
from tasty_pipeline.simulator.books import Position
from tasty_pipeline.simulator.days import at, close_hour, previous_session
from tasty_pipeline.simulator.instruments import CRYPTO, EQUITY, FUTURE, FUTURE_OPTION, OPTION, read_symbol
from tasty_pipeline.simulator.market import Market
from tasty_pipeline.simulator.rows import ZERO, effect, number, put_amount, timestamp

CENT = Decimal("0.01")
_STREAMER_EXCHANGE = {FUTURE: ":XCME", FUTURE_OPTION: ":XCME"}
_FULL_SINCE = date(2022, 1, 1)
_CASH_SURE_SINCE = date(2023, 1, 1)
_YOUNG_GROUPS = (
    "cryptocurrency",
    "bond",
    "equity-offering",
    "used-derivative",
    "fixed-income",
    "intraday-",
    "closed-loop",
)


def plain(value: Decimal) -> str:
    """Return a signed amount of a key that has no effect beside it."""
    text = number(value.quantize(CENT) if value == value.quantize(CENT) else value.normalize())
    return "-" + text if value < 0 else text


def position(
    account: str, held: Position, market: Market, valued_on: date, *, marks: bool, today: date
) -> dict[str, Any]:
    """Return one position as ``GET /accounts/{n}/positions`` describes it."""
    instrument, quantity = held.instrument, held.quantity
    wobble = crc32(instrument.symbol.encode())
    mark = market.mark(instrument.symbol, valued_on)
    data: dict[str, Any] = {
        "account-number": account,
        "symbol": instrument.symbol,
        "instrument-type": instrument.kind,
        "underlying-symbol": instrument.underlying,
        "quantity": _loose_number(abs(quantity), as_text=bool(wobble & 1)),
        "quantity-direction": "Long" if quantity > 0 else "Short" if quantity < 0 else "Zero",
        "close-price": number(market.mark(instrument.symbol, previous_session(valued_on))),
        "average-open-price": number(held.average_price.quantize(Decimal("0.00000001")).normalize()),
        "average-yearly-market-close-price": number(market.mark(instrument.symbol, date(today.year, 1, 1))),
        "average-daily-market-close-price": number(mark),
        "multiplier": _loose_number(instrument.multiplier, as_text=wobble % 3 == 0),
        "cost-effect": "Credit" if quantity > 0 else "Debit" if quantity < 0 else "None",
        "is-suppressed": False,
        "is-frozen": False,
        "restricted-quantity": "0.0" if wobble & 2 else 0,
    }
    if instrument.expiry is not None:
        data["expires-at"] = timestamp(at(instrument.expiry, 16))
    if instrument.kind == OPTION:
        data["deliverable-type"] = "Shares"
    day = held.realized_on or today
    realized_today = held.realized.quantize(CENT) if held.realized_on == today else ZERO
    for key, amount in (("realized-day-gain", held.realized.quantize(CENT)), ("realized-today", realized_today)):
        put_amount(data, key, amount)
        data[key + "-date"] = day.isoformat() if key.endswith("gain") else today.isoformat()
    if instrument.kind != CRYPTO or wobble & 4:
        data["streamer-symbol"] = streamer_symbol(instrument.symbol, instrument.kind)
    if marks:
        data["mark"] = number((abs(quantity) * mark * instrument.multiplier).quantize(CENT))
        data["mark-price"] = number(mark)
    data["created-at"] = timestamp(held.opened_at)
    data["updated-at"] = timestamp(held.updated_at)
    return data


def streamer_symbol(symbol: str, kind: str) -> str:
    """Return the quote feed's name of a symbol."""
    if kind == OPTION:
        strike = format((Decimal(symbol[13:]) / 1000).normalize(), "f")
        return f".{symbol[:6].strip()}{symbol[6:13]}{strike}"
    return symbol.replace(" ", "") + _STREAMER_EXCHANGE.get(kind, "")


def _loose_number(value: Decimal, *, as_text: bool) -> Any:
    """Return a quantity as the API may send it: text such as "3.0", or a bare JSON number."""
    if as_text:
        return number(value)
    return int(value) if value == int(value) else float(value)


_VALUE_KEYS = {EQUITY: "equity", OPTION: "derivative", FUTURE: "futures",
               FUTURE_OPTION: "futures-derivative", CRYPTO: "cryptocurrency"}  # fmt: skip


def values(sums: Sums, market: Market, day: date) -> dict[str, Decimal]:
    """Return the market values by key (``long-equity-value`` ...), unsigned; of futures what is unsettled, signed."""
    totals = {f"{side}-{name}-value": ZERO for side in ("long", "short") for name in _VALUE_KEYS.values()}
    for symbol, quantity in sums.quantities.items():
        instrument = read_symbol(symbol, day.year)
        if instrument.kind == FUTURE or not quantity:
            continue
        amount = (quantity * market.mark(symbol, day) * instrument.multiplier).quantize(CENT)
        side = "long" if quantity > 0 else "short"
        totals[f"{side}-{_VALUE_KEYS[instrument.kind]}-value"] += abs(amount)
    for symbol, cost in sums.futures_cost.items():
        instrument = read_symbol(symbol, day.year)
        quantity = sums.quantities.get(symbol, ZERO)
        gain = quantity * market.mark(symbol, day) * instrument.multiplier - cost
        # A short's gain lowers what is owed: long minus short stays the gain.
        totals["short-futures-value" if quantity < 0 else "long-futures-value"] += -gain if quantity < 0 else gain
    return totals


def net_liquidating_value(sums: Sums, market: Market, day: date) -> Decimal:
    """Return cash plus long values minus short values at the marks of a day."""
    worth = values(sums, market, day)
    return sums.cash + sum((v if key.startswith("long") else -v for key, v in worth.items()), ZERO)


def balance(account: str, *, margin: bool, sums: Sums, market: Market, day: date) -> dict[str, Any]:
    """Return the money keys that a balance and a snapshot share."""
    worth = values(sums, market, day)
    net = sums.cash + sum((v if key.startswith("long") else -v for key, v in worth.items()), ZERO)
    contracts = sum((abs(q) for s, q in sums.quantities.items() if s.startswith("/")), ZERO)
    stock, short_stock = worth["long-equity-value"], worth["short-equity-value"]
    short_options = worth["short-derivative-value"] + worth["short-futures-derivative-value"]
    futures = contracts * Decimal(6000)
    maintenance = (stock / 4 + short_stock * 3 / 10 + short_options).quantize(CENT) if margin else stock
    reg_t = (stock / 2 + short_stock / 2 + short_options).quantize(CENT) if margin else stock
    free = max(net - maintenance - futures - worth["long-derivative-value"], ZERO)
    withdraw = max(min(sums.cash, free), ZERO)
    buying = free * 2 if margin else withdraw
    money: dict[str, Decimal] = {"cash-balance": sums.cash, **worth}
    money |= {
        "long-margineable-value": stock if margin else ZERO, "short-margineable-value": short_stock,
        "margin-equity": net - worth["long-cryptocurrency-value"], "equity-buying-power": buying,
        "derivative-buying-power": free, "day-trading-buying-power": free * 4 if margin else ZERO,
        "futures-margin-requirement": futures, "available-trading-funds": free,
        "maintenance-requirement": maintenance, "net-liquidating-value": net, "cash-available-to-withdraw": withdraw,
        "day-trade-excess": free, "closed-loop-available-balance": withdraw, "sma-equity-option-buying-power": free,
        "special-memorandum-account-value": free, "total-settle-balance": sums.cash, "cash-settle-balance": sums.cash,
        "used-derivative-buying-power": short_options, "reg-t-margin-requirement": reg_t,
    }  # fmt: skip
    data: dict[str, Any] = {"account-number": account, "currency": "USD"}
    data.update((key, plain(value)) for key, value in money.items())
    data.update((key, "0.0") for key in _ALWAYS_ZERO)
    data["pending-cash-effect"] = data["unsettled-cryptocurrency-fiat-effect"] = "None"
    for name in ("equities", "futures"):
        data[f"intraday-{name}-cash-effect"] = "None"
        data[f"intraday-{name}-cash-effective-date"] = day.isoformat()
    data["previous-day-cryptocurrency-fiat-effect"] = "None"
    data["previous-date-cryptocurrency-fiat-effective-date"] = day.isoformat()
    return data


_ALWAYS_ZERO = (
    "maintenance-call-value", "reg-t-call-value", "day-trading-call-value", "day-equity-call-value", "pending-cash",
    "cryptocurrency-margin-requirement", "unsettled-cryptocurrency-fiat-amount", "equity-offering-margin-requirement",
    "long-bond-value", "bond-margin-requirement", "fixed-income-security-margin-requirement",
    "long-fixed-income-security-value", "intraday-equities-cash-amount", "intraday-futures-cash-amount",
    "previous-day-cryptocurrency-fiat-amount", "margin-settle-balance", "special-memorandum-account-apex-adjustment",
)  # fmt: skip


def current(data: dict[str, Any], day: date, updated: datetime) -> dict[str, Any]:
    """Turn the shared keys into the current balance of a day."""
    net, maintenance = Decimal(data["net-liquidating-value"]), Decimal(data["maintenance-requirement"])
    return data | {
        "snapshot-date": day.isoformat(),
        "futures-overnight-margin-requirement": data["futures-margin-requirement"],
        "futures-intraday-margin-requirement": data["futures-margin-requirement"],
        "maintenance-excess": plain(net - maintenance),
        "pending-margin-interest": "0.0",
        "apex-starting-day-margin-equity": data["margin-equity"],
        "buying-power-adjustment": "0.0",
        "buying-power-adjustment-effect": "None",
        "effective-cryptocurrency-buying-power": data["cash-available-to-withdraw"],
        "total-pending-liquidity-pool-rebate": "0.0",
        "long-index-derivative-value": "0.0",
        "short-index-derivative-value": "0.0",
        "updated-at": timestamp(updated),
    }


def snapshot(data: dict[str, Any], day: date, time_of_day: str) -> dict[str, Any]:
    """Turn the shared keys into a snapshot; old ones lack whole groups, some old end-of-day ones the cash."""
    data = data | {"snapshot-date": day.isoformat(), "time-of-day": time_of_day}
    if day < _FULL_SINCE:
        data = {key: value for key, value in data.items() if not any(group in key for group in _YOUNG_GROUPS)}
    if day < _CASH_SURE_SINCE and time_of_day == "EOD" and crc32(day.isoformat().encode()) % 40 == 0:
        del data["cash-balance"]
    return data


def net_liq(opening: Decimal, closing: Decimal, day: date) -> dict[str, Any]:
    """Return one day of the net liquidating value history."""
    high, low = max(opening, closing), min(opening, closing)
    data = {}
    for key, value in (("open", opening), ("high", high), ("low", low), ("close", closing)):
        data[key] = data[f"total-{key}"] = plain(value.quantize(CENT))
        data[f"pending-cash-{key}"] = "0.0"
    moment = at(day, close_hour(day))
    return data | {"time": moment.strftime("%Y-%m-%d %H:%M:%S+00")}


def fees(total: Decimal) -> dict[str, str]:
    """Return the answer of ``transactions/total-fees``."""
    return {"total-fees": number(total), "total-fees-effect": effect(total)}
