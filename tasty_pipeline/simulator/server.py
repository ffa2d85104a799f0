"""The wire: an ASGI application that checks headers and tokens, applies faults and sends answers.

What an endpoint answers belongs to ``api``; what the control endpoint does to ``control``; threads to ``serving``.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from tasty_pipeline.simulator import control
from tasty_pipeline.simulator.answers import UNAUTHORIZED, Answer, error, html, oauth_error
from tasty_pipeline.simulator.api import Api
from tasty_pipeline.simulator.brokerage import Brokerage
from tasty_pipeline.simulator.config import API_VERSIONS, CLIENT_SECRET
from tasty_pipeline.simulator.faults import OAUTH_PATH, Fault
from tasty_pipeline.simulator.query import Query
from tasty_pipeline.simulator.tokens import GrantError

_SANE_AGENT = re.compile(r"^[\w.\-]+/[\w.\-]+")
_DOCUMENT = re.compile(r"^/accounts/([^/]+)/")
_TRICKLE_PIECES = 20
_REMEMBERED = 200

Abort = Callable[[Scope], Awaitable[None]]


async def _no_abort(_scope: Scope) -> None:
    """Stand in where the server gives no way to kill a connection."""


class Application:
    """The ASGI application. ``requests`` records (method, path, query) of everything but control."""

    def __init__(self, brokerage: Brokerage, abort: Abort = _no_abort) -> None:
        self._brokerage = brokerage
        self._config = brokerage.config
        self._api = Api(brokerage)
        self._abort = abort
        self._first: dict[tuple[str | None, str, str], Answer] = {}
        self.requests: list[tuple[str, str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read(receive)
        path = scope["path"]
        if path.startswith(control.PREFIX):
            answer = control.answer(self._brokerage, scope["method"], path, body, len(self.requests))
        else:
            answer = self._answer(scope, path, body)
        await self._send(scope, send, answer)

    def _answer(self, scope: Scope, path: str, body: bytes) -> Answer:
        query_string = scope["query_string"].decode("latin-1")
        self.requests.append((scope["method"], path, query_string))
        query = read_query(query_string)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        asker = self._asker(path, headers, body)
        faults = self._brokerage.faults.striking(path, asker, query_string)
        for fault in faults:
            query = self._before(fault, path, query, asker)
        answer = self._good(scope["method"], path, query, headers, body)
        for fault in faults:
            if fault.kind == "stale_page":
                answer = self._first.get((asker, path, query_string), answer)
            answer = fault.apply(answer)
        if answer.status == 200 and not faults and len(self._first) < _REMEMBERED:  # noqa: PLR2004
            self._first.setdefault((asker, path, query_string), answer)
        return answer

    def _asker(self, path: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return whose request this is, whether it is answered or refused; None: nobody's who is known."""
        if path == OAUTH_PATH:
            return self._brokerage.tokens.login_of_grant(_asked(body).get("refresh_token"))
        return self._brokerage.tokens.issued_to(headers.get("authorization", "").partition(" ")[2])

    def _good(self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes) -> Answer:
        if not _SANE_AGENT.match(headers.get("user-agent", "")):
            return html(401)
        version = headers.get("accept-version")
        if version is not None and self._config.sandbox:
            return error(404, "not_found", "Not Found")
        if version is not None and version not in API_VERSIONS:
            return error(406, 406, f"Version {version} is not available")
        if path == OAUTH_PATH:
            return self._token(method, body)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        login = self._brokerage.tokens.accepts(token)
        if scheme.lower() != "bearer" or login is None:
            return error(*UNAUTHORIZED)
        if account := _DOCUMENT.match(path):
            self._brokerage.read_served(account[1], login)
        return self._api.answer(method, path, query, login)

    def _token(self, method: str, body: bytes) -> Answer:
        if method != "POST":
            return error(404, "not_found", "Not Found")
        asked = _asked(body)
        secret_is_right = asked.get("client_secret") == CLIENT_SECRET
        try:
            token = self._brokerage.tokens.grant(asked.get("grant_type"), secret_is_right, asked.get("refresh_token"))
        except GrantError as refused:
            return oauth_error(self._config.auth_error_status, refused.code, refused.description)
        lifetime = self._brokerage.tokens.lifetime
        content = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}
        return Answer(200, json.dumps(content).encode())

    def _before(self, fault: Fault, path: str, query: Query, asker: str | None) -> Query:
        """Do what a fault does to the brokerage before the answer is made; return what is then answered."""
        if fault.kind == "expired_token":
            self._brokerage.expire_tokens(asker)
        elif fault.kind == "page_drift" and query.one.get("page-offset", "0").strip("0"):
            account = _DOCUMENT.match(path)
            if account:
                self._brokerage.drift(account[1], str(fault.params.get("mode", "insert")))
        elif fault.kind == "small_pages" and query.one.get("per-page", "").isdecimal():
            size = min(int(query.one["per-page"]), int(fault.params.get("size", 5)))
            return Query({**query.one, "per-page": str(size)}, query.many)
        return query

    async def _send(self, scope: Scope, send: Send, answer: Answer) -> None:
        if answer.wait:
            await asyncio.sleep(answer.wait)
        if answer.delivery == "dropped":
            await self._abort(scope)
            return
        length = len(answer.body)
        headers = [(b"content-type", answer.content_type.encode())]
        if not answer.chunked:
            headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.delivery == "truncated":
            await send({"type": "http.response.body", "body": answer.body[: length // 2], "more_body": True})
            await asyncio.sleep(0.01)
            await self._abort(scope)
            return
        if answer.delivery == "trickle":
            size = max(length // _TRICKLE_PIECES, 1)
            for start in range(0, length, size):
                piece = answer.body[start : start + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(answer.seconds / _TRICKLE_PIECES)
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": answer.body})


def _asked(body: bytes) -> dict[str, Any]:
    """Read the body of a token request: JSON or a form."""
    try:
        asked = json.loads(body)
    except ValueError:
        asked = dict(parse_qsl(body.decode("latin-1")))
    return asked if isinstance(asked, dict) else {}


def read_query(text: str) -> Query:
    """Read a query string: ``key[]`` are lists, of other keys the last counts."""
    one: dict[str, str] = {}
    many: dict[str, list[str]] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key.endswith("[]"):
            many.setdefault(key[:-2], []).append(value)
        else:
            one[key] = value
    return Query(one, many)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Mapping[str, Any] = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
