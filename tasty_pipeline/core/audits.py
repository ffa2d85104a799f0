"""What must be true of the tables, each as one question to a reader; asset checks and the command line ask them.

Each audit returns a `Finding`: whether it holds, how many rows or days break it, a few of them, and how to recover.
Nothing here writes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.connections import NEEDS_REAUTHORISATION
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.publish import DAY
from tasty_pipeline.core.tradingdays import days, last_closed_session
from tasty_pipeline.core.warehouse import Reader

SAMPLE = 10
# one row in 428 of a real export was a cent off by the broker's own rounding
IDENTITY_TOLERANCE = "0.01"
# how long after a session's close the nightly sync may take to have it
SESSION_GRACE = timedelta(hours=14)
PORTFOLIO_GRACE = timedelta(hours=2)

Days = tuple[date, date] | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one audit. `breaks` counts what is wrong, `sample` shows at most ten of it."""

    passed: bool
    summary: str
    breaks: int = 0
    sample: Sequence[dict[str, Any]] = ()
    recovery: str = ""
    warning: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def _found(
    rows: Sequence[dict[str, Any]], good: str, bad: str, recovery: str, *, warning: bool = False, **facts: Any
) -> Finding:
    if not rows:
        return Finding(passed=True, summary=good, facts=facts)
    return Finding(
        passed=False,
        summary=bad.format(len(rows)),
        breaks=len(rows),
        sample=rows[:SAMPLE],
        recovery=recovery,
        warning=warning,
        facts=facts,
    )


def _within(table: sa.Table, window: Days) -> list[Any]:
    return [table.c[DAY[table.name]].between(*window)] if window and table.name in DAY else []


def unique_keys(reader: Reader, table: sa.Table, window: Days = None) -> Finding:
    """Every key stands once: the database's own constraint, asked again of what is really stored."""
    keys = [table.c[name] for name in schema.key_of(table)]
    statement = sa.select(*keys, sa.func.count().label("times")).where(*_within(table, window))
    return _found(
        reader.rows(statement.group_by(*keys).having(sa.func.count() > 1)),
        f"Every key of {table.name} stands once.",
        f"{{}} keys of {table.name} stand more than once.",
        "the primary key must be missing: restore the table from its migrations, then materialize it again.",
    )


def one_partition(reader: Reader, window: Days = None) -> Finding:
    """No transaction stands on two days: two rows equal in all but id and trade date are one row booked twice.

    Byte-identical fills are real and have one trade date; they are no duplicates.
    """
    table = schema.transactions
    left_out = {"transaction_id", "transaction_date", "created_at", "extra", "lots", "synced_at", "run_id"}
    same = [column for column in table.c if column.name not in left_out]
    days = sa.func.count(sa.distinct(table.c.transaction_date))
    statement = sa.select(
        table.c.account_number,
        table.c.symbol,
        table.c.executed_at,
        sa.func.min(table.c.transaction_date).label("first_day"),
        sa.func.max(table.c.transaction_date).label("last_day"),
        sa.func.count().label("times"),
    ).where(table.c.removed_at.is_(None), table.c.exec_id.is_not(None))
    grouped = statement.group_by(*same).having(days > 1)
    if window:
        grouped = grouped.having(sa.func.max(table.c.transaction_date) >= window[0])
        grouped = grouped.having(sa.func.min(table.c.transaction_date) <= window[1])
    return _found(
        reader.rows(grouped),
        "No execution stands on two trade dates.",
        "{} executions stand on two trade dates.",
        "materialize the partitions from first_day to last_day; what the broker then still lists twice is the "
        "broker's own: ask it which one is right.",
        warning=True,
    )


