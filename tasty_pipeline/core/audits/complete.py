"""Whether the tables that are kept by day hold exactly what was proven of each day.

All numbers are compared in the database, the content year by year: however long the history, little is in memory.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import arrow, schema
from tasty_pipeline.core.audits.finding import Days, Finding, found, within
from tasty_pipeline.core.audits.states import stranded
from tasty_pipeline.core.digests import day_digests, is_comparable, rows_digest
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.tradingdays import days
from tasty_pipeline.core.warehouse import Reader

PROVEN = schema.proven_days
Key = tuple[str, date]


def complete(reader: Reader, table: sa.Table, window: Days = None, since: date = date.min) -> Finding:
    """Of every proven day the table holds exactly the rows that were proven, and no account lacks a day's proof.

    The number of rows is compared on all days, whatever the window: a narrow run must not show as mended what is not.
    The content is compared within the window, where its digest is of this version's making. A day's proof is wanted of
    every live account from the first proven day, or from `since` where the history begins later by now, to the last but
    one; the newest is left to the next nightly run, because a run for one account proves it first.
    """
    wrong = {**_unproven(reader, table, since), **_changed(reader, table, window), **_miscounted(reader, table)}
    proven_days = reader.scalar(sa.select(sa.func.count()).where(PROVEN.c.table_name == table.name))
    return found(
        sorted(wrong.values(), key=lambda row: (row["day"], row["account_number"])),
        f"{proven_days} days are stored exactly as they were proven.",
        f"{{}} days of {table.name} are not as they were proven, or have no proof.",
        "materialize the partitions named in the sample; if they differ again, something else writes to the table.",
        proven_days=proven_days,
    )


def _difference(account: str, day: date, stored: int, proven: int | None) -> dict[Key, dict[str, Any]]:
    row = {"account_number": account, "day": day, "rows_stored": stored, "rows_proven": proven}
    return {(account, day): row}


def _miscounted(reader: Reader, table: sa.Table) -> dict[Key, dict[str, Any]]:
    """Find the days on which not as many live rows stand as were proven, or any without a proof.

    A day whose proof was withdrawn, when a row of it came or went with another window, has none.
    """
    day = table.c[DAY[table.name]]
    counted = sa.select(table.c.account_number, day.label("day"), sa.func.count().label("rows"))
    stored = counted.where(table.c.removed_at.is_(None)).group_by(table.c.account_number, day).subquery("stored")
    proven = sa.select(PROVEN).where(PROVEN.c.table_name == table.name).subquery("proven")
    same_day = sa.and_(stored.c.account_number == proven.c.account_number, stored.c.day == proven.c.day)
    rows = sa.func.coalesce(stored.c.rows, 0)
    rows_proven = sa.case((proven.c.digest != "", proven.c.row_count))
    statement = (
        sa.select(
            sa.func.coalesce(stored.c.account_number, proven.c.account_number).label("account_number"),
            sa.func.coalesce(stored.c.day, proven.c.day).label("day"),
            rows.label("rows"),
            rows_proven.label("row_count"),
        )
        .select_from(stored.join(proven, same_day, full=True))
        .where(rows_proven.is_distinct_from(rows))
    )
    wrong: dict[Key, dict[str, Any]] = {}
    for row in reader.rows(statement):
        wrong |= _difference(row["account_number"], row["day"], row["rows"], row["row_count"])
    return wrong


def _changed(reader: Reader, table: sa.Table, window: Days) -> dict[Key, dict[str, Any]]:
    """Find the days of the window whose rows are not those that were proven."""
    nothing = rows_digest(table, arrow.to_arrow(table, [], schema.content(table)))
    of_window = [PROVEN.c.table_name == table.name, *([PROVEN.c.day.between(*window)] if window else [])]
    proofs = sa.select(PROVEN.c.account_number, sa.func.min(PROVEN.c.day).label("first"), sa.func.max(PROVEN.c.day))
    columns = [table.c[name] for name in schema.content(table)]
    wrong: dict[Key, dict[str, Any]] = {}
    for account, first, last in (
        tuple(row.values()) for row in reader.rows(proofs.where(*of_window).group_by(PROVEN.c.account_number))
    ):
        for year in _years(first, last):
            live = [table.c.account_number == account, table.c.removed_at.is_(None), *within(table, year)]
            stored = day_digests(table, reader.table(sa.select(*columns).where(*live)), DAY[table.name])
            facts = sa.select(PROVEN.c.day, PROVEN.c.row_count, PROVEN.c.digest).where(
                PROVEN.c.table_name == table.name, PROVEN.c.account_number == account, PROVEN.c.day.between(*year)
            )
            for fact in reader.rows(facts):
                rows, digest = stored.get(fact["day"], (0, nothing))
                if is_comparable(fact["digest"]) and digest != fact["digest"]:
                    wrong |= _difference(account, fact["day"], rows, fact["row_count"])
    return wrong


def _years(first: date, last: date) -> Iterator[tuple[date, date]]:
    for year in range(first.year, last.year + 1):
        yield max(first, date(year, 1, 1)), min(last, date(year, 12, 31))


def _unproven(reader: Reader, table: sa.Table, since: date) -> dict[Key, dict[str, Any]]:
    """Find the days that were proven of some account and not of another one that is live."""
    of_table, account, day = PROVEN.c.table_name == table.name, PROVEN.c.account_number, PROVEN.c.day
    ends = reader.rows(sa.select(sa.func.min(day).label("first"), sa.func.max(day).label("last")).where(of_table))[0]
    if ends["first"] is None:
        return {}
    log = schema.sync_log
    asked = reader.scalar(
        sa.select(sa.func.max(log.c.window_end)).where(log.c.table_name == table.name, log.c.result == "published")
    )
    first, last = max(ends["first"], since), min(ends["last"], asked or ends["last"]) - timedelta(days=1)
    counted = sa.select(account, sa.func.count().label("days"), sa.func.max(day).label("last"))
    known = {
        row["account_number"]: row
        for row in reader.rows(counted.where(of_table, day.between(first, last)).group_by(account))
    }
    accounts, standing_still = schema.accounts, stranded(reader)
    wrong: dict[Key, dict[str, Any]] = {}
    for row in reader.rows(sa.select(accounts.c.account_number).where(accounts.c.removed_at.is_(None))):
        name = row["account_number"]
        own = known.get(name, {"days": 0, "last": first - timedelta(days=1)})
        until = own["last"] if name in standing_still else last
        if own["days"] < (until - first).days + 1:
            proven = {each["day"] for each in reader.rows(sa.select(day).where(of_table, account == name))}
            for each in days(first, until):
                if each not in proven:
                    wrong |= _difference(name, each, 0, None)
    return wrong
