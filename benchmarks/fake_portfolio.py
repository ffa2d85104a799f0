"""The small answers of the fake API: the account, its balance and positions, and the balance of each day.

The same every time, complete in their fields; only the days differ. The transactions are in `fake_rows.py`.
"""

import json
from datetime import date, timedelta
from functools import cache
from typing import Any

from fake_rows import FIRST_DAY
from fake_shapes import ACCOUNT

_AMOUNTS = (
    "cash-balance",
    "long-equity-value",
    "short-equity-value",
    "long-derivative-value",
    "short-derivative-value",
    "long-futures-value",
    "short-futures-value",
    "long-futures-derivative-value",
    "short-futures-derivative-value",
    "long-margineable-value",
    "short-margineable-value",
    "margin-equity",
    "equity-buying-power",
    "derivative-buying-power",
    "day-trading-buying-power",
    "futures-margin-requirement",
    "available-trading-funds",
    "maintenance-requirement",
    "maintenance-call-value",
    "reg-t-call-value",
    "day-trading-call-value",
    "day-equity-call-value",
    "net-liquidating-value",
    "cash-available-to-withdraw",
    "day-trade-excess",
    "pending-cash",
    "long-cryptocurrency-value",
    "short-cryptocurrency-value",
    "cryptocurrency-margin-requirement",
    "unsettled-cryptocurrency-fiat-amount",
    "closed-loop-available-balance",
    "equity-offering-margin-requirement",
    "long-bond-value",
    "bond-margin-requirement",
    "used-derivative-buying-power",
)
_NOW_ONLY = (
    "reg-t-margin-requirement",
    "futures-overnight-margin-requirement",
    "futures-intraday-margin-requirement",
    "maintenance-excess",
    "pending-margin-interest",
    "effective-cryptocurrency-buying-power",
)


def account() -> dict[str, Any]:
    """The one account there is."""
    return {
        "account-number": ACCOUNT,
        "external-id": "A0000000001",
        "opened-at": "2017-01-02T15:00:00.000+00:00",
        "nickname": "Individual",
        "account-type-name": "Individual",
        "day-trader-status": False,
        "is-closed": False,
        "is-firm-error": False,
        "is-firm-proprietary": False,
        "is-futures-approved": True,
        "is-test-drive": False,
        "margin-or-cash": "Margin",
        "is-foreign": False,
        "funding-date": "2017-01-03",
        "investment-objective": "SPECULATION",
        "futures-account-purpose": "SPECULATING",
        "suitable-options-level": "No Restrictions",
        "created-at": "2017-01-02T15:00:00.000+00:00",
    }


def _amounts(names: tuple[str, ...], day: date) -> dict[str, str]:
    cents = day.toordinal() * 137 % 10_000_000
    return {
        name: f"{(cents + 991 * place) // 100}.{(cents + 991 * place) % 100:02d}" for place, name in enumerate(names)
    }


def _effects() -> dict[str, str]:
    return {"pending-cash-effect": "Credit", "unsettled-cryptocurrency-fiat-effect": "None"}


def balance(day: date) -> dict[str, Any]:
    """The balance now."""
    more = {"snapshot-date": day.isoformat(), "currency": "USD", "updated-at": f"{day}T20:00:00.000+00:00"}
    return {"account-number": ACCOUNT, **_amounts(_AMOUNTS + _NOW_ONLY, day), **_effects(), **more}


def snapshots(query: dict[str, str], last_day: date) -> list[bytes]:
    """The balances of the days that are asked for, oldest first, weekdays only."""
    start = max(FIRST_DAY, date.fromisoformat(query.get("start-date", FIRST_DAY.isoformat())[:10]))
    end = min(last_day, date.fromisoformat(query.get("end-date", last_day.isoformat())[:10]))
    times = [query["time-of-day"]] if "time-of-day" in query else ["BOD", "EOD"]
    days = [start + timedelta(days=place) for place in range((end - start).days + 1)]
    return [_snapshot(day, time) for day in days if day.weekday() < 5 for time in times]  # noqa: PLR2004


@cache
def _snapshot(day: date, time_of_day: str) -> bytes:
    more = {"snapshot-date": day.isoformat(), "time-of-day": time_of_day, "currency": "USD"}
    row = {"account-number": ACCOUNT, **_amounts(_AMOUNTS, day), **_effects(), **more}
    return json.dumps(row, separators=(",", ":")).encode()


def positions(day: date) -> list[dict[str, Any]]:
    """What is held."""
    return [_position(symbol, place, day) for place, symbol in enumerate(("SPY", "QQQ", "AAPL", "AMD", "NVDA"), 1)]


def _position(symbol: str, quantity: int, day: date) -> dict[str, Any]:
    return {
        "account-number": ACCOUNT,
        "symbol": symbol,
        "instrument-type": "Equity",
        "underlying-symbol": symbol,
        "streamer-symbol": symbol,
        "quantity": quantity * 100,
        "quantity-direction": "Long",
        "close-price": f"{quantity * 91}.25",
        "average-open-price": f"{quantity * 83}.5",
        "multiplier": 1,
        "cost-effect": "Credit",
        "is-suppressed": False,
        "is-frozen": False,
        "realized-day-gain": "0.0",
        "realized-day-gain-effect": "None",
        "realized-day-gain-date": day.isoformat(),
        "realized-today": "0.0",
        "realized-today-effect": "None",
        "realized-today-date": day.isoformat(),
        "created-at": "2024-01-02T15:00:00.000+00:00",
        "updated-at": f"{day}T15:00:00.000+00:00",
    }
