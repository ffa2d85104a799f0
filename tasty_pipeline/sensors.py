"""The sensors that start runs: `activity` when an account changed, `sync_requests` when an application asks.

Asking the API and comparing is in core.activity, the requests' table in core.requests; who is told of failures is in
alarms.py. A tick must end within a minute.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import dagster as dg

from tasty_pipeline import incidents
from tasty_pipeline.assets.config import HistoryConfig, SyncConfig
from tasty_pipeline.assets.progress import REQUEST_TAG
from tasty_pipeline.core import connections, requests
from tasty_pipeline.core.activity import Poll, Seen, poll
from tasty_pipeline.core.connections import Connection
from tasty_pipeline.core.errors import AuthenticationError, TastyError, WarehouseError
from tasty_pipeline.core.hosts import is_loopback
from tasty_pipeline.core.requests import SyncRequest
from tasty_pipeline.core.settings import Settings, read_settings
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.jobs import ACCOUNTS_TAG, LOOKBACK, WAIT_SECONDS, sync_activity, sync_request
from tasty_pipeline.resources import warehouse_from

INTERVAL, DEV_INTERVAL = 30, 5
# One answer of a tick may take this long and is asked for again for this long; the next tick is near.
TIMEOUT_SECONDS, RETRY_SECONDS = 10.0, 10.0
# how many logins a tick asks at the same time
LOGINS_AT_ONCE = 8
# A run that was killed may be called started for ever; after this long it no longer holds others up.
LOST_AFTER = timedelta(hours=1)
# A run that failed is requested again after this long, and not by every tick.
AGAIN_AFTER = timedelta(minutes=10)
# More runs than ticks can start before a failed one is due again: from then on the cursor lacks its accounts.
_RUNS_LOOKED_AT = AGAIN_AFTER // timedelta(seconds=DEV_INTERVAL) + 1
_LOST = (
    "Dagster no longer knows the run that worked on this: its records were deleted or replaced. What the run had "
    "published is kept. What to do: ask for the synchronisation again."
)
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
    """Ask all logins, compare with what was seen, and request at most one run; an API that is down is a skip."""
    running = _under_way(context.instance)
    if running:
        return dg.SkipReason(f"Run {running} is still under way; what changes meanwhile is found after it.")
    try:
        settings = read_settings()
        warehouse = warehouse_from(settings.warehouse_url, WAIT_SECONDS)
        logins = connections.live_connections(warehouse, settings)
        if not logins:
            settings.credentials()  # says what to set
        answers = asyncio.run(_ask_all(warehouse, settings, logins))
    except TastyError as error:
        return dg.SkipReason(str(error))
    seen = Seen.from_json(context.cursor).without(_failed(context.instance))
    failures = {name: answer for name, answer in answers.items() if isinstance(answer, TastyError)}
    polls = {name: answer for name, answer in answers.items() if isinstance(answer, Poll)}
    found = Poll(
        {account: told for poll in polls.values() for account, told in poll.fingerprints.items()},
        failures | {account: error for poll in polls.values() for account, error in poll.failures.items()},
    )
    for name, failure in found.failures.items():
        context.log.warning("%s was not asked: %s", name, failure)
    if not polls and failures:
        return dg.SkipReason(" ".join(dict.fromkeys(str(failure) for failure in failures.values())))
    return _result(settings, seen, found, {name: list(poll.fingerprints) for name, poll in polls.items()})


async def _ask_all(
    warehouse: Warehouse, settings: Settings, logins: Sequence[Connection]
) -> dict[str, Poll | TastyError]:
    """Return what each login answered, or why it did not; a refused one is not asked."""
    slots = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def ask(connection: Connection) -> Poll | TastyError:
        try:
            login = connections.login_of(
                connection, settings, timeout_seconds=TIMEOUT_SECONDS, retry_budget_seconds=RETRY_SECONDS
            )
            refused = connections.refused_before(login)
            if refused:
                return refused
            async with slots:
                answer = await poll(login.credentials, login.config, connections.kept_token(login))
            connections.keep_token(warehouse, login, answer.token)
        except AuthenticationError as error:
            connections.mark_refused(warehouse, login, error)
            return error
        except WarehouseError:
            raise
        except TastyError as error:
            return error
        return answer

    return dict(zip((each.connection_id for each in logins), await asyncio.gather(*map(ask, logins)), strict=True))


def _failed(instance: dg.DagsterInstance) -> list[str]:
    """Return the accounts whose own newest run failed some time ago: what changed there is not in the tables."""
    runs = dg.RunsFilter(job_name=sync_activity.name)
    newest: dict[str, dg.RunRecord] = {}
    for record in instance.get_run_records(runs, limit=_RUNS_LOOKED_AT):
        # another account's run that came later says nothing of this one
        for account in filter(None, record.dagster_run.tags.get(ACCOUNTS_TAG, "").split(", ")):
            newest.setdefault(account, record)
    due = time.time() - AGAIN_AFTER.total_seconds()
    return [
        account
        for account, record in newest.items()
        if record.dagster_run.status in _ENDED_BADLY and (record.end_time or 0) <= due
    ]


def _under_way(instance: dg.DagsterInstance) -> str | None:
    since = datetime.now(UTC) - LOST_AFTER
    # what a user asks for is read by that run: a new login's whole history would be read twice at once
    filters = [
        dg.RunsFilter(job_name=job.name, statuses=_UNDER_WAY, created_after=since)
        for job in (sync_activity, sync_request)
    ]
    records = [record for each in filters for record in instance.get_run_records(each, limit=1)]
    return records[0].dagster_run.run_id if records else None


def _result(settings: Settings, seen: Seen, found: Poll, listed: Mapping[str, Sequence[str]]) -> dg.SensorResult:
    changed, today = seen.changed(found), new_york_day(datetime.now(UTC))
    unanswered = " ".join(f"[{name}] {error}" for name, error in found.failures.items())
    if settings.history_start > today:
        return dg.SensorResult(skip_reason=f"The history starts on {settings.history_start}, after today.")
    cursor = seen.after(found, requested=bool(changed)).to_json()
    if not changed:
        nothing = f"Nothing new in {len(found.fingerprints)} open accounts. {unanswered}"
        return dg.SensorResult(skip_reason=nothing.strip(), cursor=cursor)
    # a run need not ask the logins that see none of what changed
    names = [name for name, accounts in listed.items() if set(accounts) & set(changed)]
    request = dg.RunRequest(
        run_key=seen.run_key(found, changed),
        partition_key=today.isoformat(),
        run_config=run_config(names, changed),
        tags={ACCOUNTS_TAG: ", ".join(changed)},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def run_config(names: Sequence[str], accounts: Sequence[str] = ()) -> dg.RunConfig:
    """Return the config of a run over some logins' accounts as of today; new accounts get their whole history."""
    only = SyncConfig(connections=list(names), accounts=list(accounts))
    history = HistoryConfig(
        connections=list(names), accounts=list(accounts), lookback_days=LOOKBACK.days, whole_if_new=True
    )
    return dg.RunConfig(ops={"accounts": only, "portfolio": only, "transactions": history})


