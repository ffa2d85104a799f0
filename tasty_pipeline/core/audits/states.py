"""Whether the logins may log in, and whether what they read is new enough."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.audits.finding import Finding, found
from tasty_pipeline.core.connections import NEEDS_REAUTHORISATION
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.tradingdays import last_closed_session
from tasty_pipeline.core.warehouse import Reader

# how long after a session's close the nightly sync may take to have it
SESSION_GRACE = timedelta(hours=14)
PORTFOLIO_GRACE = timedelta(hours=2)


def stranded(reader: Reader) -> set[str]:
    """Return the accounts that no login can read now, because all that list them need reauthorisation.

    The check `authorised` fails of them; that they stand still is no other fault.
    """
    links, table = schema.connection_accounts, schema.connections
    states: dict[str, set[bool]] = {}
    query = (
        sa.select(links.c.account_number, table.c.state)
        .select_from(links.outerjoin(table, links.c.connection_id == table.c.connection_id))
        .where(links.c.removed_at.is_(None))
    )
    for row in reader.rows(query):
        states.setdefault(row["account_number"], set()).add(row["state"] == NEEDS_REAUTHORISATION)
    return {account for account, refused in states.items() if refused == {True}}


def authorised(reader: Reader) -> Finding:
    """Every login that is connected may log in: the broker has refused none of them."""
    table = schema.connections
    refused = sa.select(
        table.c.connection_id, table.c.owner, table.c.state_changed_at, table.c.state_reason.label("reason")
    ).where(table.c.disconnected_at.is_(None), table.c.state == NEEDS_REAUTHORISATION)
    return found(
        reader.rows(refused.order_by(table.c.connection_id)),
        "No login needs reauthorisation.",
        "{} logins need reauthorisation; their accounts stand still, all others go on.",
        "the owner connects again with a new refresh token (for `default` set TT_SECRET and TT_REFRESH); a login that "
        "was refused by mistake is tried once more by `tasty-pipeline connections check NAME`.",
    )


def fresh(reader: Reader, tables: Iterable[str], now: datetime, *, intraday: bool) -> Finding:
    """Every open account was published since the last NYSE session that is due (weekends and half days known).

    `intraday` tables are due two hours after the close, the history by the next morning (14 hours). A sync of older
    days does not make a table fresh that is kept by day: its window must reach the session.
    """
    session, closed_at = last_closed_session(now, PORTFOLIO_GRACE if intraday else SESSION_GRACE)
    open_accounts = _open_accounts(reader)
    stale = []
    for name in tables:
        read_at = _last_read(reader, name, session)
        stale += [
            {"table": name, "account_number": account, "last_published_read": read_at.get(account)}
            for account in ([""] if name == "accounts" else open_accounts)
            if account not in read_at or read_at[account] < closed_at
        ]
    return found(
        stale,
        f"Everything is newer than the session of {session}.",
        f"{{}} accounts were not synchronised since the session of {session} closed.",
        "materialize the asset; if that fails, `tasty-pipeline doctor` says why. Are the schedules and the daemon on?",
        session_due=session.isoformat(),
    )


def _open_accounts(reader: Reader) -> list[str]:
    """Return the accounts that have to be fresh; before any is known, one without a number that never is."""
    accounts = schema.accounts
    rows = reader.rows(sa.select(accounts.c.account_number, accounts.c.is_closed, accounts.c.removed_at))
    open_ones = {row["account_number"] for row in rows if row["removed_at"] is None and row["is_closed"] is not True}
    return sorted(open_ones - stranded(reader)) if rows else [""]


def _last_read(reader: Reader, table: str, session: date) -> dict[str, datetime]:
    log = schema.sync_log
    newest = sa.select(log.c.account_number, sa.func.max(log.c.read_started_at).label("read_at")).where(
        log.c.table_name == table, log.c.result == "published"
    )
    if table in DAY:
        newest = newest.where(log.c.window_end >= session)
    return {row["account_number"]: row["read_at"] for row in reader.rows(newest.group_by(log.c.account_number))}
