"""What a failed run failed of, and whether that was told before: read from Dagster's own records, and kept there.

A failed run is tagged once it was dealt with: `tasty/incident` names what failed (job, kinds of error, accounts) and
`tasty/alert` says what was done about it. No other state is kept, so that a restart of the daemon, a moved working
directory or a second look at the same run tells nothing twice. Delivering is in core.alerts, looking in sensors.py.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord  # what the public get_run_records returns
from dagster_shared.error import SerializableErrorInfo  # what failure events hold

from tasty_pipeline.core.alerts import Alert
from tasty_pipeline.jobs import ACCOUNTS_TAG

INCIDENT_TAG, ALERT_TAG = "tasty/incident", "tasty/alert"
TOLD = "told"
# one and the same cause is told again after this long
REMINDER = timedelta(hours=6)
# a daemon that was down for longer need not tell what was
LOOK_BACK = timedelta(hours=24)
_ALL = "all of the login"
_REMEDY = " What to do: "
_UNFORESEEN = "open the run's page: its log has the whole trace. An error without advice is a fault of this package."


@dataclass(frozen=True)
class Cause:
    """One reason why a run failed. No `accounts` means all of the login."""

    kind: str
    what: str
    remedy: str
    accounts: tuple[str, ...] = ()
    step: str = ""


@dataclass(frozen=True)
class Incident:
    """A failed run and its reasons."""

    run: dg.DagsterRun
    causes: tuple[Cause, ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that failed; none means all that the run was for."""
        named = {account for cause in self.causes for account in cause.accounts}
        chosen = self.run.tags.get(ACCOUNTS_TAG, "")
        return tuple(sorted(named)) or tuple(filter(None, chosen.split(", ")))

    @property
    def key(self) -> str:
        """The same for every run of the job whose same steps fail of the same kinds of error at the same accounts."""
        kinds = sorted({f"{cause.step} {cause.kind}" for cause in self.causes})
        told = "\n".join([self.run.job_name, *kinds, *self.accounts])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def alert(self) -> Alert:
        """Word the alert."""
        return Alert(
            title=f"{subject(self.run)} failed: {self.causes[0].what}",
            cause="\n".join(f"{cause.kind}: {cause.what}" for cause in self.causes),
            remedy=" ".join(dict.fromkeys(cause.remedy for cause in self.causes)),
            run_id=self.run.run_id,
            accounts=self.accounts,
        )


def subject(run: dg.DagsterRun) -> str:
    """Name a run as a person would: by its job, or by its assets where it was started by hand."""
    if not run.job_name.startswith("__"):
        return run.job_name
    chosen = sorted(key.to_user_string() for key in run.asset_selection or ())
    return f"A run of {', '.join(chosen)}" if chosen else "A run"


def incident_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Incident:
    """Read from a failed run's events why it failed."""
    causes = dict.fromkeys(_causes(instance, run.run_id))
    return Incident(run, tuple(causes) or (Cause("RunFailure", "The run ended without saying why.", _UNFORESEEN),))


def _causes(instance: dg.DagsterInstance, run_id: str) -> Iterator[Cause]:
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    found = instance.get_records_for_run(run_id, of_type=kinds).records
    events = [event for record in found if (event := record.event_log_entry.dagster_event)]
    steps = [event for event in events if event.is_step_failure]
    for event in steps:
        data = event.step_failure_data
        if data.user_failure_data:
            told = _told_by(data.user_failure_data.description or "", data.user_failure_data.metadata)
            yield replace(told, step=event.step_key or "")
        elif data.error:
            yield replace(_unforeseen(data.error), step=event.step_key or "")
    for event in [] if steps else events:
        error = event.job_failure_data.error
        yield _unforeseen(error) if error else Cause("RunFailure", event.message or "It failed.", _UNFORESEEN)


def _told_by(description: str, metadata: Mapping[str, dg.MetadataValue[Any]]) -> Cause:
    """Read a failure that this package raised itself: an asset's has metadata, a check's only its sentence."""
    facts = {name: str(value.value) for name, value in metadata.items()}
    what, _, remedy = description.partition(_REMEDY)
    accounts = facts.get("accounts", _ALL)
    return Cause(
        kind=facts.get("kind", "Failure"),
        what=facts.get("what happened", what),
        remedy=facts.get("what to do", remedy or _UNFORESEEN),
        accounts=() if accounts == _ALL else tuple(accounts.split(", ")),
    )


def _unforeseen(error: SerializableErrorInfo) -> Cause:
    """Find the error that says what to do among an error's causes; otherwise quote the innermost."""
    while _REMEDY not in error.message and error.cause:
        error = error.cause
    # Python words it as "module.Class: message"
    message = error.message.strip()
    what, _, remedy = (message.partition(": ")[2] or message).partition(_REMEDY)
    return Cause(error.cls_name or "Error", what, remedy or _UNFORESEEN)


def untold_failures(instance: dg.DagsterInstance, now: datetime) -> list[RunRecord]:
    """Return the failed runs of the last day that nothing was done about, in the order in which they failed."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - LOOK_BACK)
    since = (now - LOOK_BACK).timestamp()
    records = [
        record
        for record in instance.get_run_records(failed)
        # the time of the update is set by tags too, the time of the end is not
        if ALERT_TAG not in record.dagster_run.tags and ended_at(record) >= since
    ]
    return sorted(records, key=ended_at)


def told_before(instance: dg.DagsterInstance, incident: Incident, failed_at: float) -> str | None:
    """Return the run whose alert speaks for this failure too: same incident, not long ago, no success in between."""
    job = incident.run.job_name
    tags = {INCIDENT_TAG: incident.key, ALERT_TAG: TOLD}
    for earlier in instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=1):
        told_at = ended_at(earlier)
        if failed_at - told_at < REMINDER.total_seconds() and not _succeeded(instance, job, told_at, failed_at):
            return earlier.dagster_run.run_id
    return None


def mark(instance: dg.DagsterInstance, incident: Incident, done: str) -> None:
    """Write on the run what was done about it, so that it is not done again."""
    instance.add_run_tags(incident.run.run_id, {INCIDENT_TAG: incident.key, ALERT_TAG: done})


def ended_at(record: RunRecord) -> float:
    """Return when a run ended, in seconds since 1970."""
    return record.end_time or record.update_timestamp.timestamp()


def _succeeded(instance: dg.DagsterInstance, job: str, after: float, before: float) -> bool:
    done = dg.RunsFilter(
        job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=datetime.fromtimestamp(after, UTC)
    )
    records: Sequence[RunRecord] = instance.get_run_records(done)
    return any(after < ended_at(record) < before for record in records)
