"""The asset `accounts`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tasty_pipeline.assets.config import SyncConfig
from tasty_pipeline.assets.syncing import Outcome, begin, failure, materialized, spec_of, told
from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import sync_accounts
from tasty_pipeline.resources import BrokerResource, WarehouseResource


@dg.multi_asset(
    name="accounts",
    specs=[spec_of(schema.accounts, "portfolio", "Every account that the login may see, closed ones too.")],
)
def accounts(
    context: dg.AssetExecutionContext, config: SyncConfig, broker: BrokerResource, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Read the list of accounts and publish it whole."""
    try:
        store = warehouse.open()
        result = broker.run(sync_accounts(begin(context, broker.broker, store, config)))
        warehouse.publish_copy()
    except TastyError as error:
        raise failure(error) from None
    context.log.info("%s", told(result))
    yield from materialized(context, store, Outcome([result]), schema.accounts, dry_run=config.dry_run)
