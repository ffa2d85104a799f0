"""The schedules: which of the jobs run when, in New York time.

What a job synchronises belongs to jobs.py. No schedule runs between one and three at night: a clock change skips that
hour or repeats it.
"""

from datetime import datetime, timedelta

import dagster as dg

from tasty_pipeline import incidents
from tasty_pipeline.assets.config import HistoryConfig
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.tradingdays import NEW_YORK, new_york_day, sessions
from tasty_pipeline.jobs import (
    LOGIN_TAG,
    LOOKBACK,
    RANGE_END_TAG,
    RANGE_START_TAG,
    check_freshness,
    login_tags,
    sync_history,
    sync_portfolio,
)

# The state at the close is there only after it: orders that fill in the last second are booked a little later.
AFTER_CLOSE = timedelta(minutes=15)


def market_rest(moment: datetime) -> str | None:
    """Return why the portfolio need not be read at an aware time; None from the open to a quarter after the close."""
    day = new_york_day(moment)
    today = sessions(day, day)
    if not today:
        return f"{day:%A} {day} is a weekend or a holiday: the NYSE holds no session."
    _, opens, closes = today[0]
    if moment < opens:
        return f"The NYSE opens at {opens.astimezone(NEW_YORK):%H:%M} New York time."
    if moment > closes + AFTER_CLOSE:
        return f"The NYSE has closed at {closes.astimezone(NEW_YORK):%H:%M} New York time."
    return None


@dg.schedule(
    job=sync_portfolio,
    cron_schedule="*/15 9-16 * * 1-5",
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes while the NYSE is open, and once after its close; knows holidays and half days.",
)
def sync_portfolio_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request a run in market hours, unless the broker has refused this very login."""
    moment = context.scheduled_execution_time
    rest = market_rest(moment)
    if rest:
        return dg.SkipReason(rest)
    tags = login_tags(read_settings())
    refused = incidents.refused_login(context.instance, tags[LOGIN_TAG]) if tags else None
    if refused:
        return dg.SkipReason(
            f"The broker refused this login in run {refused}, and repeated failed logins block the address for hours. "
            "What to do: mend TT_SECRET and TT_REFRESH, or materialize accounts by hand; the nightly run tries too."
        )
    return dg.RunRequest(run_key=_key(moment), tags=tags)


@dg.schedule(
    job=sync_history,
    cron_schedule="15 4 * * *",
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: everything, with the last ten days and today read again and all totals verified.",
)
def sync_history_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request one run over the last days, never before the history's start."""
    moment = context.scheduled_execution_time
    settings = read_settings()
    today, first = new_york_day(moment), settings.history_start
    if today < first:
        return dg.SkipReason(f"The history starts on {first}. What to do: nothing, or change TASTY_HISTORY_START.")
    return dg.RunRequest(
        run_key=_key(moment),
        run_config=dg.RunConfig(ops={"transactions": HistoryConfig(verify_totals=True)}),
        tags={
            RANGE_START_TAG: max(first, today - LOOKBACK).isoformat(),
            RANGE_END_TAG: today.isoformat(),
            **login_tags(settings),
        },
    )


@dg.schedule(
    job=check_freshness,
    cron_schedule="30 7,18 * * *",
    execution_timezone=NEW_YORK.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Morning and evening: whether everything is fresh, also when nothing was synchronised at all.",
)
def check_freshness_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the checks alone: in a job that fails, or does not run, they would not be asked."""
    return dg.RunRequest(run_key=_key(context.scheduled_execution_time))


def _key(moment: datetime) -> str:
    return moment.astimezone(NEW_YORK).isoformat()


SCHEDULES = [sync_portfolio_schedule, sync_history_schedule, check_freshness_schedule]
