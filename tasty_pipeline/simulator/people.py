"""The fixed answers about the customer and what an account may trade: nothing of them comes from the ledger."""

from datetime import date, datetime, timedelta
from typing import Any
from zlib import crc32

from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.days import at
from tasty_pipeline.simulator.logins import DEFAULT
from tasty_pipeline.simulator.personas import Holder
from tasty_pipeline.simulator.rows import timestamp

_ADDRESS = {
    "street-one": "1 Demo Street",
    "city": "Chicago",
    "state-region": "IL",
    "postal-code": "60607",
    "country": "USA",
    "is-foreign": False,
    "is-domestic": True,
}


def user(login: str) -> dict[str, Any]:
    """Return ``POST /sessions/validate``: the user behind a login."""
    name = "demo" if login == DEFAULT else login
    number = 1 if login == DEFAULT else crc32(login.encode())
    return {"email": f"{name}@example.com", "username": name, "external-id": f"U{number:010d}"}


def customer(config: SimulatorConfig, login: str) -> dict[str, Any]:
    """Return ``GET /customers/me``: one invented person for each login."""
    person = user(login)
    number = config.seed if login == DEFAULT else crc32(f"{config.seed} {login}".encode())
    return {
        "id": "me",
        "first-name": person["username"].capitalize(),
        "last-name": "O'Customer",
        "address": _ADDRESS,
        "mailing-address": _ADDRESS,
        "is-foreign": False,
        "usa-citizenship-type": "Citizen",
        "mobile-phone-number": "+13125550100",
        "birth-date": "1980-01-01",
        "email": person["email"],
        "external-id": f"C{number:010d}",
        "tax-number-type": "SSN",
        "subject-to-tax-withholding": False,
        "has-industry-affiliation": False,
        "has-institutional-assets": False,
        "has-listed-affiliation": False,
        "has-political-affiliation": False,
        "has-delayed-quotes": False,
        "has-pending-or-approved-application": True,
        "is-professional": False,
        "permitted-account-types": [],
        "created-at": timestamp(at(config.start, 7)),
        "identifiable-type": "Person",
    }


def trading_status(holder: Holder, now: datetime) -> dict[str, Any]:
    """Return ``GET /accounts/{n}/trading-status``."""
    margin, closed = holder.persona.margin, holder.is_closed(now)
    derivatives = "future" in holder.persona.habits
    return {
        "account-number": holder.number,
        "id": 500_000 + holder.slot,
        "day-trade-count": 0,
        "equities-margin-calculation-type": "Reg T" if margin else "Cash",
        "fee-schedule-name": "default",
        "futures-margin-rate-multiplier": "1.0",
        "has-intraday-equities-margin": False,
        "is-aggregated-at-clearing": False,
        "is-closed": closed,
        "is-closing-only": False,
        "is-cryptocurrency-enabled": "crypto" in holder.persona.habits,
        "is-cryptocurrency-closing-only": False,
        "is-frozen": False,
        "is-full-equity-margin-required": not margin,
        "is-futures-closing-only": False,
        "is-futures-enabled": derivatives,
        "is-futures-intra-day-enabled": derivatives,
        "is-in-day-trade-equity-maintenance-call": False,
        "is-in-margin-call": False,
        "is-pattern-day-trader": False,
        "is-portfolio-margin-enabled": False,
        "is-risk-reducing-only": False,
        "is-roll-the-day-forward-enabled": False,
        "is-small-notional-futures-intra-day-enabled": derivatives,
        "is-equity-offering-enabled": True,
        "is-equity-offering-closing-only": False,
        "are-far-otm-net-options-restricted": True,
        "options-level": "No Restrictions" if margin else "Covered And Cash Secured",
        "short-calls-enabled": margin,
        "small-notional-futures-margin-rate-multiplier": "1.0",
        "updated-at": timestamp(holder.closing if closed and holder.closing else holder.opened),
    }


def days_back(today: date, days: int) -> date:
    """Return the day so many days ago, no earlier than the calendar begins."""
    return today - timedelta(days=min(days, today.toordinal() - 1))
