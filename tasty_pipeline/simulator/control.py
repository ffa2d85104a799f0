"""The control endpoint: everything a test or a person can do to a running brokerage, over HTTP and JSON.

The real API has nothing under ``/__control__/``. What is done belongs to ``brokerage`` and ``faults``.
"""

import inspect
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tasty_pipeline.simulator.answers import Answer, dump
from tasty_pipeline.simulator.brokerage import (
    Brokerage,
    UnknownAccountError,
    UnknownLoginError,
    UnknownTransactionError,
)
from tasty_pipeline.simulator.clock import Clock
from tasty_pipeline.simulator.faults import Fault
from tasty_pipeline.simulator.journal import Journal
from tasty_pipeline.simulator.logins import known

PREFIX = "/__control__/"
#: The methods of the brokerage that may be called from outside.
METHODS = (
    "trade", "trade_every_request", "book_late", "restate", "remove", "redate", "close_position", "deposit",
    "open_account", "close_account", "wipe", "set_now", "advance", "transactions", "positions", "balances",
    "snapshots", "accounts", "revoke_grant", "restore_grant", "expire_tokens", "share",
    "unshare", "digest",
)  # fmt: skip


def answer(brokerage: Brokerage, method: str, path: str, body: bytes, served: int) -> Answer:
    """Answer a control request; what cannot be done is a 400 or 404 with a sentence under ``error``."""
    rest = path.removeprefix(PREFIX)
    try:
        content = json.loads(body) if body.strip() else {}
        if rest == "state" and method == "GET":
            return _done(state(brokerage, served))
        if rest == "faults":
            return _faults(brokerage, method, content)
        if rest.startswith("call/") and method == "POST":
            name = rest.removeprefix("call/")
            with brokerage.lock:
                result = _call(brokerage, name, content)
                Journal(brokerage.config.journal).keep(brokerage.catch_up().isoformat(), name, content)
            return _done({"result": result})
    except (UnknownAccountError, UnknownLoginError, UnknownTransactionError) as problem:
        return _refused(404, problem)
    except (ValueError, TypeError, ArithmeticError) as problem:
        return _refused(400, problem)
    return _refused(404, ValueError(f"no control at {method} {path}"))


def redo(brokerage: Brokerage, entries: list[dict[str, Any]], now: datetime | None) -> None:
    """Do again what a journal kept, each entry at its time, and set the clock: standing at ``now``, or real time."""
    for entry in entries:
        brokerage.set_now(max(brokerage.catch_up(), datetime.fromisoformat(entry["now"])))
        _call(brokerage, entry["method"], entry["arguments"])
    if now is None:
        brokerage.clock = Clock(None)
    else:
        brokerage.set_now(max(brokerage.catch_up(), now))


def state(brokerage: Brokerage, served: int) -> dict[str, Any]:
    """Return the clock, the number of rows of each account, the logins, token counts and the faults."""
    with brokerage.lock:
        now = brokerage.catch_up()
        accounts = [account["account-number"] for account in brokerage.accounts()]
        return {
            "now": now.isoformat(),
            "seed": brokerage.config.seed,
            "start": brokerage.config.start.isoformat(),
            "accounts": {number: len(brokerage.archive(number).rows) for number in accounts},
            "requests": served,
            "oauth_attempts": brokerage.tokens.attempts,
            "oauth_failures": brokerage.tokens.failures,
            "logins": {login: login_state(brokerage, login) for login in brokerage.config.logins},
            "faults": [fault.describe() for fault in brokerage.faults.listed()],
        }


def login_state(brokerage: Brokerage, login: str) -> dict[str, Any]:
    """Return a login's refresh token, its accounts with the authority level in each, and its token counts."""
    return {
        "refresh_token": brokerage.config.logins[login].refresh_token,
        "accounts": brokerage.access.seen(login),
        "revoked": brokerage.tokens.is_revoked(login),
        "oauth_attempts": brokerage.tokens.attempts_of(login),
        "oauth_failures": brokerage.tokens.failures_of(login),
    }


def _faults(brokerage: Brokerage, method: str, content: Any) -> Answer:
    if method == "DELETE":
        brokerage.faults.clear()
    elif method == "POST":
        for entry in content if isinstance(content, list) else [content]:
            fault = Fault(**entry)
            if fault.login is not None:
                known(fault.login, brokerage.config.logins)
            brokerage.faults.add(fault)
    return _done({"faults": [fault.describe() for fault in brokerage.faults.listed()]})


def _call(brokerage: Brokerage, name: str, arguments: dict[str, Any]) -> Any:
    if name not in METHODS:
        raise ValueError(f"no method is called {name!r}; there are {', '.join(METHODS)}")
    function: Callable[..., Any] = getattr(brokerage, name)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as problem:
        raise ValueError(f"{name}: {problem}; it takes {inspect.signature(function)}") from None
    return function(**arguments)


def _plain(value: object) -> str:
    if isinstance(value, (date, datetime, Decimal)):
        return str(value)
    raise TypeError(f"{value!r} has no JSON form")


def _done(content: Any) -> Answer:
    return Answer(200, json.dumps(content, default=_plain).encode())


def _refused(status: int, problem: Exception) -> Answer:
    return Answer(status, dump({"error": str(problem)}))
