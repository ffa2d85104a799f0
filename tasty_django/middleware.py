"""The middleware that tells the database who is asking, for each request."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from tasty_django import conf
from tasty_django.current_user import EVERYTHING, NOBODY, Whose, acting, settle, stepping
from tasty_django.querysets import owner_of


class CurrentUserMiddleware:
    """Shows each request only the rows of its user, even where a view forgets `for_user`.

    A superuser sees everything, an anonymous visitor nothing. A request that never asks the pipeline's database costs
    nothing. Stands anywhere below AuthenticationMiddleware. Works with sync and async views and with streaming
    responses, and leaves nothing behind on a connection that outlives the request.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request."""
        whose = _whose(request)
        if self._is_async:
            return self._answer(request, whose)
        with acting(whose):
            if _has_transactions():
                _before_transactions()
            return _guarded(self.get_response(request), whose)

    async def _answer(self, request: HttpRequest, whose: Whose) -> HttpResponseBase:
        try:
            with stepping(whose):
                if _has_transactions():
                    await sync_to_async(_before_transactions)()
                return _guarded(await self.get_response(request), whose)
        finally:
            # on the thread that Django's async queries of this request run on
            await sync_to_async(settle)()


def _whose(request: HttpRequest) -> Whose:
    if not hasattr(request, "user"):
        raise ImproperlyConfigured(
            "tasty_django.middleware.CurrentUserMiddleware has to stand below "
            "django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE."
        )

    def whose() -> str:
        # asked each time: a view may log somebody in or out
        user: Any = request.user
        if not user.is_authenticated:
            return NOBODY
        return EVERYTHING if getattr(user, "is_superuser", False) else owner_of(user) or NOBODY

    return whose


def _before_transactions() -> None:
    """With ATOMIC_REQUESTS, set the user before the view's transaction: within it every statement would set it anew."""
    connections[conf.database()].ensure_connection()
    settle()


def _has_transactions() -> bool:
    return bool(connections.settings[conf.database()]["ATOMIC_REQUESTS"])


def _guarded(response: HttpResponseBase, whose: Whose) -> HttpResponseBase:
    """Let a stream, which is read after the middleware has returned, be read as the same user."""
    if isinstance(response, StreamingHttpResponse):
        content: Any = response.streaming_content
        response.streaming_content = _steps_async(content, whose) if response.is_async else _steps(content, whose)
    return response


def _steps(content: Iterator[bytes], whose: Whose) -> Iterator[bytes]:
    try:
        while True:
            with stepping(whose):
                chunk = next(content, None)
            if chunk is None:
                return
            yield chunk
    finally:
        settle()


async def _steps_async(content: AsyncIterator[bytes], whose: Whose) -> AsyncIterator[bytes]:
    try:
        while True:
            with stepping(whose):
                chunk = await anext(content, None)
            if chunk is None:
                return
            yield chunk
    finally:
        await sync_to_async(settle)()
