"""How the tables came about: syncs, proofs, rejected rows, requests, the change feed and the keys for credentials."""

from datetime import timedelta

from django.utils import timezone

from tasty_django import conf, vocabulary
from tasty_django.models.base import Provenance, ReadOnlyModel
from tasty_django.models.fields import day, instant, json_value, key, text, whole
from tasty_django.querysets import Changes, ProvenDays, RejectedRows, RequestRows, Rows, SyncEntries

# the pipeline looks every few seconds; whoever waits longer waits for a pipeline that does not run
LONGEST_QUEUED = timedelta(seconds=15)


class SyncLog(Provenance):
    """One sync of one table of one account that published or failed."""

    sync_id = key("Unique id of this entry.")
    connection = text("The login that was used.")
    environment = text("production, sandbox or the host that was read.")
    account_number = text("The account; empty for the list of accounts itself.")
    table_name = text("The table that was synchronised.", choices=vocabulary.MIRRORED)
    window_start = day("First day that was proven; null where days play no part.", null=True)
    window_end = day("Last day that was proven.", null=True)
    result = text("published or failed.", choices=vocabulary.SYNC_RESULTS)
    rows_read = whole("Distinct rows in the answer.")
    rows_inserted = whole("Rows that are new.")
    rows_updated = whole("Rows that differ from before.")
    rows_removed = whole("Rows marked removed, or gone from positions.")
    rows_rejected = whole("Rows in rejected_rows.")
    digest = text("BLAKE2b over the days of the window, or over the rows.", null=True)
    windows = json_value("Date windows as requested, with the totals that the API gave.", null=True)
    requests = whole("HTTP requests made for it.")
    retries = whole("Requests that were repeated.")
    throttled = whole("Answers 429.")
    read_started_at = instant("Before the first request.")
    read_ended_at = instant("After the last answer.", null=True)
    error = text("Why it failed, without credentials.", null=True)

    objects: "SyncEntries[SyncLog]" = SyncEntries.as_manager()

    class Meta(Provenance.Meta):
        """Its view."""

        db_table = conf.view("sync_log")
        get_latest_by = ("read_started_at", "sync_id")

    def __str__(self) -> str:
        return f"{self.table_name} of {self.account_number or 'the login'}: {self.result}"


class ProvenDay(Provenance):
    """What was last proven of a day."""

    id = key("The key of the row as one text: its parts, joined by |.")
    account_number = text("The account.")
    table_name = text("The table that holds the rows.", choices=vocabulary.MIRRORED)
    day = day("Trade date.")
    row_count = whole("Rows that the API lists for the day, those that stand rejected included.")
    digest = text("BLAKE2b of those rows in canonical form, ordered by key; empty where rows came or went since.")

    objects: "ProvenDays[ProvenDay]" = ProvenDays.as_manager()

    class Meta(Provenance.Meta):
        """Its view."""

        db_table = conf.view("proven_days")
        get_latest_by = ("day", "id")

    def __str__(self) -> str:
        return f"{self.table_name} of {self.account_number} on {self.day}"


class RejectedRow(Provenance):
    """A row of the API that did not fit the contract."""

    id = key("The key of the row as one text: its parts, joined by |.")
    account_number = text("The account that was read.")
    table_name = text("The table that it was meant for.", choices=vocabulary.MIRRORED)
    payload_digest = text("BLAKE2b of the payload in canonical form.")
    row_key = text("The row's key, where it could be read.", null=True)
    window_start = day("First day that a read must cover to settle it; null where days play no part.", null=True)
    window_end = day("Last day that a read must cover to settle it.", null=True)
    reason = text("What did not fit.")
    payload = json_value("The row as the API sent it.")
    resolved_at = instant("When a later answer no longer held the bad row.", null=True)

    objects: "RejectedRows[RejectedRow]" = RejectedRows.as_manager()

    class Meta(Provenance.Meta):
        """Its view."""

        db_table = conf.view("rejected_rows")
        get_latest_by = ("synced_at", "id")

    def __str__(self) -> str:
        return f"{self.table_name} of {self.account_number}: {self.reason}"


class SyncRequest(ReadOnlyModel):
    """What a user asked to synchronise, and how far it has come."""

    request_id = key("Unique id, chosen by the application.")
    owner = text("The user whose connections are to be synchronised.")
    requested_at = instant("When it was asked for.")
    state = text("queued, running, done or failed.", choices=vocabulary.REQUEST_STATES)
    run_id = text("The Dagster run that works on it.", null=True)
    started_at = instant("When the run began.", null=True)
    ended_at = instant("When it was done or failed.", null=True)
    progress = json_value("By table: state (queued, running, done, failed), rows_read, rows_written.", null=True)
    error = text("Why it failed, without credentials.", null=True)

    objects: "RequestRows[SyncRequest]" = RequestRows.as_manager()

    class Meta(ReadOnlyModel.Meta):
        """Its view."""

        db_table = conf.view("sync_requests")
        get_latest_by = ("requested_at", "request_id")

    def __str__(self) -> str:
        return f"{self.owner}: {self.state}"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self.state in {"queued", "running"}

    @property
    def waiting(self) -> bool:
        """Whether it has been queued for so long that the pipeline may not be running."""
        return self.state == "queued" and timezone.now() - self.requested_at > LONGEST_QUEUED


class Change(ReadOnlyModel):
    """A row that a publication wrote."""

    sequence = whole("1, 2, 3 ...: whoever has seen n has missed nothing before it.", primary_key=True)
    table_name = text("The table.", choices=vocabulary.MIRRORED)
    account_number = text("The account of the row.")
    row_key = json_value("The row's key, by column.")
    kind = text("insert, update or remove.", choices=vocabulary.CHANGE_KINDS)
    changed_at = instant("When it was published.")
    run_id = text("The run that published it.")

    objects: "Changes[Change]" = Changes.as_manager()

    class Meta(ReadOnlyModel.Meta):
        """Its view."""

        db_table = conf.view("changes")
        get_latest_by = "sequence"

    def __str__(self) -> str:
        return f"{self.sequence}: {self.kind} in {self.table_name}"


class SealingKey(ReadOnlyModel):
    """The public half of a key pair of the pipeline."""

    key_id = key("Its name, which stands in everything that was sealed with it.")
    public_key = text("The public key of a libsodium sealed box, base64.")
    created_at = instant("When the pair was made.")
    retired_at = instant("Since when a newer one is used instead.", null=True)

    objects: "Rows[SealingKey]" = Rows.as_manager()

    class Meta(ReadOnlyModel.Meta):
        """Its view."""

        db_table = conf.view("sealing_keys")
        get_latest_by = ("created_at", "key_id")

    def __str__(self) -> str:
        return self.key_id
