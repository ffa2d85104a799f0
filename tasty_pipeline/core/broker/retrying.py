"""What is asked again, when, and for how long: one layer of the transport.

Here belongs patience. What is said when it ends belongs to `verdicts.py`.
"""

import asyncio
import random
import time

import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result

from tasty_pipeline.core.broker import quoting, verdicts
from tasty_pipeline.core.broker.config import BrokerConfig
from tasty_pipeline.core.broker.meter import Meter

_RETRIED_STATUS = frozenset({408, 429})
_TRIES = "tries"


def tries_of(request: httpx2.Request) -> int:
    """How often a request was sent."""
    return int(request.extensions.get(_TRIES, 1))


class RetryingTransport(httpx2.AsyncBaseTransport):
    """Repeats what can heal: 408, 429, 5xx, lost connections, time-outs and bodies that broke off.

    A login (`POST /oauth/token`) is repeated only if it was not judged: no connection, 429, 5xx. Refused logins and
    time-outs are tried once, because repeated failed logins block the caller's address for hours, and such a block
    shows as time-outs. When the budget is spent the last outcome stands.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, config: BrokerConfig, meter: Meter) -> None:
        self._inner = inner
        self._config = config
        self._meter = meter

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The first outcome that is good or final; `tries_of(request)` tells afterwards how many it took."""
        login = verdicts.is_login(request)
        patience = _Patience(self._config.retry_budget_seconds)

        def begin(state: RetryCallState) -> None:
            request.extensions[_TRIES] = state.attempt_number
            self._meter.retries += state.attempt_number > 1

        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            before=begin,
            stop=patience.is_spent,
            wait=self._pause,
            retry=retry_if_exception(_login_heals if login else _heals)
            | retry_if_result(_login_answer_heals if login else _answer_heals),
            retry_error_callback=_last_outcome,
        )
        response: httpx2.Response = await retrying(self._inner.handle_async_request, request)
        return response

    def _pause(self, state: RetryCallState) -> float:
        # Half fixed, half random: it backs off for certain, and clients that failed together do not return together.
        doublings = min(state.attempt_number - 1, 60)
        ceiling = min(self._config.max_backoff_seconds, self._config.first_backoff_seconds * 2**doublings)
        pause: float = ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311 - spreads load, guards nothing
        outcome = state.outcome
        if outcome is not None and not outcome.failed:
            # The API sends none; a proxy in front of it may.
            asked: str = outcome.result().headers.get("Retry-After", "")
            pause = max(pause, float(asked)) if asked.isascii() and asked.isdigit() else pause
        return pause


class _Patience:
    """The budget of one request. It runs from the first failure, so that waiting for a turn does not use it up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first_failure: float | None = None

    def is_spent(self, state: RetryCallState) -> bool:
        """Whether the next attempt would start after the budget's end."""
        now = time.monotonic()
        if self._first_failure is None:
            self._first_failure = now
        return now - self._first_failure + state.upcoming_sleep > self._seconds


def _heals(error: BaseException) -> bool:
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return False
    return isinstance(error, httpx2.TransportError | httpx2.DecodingError) and not verdicts.is_certificate_error(error)


def _login_heals(error: BaseException) -> bool:
    return isinstance(error, httpx2.ConnectError) and not verdicts.is_certificate_error(error)


def _answer_heals(response: httpx2.Response) -> bool:
    return (
        response.status_code in _RETRIED_STATUS
        or response.is_server_error
        or (response.status_code == httpx2.codes.OK and quoting.looks_damaged(response.content))
    )


def _login_answer_heals(response: httpx2.Response) -> bool:
    return response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.is_server_error


def _last_outcome(state: RetryCallState) -> httpx2.Response:
    if state.outcome is None:  # pragma: no cover - tenacity calls this only after an attempt
        raise RuntimeError("no attempt was made")
    response: httpx2.Response = state.outcome.result()
    return response
