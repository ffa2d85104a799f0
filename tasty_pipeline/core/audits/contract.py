"""What the API sends beside the contract: rows that do not fit, fields and values that nobody knows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.audits.finding import Finding, found
from tasty_pipeline.core.warehouse import Reader


def no_rejected_rows(reader: Reader, table: sa.Table) -> Finding:
    """No row of the API stands rejected, of whatever day."""
    bad = schema.rejected_rows
    statement = sa.select(bad.c.account_number, bad.c.row_key, bad.c.window_start, bad.c.reason).where(
        bad.c.table_name == table.name, bad.c.resolved_at.is_(None)
    )
    return found(
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
        listed = schema.connection_accounts
        drift += [*_absent_fields(reader, listed), *_unknown_values(reader, listed)]
    return found(
        drift,
        f"The payloads of {table.name} are as the contract says.",
        f"{{}} things in the payloads of {table.name} are not as the contract says.",
        "nothing is lost: unknown fields are in the column extra and unknown values are stored. Update this package, "
        "or add the column, then materialize the history again.",
        warning=True,
    )


def _unknown_fields(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    named = sa.select(sa.func.jsonb_object_keys(table.c.extra).label("field"))
    # whoever writes by hand may put something else there
    fields = named.where(sa.cast(table.c.extra, sa.Text()).like("{%"), *_live(table)).subquery("fields")
    field = sa.type_coerce(fields.c.field, sa.Text())
    counted = sa.select(field.label("field"), sa.func.count().label("rows")).group_by(field).order_by(field)
    known = {column.info["api"] for column in table.c}
    return [
        {"drift": "field of another type" if row["field"] in known else "unknown field", **row}
        for row in reader.rows(counted)
    ]


def _absent_fields(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    expected = [column for column in table.c if column.nullable and column.info["expected"]]
    absent = _lacking(reader, table, expected)
    if table is schema.transactions:
        trades = table.c.transaction_type == "Trade"
        absent += _lacking(reader, table, [table.c[name] for name in schema.OF_TRADES], trades)
    return absent


def _lacking(
    reader: Reader, table: sa.Table, columns: Sequence[sa.Column[Any]], *which: sa.ColumnElement[bool]
) -> list[dict[str, Any]]:
    """Count the rows that lack a value, of the newest read only: older ones lack what the API did not send then."""
    if not columns:
        return []
    counts: list[Any] = [
        sa.func.count().label("rows"),
        *(sa.func.count(column).label(column.name) for column in columns),
    ]
    row = reader.rows(sa.select(*counts).where(table.c.synced_at == _newest_read(table), *_live(table), *which))[0]
    return [
        {"drift": "absent field", "field": column.info["api"], "rows": row["rows"] - row[column.name]}
        for column in columns
        if row[column.name] < row["rows"]
    ]


def _live(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    # what was removed is not read again, so that nobody could settle it
    return [table.c.removed_at.is_(None)] if "removed_at" in table.c else []


def _newest_read(table: sa.Table) -> sa.ScalarSelect[Any]:
    """Return when the newest read began that wrote a row: the log knows it without a look at every row."""
    log = schema.sync_log
    wrote = log.c.rows_inserted + log.c.rows_updated > 0
    logged = sa.select(sa.func.max(log.c.read_started_at)).where(
        log.c.table_name == table.name, log.c.result == "published", wrote
    )
    return sa.select(
        sa.func.coalesce(logged.scalar_subquery(), sa.select(sa.func.max(table.c.synced_at)).scalar_subquery())
    ).scalar_subquery()


def _unknown_values(reader: Reader, table: sa.Table) -> list[dict[str, Any]]:
    """Count the values that are in no vocabulary, of all columns in one look at the table."""
    columns = [column for column in table.c if column.info.get("vocabulary")]
    if not columns:
        return []
    unknown = sa.or_(*(column.not_in(sorted(column.info["vocabulary"])) for column in columns))
    counted = sa.select(*columns, sa.func.count().label("rows")).where(unknown, *_live(table)).group_by(*columns)
    seen: Counter[tuple[str, str]] = Counter()
    for row in reader.rows(counted):
        for column in columns:
            value = row[column.name]
            if value is not None and value not in column.info["vocabulary"]:
                seen[column.info["api"], value] += row["rows"]
    return [
        {"drift": "unknown value", "field": field, "value": value, "rows": rows}
        for (field, value), rows in sorted(seen.items())
    ]
