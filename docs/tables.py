"""Write docs/tables.md from the one description of the tables: `python docs/tables.py > docs/tables.md`."""

import sys

import sqlalchemy as sa

from tasty_pipeline.core import schema

_HEAD = """# The tables

Schema `tasty`, the same in DuckDB and Postgres. This page is written by `python docs/tables.py` from the description
that makes the tables; every comment stands in the database too.

Amounts are `NUMERIC(38, 12)` and signed: what comes into the account is positive. Times carry their zone. Days are the
broker's New York trade dates. Rows that the broker no longer lists are marked in `removed_at`, never deleted; ask for
`removed_at IS NULL`.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_table(table) for table in schema.METADATA.sorted_tables)])


def _table(table: sa.Table) -> str:
    key = ", ".join(schema.key_of(table))
    lines = [f"## {table.name}", "", f"{table.comment} Key: {key}.", "", "| column | type | from the API | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [_column(column) for column in table.columns]
    return "\n".join([*lines, ""])


def _column(column: sa.Column[object]) -> str:
    null = "" if column.nullable else ", not null"
    effect = f", signed by `{column.info['effect']}`" if column.info.get("effect") else ""
    source = f"`{column.info['api']}`{effect}" if column.info["api"] else "ours"
    return f"| `{column.name}` | {schema.type_of(column)}{null} | {source} | {column.comment} |"


if __name__ == "__main__":
    sys.stdout.write(page())
