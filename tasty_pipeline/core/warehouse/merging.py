"""The statements behind a merge, written once for both databases.

Here belongs which rows are new, which differ and how they are written; nothing here runs a statement.

A row that does not differ must not be touched at all. `INSERT ... ON CONFLICT DO UPDATE ... WHERE` would lock, and so
write to, every row that it compares; so the differences are found by a plain read first, kept as a narrow table of
keys, and only those keys are inserted or updated.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core.schema import compared, key_of

# Beside the key, what a caller needs to say whose rows of which day changed.
_TOLD = ("account_number", "transaction_date", "snapshot_date")
_DUPLICATES_SHOWN = 5


def told(table: sa.Table) -> tuple[str, ...]:
    """Return the columns that a merge reports of each changed row: the key, and account and day where it has them."""
    key = key_of(table)
    return (*key, *(name for name in _TOLD if name in table.columns and name not in key))


def temporary(name: str, columns: list[sa.Column[Any]]) -> sa.Table:
    """Describe a temporary table with no constraint, gone at the end of the transaction."""
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def stage_of(table: sa.Table, name: str) -> sa.Table:
    """Describe the temporary table that holds rows on their way into `table`."""
    return temporary(name, [sa.Column(column.name, column.type) for column in table.columns])


def changes_of(table: sa.Table, name: str) -> sa.Table:
    """Describe the temporary table that holds what a merge or a removal is about to do, by row: see `told`.

    Its column `change` says insert, update or remove.
    """
    columns = [sa.Column(column, table.columns[column].type) for column in told(table)]
    return temporary(name, [*columns, sa.Column("change", sa.Text())])


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
        sa.select(*(staged.columns[name] for name in told(table)), change.label("change"))
        .select_from(staged.outerjoin(table, same_key(table, table, staged)))
        .where(sa.or_(is_new, differs))
    )


def removals(table: sa.Table, conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Select the rows that are about to be removed."""
    change = sa.literal("remove", sa.Text()).label("change")
    return sa.select(*(table.columns[name] for name in told(table)), change).where(*conditions)


def insertion(table: sa.Table, staged: sa.Table, changes: sa.Table) -> sa.Insert:
    """Insert the staged rows that are new."""
    names = [column.name for column in table.columns]
    new = (
        sa.select(*(staged.columns[name] for name in names))
        .join_from(staged, changes, same_key(table, staged, changes))
        .where(changes.columns["change"] == "insert")
    )
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
