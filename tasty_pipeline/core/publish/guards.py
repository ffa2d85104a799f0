"""What refuses to publish: another environment's data, a read that was overtaken, a table that is not the answer.

Whether too much is missing is decided before the transaction, in `core.sync`.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import AuditError, ConfigurationError, StaleReadError
from tasty_pipeline.core.publish.base import Answer, Run, has_keyless, live_rows, not_rejected, same_key
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.warehouse import Reader, Writer

# what clocks of machines that ask one time server may differ by
_SKEW = timedelta(seconds=5)
# the broker's own two: both may stand in one warehouse, on accounts and logins of their own
BROKERS = frozenset({"production", "sandbox"})


def refuse_other_environment(reader: Reader, run: Run, accounts: Collection[str] = ()) -> None:
    """Raise `ConfigurationError` where the tables hold another environment's data (simulator, sandbox, production).

    A simulator's data stand alone. Production and the sandbox may stand side by side, but never under one connection
    or, where `accounts` are named, as one account.
    """
    log = schema.sync_log
    # not `!=`, for which no database looks into an index
    differs = sa.or_(log.c.environment < run.environment, log.c.environment > run.environment)
    other = [log.c.result == "published", differs]
    found = {row["environment"] for row in reader.rows(sa.select(log.c.environment).where(*other).distinct())}
    if found and found | {run.environment} <= BROKERS:
        mine = sa.or_(log.c.connection == run.connection, log.c.account_number.in_(sorted(accounts)))
        found = {row["environment"] for row in reader.rows(sa.select(log.c.environment).where(*other, mine).limit(1))}
    if found:
        raise ConfigurationError(
            f"This warehouse holds data read from {min(found)}, and this session reads {run.environment}.",
            "point TASTY_WAREHOUSE_URL at another database; real, sandbox and simulated accounts are never mixed.",
        )


def stale_read(table: sa.Table, account: str) -> StaleReadError:
    """Return the error that makes a sync read again."""
    return StaleReadError(
        f"{table.name} of {account or 'the login'}: another run that read later has published already.",
        "run it again if it does not repeat by itself; the newer rows are in place.",
    )


def refuse_stale(writer: Writer, table: sa.Table, account: str, answer: Answer) -> None:
    """Raise `StaleReadError` where a read that began later has already published rows of the same window."""
    log = schema.sync_log
    newer_read = sa.select(sa.func.count()).where(*_newer_reads(table, account, answer))
    newer_row = sa.select(sa.func.count()).where(table.c.synced_at > answer.started_at)
    if account:
        newer_row = newer_row.where(table.c.account_number == account)
    if answer.start is not None and answer.end is not None:
        newer_read = newer_read.where(log.c.window_start <= answer.end, log.c.window_end >= answer.start)
        newer_row = newer_row.where(table.c[DAY[table.name]].between(answer.start, answer.end))
    if writer.scalar(newer_read) or writer.scalar(newer_row):
        _read_again(writer, table, account)


def _newer_reads(table: sa.Table, account: str, answer: Answer) -> tuple[sa.ColumnElement[bool], ...]:
    return *_published(table, account), schema.sync_log.c.read_started_at > answer.started_at


def _published(table: sa.Table, account: str) -> tuple[sa.ColumnElement[bool], ...]:
    log = schema.sync_log
    return log.c.table_name == table.name, log.c.account_number == account, log.c.result == "published"


def _read_again(writer: Writer, table: sa.Table, account: str) -> NoReturn:
    """Raise `StaleReadError`, or `ConfigurationError` where what was read later is later than now.

    Then a clock is wrong, and no retry helps.
    """
    started = schema.sync_log.c.read_started_at
    newest = writer.scalar(sa.select(sa.func.max(started)).where(*_published(table, account)))
    if newest is not None and newest > datetime.now(UTC) + _SKEW:
        raise ConfigurationError(
            f"{table.name} of {account or 'the login'} were read at {newest:%Y-%m-%d %H:%M:%S} UTC, and by this "
            "machine's clock that is in the future.",
            "set the clocks of all machines that run the pipeline by one time server. If it was the other clock that "
            "was wrong, nothing of this table is published before that time, unless read_started_at in tasty.sync_log "
            "and synced_at in the table are set back to now.",
        )
    raise stale_read(table, account)


def refuse_overtaken(writer: Writer, table: sa.Table, staged: sa.Table, account: str, answer: Answer) -> None:
    """Raise `StaleReadError` where a later read has moved a row of this answer's window to a day outside of it.

    `refuse_stale` looks at the window and cannot see it; merged as it is, the row would be proven and not be there.
    """
    overtaken = (
        sa.select(sa.func.count())
        .select_from(table.join(staged, same_key(table, table, staged)))
        .where(table.c.synced_at > answer.started_at, staged.c[DAY[table.name]].between(answer.start, answer.end))
    )
    if writer.scalar(overtaken):
        _read_again(writer, table, account)


def refuse_overtaken_days(
    writer: Writer, table: sa.Table, account: str, answer: Answer, touched: Collection[date]
) -> None:
    """Raise `StaleReadError` where a merge wrote to days outside its window of which a later read has published.

    That one may have found a row there as it was stored, or not at all: then no `synced_at` is later than this read.
    """
    if not touched:
        return
    log = schema.sync_log
    newer = sa.select(log.c.window_start, log.c.window_end).where(
        *_newer_reads(table, account, answer), log.c.window_start <= max(touched), log.c.window_end >= min(touched)
    )
    if any(row["window_start"] <= day <= row["window_end"] for row in writer.rows(newer) for day in touched):
        _read_again(writer, table, account)


def audit_whole(writer: Writer, table: sa.Table, account: str, answer: Answer) -> None:
    """Raise `AuditError`, which rolls everything back, where the live rows are not now the rows of the answer.

    The older version of a rejected row stays, and is no fault; nor is any row while a bad one has no readable key.
    """
    live = [*live_rows(table, account), *not_rejected(writer, table, answer.rejected)]
    stored = writer.scalar(sa.select(sa.func.count()).select_from(table).where(*live))
    expected = answer.rows.num_rows
    if stored < expected or (stored > expected and not has_keyless(table, answer.rejected)):
        raise AuditError(
            f"{table.name} of {account or 'the login'}: after the merge it would hold {stored} rows, and {expected} "
            "were read.",
            "nothing was written; run it again, and report it with this message if it repeats.",
        )
