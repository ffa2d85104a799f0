"""The Content-Security-Policy of every page: what a stored script would have to get past after the templates' escaping.

Django 6 brings a middleware for it (django.middleware.csp); this one serves 5.2 as well.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
View = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response: View) -> View:
    """Return a middleware that forbids scripts, styles and forms of others, and all inline ones."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return respond
