"""Who has an account: numbers, names, habits. What they do on a day belongs to ``trader``."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.days import at
from tasty_pipeline.simulator.rows import timestamp


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of customer: the account's form, its habits by weight, and how busy it is."""

    nickname: str
    type_name: str
    margin: bool
    deposit: Decimal
    activity: float
    habits: dict[str, int]
    roots: tuple[str, ...]
    reinvests: bool = False
    closes: bool = False


CAST = (
    Persona(
        "Individual", "Individual", True, Decimal(250_000), 1.0,
        {"equity": 38, "option": 24, "vertical": 14, "condor": 4, "index": 9, "future": 4, "crypto": 3, "short": 4},
        ("AAPL", "SPY", "QQQ", "IWM", "KO", "BRK/B", "NVDA", "GE", "FB", "TSM", "AMD", "F"),
    ),
    Persona(
        "Oma's Rücklage № 1 (IRA)", "Traditional IRA", False, Decimal(64_000), 0.13,
        {"equity": 50, "covered_call": 25, "secured_put": 25},
        ("KO", "T", "F", "SPY", "IWM", "TWTR"), reinvests=True,
    ),
    Persona(
        "Futures & Crypto", "Individual", True, Decimal(180_000), 0.33,
        {"future": 40, "future_option": 20, "crypto": 35, "equity": 5},
        ("SPY", "QQQ"),
    ),
    Persona(
        "Old joint account", "Joint with Rights of Survivorship", True, Decimal(20_000), 0.5,
        {"equity": 70, "option": 30}, ("AAPL", "F", "KO", "AMD"), closes=True,
    ),
)  # fmt: skip


@dataclass(slots=True)
class Holder:
    """One account of the brokerage: its persona, number, and the days between which it is open."""

    persona: Persona
    slot: int
    number: str
    opened: datetime
    closing: datetime | None = None
    extra: dict[str, Any] | None = None

    def is_closed(self, now: datetime) -> bool:
        """Tell whether the account is closed at a moment."""
        return self.closing is not None and self.closing <= now

    def open_on(self, day: date) -> bool:
        """Tell whether the account can have events on a day."""
        return at(day, 23, 59) >= self.opened and (self.closing is None or at(day, 0) < self.closing)

    def payload(self, now: datetime) -> dict[str, Any]:
        """Return the account as ``GET /customers/me/accounts`` describes it."""
        closed = self.is_closed(now)
        data: dict[str, Any] = {
            "account-number": self.number,
            "external-id": f"A{self.slot:010d}",
            "opened-at": timestamp(self.opened),
            "nickname": self.persona.nickname,
            "account-type-name": self.persona.type_name,
            "day-trader-status": False,
            "is-closed": closed,
            "is-firm-error": False,
            "is-firm-proprietary": False,
            "is-futures-approved": "future" in self.persona.habits,
            "is-test-drive": False,
            "margin-or-cash": "Margin" if self.persona.margin else "Cash",
            "is-foreign": False,
            "funding-date": self.opened.date().isoformat(),
            "investment-objective": "SPECULATION" if self.persona.margin else "INCOME",
            "suitable-options-level": "No Restrictions" if self.persona.margin else "Covered And Cash Secured",
            "created-at": timestamp(self.opened),
        }
        if closed and self.closing is not None:
            data["closed-at"] = timestamp(self.closing)
        return data


def account_number(config: SimulatorConfig, slot: int) -> str:
    """Return the number of an account; brokerages of different seeds do not share any (seeds modulo 1000)."""
    return f"5WT{config.seed % 1000:03d}{slot + 1:02d}"


def cast_of(config: SimulatorConfig) -> list[Holder]:
    """Return the accounts that exist when the books open."""
    holders = []
    for slot in range(config.accounts):
        persona = CAST[slot] if slot < len(CAST) else CAST[slot % 3]
        opened = at(config.start, 7, 15) + timedelta(minutes=slot)
        holder = Holder(persona, slot, account_number(config, slot), opened)
        if persona.closes:
            holder.closing = at(config.start + timedelta(days=config.closed_after_days), 20)
        holders.append(holder)
    return holders
