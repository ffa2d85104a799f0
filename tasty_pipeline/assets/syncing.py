"""What every asset does around its sync: choose accounts, keep one account's failure from the others, report.

Reading, proving and publishing are in core.sync; descriptions of the assets are beside their functions.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from tasty_pipeline.assets.config import SyncConfig
from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.broker import Broker
from tasty_pipeline.core.errors import (
    AuthenticationError,
    ConfigurationError,
    SyncFailedError,
    TastyError,
    WarehouseError,
    WarehouseLockedError,
)
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.sync import Run, Sync, SyncResult, listed_accounts
from tasty_pipeline.core.warehouse import Warehouse

OWNERS = ["team:tasty-pipeline"]
# the nightly run covers every day, holidays too; an hour's grace tells a late run from a missing one
FRESH_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=25))
PREVIEW_ROWS = 5
# Dagster's own mark of an output that is no materialization. Without an output the assets downstream would be skipped,
# and a dry run of everything would tell of the first asset only.
_OBSERVED = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
_PREVIEW: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "accounts": ("opened_at", ("account_number", "nickname", "account_type", "margin_or_cash", "is_closed")),
    "positions": ("updated_at", ("account_number", "symbol", "quantity", "average_open_price", "close_price")),
    "balances": ("updated_at", ("account_number", "currency", "cash_balance", "net_liquidating_value")),
    "balance_snapshots": (
        "snapshot_date",
        ("account_number", "snapshot_date", "time_of_day", "cash_balance", "net_liquidating_value"),
    ),
    "transactions": (
        "executed_at",
        ("transaction_id", "account_number", "transaction_date", "symbol", "action", "quantity", "price", "net_value"),
    ),
}


@dataclass
class Outcome:
    """What came of all accounts: results of those that succeeded, errors of those that failed."""

    results: list[SyncResult] = field(default_factory=list)
    failures: list[tuple[str, TastyError]] = field(default_factory=list)

    def of(self, table: str) -> list[SyncResult]:
        """Return the results of one table."""
        return [result for result in self.results if result.table == table]


def begin(context: dg.AssetExecutionContext, broker: Broker, warehouse: Warehouse, config: SyncConfig) -> Sync:
    """Tie broker, warehouse and run together for the core."""
    run = Run(
        run_id=context.run.run_id,
        environment=broker.environment,
        history_start=read_settings().history_start,
        dry_run=config.dry_run,
        confirm_removal=config.confirm_mass_removal,
    )
    return Sync(broker=broker, warehouse=warehouse, run=run)


async def chosen_accounts(sync: Sync, config: SyncConfig) -> list[str]:
    """Return the accounts to synchronise; raises `ConfigurationError` for one that the login does not see."""
    seen = await listed_accounts(sync)
    unknown = [number for number in config.accounts if number not in seen]
    if unknown:
        raise ConfigurationError(
            f"The login does not see the account {', '.join(unknown)} of the run config.",
            f"name some of {', '.join(seen)}, or none for all of them.",
        )
    return config.accounts or seen


async def each_account(
    context: dg.AssetExecutionContext,
    sync: Sync,
    config: SyncConfig,
    work: Callable[[str], Awaitable[Iterable[SyncResult]]],
) -> Outcome:
    """Do the work for every chosen account; one that fails does not stop the others.

    What no account can do without, the login and the database, is not tried again for each of them: that error is
    raised as it is.
    """
    outcome = Outcome()
    for account in await chosen_accounts(sync, config):
        try:
            done = list(await work(account))
        except TastyError as error:
            if _concerns_all(error, sync.warehouse):
                raise
            context.log.error("%s", error)  # noqa: TRY400 - the sentence says it all; the trace would bury it
            outcome.failures.append((account, error))
        else:
            outcome.results += done
            for result in done:
                context.log.info("%s", told(result))
    return outcome


def _concerns_all(error: TastyError, warehouse: Warehouse) -> bool:
    if isinstance(error, WarehouseLockedError):
        return warehouse.kind == "duckdb"  # one file for all; a lock in Postgres is held on one account
    return isinstance(error, WarehouseError | AuthenticationError)


def told(result: SyncResult) -> str:
    """Say in one line what a sync did."""
    span = f" {result.start}..{result.end}" if result.start else ""
    return (
        f"{result.table}{f' of {result.account}' if result.account else ''}{span}: {result.read} rows proven, "
        f"{result.inserted} new, {result.updated} changed, {result.removed} removed, {result.rejected} rejected"
    )


def materialized(
    context: dg.AssetExecutionContext, warehouse: Warehouse, outcome: Outcome, table: sa.Table, *, dry_run: bool
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the materialization with its metadata; after a dry run only an observation is logged."""
    results = outcome.of(table.name)
    metadata = summary(results)
    if dry_run:
        context.log_event(
            dg.AssetObservation(table.name, description="Dry run: nothing was written.", metadata=metadata)
        )
        yield dg.MaterializeResult(asset_key=table.name, metadata=_OBSERVED)
        return
    try:
        with warehouse.read() as reader:
            metadata |= {
                "dagster/row_count": publish.count_live(reader, table),
                "table": f"{schema.SCHEMA}.{table.name}",
                "warehouse": warehouse.label,
                "preview": dg.MarkdownMetadataValue(_preview(reader.rows(_newest(table)))),
            }
    except TastyError as error:
        raise failure(error) from None
    yield dg.MaterializeResult(asset_key=table.name, metadata=metadata)


