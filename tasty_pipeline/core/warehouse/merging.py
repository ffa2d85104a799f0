"""The statements behind a transaction's work on a table, written once for both databases.

Here belongs which rows are new, which differ and how they are written; nothing here runs a statement.

A row that does not differ must not be touched at all. `INSERT ... ON CONFLICT DO UPDATE ... WHERE` would lock, and so
write to, every row that it compares; so the differences are found by a plain read first, kept as a narrow table of
keys, and only those keys are inserted or updated.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core.schema import DAY, compared, key_of

_DUPLICATES_SHOWN = 5


def stage_of(table: sa.Table, name: str) -> sa.Table:
    """Describe what holds rows on their way into `table`, with no constraint, gone at the end of the transaction.

    Amounts have no fixed scale there: they are exact before they come, and Postgres would spend a sixth of a load on
    giving every amount the scale that it has.
    """
    bare = {
        column.name: sa.Numeric() if isinstance(column.type, sa.Numeric) else column.type for column in table.columns
    }
    return sa.Table(name, sa.MetaData(), *(sa.Column(column, type_) for column, type_ in bare.items()))


def changes_of(table: sa.Table, name: str) -> sa.Table:
    """Describe the temporary table that holds what a merge or a removal is about to do, by row.

    Beside the key, and the account where that is no part of it, `change` says insert, update or remove; in tables with
    days `to_day` says where the row comes to stand, `from_day` where it stood and was not marked removed.
    """
    kept = {*key_of(table), "account_number"}
    columns: list[sa.Column[Any]] = [
        *(sa.Column(column.name, column.type) for column in table.columns if column.name in kept),
        sa.Column("change", sa.Text()),
        sa.Column("to_day", sa.Date()),
        sa.Column("from_day", sa.Date()),
    ]
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def duplicates(table: sa.Table, staged: sa.Table) -> sa.Select[Any]:
    """Select keys that stand more than once in the stage, or have a part that is missing, with how often."""
    keys = [staged.columns[name] for name in key_of(table)]
    count = sa.func.count()
    wrong = sa.or_(count > 1, *(key.is_(None) for key in keys))
    return sa.select(*keys, count.label("rows_of_key")).group_by(*keys).having(wrong).limit(_DUPLICATES_SHOWN)


def differences(table: sa.Table, staged: sa.Table, *, newer_only: bool) -> sa.Select[Any]:
    """Select what of the stage is new in the table (`insert`) or differs from it (`update`).

    A stage read before what the table holds (`newer_only` and an older `synced_at`) differs in nothing.
    """
    is_new = table.columns[key_of(table)[0]].is_(None)
    differs = sa.or_(
        sa.false(), *(table.columns[name].is_distinct_from(staged.columns[name]) for name in compared(table))
    )
    if newer_only:
        differs = sa.and_(differs, table.columns["synced_at"] <= staged.columns["synced_at"])
    change = sa.case((is_new, sa.literal("insert", sa.Text())), else_=sa.literal("update", sa.Text()))
    return (
        sa.select(*_told(table, staged, change, to=staged, before=table))
        .select_from(staged.outerjoin(table, same_key(table, table, staged)))
        .where(sa.or_(is_new, differs))
    )


def removals(table: sa.Table, conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Select the rows that are about to be removed."""
    return sa.select(*_told(table, table, sa.literal("remove", sa.Text()), before=table)).where(*conditions)


def _told(
    table: sa.Table,
    rows: sa.Table,
    change: sa.ColumnElement[str],
    *,
    to: sa.Table | None = None,
    before: sa.Table | None = None,
) -> list[sa.ColumnElement[Any]]:
    """Return the columns of `changes_of`, in order: rows, and where they come `to` stand or stood `before`."""
    kept = {*key_of(table), "account_number"}
    columns = [rows.columns[column.name] for column in table.columns if column.name in kept]
    day = DAY.get(table.name)
    to_day: sa.ColumnElement[Any] = to.columns[day] if to is not None and day else sa.null()
    from_day: sa.ColumnElement[Any] = before.columns[day] if before is not None and day else sa.null()
    if before is not None and "removed_at" in before.columns:
        from_day = sa.case((before.columns["removed_at"].is_(None), from_day))
    return [*columns, change, sa.cast(to_day, sa.Date()), sa.cast(from_day, sa.Date())]


def written_days(changes: sa.Table) -> sa.CompoundSelect[Any]:
    """Select the days that were written to, each once."""
    both = (
        sa.select(column.label("day")).where(column.is_not(None)) for column in (changes.c.to_day, changes.c.from_day)
    )
    return sa.union(*both)


def insertion(table: sa.Table, staged: sa.Table, changes: sa.Table | None) -> sa.Insert:
    """Insert the staged rows that are new: those that `changes` says, or all where there are no others."""
    names = [column.name for column in table.columns]
    new = sa.select(*(staged.columns[name] for name in names))
    if changes is not None:
        new = new.join_from(staged, changes, same_key(table, staged, changes)).where(changes.c.change == "insert")
    return sa.insert(table).from_select(names, new)


def update(table: sa.Table, staged: sa.Table, changes: sa.Table) -> sa.Update:
    """Update the rows that differ, provenance included."""
    key = key_of(table)
    return (
        sa.update(table)
        .values({column.name: staged.columns[column.name] for column in table.columns if column.name not in key})
        .where(same_key(table, table, staged), same_key(table, staged, changes))
        .where(changes.columns["change"] == "update")
    )


def same_key(table: sa.Table, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
    """Say that two of table, stage and changes speak of the same row."""
    return sa.and_(*(left.columns[name] == right.columns[name] for name in key_of(table)))


def fingerprints(table: sa.Table, account: str, start: date, end: date) -> sa.Select[Any]:
    """Select of each day of an account how many rows it has and the sum of their hashes."""
    rows = table.alias("hashed")
    day = rows.columns[DAY[table.name]]
    # the seed: with 0 or 1 Postgres hashes an empty document or the number 0 as it does NULL
    hashes = sa.func.hash_record_extended(sa.literal_column("hashed"), sa.literal_column("42"), type_=sa.BigInteger())
    return (
        sa.select(day.label("day"), sa.func.count().label("rows"), sa.func.sum(hashes).label("hashes"))
        .where(rows.columns["account_number"] == account, day.between(start, end))
        .group_by(day)
    )
