"""The change feed: every row that a publication wrote, numbered without a gap in the order of the commits.

Here belongs what one transaction tells; which rows were written is collected by the writer. Numbers go on from the
newest entry: it has to stay where old ones are ever deleted.
"""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Writer

CHANNEL = "tasty_changes"  # of Postgres' NOTIFY
LOCK = "changes"


def tell(writer: Writer, run_id: str, now: datetime) -> None:
    """Number and write down what the transaction has written to the mirrored tables; call it last.

    The lock is held to the end of the transaction. So numbers are given in the order of the commits, whoever sees one
    will never see a smaller one appear, and a transaction that is rolled back leaves no gap. It is taken after every
    other lock, so that nobody who holds it waits for anything else.
    """
    written = [(table, rows) for table, rows in writer.written if table.name in schema.MIRRORED]
    if not written:
        return
    writer.lock(LOCK)
    names = [column.name for column in schema.changes.columns]
    for table, rows in written:
        writer.execute(sa.insert(schema.changes).from_select(names, _entries(table, rows, run_id, now)))
    last = writer.scalar(sa.select(_last()))
    writer.notify(CHANNEL, json.dumps({"sequence": last}))


def _last() -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.max(schema.changes.c.sequence), 0)


def _entries(table: sa.Table, rows: sa.Table, run_id: str, now: datetime) -> sa.Select[Any]:
    """Select one entry per row; numbered in the database, because a first load writes very many."""
    key = schema.key_of(table)
    number = sa.select(_last()).scalar_subquery() + sa.func.row_number().over(order_by=[rows.c[name] for name in key])
    parts: list[sa.ColumnElement[Any]] = []
    for name in key:
        parts += [sa.literal_column(f"'{name}'"), rows.c[name]]  # the names are ours
    return sa.select(
        number,
        sa.literal(table.name, sa.Text()),
        rows.c.account_number,
        sa.func.jsonb_build_object(*parts),
        rows.c.change,
        sa.literal(now, schema.INSTANT),
        sa.literal(run_id, sa.Text()),
    )
