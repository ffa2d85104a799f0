"""What every page has in common: who may see it, that nothing keeps a copy of it, and the frame around it.

Here belongs the one decorator of all views, how they render, and how they name their addresses.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

View = Callable[..., HttpResponseBase]


def page(*methods: str) -> Callable[[View], View]:
    """Make a view one that only a user may see, by these methods, and that nothing stores (it says `no-store`)."""

    def decorate(view: View) -> View:
        allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
        return never_cache(login_required(require_http_methods(allowed)(view)))

    return decorate


def show(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, section: str, status: int = 200
) -> HttpResponse:
    """Render a page; `section` is the entry of the navigation that it belongs to."""
    frame = {"user": request.user, "section": section}
    return render(request, f"tasty_django/{template}", {**frame, **context}, status=status)


def address(name: str, **query: str | None) -> str:
    """Return a page's address with those parameters that have a value."""
    given = {key: value for key, value in query.items() if value}
    return reverse(f"tasty:{name}") + (f"?{urlencode(given)}" if given else "")
