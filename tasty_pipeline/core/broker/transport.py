"""The way of one request to the API and back, in layers; each layer is one class and does one thing.

    JudgingTransport     no answer but a good one gets past it: the rest are errors of our taxonomy (verdicts.py)
      RetryingTransport    repeats what a repetition can heal, within a budget (retrying.py)
        LimitedTransport     so many requests a second, so many at once; a pause between two attempts holds no slot
          ReadingTransport     the whole body, within a time and a size; counts what went over the wire
            AddressedTransport   the configured host and path prefix, our User-Agent
              httpx2.AsyncHTTPTransport

Both the SDK's session and our own raw reads go through one such stack. Here belongs what holds for every request,
whatever it asks; what an answer means does not. Proxies from the environment are not used: the address that the user
configured is the address that is spoken to. Certificate authorities from `SSL_CERT_FILE` are respected.
"""

import asyncio
from importlib.metadata import PackageNotFoundError, version

import httpx2
from aiolimiter import AsyncLimiter

from tasty_pipeline.core.broker import verdicts
from tasty_pipeline.core.broker.config import BrokerConfig
from tasty_pipeline.core.broker.meter import Meter
from tasty_pipeline.core.broker.retrying import RetryingTransport, tries_of
from tasty_pipeline.core.errors import ContractError

MAX_BODY_BYTES = 64 * 1024 * 1024
# Idle connections are dropped before common servers drop them (5 s and more): a login that is sent into a
# connection that just closed may not be repeated.
_IDLE_SECONDS = 3.0
_ADDRESSED = "addressed"


def open_wire(config: BrokerConfig) -> httpx2.AsyncHTTPTransport:
    """The innermost transport; the caller opens and closes it."""
    return httpx2.AsyncHTTPTransport(
        # reading the authorities takes a tenth of a second, which an address without TLS need not wait for
        verify=config.base is None or config.base.scheme == "https",
        limits=httpx2.Limits(
            max_connections=config.in_flight,
            max_keepalive_connections=config.in_flight,
            keepalive_expiry=_IDLE_SECONDS,
        ),
    )


def layers(
    wire: httpx2.AsyncBaseTransport, config: BrokerConfig, meter: Meter, judge: verdicts.Judge
) -> httpx2.AsyncBaseTransport:
    """The stack above `wire`. Closing it closes nothing, so that two clients can share it."""
    addressed = AddressedTransport(wire, config.base, _user_agent())
    limited = LimitedTransport(ReadingTransport(addressed, config.timeout_seconds, meter), config)
    return JudgingTransport(RetryingTransport(limited, config, meter), judge, meter)


def _user_agent() -> str:
    try:
        return f"tasty-pipeline/{version('tasty-pipeline')}"
    except PackageNotFoundError:
        return "tasty-pipeline/0"  # run from a source tree that was never installed


class AddressedTransport(httpx2.AsyncBaseTransport):
    """Sends to the configured address, so that the SDK needs no patching, and says who asks.

    The API requires `User-Agent: product/version`; without one its front answers an HTML page with status 401.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, base: httpx2.URL | None, user_agent: str) -> None:
        self._inner = inner
        self._base = base
        self._user_agent = user_agent

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Changes the request itself, once, so that the libraries' logs name the address that was really asked."""
        request.headers["User-Agent"] = self._user_agent
        if self._base is not None and _ADDRESSED not in request.extensions:
            request.extensions[_ADDRESSED] = True
            request.url = request.url.copy_with(
                scheme=self._base.scheme,
                host=self._base.host,
                port=self._base.port,
                raw_path=self._base.raw_path.rstrip(b"/") + request.url.raw_path,
            )
            request.headers["Host"] = self._base.netloc.decode("ascii")
        return await self._inner.handle_async_request(request)


class ReadingTransport(httpx2.AsyncBaseTransport):
    """Reads the whole body before the answer is passed on, so that a body that breaks off can be asked for again.

    Raises `httpx2.ReadTimeout` when the answer is not complete in time, `ContractError` when it is too large.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, timeout_seconds: float, meter: Meter) -> None:
        self._inner = inner
        self._timeout = timeout_seconds
        self._meter = meter

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer with its body in memory, decompressed."""
        self._meter.requests += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._whole(request)
        except TimeoutError:
            late = f"no complete answer within {self._timeout:g} s"
        raise httpx2.ReadTimeout(late)

    async def _whole(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        parts, size = [], 0
        try:
            # The decompressed size is what counts: a small body can unfold into one that fills the memory.
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise ContractError(
                        f"{request.url.path} answered with more than {MAX_BODY_BYTES // 1024**2} MiB.",
                        "check that the address of the API is right; no answer of the API is nearly as large.",
                    )
        finally:
            self._meter.bytes_received += response.num_bytes_downloaded
            await response.aclose()
        if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            self._meter.throttled += 1
        headers = [(key, value) for key, value in response.headers.multi_items() if key not in _FRAMING]
        return httpx2.Response(
            response.status_code, headers=headers, content=b"".join(parts), extensions=response.extensions
        )


_FRAMING = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class LimitedTransport(httpx2.AsyncBaseTransport):
    """At most `requests_per_second`, evenly spaced, and at most `in_flight` at once.

    The API publishes no quota; its 429 carries no hint how long to wait, so it is better not met.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, config: BrokerConfig) -> None:
        self._inner = inner
        # A bucket of one: a larger one would let a burst through on top of the rate.
        self._rate = AsyncLimiter(1, 1 / config.requests_per_second)
        self._slots = asyncio.Semaphore(config.in_flight)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Waits for a slot, then for the rate, so that a granted turn is used at once."""
        async with self._slots:
            await self._rate.acquire()
            return await self._inner.handle_async_request(request)


class JudgingTransport(httpx2.AsyncBaseTransport):
    """Lets good answers pass and raises everything else as an error of our taxonomy, with no credential in it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, judge: verdicts.Judge, meter: Meter) -> None:
        self._inner = inner
        self._judge = judge
        self._meter = meter

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises any `TastyError` that `verdicts.Judge` names."""
        failure: httpx2.HTTPError | None = None
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.HTTPError as error:
            failure = error
        tries = tries_of(request)
        # Raised outside the handler: the library's error holds the request, and with it the token.
        if failure is not None:
            raise self._judge.failure(request, failure, tries)
        verdict = self._judge.answer(request, response, tries)
        if verdict is not None:
            raise verdict
        self._meter.token_refreshes += verdicts.is_login(request)
        return response
