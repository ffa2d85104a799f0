"""Machines of other zones: processes whose own clock, DuckDB and Postgres session stand in a zone of their own.

Here belongs what such a machine does when it is told to run, and what it saw. All machines share one warehouse, so that
each finds what another has written. Which minutes they are asked at, and what is right, is in `clock.py`.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import psycopg
import sqlalchemy as sa

from tasty_pipeline.core import audits, publish, schema, sync
from tasty_pipeline.core.broker import Broker, BrokerConfig, Credentials, connect
from tasty_pipeline.core.sync import Run, Sync
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, open_warehouse
from tasty_pipeline.simulator import Simulator

from . import runs

PATIENCE = 300  # seconds: all machines start at once
_KEPT = (schema.transactions, schema.balance_snapshots)


@dataclass(frozen=True)
class Order:
    """A run to do: of this account, as if it were `now`, of the days from `start` on; of all tables if `whole`."""

    account: str
    now: datetime
    start: date
    run_id: str
    whole: bool = False


@dataclass(frozen=True)
class Seen:
    """What a run saw: `told` must be the same in every zone; `written` counts the rows that it wrote, by table."""

    told: dict[str, Any]
    written: dict[str, int]
    held: dict[int, tuple[int, date]] = field(repr=False)
    clocks: tuple[str, str]


@dataclass
class Machine:
    """A process in another zone."""

    zone: str
    pipe: Connection

    def run(self, order: Order) -> Seen:
        """Let it run and wait for the end. Raises what it raised."""
        self.pipe.send(order)
        if not self.pipe.poll(PATIENCE):
            raise TimeoutError(f"the machine in {self.zone} does not answer")
        answer: Seen | Exception = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def machines(zones: Sequence[str], database: str, sim: Simulator, first: date) -> Iterator[list[Machine]]:
    """Start a machine in each zone; all end with the block."""
    processes = multiprocessing.get_context("forkserver")
    with ExitStack() as stack:
        started = []
        for zone in zones:
            ours, theirs = processes.Pipe()
            process = processes.Process(target=_live, args=(zone, database, _login(sim), first, theirs), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join, PATIENCE)
            stack.callback(stack.enter_context(ours).send, None)
            started.append(Machine(zone, ours))
        yield started


def _login(sim: Simulator) -> tuple[str, str, str]:
    return sim.url, sim.client_secret, sim.refresh_token


def _live(zone: str, database: str, login: tuple[str, str, str], first: date, pipe: Connection) -> None:
    # libpq tells the server PGTZ and PGDATESTYLE at once: as if they stood in the server's own configuration
    os.environ |= {"TZ": zone, "PGTZ": zone, "PGDATESTYLE": "SQL, DMY"}
    time.tzset()
    asyncio.run(_obey(open_warehouse(database), database, login, first, pipe))


async def _obey(
    warehouse: Warehouse, database: str, login: tuple[str, str, str], first: date, pipe: Connection
) -> None:
    url, secret, token = login
    config = BrokerConfig(url=url, **runs.IMPATIENT | {"timeout_seconds": 30.0})
    async with connect(Credentials(secret, token), config) as broker:
        while (order := pipe.recv()) is not None:
            try:
                with _application(database) as client:
                    answer: Seen | Exception = await _run(broker, warehouse, client, first, order)
            except Exception as error:  # noqa: BLE001 - told to who waits for the answer
                answer = error
            pipe.send(answer)  # when the file is closed: the next machine opens it


async def _run(broker: Broker, warehouse: Warehouse, client: Any, first: date, order: Order) -> Seen:
    run = Run(run_id=order.run_id, environment="simulator", history_start=first, now=lambda: order.now)
    s, beyond = Sync(broker=broker, warehouse=warehouse, run=run), order.now.date() + timedelta(days=5)
    done = [await sync.sync_transactions(s, order.account, order.start, beyond)]
    if order.whole:
        done += [await sync.sync_accounts(s), *await sync.sync_portfolio(s, order.account)]
        done += [await sync.sync_snapshots(s, order.account, order.start, beyond)]
    told: dict[str, Any] = {f"days and rows of {each.table}": (each.start, each.end, each.rows_by_day) for each in done}
    told["today"] = new_york_day(order.now)
    with warehouse.read() as reader:
        log = sa.select(schema.sync_log).where(schema.sync_log.c.run_id == order.run_id)
        told["digests"] = {each["table_name"]: each["digest"] for each in reader.rows(log)}
        told["proofs"] = reader.rows(sa.select(schema.proven_days).order_by(*schema.proven_days.primary_key.columns))
        told["receipts"] = publish.receipts_of(reader, schema.transactions, order.account, order.start, beyond)
        told["fingerprints"] = [reader.fingerprints(each, order.account, order.start, beyond) for each in _KEPT]
        kept = _KEPT if order.whole else ()
        told["complete"] = all(audits.complete(reader, each, (order.start, told["today"])).passed for each in kept)
    held = client.execute(_HELD.format(_MICROSECONDS[warehouse.kind])).fetchall()
    told["snapshots"] = client.execute(_SNAPSHOTS).fetchall()
    written = {each: client.execute(_WRITTEN.format(each, order.run_id)).fetchone()[0] for each in _COUNTED}
    zones = time.tzname[0], client.execute(_ZONE).fetchone()[0]
    return Seen(told, written, {number: (micros, day) for number, micros, day in held}, zones)


# as an application reads, with a connection of its own that stands in the machine's zone

_COUNTED = (*schema.MIRRORED, "proven_days", "changes")
_WRITTEN = "SELECT count(*) FROM tasty.{} WHERE run_id = '{}'"
_ZONE = "SELECT current_setting('TimeZone')"
_SNAPSHOTS = "SELECT snapshot_date, time_of_day FROM tasty.balance_snapshots WHERE removed_at IS NULL ORDER BY 1, 2"
_HELD = "SELECT transaction_id, {}, transaction_date FROM tasty.transactions WHERE removed_at IS NULL"
_MICROSECONDS = {
    "duckdb": "epoch_us(executed_at)",
    "postgres": "(extract(epoch FROM executed_at) * 1000000)::bigint",
}


@contextmanager
def _application(database: str) -> Iterator[Any]:
    # a DuckDB file stays open in this process as long as this is: what follows need not open it again
    if database.startswith("duckdb:///"):
        with duckdb.connect(database.removeprefix("duckdb:///"), config=DUCKDB_CONFIG) as connection:
            yield connection
    else:
        with psycopg.connect(database, autocommit=True) as connection:
            yield connection
