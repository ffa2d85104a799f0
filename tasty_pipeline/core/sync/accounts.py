"""The list of accounts of one login: the accounts, and which of them the login sees."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import arrow, payloads, publish, schema
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import AuditError, IncompleteAnswerError
from tasty_pipeline.core.payloads import Parsed, Row
from tasty_pipeline.core.publish import Answer, SyncResult
from tasty_pipeline.core.sync.base import (
    Sync,
    agreed,
    logged,
    mass_removal,
    refuse_doubles,
    unless_stale,
)
from tasty_pipeline.core.warehouse import Reader, Writer


@dataclass(frozen=True)
class _Listing:
    """One answer about a login's accounts, and what it says of the login itself."""

    accounts: Answer
    login: Parsed

    def numbers(self) -> set[str] | None:
        """Return the numbers of all that is listed, bad rows too; None where one of them cannot be read."""
        bad = [payloads.key_of_payload(schema.accounts, each.payload) for each in self.accounts.rejected]
        if None in bad:
            return None
        return _numbers(self.accounts) | {key[0] for key in bad if key}


async def listed_accounts(sync: Sync) -> list[str]:
    """Return the numbers of all accounts that the login lists.

    Raises `IncompleteAnswerError` where it lists none, or lacks one that it had: a run over what is left would look
    like a whole one.
    """
    async with logged(sync, schema.accounts.name, "") as measured:
        return await _listed(measured)


async def _listed(sync: Sync) -> list[str]:
    listed = [str(payloads.account_payload(item).get("account-number")) for item in await sync.broker.accounts()]
    if not listed:
        raise IncompleteAnswerError("The login lists no account at all.", "run it again; nothing was changed.")
    with sync.warehouse.read() as reader:
        missing = sorted(_held(reader, sync.run.connection) - set(listed))
    if missing:
        raise IncompleteAnswerError(
            f"The login no longer lists {', '.join(missing)}.",
            "run it again. If the account is really gone, materialize accounts with confirm_mass_removal: true; the "
            "other assets go on from there.",
        )
    return listed


async def sync_accounts(sync: Sync) -> SyncResult:
    """Bring a login's list of accounts, closed ones too, into agreement with the broker; raises as the others do.

    An account that this login no longer lists is marked removed only where no other one lists it.
    """

    async def once() -> SyncResult:
        listing, gone = await agreed(lambda: _read(sync), missing_from)
        if gone and not sync.run.confirm_removal:
            with sync.warehouse.read() as reader:
                stored = len(_held(reader, sync.run.connection))
            # closed accounts stay listed: one that is no longer listed is never routine
            raise mass_removal(schema.accounts.name, "", len(gone), stored)
        return _publish(measured, listing, gone)

    def missing_from(listing: _Listing) -> list[Row]:
        with sync.warehouse.read() as reader:
            return _gone(reader, sync.run.connection, listing)

    async with logged(sync, schema.accounts.name, "") as measured:
        return replace(await unless_stale(once), meter=measured.used())


async def _read(sync: Sync) -> _Listing:
    started = datetime.now(UTC)
    items = await sync.broker.accounts()
    parsed = payloads.parse(schema.accounts, map(payloads.account_payload, items))
    refuse_doubles(schema.accounts, "the login", parsed)
    login = payloads.parse(schema.connection_accounts, map(payloads.listing_payload, items))
    # an item without a readable number stands rejected already
    more = [bad for bad in login.rejected if payloads.key_of_payload(schema.accounts, bad.payload) is not None]
    answer = Answer(
        rows=parsed.table, rejected=(*parsed.rejected, *more), started_at=started, ended_at=datetime.now(UTC)
    )
    return _Listing(answer, login)


def _numbers(answer: Answer) -> set[str]:
    return set(answer.keys(schema.accounts)["account_number"].to_pylist())


