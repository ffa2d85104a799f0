"""The schedules: which of the jobs run when, in New York time.

What a job synchronises belongs to jobs.py. No schedule runs between one and three at night: a clock change skips that
hour or repeats it.
"""

from datetime import datetime, timedelta

import dagster as dg

from tasty_pipeline.assets.config import HistoryConfig
from tasty_pipeline.core import connections
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.settings import Settings, read_settings
from tasty_pipeline.core.tradingdays import NEW_YORK, new_york_day, sessions
from tasty_pipeline.jobs import (
    LOOKBACK,
    RANGE_END_TAG,
    RANGE_START_TAG,
    WAIT_SECONDS,
    check_freshness,
    sync_history,
    sync_portfolio,
)
from tasty_pipeline.resources import warehouse_from

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
    rest = _no_login(read_settings())
    if rest:
        return dg.SkipReason(rest)
    return dg.RunRequest(run_key=_key(moment))


def _no_login(settings: Settings) -> str | None:
    """Return why a run could log in nowhere; None where it can, or where only the run itself can say what is wrong."""
    try:
        logins = connections.live_connections(warehouse_from(settings.warehouse_url, WAIT_SECONDS), settings)
        refused = [connections.refused_before(connections.login_of(each, settings)) for each in logins]
    except TastyError:
        return None
    if not logins and settings.client_secret:
        return "No connection is stored yet, and there is no default one (TT_REFRESH is not set)."
    return str(refused[0]) if refused and all(refused) else None


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
    rest = _no_login(settings)
    if rest:
        return dg.SkipReason(rest)
    if today < first:
        return dg.SkipReason(f"The history starts on {first}. What to do: nothing, or change TASTY_HISTORY_START.")
    return dg.RunRequest(
        run_key=_key(moment),
        run_config=dg.RunConfig(
            ops={
                "transactions": HistoryConfig(verify_totals=True, whole_if_new=True),
                "balance_snapshots": HistoryConfig(whole_if_new=True),
            }
        ),
        tags={
            RANGE_START_TAG: max(first, today - LOOKBACK).isoformat(),
            RANGE_END_TAG: today.isoformat(),
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