def fail_if_any(outcome: Outcome, subject: str) -> None:
    """Fail the step after everything that succeeded is committed; raises `dagster.Failure` naming each account."""
    if outcome.failures:
        raise failure(SyncFailedError(subject, outcome.failures), accounts=[name for name, _ in outcome.failures])


def failure(error: TastyError, accounts: Sequence[str] = ()) -> dg.Failure:
    """Turn an error of ours into the failure that the run's page shows: what happened and what to do."""
    errors = [each for _, each in error.failures] if isinstance(error, SyncFailedError) else [error]
    return dg.Failure(
        description=str(error),
        metadata={
            "kind": ", ".join(sorted({type(each).__name__ for each in errors})),
            "what happened": error.what,
            "what to do": error.remedy,
            "accounts": ", ".join(accounts) or "all of the login",
        },
        allow_retries=False,
    )


def summary(results: Sequence[SyncResult]) -> dict[str, Any]:
    """Add up what the accounts' syncs did, as metadata."""
    names = ("read", "inserted", "updated", "unchanged", "removed", "rejected")
    facts: dict[str, Any] = {f"rows {name}": sum(getattr(each, name) for each in results) for name in names}
    facts |= {name: sum(getattr(each.meter, name) for each in results) for name in ("requests", "retries", "throttled")}
    facts["accounts"] = dg.MarkdownMetadataValue("\n".join(f"- {told(each)}" for each in results) or "none")
    return facts


def spec_of(table: sa.Table, group: str, description: str, deps: Sequence[str] = ()) -> dg.AssetSpec:
    """Describe a table as an asset: what is known of it before it runs."""
    return dg.AssetSpec(
        table.name,
        deps=deps,
        description=description,
        group_name=group,
        kinds={"tastytrade", "python", "sql"},
        owners=OWNERS,
        freshness_policy=FRESH_DAILY,
        metadata={
            "dagster/table_name": f"{schema.SCHEMA}.{table.name}",
            "dagster/column_schema": dg.TableSchema(columns=[_column(column) for column in table.columns]),
        },
    )


def _column(column: sa.Column[Any]) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False)
    return dg.TableColumn(column.name, schema.type_of(column), column.comment, constraints)


def _newest(table: sa.Table) -> sa.Select[Any]:
    order, columns = _PREVIEW[table.name]
    chosen = sa.select(*(table.c[name] for name in columns)).order_by(table.c[order].desc().nulls_last())
    return chosen.order_by(*table.primary_key.columns).limit(PREVIEW_ROWS)


def markdown_table(rows: Sequence[Mapping[str, Any]], text: Callable[[Any], str]) -> str:
    """Lay rows out as a Markdown table, each value as `text` says; the first row names the columns."""
    head = list(rows[0])
    cells = ([text(row.get(name)).replace("|", "\\|").replace("\n", " ") for name in head] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells])


def _preview(rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown_table(rows, _cell) if rows else "no rows"


def _cell(value: object) -> str:
    return "" if value is None else f"{value.normalize():f}" if hasattr(value, "normalize") else str(value)
