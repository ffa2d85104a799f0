"""The list of accounts of a login."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa

from tasty_pipeline.core import payloads, publish, schema
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.core.payloads import Row
from tasty_pipeline.core.publish import Answer, SyncResult
from tasty_pipeline.core.sync.base import (
    Sync,
    agreed,
    gone_from,
    logged,
    mass_removal,
    refuse_doubles,
    refuse_moved,
    unless_stale,
)


async def listed_accounts(sync: Sync) -> list[str]:
    """Return the numbers of all accounts that the login lists.

    Raises `IncompleteAnswerError` where it lists none, or lacks one that we hold: a run over what is left would look
    like a whole one.
    """
    async with logged(sync, schema.accounts.name, "") as measured:
        return await _listed(measured)


async def _listed(sync: Sync) -> list[str]:
    listed = [str(payloads.account_payload(item).get("account-number")) for item in await sync.broker.accounts()]
    if not listed:
        raise IncompleteAnswerError("The login lists no account at all.", "run it again; nothing was changed.")
    table = schema.accounts
    with sync.warehouse.read() as reader:
        held = reader.rows(sa.select(table.c.account_number).where(*publish.live_rows(table, "")))
    missing = sorted({row["account_number"] for row in held} - set(listed))
    if missing:
        raise IncompleteAnswerError(
            f"The login no longer lists {', '.join(missing)}.",
            "run it again. If the account is really gone, materialize accounts with confirm_mass_removal: true; the "
            "other assets go on from there.",
        )
    return listed


async def sync_accounts(sync: Sync) -> SyncResult:
    """Bring the list of accounts, closed ones too, into agreement with the broker; raises as the others do."""
    table = schema.accounts

    async def answer_once() -> Answer:
        started = datetime.now(UTC)
        items = await sync.broker.accounts()
        parsed = payloads.parse(table, [payloads.account_payload(item) for item in items])
        refuse_doubles(table, "the login", parsed)
        return Answer(parsed=parsed, started_at=started, ended_at=datetime.now(UTC))

    def missing_from(answer: Answer) -> list[Row]:
        with sync.warehouse.read() as reader:
            return gone_from(reader, table, "", answer)

    async def once() -> SyncResult:
        answer, gone = await agreed(answer_once, missing_from)
        if gone and not sync.run.confirm_removal:
            with sync.warehouse.read() as reader:
                stored = publish.count_live(reader, table)
            # closed accounts stay listed: one that is no longer listed is never routine
            raise mass_removal(table.name, "", len(gone), stored)
        return _publish_accounts(measured, answer, gone)

    async with logged(sync, table.name, "") as measured:
        return replace(await unless_stale(once), meter=measured.used())


def _publish_accounts(sync: Sync, answer: Answer, gone: Sequence[Row]) -> SyncResult:
    run, table = sync.run, schema.accounts
    with publish.transaction(sync.warehouse, run, table.name) as writer:
        publish.refuse_other_environment(writer, run)
        publish.refuse_stale(writer, table, "", answer)
        refuse_moved(writer, table, "", answer, gone)
        merged = writer.merge(table, publish.stage_answer(writer, table, run, answer))
        result = SyncResult(
            table=table.name,
            account="",
            read=len(answer.parsed.rows),
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            removed=publish.mark_removed(writer, table, run, answer, gone),
            rejected=publish.record_rejects(writer, table, run, "", answer),
        )
        publish.audit_whole(writer, table, "", answer)
        digest = rows_digest(table, answer.parsed.rows)
        entry = publish.log_entry(run, table.name, "", answer, result, digest=digest, meter=sync.used())
        writer.insert(schema.sync_log, [entry])
    return result
