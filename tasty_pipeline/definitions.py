"""The table of contents: one assembly for production, tests and the command line."""

from typing import Any

import dagster as dg

from tasty_pipeline.alarms import ALARMS
from tasty_pipeline.assets.accounts import accounts
from tasty_pipeline.assets.history import build_history_assets
from tasty_pipeline.assets.partitions import daily_partitions
from tasty_pipeline.assets.portfolio import portfolio
from tasty_pipeline.checks import build_checks
from tasty_pipeline.jobs import JOBS
from tasty_pipeline.resources import BrokerResource, WarehouseResource
from tasty_pipeline.schedules import SCHEDULES
from tasty_pipeline.sensors import build_activity_sensor, build_requests_sensor


def build_defs(**overrides: Any) -> dg.Definitions:
    """Assemble everything; `overrides` replace resources by name."""
    return dg.Definitions(
        assets=[accounts, portfolio, *build_history_assets(daily_partitions())],
        asset_checks=build_checks(),
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[build_activity_sensor(), build_requests_sensor(), *ALARMS],
        resources={"broker": BrokerResource(), "warehouse": WarehouseResource(), **overrides},
        # the work waits for HTTP, so processes would only cost seconds a step
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the project's definitions, built when they are loaded and not at import."""
    return build_defs()
