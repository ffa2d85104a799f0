"""The assets `transactions` and `balance_snapshots`: the history, by New York trade date."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa

from tasty_pipeline.assets.config import HistoryConfig
from tasty_pipeline.assets.partitions import day_of, days_of
from tasty_pipeline.assets.progress import Outcome, progress_of
from tasty_pipeline.assets.syncing import (
    each_account,
    fail_if_any,
    failure,
    materialized,
    spec_of,
)
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import ConfigurationError, TastyError
from tasty_pipeline.core.sync import Sync, SyncResult, history_of_new, sync_snapshots, sync_transactions, verify_totals
from tasty_pipeline.resources import BrokerResource, WarehouseResource

_DESCRIPTIONS = {
    "transactions": "Every transaction, proven complete day by day. Materialize a range of any length as one run.",
    "balance_snapshots": "Balances at the beginning and the end of each trading day.",
}
Work = Callable[[Sync, str, date, date], Awaitable[SyncResult]]


def build_history_assets(days: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return the assets that are kept by day, over the given days."""
    return [
        _history_asset(schema.transactions, sync_transactions, days),
        _history_asset(schema.balance_snapshots, sync_snapshots, days),
    ]


def _history_asset(table: sa.Table, work: Work, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=table.name,
        specs=[spec_of(table, "history", _DESCRIPTIONS[table.name], ["accounts"])],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def history(
        context: dg.AssetExecutionContext, config: HistoryConfig, broker: BrokerResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult[Any]]:

        async def one(sync: Sync, number: str) -> list[SyncResult]:
            first = start - timedelta(days=config.lookback_days)
            if config.whole_if_new:
                first = min(first, history_of_new(sync, table, number) or first)
            results = [await work(sync, number, first, end)]
            if config.verify_totals and table is schema.transactions:
                again = await verify_totals(sync, number)
                # a dry run has stored nothing, so that the second look finds all of the first one again
                results = [again] if again and config.dry_run else [*results, *([again] if again else [])]
            return results

        try:
            if not context.has_partition_key and not context.has_partition_key_range:
                raise ConfigurationError("No day was chosen.", "choose a partition, or a range of them, and launch it.")
            start, end = days_of(context.partition_key_range)
            store = warehouse.open()
            with progress_of(context, store) as progress:
                outcome = broker.run(each_account(context, broker, store, config, one, progress))
                progress.end(outcome)
            warehouse.publish_copy()
        except TastyError as error:
            raise failure(error) from None
        fail_if_any(outcome, table.name)
        if not config.dry_run:
            _count_partitions(context, outcome)
        yield from materialized(context, store, outcome, table, dry_run=config.dry_run)

    return history


def _count_partitions(context: dg.AssetExecutionContext, outcome: Outcome) -> None:
    rows: Counter[date] = Counter()
    for result in outcome.results:
        rows.update(result.rows_by_day)
    for key in context.partition_keys:
        context.add_asset_metadata({"rows": rows[day_of(key)]}, partition_key=key)
