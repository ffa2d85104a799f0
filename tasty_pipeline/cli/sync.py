"""`tasty-pipeline sync`: everything synchronised now, from this terminal, for the login that the environment names."""

import argparse
import time
from datetime import UTC, date, datetime

import dagster as dg
from rich.console import Console

from tasty_pipeline.assets.config import HistoryConfig, SyncConfig
from tasty_pipeline.assets.partitions import days_of
from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.home import prepare_home
from tasty_pipeline.cli.parser import day_given
from tasty_pipeline.cli.running import run_history
from tasty_pipeline.cli.summary import ended_well, summarize
from tasty_pipeline.core.broker import BrokerConfig
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import Settings, read_settings
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.jobs import LOOKBACK


def sync(options: argparse.Namespace) -> int:
    """Run to the end and print the summary; return 0 if everything was synchronised and every check holds."""
    console, began = Console(), time.monotonic()
    settings = read_settings()
    if simulated.wanted(settings):
        settings.credentials()  # says what to set, and which commands need nothing
    start, end = _days(options, settings)
    home = prepare_home(simulated=False)
    warehouse = open_warehouse(settings.warehouse_url)
    warehouse.migrate()
    BrokerConfig(url=settings.api_url)  # refuses an address with a password in it before it is shown
    source = settings.api_url or ("the sandbox" if settings.sandbox else "TastyTrade")
    console.print(f"From {source} into {warehouse.label}, the history of {start} to {end}.", soft_wrap=True)
    result = run_history(console, start, end, _config(options), checks=not options.dry_run)
    following = f"[bold]Run[/]       {result.run_id} in {home}: make dev shows it"
    summarize(console, warehouse, result, time.monotonic() - began, [following])
    return 0 if ended_well(result) else 1


def _days(options: argparse.Namespace, settings: Settings) -> tuple[date, date]:
    """Return the first and the last day; raises `ConfigurationError` for days that the history does not have."""
    today, first = new_york_day(datetime.now(UTC)), settings.history_start
    if options.all:
        start = first
    elif options.start:
        start = day_given("--from", options.start)
    elif options.end:
        raise ConfigurationError("--to is given without --from.", "say both ends, or neither for the last days.")
    else:
        start = max(first, today - LOOKBACK)
    end = day_given("--to", options.end) if options.end else today
    if start > end:
        raise ConfigurationError(f"The days begin on {start} and end on {end}.", "choose a first day before the last.")
    return days_of(dg.PartitionKeyRange(start.isoformat(), end.isoformat()))


def _config(options: argparse.Namespace) -> dg.RunConfig:
    """Return what the nightly schedule says, or for chosen days that these alone are read."""
    which = {"connections": options.connection, "accounts": options.account, "dry_run": options.dry_run}
    chosen = bool(options.start)
    return dg.RunConfig(
        ops={
            "accounts": SyncConfig(**which),
            "portfolio": SyncConfig(**which),
            "transactions": HistoryConfig(**which, verify_totals=not chosen, whole_if_new=not chosen),
            "balance_snapshots": HistoryConfig(**which, whole_if_new=not chosen),
        }
    )
