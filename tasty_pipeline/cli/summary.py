"""What came of a run, for a person: rows, checks, failures with what to do, and how to look at the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.warehouse import Reader, Warehouse

WORK = {"read": "rows_read", "new": "rows_inserted", "changed": "rows_updated", "removed": "rows_removed"}
REJECTED = "rejected"
_COUNTED = {**WORK, REJECTED: "rows_rejected", "requests": "requests", "retries": "retries"}
_WRITTEN = ("new", "changed", "removed")
# what the metadata of a dry run's observation calls the same
_OBSERVED = {name: column.replace("_", " ") for name, column in _COUNTED.items()}
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Totals:
    """What a run did by table (see `WORK`), and how many rows each table holds after it."""

    work: Counts
    rows: Mapping[str, int]

    def sum(self, *names: str) -> int:
        """Add up over all tables."""
        return sum(table.get(name, 0) for table in self.work.values() for name in names)


def ended_well(result: dg.ExecuteInProcessResult) -> bool:
    """Whether the run succeeded and no check failed; a check's warning is none."""
    return result.success and not any(_failed(check) for check in result.get_asset_check_evaluations())


def summarize(
    console: Console, warehouse: Warehouse, result: dg.ExecuteInProcessResult, seconds: float, following: Sequence[str]
) -> None:
    """Print everything; `following` are the lines that say what to do next."""
    checks, dry = result.get_asset_check_evaluations(), _dry_run(result)
    with warehouse.read() as reader:
        totals = Totals(dry or _logged(reader, result.run_id), _rows(reader))
        verdict = _verdict(reader, result, checks)
    console.print()
    console.print(_table(totals, checks, dry=bool(dry)))
    passed = sum(check.passed for check in checks)
    lines = [
        "",
        *verdict,
        f"[bold]Written[/]   {'0 rows: a dry run' if dry else f'{totals.sum(*_WRITTEN):,} rows by this run'}",
        f"[bold]Requests[/]  {totals.sum('requests')} ({totals.sum('retries')} repeated)",
        f"[bold]Checks[/]    {f'{passed} of {len(checks)} passed' if checks else 'not asked'}",
        f"[bold]Time[/]      {seconds:.1f} s",
        f"[bold]Data[/]      {warehouse.label}, schema tasty. Ask it:",
        f"          {_example(warehouse)}",
        *following,
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _failed(check: dg.AssetCheckEvaluation) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def _logged(reader: Reader, run_id: str) -> Counts:
    log = schema.sync_log
    sums = [sa.func.sum(log.c[column]).label(name) for name, column in _COUNTED.items()]
    asked = sa.select(log.c.table_name, *sums).where(log.c.run_id == run_id).group_by(log.c.table_name)
    return {row["table_name"]: {name: int(row[name]) for name in _COUNTED} for row in reader.rows(asked)}


def _dry_run(result: dg.ExecuteInProcessResult) -> Counts:
    """Return what a dry run observed; empty for a run that is none."""
    seen = [each for each in result.all_events if each.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    observations = [each.asset_observation_data.asset_observation for each in seen]
    return {
        each.asset_key.to_user_string(): {name: int(str(each.metadata[key].value)) for name, key in _OBSERVED.items()}
        for each in observations
    }


def _rows(reader: Reader) -> Mapping[str, int]:
    return {name: publish.count_live(reader, table) for name, table in schema.MIRRORED.items()}


def _table(totals: Totals, checks: Sequence[dg.AssetCheckEvaluation], *, dry: bool) -> Table:
    title = "What the database holds, and what a run would change" if dry else "What the database holds now"
    table = Table(title=title, title_justify="left", show_edge=False)
    table.add_column("table")
    for name in ("rows", *WORK, REJECTED, "checks passed"):
        table.add_column(name, justify="right")
    for name, rows in totals.rows.items():
        work = [f"{totals.work.get(name, {}).get(what, 0):,}" for what in (*WORK, REJECTED)]
        mine = [check for check in checks if check.asset_key.to_user_string() == name]
        passed = f"{sum(check.passed for check in mine)} of {len(mine)}" if mine else "-"
        table.add_row(f"tasty.{name}", f"{rows:,}", *work, passed)
    return table


def _verdict(reader: Reader, result: dg.ExecuteInProcessResult, checks: Sequence[dg.AssetCheckEvaluation]) -> list[str]:
    lines = []
    complete = [check.passed for check in checks if check.check_name == "complete"]
    if result.success and complete and all(complete):
        proven = _proven(reader)
        span = f"{proven['first']} to {proven['last']}"
        lines.append(
            f"[bold green]Proven[/]    {proven['days']:,} days of accounts' transactions, {span}, all complete"
        )
    failures = result.filter_events(lambda each: each.is_step_failure)
    lines += [f"[bold red]Failed[/]    {failed.step_key}: {escape(_cause(failed))}" for failed in failures]
    for check in checks:
        if not check.passed:
            mark = "[bold red]Check[/]     " if _failed(check) else "[bold yellow]Warning[/]   "
            name = f"{check.asset_key.to_user_string()}, {check.check_name}"
            lines.append(f"{mark}{name}: {escape(check.description or '')}")
    return lines


def _proven(reader: Reader) -> dict[str, Any]:
    proven = schema.proven_days
    days = (
        sa.func.count().label("days"),
        sa.func.min(proven.c.day).label("first"),
        sa.func.max(proven.c.day).label("last"),
    )
    return reader.rows(sa.select(*days).where(proven.c.table_name == "transactions"))[0]


def _cause(failed: dg.DagsterEvent) -> str:
    told = failed.step_failure_data.user_failure_data
    if told and told.description:
        return told.description
    error = failed.step_failure_data.error
    if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return "It was interrupted. What to do: run it again; what was published stays."
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
