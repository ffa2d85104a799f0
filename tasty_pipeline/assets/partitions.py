"""Which days there are: one partition for each New York trade date, weekends and today included."""

from datetime import UTC, date, datetime

import dagster as dg

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.tradingdays import new_york_day

PARTITION_FORMAT = "%Y-%m-%d"


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """Return the days from `TASTY_HISTORY_START` to today: adjustments are booked on Saturdays, fills on Sundays."""
    return dg.DailyPartitionsDefinition(
        start_date=read_settings().history_start.isoformat(),
        timezone="America/New_York",
        end_offset=1,
    )


def day_of(partition_key: str) -> date:
    """Return the day that a partition key names."""
    return date.fromisoformat(partition_key)


def days_of(span: dg.PartitionKeyRange) -> tuple[date, date]:
    """Return the first and the last day of a range of partitions.

    Dagster refuses a single partition that does not exist, but not a range that reaches over the edges: its run would
    mark days that nobody can have asked the broker about. Raises `ConfigurationError` for such a range.
    """
    start, end = day_of(span.start), day_of(span.end)
    first, today = read_settings().history_start, new_york_day(datetime.now(UTC))
    beyond = f"before the history's start, {first}" if start < first else f"after today, {today}, in New York"
    if start < first or end > today:
        raise ConfigurationError(
            f"The run asks for the days {start} to {end}, and that reaches {beyond}.",
            f"choose days from {first} to {today}; for older ones set TASTY_HISTORY_START to an earlier day and reload "
            "the code location.",
        )
    return start, end
