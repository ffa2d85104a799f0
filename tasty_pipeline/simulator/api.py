"""The endpoints: each a function from a request to an answer, reading the brokerage.

The wire (headers, tokens, faults, sending) belongs to ``server``; selecting rows to ``query``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasty_pipeline.simulator import people
from tasty_pipeline.simulator.answers import Answer, data, dump, error, items
from tasty_pipeline.simulator.brokerage import Brokerage
from tasty_pipeline.simulator.days import new_york_date
from tasty_pipeline.simulator.query import Answers, BadQueryError, Query, page_of, select

_TIME_BACK = {"1d": 1, "1w": 7, "1m": 31, "3m": 92, "6m": 183, "1y": 366, "all": 100_000}
#: No run of days without a session is longer.
_WITHOUT_SESSION = 10
#: An account of another customer: it exists, and is not ours to read.
FOREIGN_ACCOUNT = "5WX99999"


@dataclass
class Call:
    """One request to an endpoint: whose it is, path, the parts matched in it, and the query."""

    login: str
    path: str
    parts: dict[str, str]
    query: Query


class Api:
    """All endpoints over one brokerage."""

    def __init__(self, brokerage: Brokerage) -> None:
        self._brokerage = brokerage
        self._config = brokerage.config
        self._selected: dict[str, Answers] = {}

    def answer(self, method: str, path: str, query: Query, login: str) -> Answer:
        """Answer a request of a login whose token has been accepted."""
        for verb, pattern, endpoint in _ROUTES:
            match = pattern.fullmatch(path)
            if match and verb == method:
                return self._call(endpoint, Call(login, path, match.groupdict(), query))
        return error(404, "not_found", "Not Found")

    def _call(self, endpoint: "Endpoint", call: Call) -> Answer:
        number = call.parts.get("account")
        with self._brokerage.lock:
            self._brokerage.catch_up()
            if number == FOREIGN_ACCOUNT or (number is not None and self._is_anothers(number, call.login)):
                return error(403, "not_permitted", "User not permitted access")
            if number is not None and not self._brokerage.knows(number):
                return error(404, "record_not_found", f"Couldn't find Account with account_number={number}")
            try:
                return endpoint(self, call)
            except BadQueryError as problem:
                return error(400, "validation_error", "Request validation failed", [(problem.domain, problem.reason)])

    def _is_anothers(self, number: str, login: str) -> bool:
        return self._brokerage.knows(number) and self._brokerage.access.level(login, number) is None

    def customer(self, call: Call) -> Answer:
        """``GET /customers/me``."""
        return data(people.customer(self._config, call.login), call.path)

    def accounts(self, call: Call) -> Answer:
        """``GET /customers/me/accounts``: those that the login sees, closed ones too."""
        levels = self._brokerage.access.seen(call.login)
        accounts = self._brokerage.accounts(call.login)
        entries = [{"account": each, "authority-level": levels[each["account-number"]]} for each in accounts]
        return items([dump(entry) for entry in entries], call.path)

    def account(self, call: Call) -> Answer:
        """``GET /customers/me/accounts/{n}``."""
        number = call.parts["account"]
        return data(next(a for a in self._brokerage.accounts() if a["account-number"] == number), call.path)

    def transactions(self, call: Call) -> Answer:
        """``GET /accounts/{n}/transactions``: filtered, sorted, paged."""
        number = call.parts["account"]
        archive = self._brokerage.archive(number)
        rows = select(archive, call.query, self._config, self._selected.setdefault(number, {}))
        here, pagination = page_of(call.query, len(rows), self._config)
        return items([row.json() for row in rows[here]], call.path, pagination)

    def transaction(self, call: Call) -> Answer:
        """``GET /accounts/{n}/transactions/{id}``."""
        row = self._brokerage.archive(call.parts["account"]).by_id.get(int(call.parts["id"]))
        if row is None:
            return error(404, "record_not_found", f"Couldn't find Transaction with id={call.parts['id']}")
        return Answer(200, b'{"data":' + row.json() + b',"context":' + dump(call.path) + b"}")

    def total_fees(self, call: Call) -> Answer:
        """``GET /accounts/{n}/transactions/total-fees``."""
        day = call.query.date("date") or new_york_date(self._brokerage.clock.now())
        return data(self._brokerage.total_fees(call.parts["account"], day), call.path)

    def positions(self, call: Call) -> Answer:
        """``GET /accounts/{n}/positions``: not paged."""
        query = call.query
        found = self._brokerage.positions(
            call.parts["account"],
            closed=query.truth("include-closed-positions"),
            marks=query.truth("include-marks"),
        )
        underlyings = query.many.get("underlying-symbol") or (
            [query.one["underlying-symbol"]] if "underlying-symbol" in query.one else None
        )
        product = query.one.get("underlying-product-code")
        kept = [
            position
            for position in found
            if query.one.get("symbol", position["symbol"]) == position["symbol"]
            and query.one.get("instrument-type", position["instrument-type"]) == position["instrument-type"]
            and (underlyings is None or position["underlying-symbol"] in underlyings)
            and (product is None or re.match(rf"\.?/{re.escape(product)}[FGHJKMNQUVXZ]\d", position["symbol"]))
        ]
        return items([dump(position) for position in kept], call.path)

    def balances(self, call: Call) -> Answer:
        """``GET /accounts/{n}/balances``: an object, or a list in newer versions."""
        balance = self._brokerage.balances(call.parts["account"])
        if self._config.balances_shape == "list":
            return items([dump(balance)], call.path)
        return data(balance, call.path)

    def balance(self, call: Call) -> Answer:
        """``GET /accounts/{n}/balances/{currency}``."""
        if call.parts["currency"] != "USD":
            return error(404, "record_not_found", f"Couldn't find AccountBalance in {call.parts['currency']}")
        return data(self._brokerage.balances(call.parts["account"]), call.path)

    def snapshots(self, call: Call) -> Answer:
        """``GET /accounts/{n}/balance-snapshots``: without dates the newest one and the current balance."""
        account, query = call.parts["account"], call.query
        time_of_day = query.one.get("time-of-day")
        if time_of_day not in {"BOD", "EOD", "Intraday"}:
            raise BadQueryError("time-of-day", "does not have a valid value" if time_of_day else "is missing")
        if query.one.get("currency", "USD") != "USD" or time_of_day == "Intraday":
            found = []
        else:
            found = self._snapshots(account, time_of_day, query)
        here, pagination = page_of(query, len(found), self._config)
        return items([dump(entry) for entry in found[here]], call.path, pagination)

    def _snapshots(self, account: str, time_of_day: str, query: Query) -> list[dict[str, Any]]:
        day, start, end = (query.date(key) for key in ("snapshot-date", "start-date", "end-date"))
        if day is not None:
            return self._brokerage.snapshots(account, time_of_day, day, day)
        today = new_york_date(self._brokerage.clock.now())
        newest_only = start is None and end is None
        if newest_only:
            start = people.days_back(today, _WITHOUT_SESSION)
        found = self._brokerage.snapshots(account, time_of_day, start, end)
        if newest_only:
            found = found[-1:]
        if end is None or end >= today:
            # Like the real API: the list ends with the balance of this moment, which has no time of day.
            found.append(self._brokerage.balances(account))
        return found

    def net_liq(self, call: Call) -> Answer:
        """``GET /accounts/{n}/net-liq/history``: not served by the sandbox."""
        if self._config.sandbox:
            return error(404, "not_found", "Not Found")
        start_time = call.query.one.get("start-time")
        today = new_york_date(self._brokerage.clock.now())
        if start_time:
            start = call.query.date("start-time")
        else:
            days = _TIME_BACK.get(call.query.one.get("time-back", "1d"))
            if days is None:
                raise BadQueryError("time-back", "does not have a valid value")
            start = people.days_back(today, days)
        values = self._brokerage.net_liquidating_values(call.parts["account"], start)
        return items([dump(value) for value in values], call.path)

    def trading_status(self, call: Call) -> Answer:
        """``GET /accounts/{n}/trading-status``."""
        holder = self._brokerage.holder(call.parts["account"])
        return data(people.trading_status(holder, self._brokerage.clock.now()), call.path)

    def validate(self, call: Call) -> Answer:
        """``POST /sessions/validate``: the token has been accepted already."""
        return data(people.user(call.login), call.path, 201)


Endpoint = Callable[[Api, Call], Answer]
_ACCOUNT = r"/accounts/(?P<account>[^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = [
    (verb, re.compile(pattern), endpoint)
    for verb, pattern, endpoint in (
        ("GET", "/customers/me", Api.customer),
        ("GET", "/customers/me/accounts", Api.accounts),
        ("GET", "/customers/me" + _ACCOUNT, Api.account),
        ("GET", _ACCOUNT + "/transactions", Api.transactions),
        ("GET", _ACCOUNT + "/transactions/total-fees", Api.total_fees),
        ("GET", _ACCOUNT + r"/transactions/(?P<id>\d+)", Api.transaction),
        ("GET", _ACCOUNT + "/positions", Api.positions),
        ("GET", _ACCOUNT + "/balances", Api.balances),
        ("GET", _ACCOUNT + r"/balances/(?P<currency>\w+)", Api.balance),
        ("GET", _ACCOUNT + "/balance-snapshots", Api.snapshots),
        ("GET", _ACCOUNT + "/net-liq/history", Api.net_liq),
        ("GET", _ACCOUNT + "/trading-status", Api.trading_status),
        ("POST", "/sessions/validate", Api.validate),
    )
]
