"""A simulated brokerage to read from, and the truth about it as the judge of every row reads it."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.broker import Broker, BrokerConfig, Credentials, ProvenRead, connect
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

Config = Callable[..., BrokerConfig]
START, NOW = date(2026, 1, 5), datetime(2026, 2, 20, 22, tzinfo=UTC)
FIRST, LAST = date(2026, 1, 12), date(2026, 2, 13)  # with the pad: every day of the simulation
MANY = {"start": START, "now": NOW, "trades_per_day": 44, "accounts": 1}  # about 2,200 rows: several windows
BUSY = {"start": date(2026, 2, 18), "now": NOW, "trades_per_day": 1100, "accounts": 1}  # over 2,000 rows on one day
Row = dict[str, Any]
Rows = dict[int, Row]


@contextmanager
def simulated(**settings: Any) -> Iterator[tuple[Simulator, str]]:
    with serve(SimulatorConfig(**settings)) as simulator:
        yield simulator, simulator.brokerage.accounts()[0]["account-number"]


@asynccontextmanager
async def broker_of(simulator: Simulator, config: Config, **changes: Any) -> AsyncIterator[Broker]:
    credentials = Credentials(simulator.client_secret, simulator.refresh_token)
    async with connect(credentials, config(simulator.url, timeout_seconds=30.0, **changes)) as broker:
        yield broker


_JUDGED: dict[str, Row] = {}


def judged(rows: Iterable[Row]) -> Rows:
    """Return transactions as the judge reads their payloads, by id. The same payload is judged once."""
    texts = {json.dumps(row): row for row in rows}
    new = [text for text in texts if text not in _JUDGED]
    parsed = payloads.parse(schema.transactions, [texts[text] for text in new])
    assert not parsed.rejected
    _JUDGED.update(zip(new, parsed.rows, strict=True))
    found = [_JUDGED[text] for text in texts]
    return {row["transaction_id"]: row for row in found}


def typed(read: ProvenRead) -> list[Row]:
    """Return every good row of a read, of the wanted days and of others."""
    return payloads.Parsed(pa.concat_tables([*read.rows.batches(), read.outside])).rows


def truth(simulator: Simulator, account: str, first: date = date.min, last: date = date.max) -> Rows:
    rows = simulator.brokerage.transactions(account)
    return judged(row for row in rows if str(first) <= row["transaction-date"] <= str(last))


def within(read: ProvenRead, first: date = date.min, last: date = date.max) -> Rows:
    """Return the rows of some days of a read, in which each is once, none is odd, and those wanted stand apart."""
    wanted = [day for part in read.rows.batches() for day in part["transaction_date"].to_pylist()]
    assert all(read.start <= day <= read.end for day in wanted)
    assert not any(read.start <= day <= read.end for day in read.outside["transaction_date"].to_pylist())
    assert {day: rows for day, (rows, _) in read.days.items()} == Counter(wanted)
    assert read.rejected == ()
    kept = [row for row in typed(read) if first <= row["transaction_date"] <= last]
    assert len({row["transaction_id"] for row in kept}) == len(kept)
    return {row["transaction_id"]: row for row in kept}


def reads(simulator: Simulator) -> int:
    return sum("/transactions" in path for _, path, _ in simulator.requests)
