"""Brokerages and clients for the simulator's own tests: short histories, frozen clocks, real HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime
from typing import Any

import httpx2
import pytest

from tasty_pipeline.simulator import Brokerage, Simulator, SimulatorConfig, serve

NOW = datetime.fromisoformat("2026-11-20T21:00:00-05:00")
START = date(2026, 10, 5)
SHORT: dict[str, Any] = {"now": NOW, "start": START}
MAIN, SHARED, BOBS, CLOSED = "5WT00701", "5WT00702", "5WT00703", "5WT00704"
#: What each login sees, and with which authority.
SEEN = {
    "default": {MAIN: "owner", SHARED: "owner", BOBS: "owner", CLOSED: "owner"},
    "alice": {MAIN: "owner", SHARED: "owner"},
    "bob": {SHARED: "read-only", BOBS: "owner"},
}


class Client:
    """A logged-in reader of a simulator over real HTTP."""

    def __init__(self, simulator: Simulator, login: str) -> None:
        self.http = httpx2.Client(base_url=simulator.url, timeout=30)
        self.login = {
            "grant_type": "refresh_token",
            "client_secret": simulator.client_secret,
            "refresh_token": simulator.logins[login],
        }

    def refresh(self) -> None:
        token = self.http.post("/oauth/token", json=self.login).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: Any) -> httpx2.Response:
        query = {key.replace("__", "[]").replace("_", "-"): value for key, value in params.items()}
        return self.http.get(path, params=query)

    def rows(self, account: str = MAIN, **params: Any) -> list[dict[str, Any]]:
        answer = self.get(f"/accounts/{account}/transactions", **{"per_page": 2000, **params})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["data"]["items"]
        return items


def listed(client: Client) -> dict[str, str]:
    """Return the authority levels by account that the API lists for a client."""
    items = client.get("/customers/me/accounts").json()["data"]["items"]
    return {item["account"]["account-number"]: item["authority-level"] for item in items}


Start = Callable[..., Simulator]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start brokerages of six weeks; keywords change their configuration."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(serve(SimulatorConfig(**{**SHORT, **changes})))


@pytest.fixture
def sim(start: Start) -> Simulator:
    return start()


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Log in to a brokerage, by default as `default`; the connection is closed after the test."""
    with ExitStack() as stack:

        def open_client(simulator: Simulator, login: str = "default") -> Client:
            client = Client(simulator, login)
            stack.callback(client.http.close)
            client.refresh()
            return client

        yield open_client


@pytest.fixture
def client(sim: Simulator, connect: Connect) -> Client:
    return connect(sim)


@pytest.fixture
def alice(sim: Simulator, connect: Connect) -> Client:
    return connect(sim, "alice")


@pytest.fixture
def bob(sim: Simulator, connect: Connect) -> Client:
    return connect(sim, "bob")


@pytest.fixture(scope="session")
def whole() -> Brokerage:
    """Return the default brokerage with its almost six years; not to be changed."""
    return Brokerage(SimulatorConfig(now=NOW))
