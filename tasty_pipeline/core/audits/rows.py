"""What must be true of the rows: their keys, their accounts, their sums, and that none is there twice.

Asked of a window of days, they read that window and not the history.
"""

from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.audits.finding import Days, Finding, found, within
from tasty_pipeline.core.warehouse import Reader

# one row in 428 of a real export was a cent off by the broker's own rounding
IDENTITY_TOLERANCE = "0.01"


def unique_keys(reader: Reader, table: sa.Table, window: Days = None) -> Finding:
    """Every key stands once: the database's own constraint, asked again of what is really stored."""
    keys = [table.c[name] for name in schema.key_of(table)]
    statement = sa.select(*keys, sa.func.count().label("times")).where(*within(table, window))
    return found(
        reader.rows(statement.group_by(*keys).having(sa.func.count() > 1)),
        f"Every key of {table.name} stands once.",
        f"{{}} keys of {table.name} stand more than once.",
        "the primary key must be missing: restore the table from its migrations, then materialize it again.",
    )


def one_partition(reader: Reader, window: Days = None) -> Finding:
    """No transaction stands on two days: two rows equal in all but id and trade date are one row booked twice.

    Byte-identical fills are real and have one trade date; they are no duplicates. With a window, one of the rows is of
    a day in it.
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
    if window:
        recent = table.alias("recent")
        moments = sa.select(recent.c.account_number, recent.c.executed_at).where(
            recent.c.transaction_date.between(*window)
        )
        statement = statement.where(sa.tuple_(table.c.account_number, table.c.executed_at).in_(moments))
    grouped = statement.group_by(*same).having(days > 1)
    return found(
        reader.rows(grouped),
        "No execution stands on two trade dates.",
        "{} executions stand on two trade dates.",
        "materialize the partitions from first_day to last_day; what the broker then still lists twice is the "
        "broker's own: ask it which one is right.",
        warning=True,
    )


def known_accounts(reader: Reader, table: sa.Table, window: Days = None) -> Finding:
    """Every row belongs to an account in `accounts`."""
    accounts = schema.accounts
    known = sa.exists().where(accounts.c.account_number == table.c.account_number)
    statement = sa.select(table.c.account_number, sa.func.count().label("rows")).where(
        sa.not_(known), *within(table, window)
    )
    return found(
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
    return found(
        reader.rows(
            statement.where(
                off > sa.literal_column(IDENTITY_TOLERANCE), table.c.removed_at.is_(None), *within(table, window)
            )
        ),
        "Every net value is its value with all fees.",
        "{} net values are not their value with all fees.",
        "compare the rows with the broker's statement: the broker's figures are stored as they came; a fee that the "
        "broker sends under a new name is in the column extra.",
        warning=True,
    )
