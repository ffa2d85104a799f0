"""Sync now: ask for a synchronisation, and tell how far it has come.

Here belong the panel above the numbers and the two addresses behind it. Nothing here waits for the broker: asking is
one row, telling is reading it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasty_django import actions
from tasty_django.errors import ActionError
from tasty_django.models import SyncRequest
from tasty_django.status import SyncStatus
from tasty_django.status import sync_status as status_of
from tasty_django.views.pages import page

# in the order in which a run works on them
_NAMES: dict[str, str | Promise] = {
    "accounts": _("Accounts"),
    "positions": _("Positions"),
    "balances": _("Balances"),
    "transactions": _("Transactions"),
    "balance_snapshots": _("Balance history"),
}
# how long a page goes on telling that a synchronisation was done
_STILL_NEWS = timedelta(minutes=10)
_FRAGMENT_HEADER = "X-Tasty-Fragment"


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far one table has come: queued, running, done or failed."""

    name: str | Promise
    state: str
    rows_read: int
    rows_written: int


def _steps(request: SyncRequest) -> Sequence[Step]:
    """Return the tables of a request in the order of the run; those that are not known here come last."""
    progress = request.progress if isinstance(request.progress, dict) else {}
    parts: dict[str, dict[str, Any]] = {name: part or {} for name, part in progress.items()}
    known = [name for name in _NAMES if name in parts]
    return [
        Step(
            name=_NAMES.get(name, name),
            state=parts[name].get("state", "queued"),
            rows_read=parts[name].get("rows_read") or 0,
            rows_written=parts[name].get("rows_written") or 0,
        )
        for name in [*known, *sorted(set(parts) - set(known))]
    ]


def _is_news(request: SyncRequest, status: SyncStatus) -> bool:
    """Whether a page still tells of a request: while open, shortly after, and as long as nothing followed a failure."""
    if request.is_open or request.ended_at is None:
        return True
    if request.state == "failed":
        return status.synced_at is None or request.ended_at >= status.synced_at
    return timezone.now() - request.ended_at < _STILL_NEWS


def panel(status: SyncStatus) -> dict[str, Any]:
    """Return what the template `_sync_status.html` needs."""
    request = status.request
    if request is not None and not _is_news(request, status):
        request = None
    return {
        "status": status,
        "sync_request": request,
        "steps": _steps(request) if request else [],
        "is_open": request is not None and request.is_open,
        "was_read": any(when for each in status.accounts for when in each.tables.values()),
    }


@page("GET", "POST")
def sync(request: HttpRequest) -> HttpResponse:
    """Ask for a synchronisation; a script gets the panel's new text, everyone else the portfolio page."""
    if request.method != "POST":
        return redirect("tasty:portfolio")
    try:
        actions.request_sync(request.user)
    except ActionError as error:
        messages.error(request, str(error), fail_silently=True)
        return redirect("tasty:portfolio")
    if request.headers.get(_FRAGMENT_HEADER):
        return _fragment(request)
    return redirect("tasty:portfolio")


@page("GET")
def sync_status(request: HttpRequest) -> HttpResponse:
    """How far the user's synchronisation has come, as a fragment of the page."""
    return _fragment(request)


def _fragment(request: HttpRequest) -> HttpResponse:
    return render(request, "tasty_django/_sync_status.html", panel(status_of(request.user)))
