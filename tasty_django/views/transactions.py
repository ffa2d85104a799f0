"""The transactions: filtered, newest first, page by page, and all that fit as CSV."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _

from tasty_django import export
from tasty_django.forms import TransactionFilter
from tasty_django.models import Account, Transaction
from tasty_django.paging import NEWEST_FIRST, Cursor
from tasty_django.paging import page as page_of
from tasty_django.views.pages import address, page, show

_BAD_REQUEST = 400


def _names(request: HttpRequest) -> dict[str, str | None]:
    """Return the nicknames of the user's accounts by number; one query, and what decides which rows he sees."""
    mine = Account.objects.for_user(request.user).order_by("nickname", "account_number")
    return dict(mine.values_list("account_number", "nickname"))


def _form(request: HttpRequest, names: dict[str, str | None]) -> TransactionFilter:
    if request.GET.get("account") not in {None, "", *names}:
        raise Http404("no such account")
    choices = [(number, f"{name} ({number})" if name else number) for number, name in names.items()]
    return TransactionFilter(request.GET, choices)


def _cursor(request: HttpRequest) -> Cursor | None:
    """Return the cursor of the address; raises ValueError for a bad one."""
    for name, newer in (("before", True), ("after", False)):
        if text := request.GET.get(name):
            return Cursor.parse(text, newer=newer)
    return None


def _asked(form: TransactionFilter) -> dict[str, str]:
    return {name: value for name in form.fields if (value := str(form.data.get(name) or "").strip())}


@page("GET")
def transactions(request: HttpRequest) -> HttpResponse:
    """One page of the transactions that fit the filters."""
    names = _names(request)
    form = _form(request, names)
    return _page(request, names, form)


def _page(request: HttpRequest, names: dict[str, str | None], form: TransactionFilter) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "names": names,
        "has_accounts": bool(names),
        "filtered": bool(_asked(form)),
    }
    problem, cursor = "", None
    if form.is_valid():
        try:
            cursor = _cursor(request)
        except ValueError:
            problem = _("This address points to no page of the transactions.")
    else:
        problem = _("These filters cannot be used; see what is said beside them.")
    if problem:
        context |= {"problem": problem, "is_bad": True}
        return show(request, "transactions.html", context, section="transactions", status=_BAD_REQUEST)
    accounts = [form.cleaned_data["account"]] if form.cleaned_data["account"] else list(names)
    found = page_of(form.narrow(Transaction.objects.all()), accounts, cursor)
    asked = _asked(form)
    context |= {
        "rows": found.rows,
        "shows_account": len(names) > 1,
        "caption": _("Newest first; times of %(zone)s.") % {"zone": timezone.get_current_timezone()},
        "newest": address("transactions", **asked),
        "newer": found.newer and address("transactions", **asked, before=str(found.newer)),
        "older": found.older and address("transactions", **asked, after=str(found.older)),
        "export": address("transactions_csv", **asked),
        "beyond": cursor is not None,
    }
    return show(request, "transactions.html", context, section="transactions")


@page("GET")
def transactions_csv(request: HttpRequest) -> HttpResponseBase:
    """All transactions that fit the filters, newest first; with bad filters the page that says what is wrong."""
    names = _names(request)
    form = _form(request, names)
    if not form.is_valid():
        return _page(request, names, form)
    accounts = [form.cleaned_data["account"]] if form.cleaned_data["account"] else list(names)
    rows = form.narrow(Transaction.objects.filter(account_id__in=accounts)).order_by(*NEWEST_FIRST)
    return StreamingHttpResponse(
        export.transactions(rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="transactions.csv"', "X-Content-Type-Options": "nosniff"},
    )