def _held(reader: Reader, connection: str) -> set[str]:
    """Return the accounts that a connection was last seen to list."""
    held = schema.connection_accounts
    query = sa.select(held.c.account_number).where(held.c.connection_id == connection, held.c.removed_at.is_(None))
    return {row["account_number"] for row in reader.rows(query)}


def _gone(reader: Reader, connection: str, listing: _Listing) -> list[Row]:
    numbers = listing.numbers()
    gone = set() if numbers is None else _held(reader, connection) - numbers
    return [{"account_number": number} for number in sorted(gone)]


def _publish(sync: Sync, listing: _Listing, gone: Sequence[Row]) -> SyncResult:
    run, table, answer = sync.run, schema.accounts, listing.accounts
    with publish.transaction(sync.warehouse, run, table.name) as writer:
        publish.refuse_other_environment(writer, run, _numbers(answer))
        publish.refuse_stale(writer, table, "", answer)
        if _gone(writer, run.connection, listing) != gone:
            raise publish.stale_read(table, "")
        merged = writer.merge(table, publish.stage_answer(writer, table, run, answer))
        _list(writer, sync, listing, gone)
        result = SyncResult(
            table=table.name,
            account="",
            read=answer.rows.num_rows,
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            removed=publish.mark_removed(writer, table, run, _unlisted(writer, gone), answer.read),
            rejected=publish.record_rejects(writer, table, run, "", answer),
        )
        _audit(writer, run.connection, answer)
        digest = rows_digest(table, answer.rows)
        entry = publish.log_entry(run, table.name, "", answer, result, digest=digest, meter=sync.used())
        writer.insert(schema.sync_log, [entry])
    return result


def _list(writer: Writer, sync: Sync, listing: _Listing, gone: Iterable[Mapping[str, Any]]) -> None:
    """Write which accounts the login sees, and what it may do there."""
    run, table, answer = sync.run, schema.connection_accounts, listing.accounts
    told = {row["account_number"]: row["authority_level"] for row in listing.login.rows}
    common = {"connection_id": run.connection, "synced_at": answer.started_at, "run_id": run.run_id}
    rows = [
        {**common, "account_number": number, "authority_level": told.get(number)} for number in sorted(_numbers(answer))
    ]
    writer.merge(table, writer.stage(table, rows))
    left = [row["account_number"] for row in gone]
    writer.execute(
        sa.update(table)
        .where(table.c.connection_id == run.connection, table.c.account_number.in_(left), table.c.removed_at.is_(None))
        .values(removed_at=answer.ended_at, synced_at=answer.started_at, run_id=run.run_id)
    )


def _unlisted(reader: Reader, gone: Sequence[Row]) -> pa.Table:
    """Return the keys of those accounts that no connection lists any more."""
    held = schema.connection_accounts
    numbers = [row["account_number"] for row in gone]
    query = sa.select(held.c.account_number).where(held.c.account_number.in_(numbers), held.c.removed_at.is_(None))
    listed = {row["account_number"] for row in reader.rows(query)}
    left = [row for row in gone if row["account_number"] not in listed]
    return arrow.to_arrow(schema.accounts, left, ["account_number"])


def _audit(writer: Writer, connection: str, answer: Answer) -> None:
    """Raise `AuditError`, which rolls everything back, where what the login lists is not what is now stored for it."""
    table = schema.accounts
    numbers = _numbers(answer)
    live = sa.select(table.c.account_number).where(
        table.c.account_number.in_(sorted(numbers)), *publish.live_rows(table, "")
    )
    stored = {row["account_number"] for row in writer.rows(live)}
    held = _held(writer, connection)
    surplus = held - numbers
    if stored != numbers or not numbers <= held or (surplus and not answer.rejected):
        raise AuditError(
            f"accounts of {connection}: after the merge {len(stored)} would be stored and {len(held)} listed, and "
            f"{len(numbers)} were read.",
            "nothing was written; run it again, and report it with this message if it repeats.",
        )
