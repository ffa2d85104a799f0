"""Exact amounts as text: as people read them (grouped, rounded) and as they are (every digit).

Here belongs the writing of numbers and the one decimal context that sums and products of amounts need; which number
stands where is for holdings.py, charts.py and the templates. A database column holds 38 digits, more than Python's
default context keeps, so arithmetic on amounts runs in `EXACT`.
"""

from decimal import ROUND_HALF_UP, Context, Decimal

from django.utils.formats import number_format

# three columns of 38 digits multiplied, and some carry
EXACT = Context(prec=128, rounding=ROUND_HALF_UP)
MINUS = "\N{MINUS SIGN}"


def plain(number: Decimal) -> str:
    """Return every digit of a number, without an exponent, without grouping and without zeros that say nothing."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _rounded(number: Decimal, least: int, most: int) -> Decimal:
    rounded = number.quantize(Decimal(1).scaleb(-most), context=EXACT)
    _, _, fraction = plain(rounded).partition(".")
    return rounded.quantize(Decimal(1).scaleb(-max(len(fraction), least)), context=EXACT)


def grouped(number: Decimal, least: int = 2, most: int = 4, *, signed: bool = False) -> str:
    """Return a number as people read it: `least` to `most` decimal places, grouped, a real minus, in the user's locale.

    `signed` puts a plus before what is positive, so that a gain is told by more than its colour.
    """
    rounded = _rounded(number, least, most)
    text = number_format(rounded.copy_abs(), use_l10n=True, force_grouping=True)
    if rounded < 0:
        return f"{MINUS}{text}"
    return f"+{text}" if signed and rounded > 0 else text
