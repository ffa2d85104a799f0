"""What the tables must hold, read from the simulator's payloads a second time and differently.

Nothing of the package is used here: a mistake in its payload contract cannot agree with itself.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

_OWN_EFFECT = {
    "unsettled-cryptocurrency-fiat-amount": "unsettled-cryptocurrency-fiat-effect",
    "intraday-equities-cash-amount": "intraday-equities-cash-effect",
    "intraday-futures-cash-amount": "intraday-futures-cash-effect",
    "previous-day-cryptocurrency-fiat-amount": "previous-day-cryptocurrency-fiat-effect",
}
_PLAIN = {
    *("quantity", "price", "agency-price", "principal-price", "multiplier", "close-price", "restricted-quantity"),
    *("average-open-price", "average-yearly-market-close-price", "average-daily-market-close-price"),
}
_TIMES = ("-at",)
_DAYS = ("-date",)
_RENAMED = {"id": "transaction_id", "account-type-name": "account_type"}


def _amount(payload: Row, key: str) -> Decimal:
    number = Decimal(str(payload[key]))
    effect = payload.get(_OWN_EFFECT.get(key, f"{key}-effect"))
    return -number if effect == "Debit" else number


def _value(payload: Row, key: str, *, money: bool) -> Any:
    value = payload[key]
    if key.endswith(_TIMES):
        return datetime.fromisoformat(value).astimezone(UTC)
    if key.endswith(_DAYS):
        return date.fromisoformat(value)
    is_number = isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()
    if key in _PLAIN or f"{key}-effect" in payload or key in _OWN_EFFECT or (money and is_number):
        return _amount(payload, key)
    return value


def row_of(payload: Row, *, money: bool = False) -> Row:
    """One payload as the row that it must become, absent columns left out; `money`: every number is an amount."""
    effects = {f"{key}-effect" for key in payload} | set(_OWN_EFFECT.values())
    row = {
        _RENAMED.get(key, key.replace("-", "_")): _value(payload, key, money=money)
        for key in payload
        if key not in effects and payload[key] is not None
    }
    if "transaction_id" in row and "quantity" in row:
        row["quantity_unsigned"] = row.pop("quantity")
        if str(row.get("action", "")).startswith("Buy"):
            row["quantity"] = row["quantity_unsigned"]
        elif str(row.get("action", "")).startswith("Sell"):
            row["quantity"] = -row["quantity_unsigned"]
    if row.get("quantity_direction") == "Short":
        row["quantity"] = -row["quantity"]
    return row


def stored(row: Row) -> Row:
    """A stored row without its provenance and its nulls."""
    return {key: value for key, value in row.items() if value is not None and key not in {"synced_at", "run_id"}}
