"""The broker's HTTP API, as fast as it can be faked: pages are cut out of one text that was rendered before.

A process of its own: `python benchmarks/fake_api.py --rows 100000 --port 8600`. It answers what the pipeline and the
SDK ask in a sync, with a pause before each answer (`--latency`, milliseconds) and, above `--rate` requests a second,
with a 429 that says nothing of when to come back. Below `/bench/` it is told what to do: see `Control`. It is no judge
of clients: whether a sync is right in every oddity of the API is for the simulator in `tasty_pipeline/simulator` to
find. Here belong the answers; the rows are made in `fake_rows.py`, the protocol is in `fake_wire.py`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import fake_portfolio
import fake_wire
from fake_rows import History, Shape, load
from fake_shapes import ACCOUNT
from fake_wire import Counts, Settings

MOST_PER_PAGE, PER_PAGE = 2000, 250
Pieces = list[bytes | memoryview]


def dump(data: Any) -> bytes:
    """JSON as the API writes it: compact."""
    return json.dumps(data, separators=(",", ":")).encode()


@dataclass
class Limiter:
    """A bucket that holds one second's worth of requests."""

    tokens: float = 0.0
    filled_at: float = field(default_factory=time.monotonic)

    def grants(self, rate: float) -> bool:
        """Whether one more request is within the rate."""
        now = time.monotonic()
        self.tokens = min(rate, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Api:
    """What is answered to which path."""

    def __init__(self, history: History, settings: Settings) -> None:
        self.history, self.settings = history, settings
        self.counts, self.limiter = Counts(), Limiter(settings.rate)
        self._control = Control(self)

    def ask(self, path: str, query: dict[str, str]) -> tuple[int, Pieces]:
        """Status and body; what the client got wrong is a 400."""
        try:
            return self._answer(path, query)
        except ValueError as error:
            return _error(400, "validation_error", str(error))

    def _answer(self, path: str, query: dict[str, str]) -> tuple[int, Pieces]:
        if self.settings.rate and path != "/oauth/token" and not self.limiter.grants(self.settings.rate):
            self.counts.throttled += 1
            return _error(429, "too_many_requests", "Too many requests")
        account = f"/accounts/{ACCOUNT}/"
        if path.startswith(account):
            return self._below_account(path, path.removeprefix(account), query)
        if path == "/oauth/token":
            return 200, [dump({"access_token": "bench", "token_type": "Bearer", "expires_in": 86400})]
        if path == "/customers/me/accounts":
            return _items(path, [dump({"account": fake_portfolio.account(), "authority-level": "owner"})])
        if path == f"/customers/me/accounts/{ACCOUNT}":
            return _data(path, dump(fake_portfolio.account()))
        return _error(404, "not_found", f"There is nothing at {path}")

    def _below_account(self, path: str, name: str, query: dict[str, str]) -> tuple[int, Pieces]:
        last_day = self.history.shape.last_day
        if name == "transactions":
            return self._transactions(path, query)
        if name == "balance-snapshots":
            return _paged(path, query, fake_portfolio.snapshots(query, last_day))
        if name in {"balances", "balances/USD"}:
            return _data(path, dump(fake_portfolio.balance(last_day)))
        if name == "positions":
            return _items(path, [dump(row) for row in fake_portfolio.positions(last_day)])
        identifier = name.removeprefix("transactions/")
        row = self.history.find(int(identifier)) if identifier.isdigit() else None
        return _data(path, row) if row else _error(404, "record_not_found", f"There is nothing at {path}")

    def tell(self, path: str, query: dict[str, str]) -> tuple[int, Pieces]:
        """Status and body of what the benchmark wants."""
        return self._control.answer(path, query)

    def _transactions(self, path: str, query: dict[str, str]) -> tuple[int, Pieces]:
        low, high = self.history.between(_day(query, "start-date"), _day(query, "end-date"))
        offset, size = _paging(query)
        first, last = offset * size, min((offset + 1) * size, high - low)
        if query.get("sort", "Desc").lower() == "asc":
            pieces = self.history.slice(low + first, low + last) if first < last else []
        else:
            rows = [self.history.row(high - 1 - place) for place in range(first, last)]
            pieces = [b",".join(rows)]
        return _envelope(path, pieces, _pagination(high - low, offset, size))


def _day(query: dict[str, str], name: str) -> date | None:
    return date.fromisoformat(query[name][:10]) if query.get(name) else None


def _paging(query: dict[str, str]) -> tuple[int, int]:
    return int(query.get("page-offset", 0)), min(int(query.get("per-page", PER_PAGE)), MOST_PER_PAGE)


def _pagination(total: int, offset: int, size: int) -> dict[str, Any]:
    first = offset * size
    return {
        "per-page": size,
        "page-offset": offset,
        "item-offset": first,
        "total-items": total,
        "total-pages": -(-total // size),
        "current-item-count": max(min(total - first, size), 0),
        "previous-link": None,
        "next-link": None,
        "paging-link-template": None,
    }


def _paged(path: str, query: dict[str, str], rows: list[bytes]) -> tuple[int, Pieces]:
    offset, size = _paging(query)
    return _envelope(path, [b",".join(rows[offset * size : (offset + 1) * size])], _pagination(len(rows), offset, size))


def _envelope(path: str, pieces: Pieces, pagination: dict[str, Any] | None) -> tuple[int, Pieces]:
    tail = b']},"api-version":"v1","context":' + dump(path)
    if pagination is not None:
        tail += b',"pagination":' + dump(pagination)
    return 200, [b'{"data":{"items":[', *pieces, tail + b"}"]


def _items(path: str, rows: list[bytes]) -> tuple[int, Pieces]:
    return _envelope(path, [b",".join(rows)], None)


def _data(path: str, content: bytes) -> tuple[int, Pieces]:
    return 200, [b'{"data":', content, b',"api-version":"v1","context":', dump(path), b"}"]


def _error(status: int, code: str, message: str) -> tuple[int, Pieces]:
    return status, [dump({"error": {"code": code, "message": message}})]


class Control:
    """What the benchmark tells the server, below `/bench/`, by any method.

    - `settings?latency=150&rate=20`: the pause in milliseconds, the limit in requests a second.
    - `change?rows=10&seed=1`: book a dollar more in so many rows anywhere; `add?rows=10&seed=1`: book more rows of the
      last ten days. Both answer the ids.
    - `reset`: undo all of that and count from zero.
    - `counts`: requests, bytes, 429s, the most requests that were open at once; `expected`: rows and sum of net values.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Pieces]:
        """Status and body."""
        do: Callable[[dict[str, str]], Any] | None = getattr(self, f"_{path.removeprefix('/bench/')}", None)
        return (200, [dump(do(query))]) if do else _error(404, "not_found", f"There is nothing at {path}")

    def _settings(self, query: dict[str, str]) -> dict[str, float]:
        settings = self._api.settings
        if "latency" in query:
            settings.latency = float(query["latency"]) / 1000
        if "rate" in query:
            settings.rate = float(query["rate"])
            self._api.limiter = Limiter(settings.rate)
        return vars(settings)

    def _change(self, query: dict[str, str]) -> list[int]:
        return self._api.history.change(int(query.get("rows", 10)), int(query.get("seed", 1)))

    def _add(self, query: dict[str, str]) -> list[int]:
        return self._api.history.add(int(query.get("rows", 10)), int(query.get("seed", 1)))

    def _reset(self, _: dict[str, str]) -> bool:
        self._api.history.reset()
        self._api.counts = Counts()
        return True

    def _counts(self, _: dict[str, str]) -> dict[str, int]:
        return vars(self._api.counts)

    def _expected(self, _: dict[str, str]) -> dict[str, Any]:
        history = self._api.history
        shape = history.shape
        return {
            "rows": history.total,
            "net": str(history.net),
            "last-day": shape.last_day.isoformat(),
            "account": ACCOUNT,
        }


def main() -> int:
    """Make the history and serve it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=Shape(0).days)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0, help="milliseconds before each answer")
    parser.add_argument("--rate", type=float, default=0, help="requests a second, 0 for no limit")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    options = parser.parse_args()
    history = load(Shape(options.rows, options.days, options.seed))
    asyncio.run(fake_wire.serve(Api(history, Settings(options.latency / 1000, options.rate)), options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
