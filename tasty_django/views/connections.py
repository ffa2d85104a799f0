"""Connections: what a user's logins see, and to connect, reconnect and disconnect one.

A refresh token or client secret is in these views' hands for the length of one request: it goes from the form into
actions.py, which seals it, and nowhere else. Error reports are told to leave it out.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from tasty_django import actions
from tasty_django.errors import ActionError, LabelTakenError
from tasty_django.forms import Connect, Credentials
from tasty_django.models import Connection, ConnectionAccount
from tasty_django.status import sync_status
from tasty_django.views.pages import page, show

_UNPROCESSABLE = 422
_hide_credentials = sensitive_post_parameters("refresh_token", "client_secret")


def _cards(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the user's connections, live ones first, each with its accounts and how fresh they are."""
    fresh = {each.account.account_number: each for each in sync_status(request.user).accounts}
    seen = list(ConnectionAccount.objects.for_user(request.user).order_by("account_id"))
    found = sorted(
        Connection.objects.for_user(request.user), key=lambda each: (not each.is_live, each.label.casefold(), each.pk)
    )
    return [
        {
            "connection": connection,
            "accounts": [
                {"number": each.account_id, "authority": each.authority_level, "status": fresh.get(each.account_id)}
                for each in seen
                if each.connection_id == connection.pk
            ],
        }
        for connection in found
    ]


def _list(request: HttpRequest, form: Connect, status: int = 200) -> HttpResponse:
    cards = _cards(request)
    context = {
        "form": form,
        "names": {
            each["number"]: each["status"].account.nickname
            for card in cards
            for each in card["accounts"]
            if each["status"]
        },
        "live": [card for card in cards if card["connection"].is_live],
        "ended": [card["connection"] for card in cards if not card["connection"].is_live],
    }
    return show(request, "connections.html", context, section="connections", status=status)


def _own(request: HttpRequest, connection_id: str) -> Connection:
    # Postgres takes no NUL in a text; no connection has one in its name
    if "\x00" in connection_id:
        raise Http404("no such connection")
    connection = Connection.objects.for_user(request.user).filter(pk=connection_id).first()
    if connection is None:
        raise Http404("no such connection")
    return connection


@page("GET")
def connections(request: HttpRequest) -> HttpResponse:
    """The user's connections, and the form for a new one."""
    return _list(request, Connect())


@_hide_credentials
@sensitive_variables()
@page("GET", "POST")
def connect(request: HttpRequest) -> HttpResponse:
    """Store a new connection."""
    if request.method != "POST":
        return redirect("tasty:connections")
    form = Connect(request.POST)
    if form.is_valid():
        try:
            connection = actions.connect(request.user, **form.cleaned_data)
        except LabelTakenError as error:
            form.add_error("label", str(error))
        except ActionError as error:
            form.add_error(None, str(error))
        else:
            told = _("“%(label)s” is connected. Its accounts appear with the next synchronisation.")
            messages.success(request, told % {"label": connection.label}, fail_silently=True)
            return redirect("tasty:connections")
    return _list(request, form, _UNPROCESSABLE)


@_hide_credentials
@sensitive_variables()
@page("GET", "POST")
def reconnect(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Give a connection new credentials."""
    connection = _own(request, connection_id)
    form = Credentials(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            actions.reconnect(request.user, connection.pk, **form.cleaned_data)
        except ActionError as error:
            form.add_error(None, str(error))
        else:
            told = _("“%(label)s” has new credentials. They are tried with the next synchronisation.")
            messages.success(request, told % {"label": connection.label}, fail_silently=True)
            return redirect("tasty:connections")
    context = {"form": form, "connection": connection}
    status = _UNPROCESSABLE if form.is_bound else 200
    return show(request, "reconnect.html", context, section="connections", status=status)


@page("GET", "POST")
def disconnect(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Ask whether a connection shall end, and end it when the answer is posted."""
    connection = _own(request, connection_id)
    if request.method == "POST":
        actions.disconnect(request.user, connection.pk)
        told = _("“%(label)s” is disconnected and its credentials are deleted.")
        messages.success(request, told % {"label": connection.label}, fail_silently=True)
        return redirect("tasty:connections")
    return show(request, "disconnect.html", {"connection": connection}, section="connections")