def complete(reader: Reader, table: sa.Table, window: Days = None) -> Finding:
    """Of every proven day the table holds exactly the rows that were proven, and no account lacks a day's proof.

    The number of rows is compared on all days, whatever the window: a narrow run must not show as mended what is not.
    The content is compared within the window. A day's proof is wanted of every live account from the first proven day
    to the last but one; the newest is left to the next nightly run, because a run for one account proves it first.
    """
    proven = schema.proven_days
    facts = reader.rows(sa.select(proven).where(proven.c.table_name == table.name))
    counts = _counts(reader, table)
    digests = _digests(reader, table, window)
    wrong = []
    for fact in facts:
        account, each = fact["account_number"], fact["day"]
        rows = counts.pop((account, each), 0)
        looked_into = window is None or window[0] <= each <= window[1]
        if rows != fact["row_count"] or (looked_into and digests.get((account, each), _NONE) != fact["digest"]):
            wrong.append(_difference(account, each, rows, fact["row_count"]))
    wrong += [_difference(account, each, rows, None) for (account, each), rows in counts.items()]
    missing = _unproven(reader, {(fact["account_number"], fact["day"]) for fact in facts})
    wrong += [_difference(account, each, 0, None) for account, each in missing if (account, each) not in counts]
    return _found(
        sorted(wrong, key=lambda row: (row["day"], row["account_number"])),
        f"{len(facts)} days are stored exactly as they were proven.",
        f"{{}} days of {table.name} are not as they were proven, or have no proof.",
        "materialize the partitions named in the sample; if they differ again, something else writes to the table.",
        proven_days=len(facts),
    )


_NONE = rows_digest(schema.transactions, [])


def _counts(reader: Reader, table: sa.Table) -> dict[tuple[str, date], int]:
    day = table.c[DAY[table.name]]
    counted: sa.Select[Any] = sa.select(table.c.account_number, day.label("day"), sa.func.count().label("rows"))
    grouped = counted.where(table.c.removed_at.is_(None)).group_by(table.c.account_number, day)
    return {(row["account_number"], row["day"]): row["rows"] for row in reader.rows(grouped)}


def _digests(reader: Reader, table: sa.Table, window: Days) -> dict[tuple[str, date], str]:
    stored: dict[tuple[str, date], list[dict[str, Any]]] = {}
    live = [*_within(table, window), table.c.removed_at.is_(None)]
    for row in reader.rows(sa.select(table).where(*live)):
        stored.setdefault((row["account_number"], row[DAY[table.name]]), []).append(row)
    return {key: rows_digest(table, rows) for key, rows in stored.items()}


def _unproven(reader: Reader, known: set[tuple[str, date]]) -> list[tuple[str, date]]:
    if not known:
        return []
    first, last = min(day for _, day in known), max(day for _, day in known) - timedelta(days=1)
    accounts, stranded = schema.accounts, _stranded(reader)
    live = reader.rows(sa.select(accounts.c.account_number).where(accounts.c.removed_at.is_(None)))
    wanted = []
    for account in (row["account_number"] for row in live):
        until = last
        if account in stranded:
            until = min(last, max((day for name, day in known if name == account), default=first - timedelta(days=1)))
        wanted += [(account, each) for each in days(first, until)]
    return [each for each in wanted if each not in known]


def _stranded(reader: Reader) -> set[str]:
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
    return _found(
        reader.rows(refused.order_by(table.c.connection_id)),
        "No login needs reauthorisation.",
        "{} logins need reauthorisation; their accounts stand still, all others go on.",
        "the owner connects again with a new refresh token (for `default` set TT_SECRET and TT_REFRESH); a login that "
        "was refused by mistake is tried once more by `tasty-pipeline connections check NAME`.",
    )


def _difference(account: str, day: date, stored: int, proven: int | None) -> dict[str, Any]:
    return {"account_number": account, "day": day, "rows_stored": stored, "rows_proven": proven}


def no_rejected_rows(reader: Reader, table: sa.Table) -> Finding:
    """No row of the API stands rejected, of whatever day."""
    bad = schema.rejected_rows
    statement = sa.select(bad.c.account_number, bad.c.row_key, bad.c.window_start, bad.c.reason).where(
        bad.c.table_name == table.name, bad.c.resolved_at.is_(None)
    )
    return _found(
        reader.rows(statement.order_by(bad.c.synced_at.desc())),
        f"No row of {table.name} is rejected.",
        f"{{}} rows of {table.name} did not fit the contract; of one that did before, the older version stays.",
        "read payload and reason in tasty.rejected_rows. If the API has changed its contract, update this package; "
        "then materialize the days in window_start again: the row loads and the rejection is settled by itself.",
    )


