"""One JSON value to one typed value, exactly or not at all.

Here belongs what a single value may look like; what a row is made of is in payloads.py. Every function takes a value as
`json.loads(..., parse_float=Decimal)` gives it, never a float, and raises `ValueError` with a short reason.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation
from reprlib import Repr
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core.schema import PRECISION, SCALE

# 1E-8 is how some writers spell a small crypto quantity; blanks, underscores and words such as NaN are refused.
# Possessive, so that megabytes of digits with a letter behind them are not tried again from every digit.
_DECIMAL = re.compile(r"[+-]?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.(\d+))?(?:Z|[+-]\d{2}(?::?\d{2})?)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SMALLEST = Decimal(1).scaleb(-SCALE)
# Refuses to round; the default context would round to 28 digits before anybody noticed. Rounding down keeps apart what
# has too many places from what has too many digits: 0.99... does not become 1 before it is looked at.
_EXACT = Context(prec=PRECISION, rounding=ROUND_DOWN, traps=[Inexact, InvalidOperation])
_BIGINT = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_FIRST_MILLISECONDS = 10**11  # smaller numbers would be seconds, or no time at all
_LONGEST_SHOWN = 60
_LONGEST_SHOWN_BITS = 192
# A JSON document deeper than this is no data, and walking it would end in a RecursionError far from here.
_DEEPEST = 50
# Postgres' JSONB refuses numbers of more than 131,072 digits before the point or 16,383 after it.
_LONGEST_JSON_NUMBER = 1_000


class _Brief(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxstring = self.maxother = _LONGEST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        # Python raises ValueError instead of writing down an int of more than 4,300 digits
        return super().repr_int(x, level) if x.bit_length() <= _LONGEST_SHOWN_BITS else "a number of very many digits"


_BRIEF = _Brief()

# the actions that give a transaction's quantity its sign
BOUGHT = frozenset({"Buy", "Buy to Open", "Buy to Close"})
SOLD = frozenset({"Sell", "Sell to Open", "Sell to Close"})


def shown(value: Any) -> str:
    """Write a value of any size or depth into an error message: quickly and briefly."""
    text = _BRIEF.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def decimal(value: Any) -> Decimal:
    """Take a decimal string or a JSON number; refuse what NUMERIC(38, 12) would have to round.

    The result has the column's twelve places, so that it is what the database gives back; zero is plain 0.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{shown(value)} is not a decimal")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a decimal")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{shown(value)} is not a decimal")
    if number.is_zero():
        return Decimal(0)
    try:
        return number.quantize(_SMALLEST, context=_EXACT)
    except Inexact:
        raise ValueError(f"{shown(value)} has more than {SCALE} decimal places") from None
    except InvalidOperation:
        raise ValueError(f"{shown(value)} has more than {PRECISION - SCALE} digits before the point") from None


def signed(value: Any, effect: Any) -> Decimal:
    """Take an unsigned amount and its effect: Credit is positive, Debit negative; only zero may have neither."""
    amount = decimal(value)
    if effect not in ("Credit", "Debit", "None", None):
        raise ValueError(f"effect {shown(effect)} is neither Credit, Debit nor None")
    if amount.is_zero():
        return amount
    if effect == "Debit":
        return amount.copy_abs().copy_negate()
    if effect == "Credit" and amount > 0:
        return amount
    raise ValueError(f"{shown(value)} with effect {shown(effect)} has no certain sign")


def whole(value: Any) -> int:
    """Take an integer, or a string of digits, that fits a BIGINT."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is not a whole number")
    if not -_BIGINT <= value < _BIGINT:
        raise ValueError(f"{shown(value)} does not fit a BIGINT")
    return value


def flag(value: Any) -> bool:
    """Take true or false, as JSON or as text."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError(f"{shown(value)} is neither true nor false")


def text(value: Any) -> str:
    """Take a string whole, blanks included; a number or flag is kept as the API spelled it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    if "\x00" in value:
        raise ValueError("text holds a NUL character, which no database column can")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text holds half a character (a lone surrogate)") from None
    return value


def day(value: Any) -> date:
    """Take YYYY-MM-DD."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value)
    raise ValueError(f"{shown(value)} is not a date")


def trade_date(value: Any) -> date:
    """Take YYYY-MM-DD of a day that a history can have; a row of another one would be in no window that is read."""
    found = day(value)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"{shown(value)} is not a day of any history")
    return found


def instant(value: Any) -> datetime:
    """Take an ISO time with its zone, or epoch milliseconds; give aware UTC with microseconds."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= _FIRST_MILLISECONDS:
        try:
            return _EPOCH + timedelta(milliseconds=value)
        except OverflowError:
            raise ValueError(f"{shown(value)} is not a time") from None
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{shown(value)} is not a time with a zone")
    if found[1] and found[1][6:].strip("0"):
        raise ValueError(f"{shown(value)} is finer than a microsecond")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{shown(value)} is not a time") from None


def document(value: Any) -> Any:
    """Take any JSON value whole, as long as both databases can store its texts, numbers and depth."""
    for item in _leaves(value):
        if isinstance(item, str):
            text(item)
        elif isinstance(item, int | Decimal) and not _fits_json(Decimal(item)):
            raise ValueError(f"{shown(item)} is not a number that JSON columns can hold")
    return value


def _leaves(value: Any) -> Iterator[Any]:
    level = [value]
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                yield from item
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
            else:
                yield item
        level = deeper
    if level:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels")


def _fits_json(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return number.is_zero() or (number.adjusted() < _LONGEST_JSON_NUMBER and int(exponent) >= -_LONGEST_JSON_NUMBER)


def parser_of(type_: sa.types.TypeEngine[Any]) -> Callable[[Any], Any]:
    """Return the function that fits a column's type."""
    for kind, parse in _PARSERS:
        if isinstance(type_, kind):
            return parse
    raise TypeError(type_)


_PARSERS: tuple[tuple[type[sa.types.TypeEngine[Any]], Callable[[Any], Any]], ...] = (
    (sa.Numeric, decimal),
    (sa.BigInteger, whole),
    (sa.Boolean, flag),
    (sa.DateTime, instant),
    (sa.Date, day),
    (sa.JSON, document),
    (sa.Text, text),
)