def build_requests_sensor() -> dg.SensorDefinition:
    """Return the sensor that works on what applications ask for."""
    return dg.SensorDefinition(
        name="sync_requests",
        evaluation_fn=find_requests,
        job=sync_request,
        minimum_interval_seconds=DEV_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run for each row that an application wrote to sync_requests, for that user's accounts.",
    )


def find_requests(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request a run for each queued request, and end those whose run ended without a word.

    A request is asked for in every tick until its run begins; its id is the run key, so that there is one run.
    """
    try:
        settings = read_settings()
        warehouse = warehouse_from(settings.warehouse_url, WAIT_SECONDS)
        if warehouse.kind != "postgres":
            return dg.SkipReason("Applications write their requests to Postgres; this warehouse is a DuckDB file.")
        if not warehouse.is_current():
            return dg.SkipReason("There are no tables of this version yet; the first run makes them.")
        with warehouse.read() as reader:
            waiting = requests.open_requests(reader)
        logins = connections.live_connections(warehouse, settings) if waiting else []
        queued = [each for each in waiting if not _ended(context.instance, warehouse, each) and each.state == "queued"]
        runs = [run for each in queued if (run := _run_for(warehouse, each, logins))]
    except TastyError as error:
        return dg.SkipReason(str(error))
    return dg.SensorResult(run_requests=runs) if runs else dg.SkipReason(f"{len(waiting)} requests are under way.")


def _run_for(warehouse: Warehouse, request: SyncRequest, logins: Sequence[Connection]) -> dg.RunRequest | None:
    names = [each.connection_id for each in logins if each.owner == request.owner]
    if not names:
        requests.fail(warehouse, request.request_id, "There is no connection to synchronise: connect one first.")
        return None
    config = run_config(names)
    config.ops["balance_snapshots"] = config.ops["transactions"]
    return dg.RunRequest(
        run_key=request.request_id,
        partition_key=new_york_day(datetime.now(UTC)).isoformat(),
        run_config=config,
        tags={REQUEST_TAG: request.request_id},
    )


def _ended(instance: dg.DagsterInstance, warehouse: Warehouse, request: SyncRequest) -> bool:
    """Fail a request whose run ended and did not say so: it was killed, never came to its first step, or is lost."""
    record = next(iter(instance.get_run_records(dg.RunsFilter(tags={REQUEST_TAG: request.request_id}), limit=1)), None)
    if record is None:
        # One that is queued has no run yet. Only a run itself makes it running, and Dagster knew that run then.
        if request.state == "running":
            requests.fail(warehouse, request.request_id, _LOST)
        return request.state == "running"
    if not record.dagster_run.is_finished:
        return False
    cause = incidents.incident_of(instance, record.dagster_run).causes[0]
    told = "ended early" if record.dagster_run.is_success else f"did not come to its end: {cause.what}"
    requests.fail(warehouse, request.request_id, f"The run {told}")
    return True
