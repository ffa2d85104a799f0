"""`tasty-pipeline demo`: a whole simulated brokerage, synchronised and proven through Dagster, and what came of it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Engine, event

from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.home import prepare_home
from tasty_pipeline.cli.progress import Progress
from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.jobs import LOOKBACK, RANGE_END_TAG, RANGE_START_TAG
from tasty_pipeline.simulator import serve


@dataclass(frozen=True)
class Totals:
    """What `sync_log` says of one run."""

    requests: int
    retries: int
    rows_written: int
    rows_by_table: dict[str, int]


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
        result = _materialize(console, warehouse, first)
        evaluations = result.get_asset_check_evaluations()
        _summary(console, warehouse, result, time.monotonic() - began)
    return 0 if result.success and all(check.passed for check in evaluations) else 1


def _materialize(console: Console, warehouse: Warehouse, first: date) -> dg.ExecuteInProcessResult:
    """Run the job that the nightly schedule runs: the whole history the first time, later the lookback and totals."""
    prepare_home(simulated=True)
    _relax_event_log()
    today = new_york_day(datetime.now(UTC))
    start = first
    if _all_proven(warehouse, first, today):
        start = max(first, today - LOOKBACK)
        console.print(f"The history is here and proven: reading the last {LOOKBACK.days} days again, and all totals.")
    defs = build_defs()
    checks = sum(1 for check in defs.asset_checks or [] for _ in check.check_specs)
    partitions = (today - start).days + 1
    instance = dg.DagsterInstance.get()
    with Progress(console, partitions, checks) as progress:
        console.print(f"Dagster plans {partitions:,} days for each table of the history (a minute for a thousand) ...")
        job = dg.Definitions.merge(defs, dg.Definitions(loggers={"demo": progress.logger()}))
        return job.resolve_job_def("sync_history").execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={RANGE_START_TAG: start.isoformat(), RANGE_END_TAG: today.isoformat()},
            run_config={
                "ops": {"transactions": {"config": {"verify_totals": True}}},
                "loggers": {"demo": {"config": {}}},
            },
        )


def _relax_event_log() -> None:
    # Dagster's local event log commits each event with an fsync; thousands of partitions take minutes. In WAL mode
    # NORMAL can lose the log's last events when the power fails, and never corrupts it. The warehouse is not touched.
    @event.listens_for(Engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = NORMAL")


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


def _totals(warehouse: Warehouse, run_id: str) -> Totals:
    log = schema.sync_log
    written = log.c.rows_inserted + log.c.rows_updated + log.c.rows_removed
    with warehouse.read() as reader:
        rows = reader.rows(
            sa.select(log.c.requests, log.c.retries, written.label("written")).where(log.c.run_id == run_id)
        )
        counts = {name: publish.count_live(reader, table) for name, table in schema.MIRRORED.items()}
    return Totals(
        sum(row["requests"] for row in rows),
        sum(row["retries"] for row in rows),
        sum(row["written"] for row in rows),
        counts,
    )


def _proven(warehouse: Warehouse) -> dict[str, Any]:
    proven = schema.proven_days
    of_history = proven.c.table_name == "transactions"
    with warehouse.read() as reader:
        return reader.rows(
            sa.select(
                sa.func.count().label("days"),
                sa.func.min(proven.c.day).label("first"),
                sa.func.max(proven.c.day).label("last"),
            ).where(of_history)
        )[0]


def _summary(console: Console, warehouse: Warehouse, result: dg.ExecuteInProcessResult, seconds: float) -> None:
    checks = result.get_asset_check_evaluations()
    totals, proven = _totals(warehouse, result.run_id), _proven(warehouse)
    console.print()
    console.print(_tables(totals, checks))
    lines = ["", *_verdict(result, checks, proven)]
    passed = sum(check.passed for check in checks)
    lines += [
        f"[bold]Written[/]   {totals.rows_written:,} rows by this run",
        f"[bold]Requests[/]  {totals.requests} ({totals.retries} repeated)",
        f"[bold]Checks[/]    {passed} of {len(checks)} passed",
        f"[bold]Time[/]      {seconds:.1f} s",
        f"[bold]Data[/]      {warehouse.label}, schema tasty. Ask it:",
        f"          {_example(warehouse)}",
        "[bold]Next[/]      make dev opens the Dagster UI on these tables",
        "          For your own account set TT_SECRET and TT_REFRESH (README, Real credentials), then: make doctor",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _tables(totals: Totals, checks: Sequence[dg.AssetCheckEvaluation]) -> Table:
    table = Table(title="What the database holds now", title_justify="left", show_edge=False)
    table.add_column("table")
    table.add_column("rows", justify="right")
    table.add_column("checks passed", justify="right")
    for name, rows in totals.rows_by_table.items():
        mine = [check for check in checks if check.asset_key.to_user_string() == name]
        table.add_row(f"tasty.{name}", f"{rows:,}", f"{sum(check.passed for check in mine)} of {len(mine)}")
    return table


def _verdict(
    result: dg.ExecuteInProcessResult, checks: Sequence[dg.AssetCheckEvaluation], proven: dict[str, Any]
) -> list[str]:
    lines = []
    if result.success and all(check.passed for check in checks if check.check_name == "complete"):
        span = f"{proven['first']} to {proven['last']}"
        lines.append(
            f"[bold green]Proven[/]    {proven['days']:,} days of accounts' transactions, {span}, all complete"
        )
    failures = result.filter_events(lambda each: each.is_step_failure)
    lines += [f"[bold red]Failed[/]    {failed.step_key}: {escape(_cause(failed))}" for failed in failures]
    for check in checks:
        if not check.passed:
            name = f"{check.asset_key.to_user_string()}, {check.check_name}"
            lines.append(f"[bold red]Check[/]     {name}: {escape(check.description or '')}")
    return lines


def _cause(failed: dg.DagsterEvent) -> str:
    told = failed.step_failure_data.user_failure_data
    if told and told.description:
        return told.description
    error = failed.step_failure_data.error
    return (error.cause.message if error and error.cause else error.message if error else "unknown").strip()


def _example(warehouse: Warehouse) -> str:
    query = (
        "select symbol, sum(net_value) from tasty.transactions where removed_at is null and symbol is not null "
        "group by 1 order by 2 desc limit 9"
    )
    if warehouse.kind == "postgres":
        return f'psql "$TASTY_WAREHOUSE_URL" -c "{query}"'
    path = warehouse.label.removeprefix("DuckDB file ")
    return f".venv/bin/python -c \"import duckdb; print(duckdb.connect('{path}', read_only=True).sql('{query}'))\""
