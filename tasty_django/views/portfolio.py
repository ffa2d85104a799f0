"""The portfolio page: accounts, the equity curve, positions and the newest transactions.

Here belongs which rows the page shows; what they come to is in holdings.py, equity.py and charts.py. However many
accounts and rows there are, the page takes the same few queries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasty_django import charts, equity, holdings
from tasty_django.figures import EXACT
from tasty_django.models import Account, AccountBalance, BalanceSnapshot, Connection, Position, Transaction
from tasty_django.paging import page as page_of
from tasty_django.state import one_state
from tasty_django.status import TRADE_DATES, sync_status
from tasty_django.views.pages import address, page, show
from tasty_django.views.sync import panel

_NEWEST = 8


class Range(NamedTuple):
    """A time that the equity curve can show; no days are the whole history."""

    label: str | Promise
    words: str | Promise
    days: int | None


RANGES = {
    "1m": Range(_("1M"), _("One month"), 31),
    "3m": Range(_("3M"), _("Three months"), 92),
    "1y": Range(_("1Y"), _("One year"), 366),
    "all": Range(_("All"), _("The whole history"), None),
}
_USUAL_RANGE = "1y"
# where an account stood before the time shown; snapshots are daily, holidays and a broken week aside
_BEFORE = timedelta(days=14)
_AMOUNTS = ("net_liquidating_value", "cash_balance", "equity_buying_power", "derivative_buying_power")
_POSITION_COLUMNS = (
    "account",
    "symbol",
    "instrument_type",
    "underlying_symbol",
    "quantity",
    "average_open_price",
    "close_price",
    "mark_price",
    "multiplier",
    "realized_today",
    "realized_today_date",
)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Balances in one currency; None is not known."""

    currency: str
    net_liquidating_value: Decimal | None
    cash_balance: Decimal | None
    equity_buying_power: Decimal | None
    derivative_buying_power: Decimal | None


def _sum(currency: str, balances: Sequence[AccountBalance]) -> Balance:
    with localcontext(EXACT):
        known = {name: [v for each in balances if (v := getattr(each, name)) is not None] for name in _AMOUNTS}
        sums = {name: sum(values, Decimal(0)) if values else None for name, values in known.items()}
    return Balance(currency=currency, **sums)


def _order(account: Account) -> tuple[bool, str, str]:
    return bool(account.is_closed), (account.nickname or "").casefold(), account.account_number


def _cards(accounts: Iterable[Account], shown: str) -> dict[str, Any]:
    """Return each account with its balances, and the sums of all by currency; one query."""
    accounts = list(accounts)
    numbers = [account.account_number for account in accounts]
    balances = list(
        AccountBalance.objects.filter(account_id__in=numbers)
        .only("account", "currency", *_AMOUNTS)
        .order_by("currency")
    )
    currencies = sorted({balance.currency for balance in balances})
    return {
        "accounts": [
            {
                "account": account,
                "address": address("portfolio", account=account.account_number, range=shown),
                "balances": [each for each in balances if each.account_id == account.account_number],
            }
            for account in accounts
        ],
        "totals": [_sum(name, [each for each in balances if each.currency == name]) for name in currencies],
    }


def _curves(accounts: Sequence[Account], shown: str, today: date) -> list[charts.Curve]:
    """Return the equity curve of each currency; one query."""
    days = RANGES[shown or _USUAL_RANGE].days
    since = today - timedelta(days=days) if days else None
    rows = BalanceSnapshot.objects.filter(
        account_id__in=[account.account_number for account in accounts],
        time_of_day="EOD",
        net_liquidating_value__isnull=False,
    )
    if since is not None:
        rows = rows.filter(snapshot_date__gte=since - _BEFORE)
    columns = ("currency", "account_id", "snapshot_date", "net_liquidating_value")
    snapshots = map(equity.Snapshot._make, rows.values_list(*columns))
    closed = {account.account_number for account in accounts if account.is_closed}
    return [charts.curve(currency, points) for currency, points in equity.lines(snapshots, closed, since).items()]


@page("GET")
@one_state()
def portfolio(request: HttpRequest) -> HttpResponse:
    """All accounts of the user, or the one named in the address."""
    status = sync_status(request.user)
    accounts = sorted((each.account for each in status.accounts), key=_order)
    chosen, shown = request.GET.get("account", ""), request.GET.get("range", "")
    shown = shown if shown in RANGES else ""
    of = [account for account in accounts if chosen in {"", account.account_number}]
    if chosen and not of:
        raise Http404("no such account")
    context = {**panel(status), "needing": status.needing_reauthorisation, "chosen": chosen}
    if not accounts:
        has_connections = Connection.objects.for_user(request.user).live().exists()
        return show(request, "portfolio.html", {**context, "has_connections": has_connections}, section="portfolio")
    context |= _cards(accounts, shown) | _numbers(of, chosen, shown)
    context |= {
        "has_connections": True,
        "all_address": address("portfolio", range=shown),
        "names": {account.account_number: account.nickname for account in accounts},
        "shows_account": len(of) > 1,
    }
    return show(request, "portfolio.html", context, section="portfolio")


def _numbers(accounts: Sequence[Account], chosen: str, shown: str) -> dict[str, Any]:
    """Return what the page shows of the chosen accounts; three queries."""
    numbers = [account.account_number for account in accounts]
    today = timezone.now().astimezone(TRADE_DATES).date()
    positions = Position.objects.open().filter(account_id__in=numbers).only(*_POSITION_COLUMNS)
    groups, sums = holdings.group(positions, today)
    return {
        "curves": _curves(accounts, shown, today),
        "ranges": [
            {
                "label": each.label,
                "words": each.words,
                "chosen": name == (shown or _USUAL_RANGE),
                "address": address("portfolio", account=chosen, range=name),
            }
            for name, each in RANGES.items()
        ],
        "groups": groups,
        "sums": sums,
        "rows": page_of(Transaction.objects.all(), numbers, size=_NEWEST).rows,
        "transactions_address": address("transactions", account=chosen),
    }
