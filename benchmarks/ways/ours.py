"""The pipeline's own way: `sync_transactions`, as an asset calls it, with every proof and audit.

The tables exist already (`migrate` is not measured); the login is. Of the phases, answers are read in threads while
others are fetched, and the commit is a part of the load.
"""

import asyncio
from datetime import datetime, time
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import harness
import psycopg
import tastytrade  # noqa: F401 - `connect` imports it when it is first needed: that is no part of a sync

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect, contents, reading, shelf
from tasty_pipeline.core.sync import Run, Sync, sync_transactions, window
from tasty_pipeline.core.warehouse import duckdb, open_warehouse

UNLIMITED = 1e6


def instrumented() -> harness.Phases:
    """Time the parts of a sync where they happen."""
    phases = harness.Phases()
    prove, script = reading.Prover.read, duckdb._DuckDBSession.script

    async def proven(prover: reading.Prover) -> shelf.Proven:
        began = perf_counter()
        try:
            return await prove(prover)
        finally:
            phases.add("fetch and prove", perf_counter() - began)

    def scripted(session: Any, sql: str) -> None:
        (phases.timed("commit", script) if sql == "COMMIT" else script)(session, sql)

    reading.Prover.read = proven
    contents.read = phases.timed("parse (threads)", contents.read)
    shelf.Shelf._put = phases.timed("parse (threads)", shelf.Shelf._put)
    window._publish = phases.timed("load", window._publish)
    duckdb._DuckDBSession.script = scripted
    psycopg.Connection.commit = phases.timed("commit", psycopg.Connection.commit)
    return phases


def main() -> None:
    """Measure one sync."""
    task = harness.task()
    warehouse = open_warehouse(task.database)
    now = datetime.combine(task.today, time(21), ZoneInfo("America/New_York"))
    # the history begins on the same day whatever is asked for
    begins = datetime.fromisoformat("2017-01-01").date()
    run = Run(run_id="bench", environment="bench", history_start=begins, now=lambda: now)
    config = BrokerConfig(url=task.api, requests_per_second=task.rate or UNLIMITED, in_flight=harness.IN_FLIGHT)

    async def sync() -> dict[str, Any]:
        async with connect(Credentials("secret", "refresh"), config) as broker:
            sync = Sync(broker=broker, warehouse=warehouse, run=run)
            result = await sync_transactions(sync, task.account, task.start, task.end)
        return {name: getattr(result, name) for name in ("read", "inserted", "updated", "unchanged", "removed")}

    harness.measured(lambda: asyncio.run(sync()), instrumented())


if __name__ == "__main__":
    main()
