"""The assets `positions` and `balances`: one state of an account, read and published together."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tasty_pipeline.assets.config import SyncConfig
from tasty_pipeline.assets.progress import progress_of
from tasty_pipeline.assets.syncing import (
    each_account,
    fail_if_any,
    failure,
    materialized,
    spec_of,
)
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import sync_portfolio
from tasty_pipeline.resources import BrokerResource, WarehouseResource

TABLES = (schema.positions, schema.balances)
_DESCRIPTIONS = {
    "positions": "Open positions now, with signed quantities. Read and published together with the balances.",
    "balances": "The newest balance of each account and currency, read together with the positions.",
}


@dg.multi_asset(
    name="portfolio",
    specs=[spec_of(table, "portfolio", _DESCRIPTIONS[table.name], ["accounts"]) for table in TABLES],
    can_subset=True,
)
def portfolio(
    context: dg.AssetExecutionContext, config: SyncConfig, broker: BrokerResource, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Read each account's positions and balances as one state; publish both, whichever of the two was selected."""
    try:
        store = warehouse.open()
        with progress_of(context, store) as progress:
            outcome = broker.run(each_account(context, broker, store, config, sync_portfolio, progress))
            progress.end(outcome)
        warehouse.publish_copy()
    except TastyError as error:
        raise failure(error) from None
    fail_if_any(outcome, "positions and balances")
    for table in TABLES:
        if dg.AssetKey(table.name) in context.selected_asset_keys:
            yield from materialized(context, store, outcome, table, dry_run=config.dry_run)