def contract(reader: Reader, table: sa.Table) -> Finding:
    """Report what the API sends that the contract does not know, or no longer sends: fields and values."""
    drift = [*_unknown_fields(reader, table), *_absent_fields(reader, table), *_unknown_values(reader, table)]
    if table is schema.accounts:
        drift += _unknown_values(reader, schema.connection_accounts)
    return _found(
        drift,
        f"The payloads of {table.name} are as the contract says.",
        f"{{}} things in the payloads of {table.name} are not as the contract says.",
        "nothing is lost: unknown fields are in the column extra and unknown values are stored. Update this package, "
        "or add the column, then materialize the history again.",
        warning=True,
    )


def _unknown_fields(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    for row in reader.rows(sa.select(table.c.extra).where(table.c.extra.is_not(None))):
        for name in row["extra"] or {}:
            seen[name] = seen.get(name, 0) + 1
    return [{"drift": "unknown field", "field": name, "rows": rows} for name, rows in sorted(seen.items())]


def _absent_fields(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    expected = [column for column in table.c if column.nullable and column.info["expected"]]
    if not expected:
        return []
    # of the newest read only: older rows of a history lack what the API did not send then
    newest = sa.select(sa.func.max(table.c.synced_at)).scalar_subquery()
    counts: list[Any] = [
        sa.func.count().label("rows"),
        *(sa.func.count(column).label(column.name) for column in expected),
    ]
    row = reader.rows(sa.select(*counts).where(table.c.synced_at == newest))[0]
    return [
        {"drift": "absent field", "field": column.info["api"], "rows": row["rows"] - row[column.name]}
        for column in expected
        if row[column.name] < row["rows"]
    ]


def _unknown_values(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    found = []
    for column in table.c:
        known = column.info.get("vocabulary")
        if known:
            counted = sa.select(column.label("value"), sa.func.count().label("rows")).where(
                column.is_not(None), column.not_in(sorted(known))
            )
            rows = reader.rows(counted.group_by(column))
            found += [{"drift": "unknown value", "field": column.info["api"], **row} for row in rows]
    return found


def known_accounts(reader: Reader, table: sa.Table, window: Days = None) -> Finding:
    """Every row belongs to an account in `accounts`."""
    accounts = schema.accounts
    known = sa.exists().where(accounts.c.account_number == table.c.account_number)
    statement = sa.select(table.c.account_number, sa.func.count().label("rows")).where(
        sa.not_(known), *_within(table, window)
    )
    return _found(
        reader.rows(statement.group_by(table.c.account_number)),
        f"Every row of {table.name} has its account.",
        f"{{}} accounts of {table.name} are not in accounts.",
        "materialize accounts; if one is still missing, the login no longer sees that account.",
    )


def net_value(reader: Reader, window: Days = None) -> Finding:
    """Every transaction's net value is its value with all fees, to the cent."""
    table = schema.transactions
    fees = [sa.func.coalesce(table.c[name], 0) for name in schema.FEES]
    total: sa.ColumnElement[Any] = sum(fees, start=table.c.value)
    off = sa.func.abs(table.c.net_value - total)
    statement = sa.select(table.c.transaction_id, table.c.value, table.c.net_value, total.label("value_with_fees"))
    return _found(
        reader.rows(
            statement.where(
                off > sa.literal_column(IDENTITY_TOLERANCE), table.c.removed_at.is_(None), *_within(table, window)
            )
        ),
        "Every net value is its value with all fees.",
        "{} net values are not their value with all fees.",
        "compare the rows with the broker's statement: the broker's figures are stored as they came; a fee that the "
        "broker sends under a new name is in the column extra.",
        warning=True,
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
    return _found(
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
    return sorted(open_ones - _stranded(reader)) if rows else [""]


def _last_read(reader: Reader, table: str, session: date) -> dict[str, datetime]:
    log = schema.sync_log
    newest = sa.select(log.c.account_number, sa.func.max(log.c.read_started_at).label("read_at")).where(
        log.c.table_name == table, log.c.result == "published"
    )
    if table in DAY:
        newest = newest.where(log.c.window_end >= session)
    return {row["account_number"]: row["read_at"] for row in reader.rows(newest.group_by(log.c.account_number))}
