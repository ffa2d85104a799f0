"""`tasty-pipeline demo`: a whole simulated brokerage, synchronised and proven through Dagster, and what came of it."""

import os
import time
from datetime import UTC, date, datetime

import dagster as dg
import sqlalchemy as sa
from rich.console import Console

from tasty_pipeline.assets.config import HistoryConfig
from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.home import prepare_home
from tasty_pipeline.cli.running import run_history
from tasty_pipeline.cli.summary import ended_well, summarize
from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.jobs import LOOKBACK
from tasty_pipeline.simulator import serve

_NEXT = (
    "[bold]Next[/]      make dev opens the Dagster UI on these tables",
    "          For your own account set TT_SECRET and TT_REFRESH (README, Real credentials), then: make doctor",
)


def demo(start: str | None) -> int:
    """Synchronise the simulated brokerage and print the summary; return 0 if all is proven and every check holds."""
    console = Console()
    first = simulated.first_day(start)
    url = os.environ.get("TASTY_WAREHOUSE_URL") or simulated.WAREHOUSE_URL
    console.print("[bold]tasty_pipeline demo[/]: a simulated brokerage on loopback. No credentials, nothing is real.")
    began = time.monotonic()
    with serve(simulated.simulator_config(first)) as brokerage:
        console.print(f"The simulated brokerage is open at {brokerage.url} ({time.monotonic() - began:.1f} s).")
        os.environ.update(simulated.environment(brokerage.url, brokerage.client_secret, brokerage.refresh_token, first))
        os.environ["TASTY_WAREHOUSE_URL"] = url
        warehouse = open_warehouse(url)
        warehouse.migrate()
        result = _synchronise(console, warehouse, first)
        summarize(console, warehouse, result, time.monotonic() - began, _NEXT)
    return 0 if ended_well(result) else 1


def _synchronise(console: Console, warehouse: Warehouse, first: date) -> dg.ExecuteInProcessResult:
    """Run the job that the nightly schedule runs: the whole history the first time, later the lookback and totals."""
    prepare_home(simulated=True)
    today = new_york_day(datetime.now(UTC))
    start = first
    if _all_proven(warehouse, first, today):
        start = max(first, today - LOOKBACK)
        console.print(f"The history is here and proven: reading the last {LOOKBACK.days} days again, and all totals.")
    config = dg.RunConfig(ops={"transactions": HistoryConfig(verify_totals=True)})
    return run_history(console, start, today, config)


def _all_proven(warehouse: Warehouse, first: date, today: date) -> bool:
    proven = schema.proven_days
    before = today - LOOKBACK
    with warehouse.read() as reader:
        accounts = publish.count_live(reader, schema.accounts)
        counted = sa.select(proven.c.table_name, sa.func.count().label("days")).where(
            proven.c.day >= first, proven.c.day < before
        )
        rows = reader.rows(counted.group_by(proven.c.table_name))
    known = {row["table_name"]: row["days"] for row in rows}
    enough = accounts * (before - first).days
    return accounts > 0 and all(known.get(name, 0) == enough for name in ("transactions", "balance_snapshots"))
