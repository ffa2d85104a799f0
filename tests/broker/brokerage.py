"""A simulated brokerage to read from, and the truth about it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime
from typing import Any

from tasty_pipeline.core.broker import Broker, BrokerConfig, Credentials, ProvenRead, connect
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

Config = Callable[..., BrokerConfig]
START, NOW = date(2026, 1, 5), datetime(2026, 2, 20, 22, tzinfo=UTC)
FIRST, LAST = date(2026, 1, 12), date(2026, 2, 13)  # with the pad: every day of the simulation
MANY = {"start": START, "now": NOW, "trades_per_day": 44, "accounts": 1}  # about 2,200 rows: several windows
BUSY = {"start": date(2026, 2, 18), "now": NOW, "trades_per_day": 1100, "accounts": 1}  # over 2,000 rows on one day
Rows = dict[int, dict[str, Any]]


@contextmanager
def simulated(**settings: Any) -> Iterator[tuple[Simulator, str]]:
    with serve(SimulatorConfig(**settings)) as simulator:
        yield simulator, simulator.brokerage.accounts()[0]["account-number"]


@asynccontextmanager
async def broker_of(simulator: Simulator, config: Config, **changes: Any) -> AsyncIterator[Broker]:
    credentials = Credentials(simulator.client_secret, simulator.refresh_token)
    async with connect(credentials, config(simulator.url, timeout_seconds=30.0, **changes)) as broker:
        yield broker


def truth(simulator: Simulator, account: str, first: date = date.min, last: date = date.max) -> Rows:
    rows = simulator.brokerage.transactions(account)
    return {row["id"]: row for row in rows if str(first) <= row["transaction-date"] <= str(last)}


def within(read: ProvenRead, first: date = date.min, last: date = date.max) -> Rows:
    kept = [row for row in read.rows if str(first) <= row["transaction-date"] <= str(last)]
    assert len({row["id"] for row in kept}) == len(kept)
    return {row["id"]: row for row in kept}


def reads(simulator: Simulator) -> int:
    return sum("/transactions" in path for _, path, _ in simulator.requests)
