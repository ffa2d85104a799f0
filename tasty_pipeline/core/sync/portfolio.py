"""Positions and balances of one account: one state, read and published together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import payloads, publish, schema
from tasty_pipeline.core.broker import Broker
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.core.payloads import Parsed, Row
from tasty_pipeline.core.publish import Answer, SyncResult
from tasty_pipeline.core.sync.base import (
    TRIES,
    Sync,
    agreed,
    gone_from,
    logged,
    mass_removal,
    refuse_doubles,
    refuse_moved,
    unless_stale,
)
from tasty_pipeline.core.warehouse import Reader, Writer

# Positions do close many at a time, so only a landslide or a contradiction is suspect.
POSITIONS_ROWS, POSITIONS_SHARE = 20, 0.5


@dataclass(frozen=True)
class _Portfolio:
    """What an account holds: two equal readings of the positions, and the balances between them."""

    positions: Answer
    balances: Answer


async def sync_portfolio(sync: Sync, account: str) -> tuple[SyncResult, SyncResult]:
    """Bring an account's positions and balances, read together, into agreement with the broker; publish both at once.

    The balances are taken between two equal readings of the positions, so that they belong to one state. Raises
    `IncompleteAnswerError` where the positions change with every reading, and as `sync_transactions` does.
    """

    def currencies_missing_from(state: _Portfolio) -> pa.Table:
        with sync.warehouse.read() as reader:
            return gone_from(reader, schema.balances, account, state.balances)

    async def once() -> tuple[SyncResult, SyncResult]:
        # a state holds two readings of the positions, but only one of the balances
        state, gone = await agreed(lambda: _read_portfolio(sync.broker, account), currencies_missing_from)
        return _publish(measured, account, state, gone)

    async with logged(sync, "positions", account) as measured:
        positions, balances = await unless_stale(once)
        return replace(positions, meter=measured.used()), balances


def _publish(sync: Sync, account: str, state: _Portfolio, gone_balances: pa.Table) -> tuple[SyncResult, SyncResult]:
    run, positions, balances = sync.run, schema.positions, schema.balances
    with publish.transaction(sync.warehouse, run, f"portfolio/{account}") as writer:
        publish.refuse_other_environment(writer, run)
        publish.refuse_stale(writer, positions, account, state.positions)
        publish.refuse_stale(writer, balances, account, state.balances)
        refuse_moved(writer, balances, account, state.balances, gone_balances)
        gone = gone_from(writer, positions, account, state.positions)
        if gone.num_rows and not run.confirm_removal:
            _refuse_landslide(writer, sync, account, gone, state.balances.rows)
        return (
            _publish_table(writer, sync, positions, account, state.positions, gone),
            _publish_table(writer, sync, balances, account, state.balances, gone_balances),
        )


def _publish_table(
    writer: Writer, sync: Sync, table: sa.Table, account: str, answer: Answer, gone: pa.Table
) -> SyncResult:
    run = sync.run
    merged = writer.merge(table, publish.stage_answer(writer, table, run, answer))
    result = SyncResult(
        table=table.name,
        account=account,
        read=answer.rows.num_rows,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        removed=publish.delete_gone(writer, table, gone),
        rejected=publish.record_rejects(writer, table, run, account, answer),
        left_out=answer.left_out,
    )
    publish.audit_whole(writer, table, account, answer)
    digest = rows_digest(table, answer.rows)
    entry = publish.log_entry(run, table.name, account, answer, result, digest=digest, meter=sync.used())
    writer.insert(schema.sync_log, [entry])
    return result


async def _read_portfolio(broker: Broker, account: str) -> _Portfolio:
    started = datetime.now(UTC)
    before = _told(await broker.positions(account))
    for _ in range(TRIES):
        next_started = datetime.now(UTC)
        money = payloads.parse(schema.balances, await broker.balances(account))
        raw = await broker.positions(account)
        after = _told(raw)
        if before == after:
            held = payloads.parse(schema.positions, raw, leave_out=payloads.closed_today)
            return _portfolio(account, held, money, started)
        before, started = after, next_started
    raise IncompleteAnswerError(
        f"The positions of {account} changed between every two of {TRIES + 1} readings.",
        "run it again when fewer orders fill; the rows of the last sync are untouched.",
    )


def _portfolio(account: str, held: Parsed, money: Parsed, started: datetime) -> _Portfolio:
    refuse_doubles(schema.positions, account, held)
    refuse_doubles(schema.balances, account, money)
    if not money.table.num_rows and not money.rejected:
        raise IncompleteAnswerError(
            f"The balances of {account} came back empty.", "run it again; every account has a balance."
        )
    ended = datetime.now(UTC)
    return _Portfolio(
        _answer(held, started, ended),
        _answer(money, started, ended),
    )


def _answer(parsed: Parsed, started: datetime, ended: datetime) -> Answer:
    return Answer(
        rows=parsed.table, rejected=parsed.rejected, left_out=parsed.left_out, started_at=started, ended_at=ended
    )


def _told(raw: Sequence[Row]) -> list[str]:
    """Return what must be equal for two readings to show one state; marks may move meanwhile."""
    names = ("symbol", "instrument-type", "quantity", "quantity-direction", "average-open-price")
    return sorted(repr([str(row.get(name)) for name in names]) for row in raw)


def _refuse_landslide(writer: Reader, sync: Sync, account: str, gone: pa.Table, money: pa.Table) -> None:
    """Raise `MassRemovalError` where many positions vanish, or all, without a reason.

    Reasons are the contract's expiry, and, for all at once, balances that were read with them and hold nothing either.
    """
    table = schema.positions
    stored = publish.count_live(writer, table, account)
    expired = sa.select(table.c.symbol).where(*publish.live_rows(table, account), table.c.expires_at <= sync.run.now())
    gone_by_expiry = {row["symbol"] for row in writer.rows(expired)}
    unexplained = sum(symbol not in gone_by_expiry for symbol in gone["symbol"].to_pylist())
    emptied = gone.num_rows == stored
    if emptied and _holds_nothing(money):
        return
    if unexplained and (emptied or unexplained > max(POSITIONS_ROWS, POSITIONS_SHARE * stored)):
        raise mass_removal("positions", account, gone.num_rows, stored)


def _holds_nothing(money: pa.Table) -> bool:
    rows = money.to_pylist()
    names = [name for name in money.column_names if name.startswith(("long_", "short_")) and name.endswith("_value")]
    told = [row[name] for row in rows for name in names if row[name] is not None]
    # a wiped sandbox has no money either; somebody who closed everything has
    has_money = any(row["cash_balance"] or row["net_liquidating_value"] for row in rows)
    return bool(told) and not any(told) and has_money
