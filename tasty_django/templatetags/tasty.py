"""How the pages write amounts, quantities and symbols.

Here belong filters that turn one value into words or markup. Each amount carries its exact value in a `title`, since
what is shown is rounded. Whatever comes from the broker is escaped.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from tasty_django import symbols
from tasty_django.figures import EXACT, grouped, plain

register = template.Library()
_DAY, _CLOCK = "j M Y", "H:i:s"
FEES = (
    "commission",
    "clearing_fees",
    "regulatory_fees",
    "proprietary_index_option_fees",
    "currency_conversion_fees",
    "other_charge",
)


def _nothing() -> SafeString:
    """A dash where there is no value."""
    return format_html(
        '<span class="unknown"><span aria-hidden="true">\N{EN DASH}</span><span class="hidden">{}</span></span>',
        _("none"),
    )


def _figure(number: Decimal | None, least: int, most: int, css: str = "", *, signed: bool = False) -> SafeString:
    if number is None:
        return _nothing()
    text = grouped(number, least, most, signed=signed)
    return format_html(
        '<data class="figure{}" value="{}" title="{}">{}</data>', css, plain(number), plain(number), text
    )


@register.filter
def money(number: Decimal | None) -> SafeString:
    """An amount to the cent."""
    return _figure(number, 2, 2)


@register.filter
def money_text(number: Decimal) -> str:
    """An amount to the cent where no markup can stand."""
    return grouped(number, 2, 2)


@register.filter
def amount(number: Decimal | None) -> SafeString:
    """An amount with up to four places: fees and values below a cent."""
    return _figure(number, 2, 4)


@register.filter
def price(number: Decimal | None) -> SafeString:
    """A price: currency futures are quoted with more than four places."""
    return _figure(number, 2, 4 if number is None or abs(number) >= 1 else 8)


@register.filter
def quantity(number: Decimal | None) -> SafeString:
    """A quantity: whole where it is whole."""
    return _figure(number, 0, 8)


def _tone(number: Decimal | None) -> str:
    if not number:
        return ""
    return " gain" if number > 0 else " loss"


@register.filter
def gain(number: Decimal | None) -> SafeString:
    """A profit or loss: with its sign, and a colour beside it."""
    return _figure(number, 2, 2, _tone(number), signed=True)


@register.filter
def cash(number: Decimal | None) -> SafeString:
    """What came into the account or left it, to the cent and with its sign."""
    return _figure(number, 2, 2, signed=True)


@register.filter
def share(number: Decimal | None) -> SafeString:
    """A percentage with its sign."""
    if number is None:
        return _nothing()
    return format_html("{}\N{NARROW NO-BREAK SPACE}%", grouped(number, 1, 1, signed=True))


@register.filter
def whole(number: int) -> str:
    """A count of rows, grouped."""
    return grouped(Decimal(number), 0, 0)


@register.filter
def compact(number: Decimal) -> str:
    """A value on an axis: no more places than it has."""
    return grouped(number, 0, 2)


@register.filter
def moment(instant: datetime | None) -> SafeString:
    """A time in the current time zone, named; the full one in `datetime`."""
    if instant is None:
        return _nothing()
    local = timezone.localtime(instant)
    return format_html('<time datetime="{}">{}</time>', instant.isoformat(), date_format(local, f"{_DAY}, {_CLOCK} T"))


@register.filter
def ago(instant: datetime) -> str:
    """How long ago a time was, in words."""
    passed = timezone.now() - instant
    if passed < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(instant, depth=1)}


@register.simple_tag
def symbol(row: Any, *, kind: bool = False) -> SafeString:
    """A symbol as people read it: an option's terms in words, everything else as it is (and of what `kind`)."""
    if not row.symbol:
        return _nothing()
    option = symbols.option(row.symbol, row.instrument_type)
    if option is None:
        more = format_html(' <span class="words">{}</span>', row.instrument_type) if kind else ""
        return format_html('<span class="symbol">{}</span>{}', row.symbol, more)
    return format_html(
        '<span class="symbol" title="{}">{} {} {}</span> <span class="words">{}</span>',
        row.symbol,
        option.root,
        option.shown_strike,
        _("Call") if option.right == "C" else _("Put"),
        date_format(option.expires, _DAY),
    )


@register.simple_tag
def account_name(names: Mapping[str, str | None], number: str) -> SafeString:
    """An account as its owner knows it; `names` are the nicknames by number."""
    name = names.get(number)
    if not name:
        return format_html('<span class="account-number">{}</span>', number)
    return format_html('<span class="nickname">{}</span> <span class="words account-number">{}</span>', name, number)


@register.simple_tag
def executed(row: Any) -> SafeString:
    """When a transaction happened, in the current time zone, and its trade date where that is another day."""
    local = timezone.localtime(row.executed_at)
    more: str | SafeString = ""
    if local.date() != row.transaction_date:
        told = _("trade date %(day)s") % {"day": date_format(row.transaction_date, _DAY)}
        more = format_html(' <span class="words">{}</span>', told)
    return format_html(
        '<time datetime="{}"><span class="day">{}</span> <span class="muted">{}</span></time>{}',
        row.executed_at.isoformat(),
        date_format(local, _DAY),
        date_format(local, _CLOCK),
        more,
    )


@register.simple_tag
def fees(row: Any) -> SafeString:
    """All fees of a transaction together; the parts are in the CSV."""
    parts = [each for each in (getattr(row, name) for name in FEES) if each is not None]
    with localcontext(EXACT):
        return amount(sum(parts, Decimal(0))) if any(parts) else _nothing()
