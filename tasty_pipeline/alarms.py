"""The sensors that tell a person: of failed runs, and of asset checks that began to fail.

Reading what failed, and whether it was told, is in incidents.py; wording and delivering in core.alerts.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord as CheckRecord
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from tasty_pipeline import incidents
from tasty_pipeline.core.alerts import Alert, AlertError, send
from tasty_pipeline.core.settings import read_settings

INTERVAL = 30
# No further alert is begun after this long: one can take half a minute, and the next tick goes on.
TELLING_SECONDS = 15.0


class _Telling:
    """The alerts of one tick."""

    def __init__(self, log: dg.DagsterLogManager | logging.Logger) -> None:
        self._settings = read_settings()
        self._log = log
        self._end = time.monotonic() + TELLING_SECONDS
        self._told = 0
        self._errors: list[AlertError] = []

    def tell(self, alert: Alert) -> bool:
        """Send an alert; return whether that is done with, because somebody got it or no channel is configured."""
        if time.monotonic() > self._end:
            return False
        try:
            send(replace(alert, url=self._page(alert.run_id)), self._settings)
        except AlertError as error:
            self._log.error("%s", error)
            self._errors.append(error)
            if not error.delivered:
                return False
        self._told += 1
        return True

    def _page(self, run_id: str) -> str | None:
        return f"{self._settings.ui_url.rstrip('/')}/runs/{run_id}" if self._settings.ui_url else None

    def ended(self) -> dg.SkipReason:
        """Say what was done. Raises `AlertError` where nobody could be told of anything: the tick counts as failed.

        After a partial success it does not, because a failed tick forgets its cursor and would tell it all again.
        """
        if self._errors and not self._told:
            raise self._errors[0]
        return dg.SkipReason(" ".join([f"{self._told} new alerts.", *map(str, self._errors)]))


@dg.sensor(
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="One alert per incident: a run of any job failed, why, for which accounts, and what to do.",
)
def run_failures(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell of every failed run that was not told of; what could not be told at all is tried again at the next tick.

    Not a `run_failure_sensor`: that one passes over a run whose alert could not be delivered.
    """
    told = _Telling(context.log)
    for record in incidents.untold_failures(context.instance, datetime.now(UTC)):
        incident = incidents.incident_of(context.instance, record.dagster_run)
        earlier = incidents.told_before(context.instance, incident, incidents.ended_at(record))
        if earlier:
            incidents.mark(context.instance, incident, f"told already of run {earlier}")
        elif told.tell(incident.alert()):
            incidents.mark(context.instance, incident, incidents.TOLD)
    return told.ended()


@dg.sensor(
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="One alert per asset check that fails as an error, until it passes again.",
)
def check_failures(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Tell of checks that have begun to fail; a run whose checks fail succeeds, so `run_failures` does not see it.

    The cursor holds the checks that were told of. Raises `AlertError` and tries again where nobody could be told.
    """
    if context.repository_def is None:
        raise RuntimeError("the sensor needs its repository to know the checks")
    known = set(json.loads(context.cursor or "[]"))
    keys = sorted(context.repository_def.asset_graph.asset_check_keys)
    latest = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    passing = {_named(record) for record in latest.values() if not (_is_failing(record) or _is_planned(record))}
    failing = [record for record in latest.values() if _is_failing(record) and _named(record) not in known]
    known -= passing
    told = _Telling(context.log)
    for run_id, records in groupby(sorted(failing, key=lambda each: each.run_id), key=lambda each: each.run_id):
        group = sorted(records, key=_named)
        if told.tell(_check_alert(run_id, group)):
            known |= {_named(record) for record in group}
    return dg.SensorResult(skip_reason=told.ended().skip_message, cursor=json.dumps(sorted(known)))


def _is_planned(record: CheckRecord) -> bool:
    return record.status is CheckStatus.PLANNED


def _is_failing(record: CheckRecord) -> bool:
    evaluation = record.evaluation if record.status is CheckStatus.FAILED else None
    return evaluation is not None and evaluation.severity is dg.AssetCheckSeverity.ERROR


def _named(record: CheckRecord) -> str:
    return f"{record.key.asset_key.to_user_string()}.{record.key.name}"


def _check_alert(run_id: str, records: Sequence[CheckRecord]) -> Alert:
    names = ", ".join(_named(record) for record in records)
    causes: list[str] = []
    remedies: dict[str, None] = {}
    accounts: set[str] = set()
    for record in records:
        evaluation = record.evaluation
        facts = {name: str(value.value) for name, value in evaluation.metadata.items()} if evaluation else {}
        summary = (evaluation.description or "" if evaluation else "").partition(" To recover: ")[0]
        causes.append(f"{_named(record)}: {summary}\n{facts.get('sample', '')}".strip())
        remedies[facts.get("how to recover", "look at the check in the UI.")] = None
        accounts |= set(filter(None, facts.get("accounts", "").split(", ")))
    return Alert(
        title=f"{'A check fails' if len(records) == 1 else f'{len(records)} checks fail'}: {names}",
        cause="\n\n".join(causes),
        remedy=" ".join(remedies),
        run_id=run_id,
        accounts=tuple(sorted(accounts)),
    )


ALARMS = [run_failures, check_failures]
