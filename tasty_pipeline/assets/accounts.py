"""The asset `accounts`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tasty_pipeline.assets.config import SyncConfig
from tasty_pipeline.assets.progress import Outcome, progress_of, steps_of
from tasty_pipeline.assets.syncing import each_login, fail_if_any, failure, materialized, spec_of, told
from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import Sync, sync_accounts
from tasty_pipeline.resources import BrokerResource, WarehouseResource


@dg.multi_asset(
    name="accounts",
    specs=[spec_of(schema.accounts, "portfolio", "Every account that a login may see, closed ones too.")],
)
def accounts(
    context: dg.AssetExecutionContext, config: SyncConfig, broker: BrokerResource, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Read each login's list of accounts and publish it whole."""

    async def one(sync: Sync, outcome: Outcome) -> None:
        outcome.results.append(await sync_accounts(sync))
        context.log.info("%s", told(outcome.results[-1]))

    try:
        store = warehouse.open()
        if not config.dry_run:
            connections.settle_disconnected(store)
        with progress_of(context, store) as progress:
            outcome = broker.run(each_login(context, broker, store, config, one))
            if outcome.results:
                progress.end(outcome)
            else:
                progress.give_up(outcome)
        warehouse.publish_copy()
    except TastyError as error:
        raise failure(error) from None
    # Where some logins succeeded the steps after this one go on with them, and fail in the end of those that failed
    # here, even if these can be read again by then: failing here would stop the others' accounts too.
    if outcome.results and _others_follow(context):
        broker.put_off(outcome.failures)
    else:
        fail_if_any(outcome, "accounts")
    yield from materialized(context, store, outcome, schema.accounts, dry_run=config.dry_run)


def _others_follow(context: dg.AssetExecutionContext) -> bool:
    """Say whether steps of the run read from the broker after this one."""
    return bool({"portfolio", "transactions", "balance_snapshots"} & steps_of(context))
