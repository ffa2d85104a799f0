"""What a symbol says, in words: `SPY   240119C00450000` is `SPY 450 Call`, 19 January 2024.

Here belongs the reading of the broker's symbols for people's eyes. The symbol itself is never changed: it is the key,
and its inner spaces mean something. What cannot be read is shown as it is.
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tasty_django.figures import plain

# root padded to six, expiry, right, strike in thousandths
_EQUITY_OPTION = re.compile(r"(?P<root>\S{1,6}) *(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
# the future, its option series, then expiry, right and the strike as it is quoted
_FUTURE_OPTION = re.compile(r"\./(?P<root>\S+) ?\S* *(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d+(\.\d+)?)")


@dataclass(frozen=True)
class Option:
    """An option's terms: root symbol, last day, `C` or `P`, strike price."""

    root: str
    expires: date
    right: str
    strike: Decimal

    @property
    def shown_strike(self) -> str:
        """The strike without zeros that say nothing."""
        return plain(self.strike)


def option(symbol: str, instrument_type: str | None) -> Option | None:
    """Return an option's terms, or None for what is no option or is written in a way that is not known."""
    if instrument_type == "Equity Option":
        found, unit = _EQUITY_OPTION.fullmatch(symbol), Decimal(1000)
    elif instrument_type == "Future Option":
        found, unit = _FUTURE_OPTION.fullmatch(symbol), Decimal(1)
    else:
        return None
    if found is None:
        return None
    day = found["day"]
    try:
        expires = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        return None
    root = found["root"] if instrument_type == "Equity Option" else f"/{found['root']}"
    return Option(root, expires, found["right"], Decimal(found["strike"]) / unit)
