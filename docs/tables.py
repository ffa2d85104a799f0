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

_POSTGRES = """## In Postgres

Version 15 or newer. Applications read the views of the schema `tasty_v1`, whose names and columns stay while the tables
change. There is one for each table but `access_tokens` and `proven_windows`, with the same columns in the same order,
and:

- views of tables with a key of several columns begin with `id`, the key's parts joined by `|`, for readers that need a
  key of one column; to find rows, ask for the parts, which have the index;
- `accounts`, `balance_snapshots`, `transactions` and `connection_accounts` show live rows only; what the broker no
  longer lists stands in `removed_transactions`;
- `connections` leaves out what is sealed, and its `state` is also `new` (not tried yet) or `disconnected`;
- `schema_version` has one column, `version`.

### Roles

The first migration whose login may make roles (`CREATEROLE`) makes three, without a password and for the whole server;
otherwise an administrator runs `SELECT tasty.make_roles()` once in the database. Grant them to the logins of your
programs: `GRANT tasty_app TO my_django`.

| role | may |
| --- | --- |
| `tasty_pipeline` | read and write every table: for a pipeline whose login does not own them (the owner migrates) |
| `tasty_reader` | read all views and tables, but nothing that is sealed and no access token |
| `tasty_app` | what the reader may; insert queued `sync_requests`; insert, reconnect and disconnect `connections` |

### One user's rows

An application that says for whom it works sees that user's rows only, in the views and in the tables:

```sql
SELECT set_config('tasty.current_user', '42', true);  -- until the transaction ends
```

A user sees the accounts of their own connections (`connections.owner`) that are not disconnected; an account that two
logins see is seen by both users, and `nobody` sees no user's rows. Where the setting is missing or empty nothing is
left out, so that reports and administrators need nothing: it guards against a forgotten filter, not against somebody
who can run SQL of their own. Neither the tables' owner nor a member of `tasty_pipeline` is held back by it: let an
application have a login of its own.

### The change feed

Each publication writes what it changed to `changes`, in the same transaction: the numbers have no gap and appear in
order, so that a reader who has seen number n goes on with `sequence > n`, whenever that is. At the commit Postgres
notifies the channel `tasty_changes` with the last number, as `{"sequence": 1234}`.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_table(table) for table in schema.METADATA.sorted_tables), _POSTGRES])


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
