"""The sensor `activity`: starts a run when an account changed.

Asking the API and comparing is in core.activity; who is told of failures is in alarms.py. A tick must end within a
minute.
"""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import dagster as dg

from tasty_pipeline import incidents
from tasty_pipeline.assets.config import HistoryConfig, SyncConfig
from tasty_pipeline.core.activity import Poll, Seen, login_digest, poll
from tasty_pipeline.core.broker import Credentials
from tasty_pipeline.core.errors import AuthenticationError, TastyError
from tasty_pipeline.core.hosts import is_loopback
from tasty_pipeline.core.settings import Settings, read_settings
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.jobs import ACCOUNTS_TAG, LOOKBACK, login_tags, sync_activity
from tasty_pipeline.resources.broker import broker_config

INTERVAL, DEV_INTERVAL = 30, 5
# One answer of a tick may take this long and is asked for again for this long; the next tick is near.
TIMEOUT_SECONDS, RETRY_SECONDS = 10.0, 10.0
# A run that was killed may be called started for ever; after this long it no longer holds others up.
LOST_AFTER = timedelta(hours=1)
# A run that failed is requested again after this long, and not by every tick.
AGAIN_AFTER = timedelta(minutes=10)
_ENDED_BADLY = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_activity_sensor() -> dg.SensorDefinition:
    """Return the sensor; a simulator on this machine is asked more often than the broker."""
    host = urlsplit(read_settings().api_url or "").hostname or ""
    return dg.SensorDefinition(
        name="activity",
        evaluation_fn=find_activity,
        job=sync_activity,
        minimum_interval_seconds=DEV_INTERVAL if is_loopback(host) else INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the API whether an account has anything new and starts one run for those that have.",
    )


def find_activity(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Ask, compare with what was seen, and request at most one run; an API that is down is a reason to skip."""
    running = _under_way(context.instance)
    if running:
        return dg.SkipReason(f"Run {running} is still under way; what changes meanwhile is found after it.")
    try:
        settings = read_settings()
        login, credentials = login_digest(settings), Credentials(*settings.credentials())
        config = broker_config(settings, timeout_seconds=TIMEOUT_SECONDS, retry_budget_seconds=RETRY_SECONDS)
    except TastyError as error:
        return dg.SkipReason(str(error))
    seen = Seen.from_json(context.cursor).without(_failed(context.instance))
    if seen.refused_login == login and not incidents.logged_in_since(context.instance, seen.refused_at):
        return dg.SkipReason(
            "The broker refused this login; it is not tried again, because repeated failed logins block the address "
            "for hours. What to do: mend TT_SECRET and TT_REFRESH, or reset this sensor's cursor."
        )
    try:
        found = asyncio.run(poll(credentials, config))
    except AuthenticationError as error:
        refused = replace(seen, refused_login=login, refused_at=time.time())
        return dg.SensorResult(skip_reason=str(error), cursor=refused.to_json())
    except TastyError as error:
        return dg.SkipReason(str(error))
    for account, failure in found.failures.items():
        context.log.warning("%s was not asked: %s", account, failure)
    return _result(settings, seen, found)


def _failed(instance: dg.DagsterInstance) -> list[str]:
    """Return the accounts of the newest run if it failed some time ago: what changed there is not in the tables."""
    newest = dg.RunsFilter(job_name=sync_activity.name)
    record = next(iter(instance.get_run_records(newest, limit=1)), None)
    if record is None or record.dagster_run.status not in _ENDED_BADLY:
        return []
    if time.time() - (record.end_time or 0) < AGAIN_AFTER.total_seconds():
        return []
    return record.dagster_run.tags.get(ACCOUNTS_TAG, "").split(", ")


def _under_way(instance: dg.DagsterInstance) -> str | None:
    since = datetime.now(UTC) - LOST_AFTER
    running = dg.RunsFilter(job_name=sync_activity.name, statuses=_UNDER_WAY, created_after=since)
    return next((record.dagster_run.run_id for record in instance.get_run_records(running, limit=1)), None)


def _result(settings: Settings, seen: Seen, found: Poll) -> dg.SensorResult:
    changed, today = seen.changed(found), new_york_day(datetime.now(UTC))
    unanswered = " ".join(f"[{account}] {error}" for account, error in found.failures.items())
    if settings.history_start > today:
        return dg.SensorResult(skip_reason=f"The history starts on {settings.history_start}, after today.")
    cursor = seen.after(found, requested=bool(changed)).to_json()
    if not changed:
        nothing = f"Nothing new in {len(found.fingerprints)} open accounts. {unanswered}"
        return dg.SensorResult(skip_reason=nothing.strip(), cursor=cursor)
    only = SyncConfig(accounts=changed)
    request = dg.RunRequest(
        run_key=seen.run_key(found, changed),
        partition_key=today.isoformat(),
        run_config=dg.RunConfig(
            ops={
                "accounts": only,
                "portfolio": only,
                "transactions": HistoryConfig(accounts=changed, lookback_days=LOOKBACK.days),
            }
        ),
        tags={ACCOUNTS_TAG: ", ".join(changed), **login_tags(settings)},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)
