"""One transaction: its facts as decimals, and the JSON the API sends for it.

``delta`` and ``group`` are the broker's own knowledge and never sent: the signed change of the position, and the
number that holds rows of one event together. Who writes rows belongs to ``trader``, ``events`` and ``brokerage``.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
TRADE, DELIVERY = "Trade", "Receive Deliver"
MONEY, TRANSFER = "Money Movement", "Administrative Transfer"
_Z_SUFFIX_EVERY = 97


@dataclass(slots=True)
class Row:
    """A transaction. Amounts are signed (a debit is negative), quantities are unsigned but ``delta``."""

    id: int
    account: str
    type: str
    sub_type: str
    description: str
    executed_at: datetime
    transaction_date: date
    created_at: datetime
    value: Decimal = ZERO
    net_value: Decimal = ZERO
    symbol: str | None = None
    kind: str | None = None
    underlying: str | None = None
    action: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    commission: Decimal | None = None
    clearing: Decimal | None = None
    regulatory: Decimal | None = None
    proprietary: Decimal | None = None
    order_id: int | None = None
    delta: Decimal = ZERO
    group: int = 0
    extras: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    _json: bytes | None = None

    @property
    def key(self) -> tuple[datetime, int]:
        """The order of the books, and of the API's answers."""
        return (self.executed_at, self.id)

    @property
    def fees(self) -> Decimal:
        """All fees, signed: zero or negative."""
        total = (self.commission or ZERO) + (self.clearing or ZERO)
        return total + (self.regulatory or ZERO) + (self.proprietary or ZERO) + self.extra_fees

    @property
    def extra_fees(self) -> Decimal:
        """The rare charges that are kept among the extras, signed."""
        total = ZERO
        for key in ("currency-conversion-fees", "other-charge"):
            if key in self.extras:
                total -= Decimal(self.extras[key])
        return total

    def changed(self) -> None:
        """Forget the rendered text after a change."""
        self._json = None

    def json(self) -> bytes:
        """Return the row as the API sends it; rendered once."""
        if self._json is None:
            self._json = json.dumps(self.payload(), separators=(",", ":")).encode()
        return self._json

    def payload(self) -> dict[str, Any]:
        """Return the row as the API sends it: kebab-case, unsigned amounts with their effect, absent keys left out."""
        data: dict[str, Any] = {
            "id": self.id,
            "account-number": self.account,
            "transaction-type": self.type,
            "transaction-sub-type": self.sub_type,
            "description": self.description,
            "executed-at": timestamp(self.executed_at, zulu=self.id % _Z_SUFFIX_EVERY == 0),
            "transaction-date": self.transaction_date.isoformat(),
        }
        self._put_instrument(data)
        put_amount(data, "value", self.value)
        put_amount(data, "net-value", self.net_value)
        put_amount(data, "commission", self.commission)
        put_amount(data, "clearing-fees", self.clearing)
        put_amount(data, "regulatory-fees", self.regulatory)
        put_amount(data, "proprietary-index-option-fees", self.proprietary)
        data["is-estimated-fee"] = True
        if self.order_id is not None:
            data["order-id"] = self.order_id
        data["created-at"] = timestamp(self.created_at)
        data["currency"] = "USD"
        data.update(self.extras)
        data.update(self.overrides)
        return data

    def _put_instrument(self, data: dict[str, Any]) -> None:
        if self.symbol is None:
            return
        data["symbol"] = self.symbol
        data["instrument-type"] = self.kind
        data["underlying-symbol"] = self.underlying
        if self.action is not None:
            data["action"] = self.action
        if self.quantity is not None:
            data["quantity"] = number(self.quantity)
        if self.price is not None:
            data["price"] = number(self.price)


def timestamp(moment: datetime, *, zulu: bool = False) -> str:
    """Return a moment the way the API writes it: UTC with milliseconds, sometimes with a Z."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if zulu else text


def number(value: Decimal) -> str:
    """Return an unsigned decimal string: at least one decimal place, no exponent."""
    text = format(abs(value), "f")
    if not value:
        return "0.0"
    return text if "." in text else text + ".0"


def effect(value: Decimal) -> str:
    """Return the word that carries an amount's sign."""
    return "Credit" if value > 0 else "Debit" if value < 0 else "None"


def put_amount(data: dict[str, Any], key: str, value: Decimal | None) -> None:
    """Put an amount and its effect under two keys, or nothing if there is none."""
    if value is not None:
        data[key] = number(value)
        data[key + "-effect"] = effect(value)
