"""The jobs: which assets are synchronised together. When they run is in schedules.py and sensors.py.

The assets' checks run with them. The tags that runs carry are named here too.
"""

from datetime import timedelta

import dagster as dg

from tasty_pipeline.core import schema

# Rows are booked up to a week late (the broker's adjustments): these days are read again, and today.
LOOKBACK = timedelta(days=10)
# how long a tick of a schedule or sensor waits for the database
WAIT_SECONDS = 5.0
ACCOUNTS_TAG = "tasty/accounts"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

sync_portfolio = dg.define_asset_job(
    "sync_portfolio",
    selection=dg.AssetSelection.assets("accounts", "positions", "balances"),
    description="What is held now: accounts, positions and balances.",
)
sync_history = dg.define_asset_job(
    "sync_history",
    selection=dg.AssetSelection.assets("accounts", "positions", "balances", "balance_snapshots", "transactions"),
    description="Everything: what is held now, and the days of the history that the run names.",
)
sync_activity = dg.define_asset_job(
    "sync_activity",
    # Snapshots are taken when a session begins and ends, never because somebody trades. Of the checks only those that
    # new rows can break at once: every check costs time, and the other jobs run them all.
    selection=dg.AssetSelection.assets("accounts", "positions", "balances", "transactions").without_checks()
    | dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("positions"), "no_rejected_rows"),
        dg.AssetCheckKey(dg.AssetKey("balances"), "no_rejected_rows"),
        dg.AssetCheckKey(dg.AssetKey("transactions"), "no_rejected_rows"),
        dg.AssetCheckKey(dg.AssetKey("transactions"), "complete"),
    ),
    description="What has just changed: started by the sensor `activity`, for the accounts that changed.",
)
sync_request = dg.define_asset_job(
    "sync_request",
    # somebody waits for it: the checks are asked by the other jobs
    selection=dg.AssetSelection.assets(*schema.MIRRORED).without_checks(),
    description="What a user of an application asked for: everything of that user's accounts, as of now.",
)
check_freshness = dg.define_asset_job(
    "check_freshness",
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(dg.AssetKey(name), "fresh") for name in schema.MIRRORED),
        dg.AssetCheckKey(dg.AssetKey("accounts"), "authorised"),
    ),
    description="Asks alone whether everything is fresh and authorised: a sync that no longer runs cannot ask.",
)
JOBS = [sync_portfolio, sync_history, sync_activity, sync_request, check_freshness]
