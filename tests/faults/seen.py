"""What a reader of the warehouse sees, cut into the pieces that a sync publishes one by one.

Here belongs only looking, and what must be true of a warehouse at every moment; which state is right when belongs to
the searches.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.warehouse import Reader, Warehouse

# (account, table set): what one transaction publishes
Piece = tuple[str, str]
Seen = dict[Piece, list[str]]
TABLES: Piece = ("", "tables")
ACCOUNTS: Piece = ("", "accounts")
_SETS = {"positions": "portfolio", "balances": "portfolio", "connection_accounts": "accounts"}
# differs from run to run, though the same was read; of a mark it counts whether it is set
_OF_THE_MOMENT = {"synced_at", "read_started_at", "read_ended_at", "sync_id", "sequence", "fingerprint", "changed_at"}
_MARKS = {"removed_at", "resolved_at"}


def seen(warehouse: Warehouse, history: tuple[date, date]) -> Seen:
    """Read everything in one transaction: all tables, row by row, and which receipts still hold."""
    if warehouse.version() is None:
        return {}
    pieces: Seen = {}
    with warehouse.read() as reader:
        pieces[TABLES] = [str(row) for row in reader.rows(_columns())]
        for table in schema.METADATA.sorted_tables:
            for row in reader.table(sa.select(table)).to_pylist():
                pieces.setdefault(_piece(table, row), []).append(f"{table.name} {_shown(row)}")
        for account, name in list(pieces):
            if name == schema.transactions.name:
                held = publish.receipts_of(reader, schema.transactions, account, *history)
                pieces[account, name] += [f"holds: {receipt}" for receipt in held]
    return {piece: sorted(rows) for piece, rows in pieces.items()}


def without_runs(pieces: Seen) -> Seen:
    """What remains the same whichever run wrote it: not the log of syncs, not who wrote a row and when."""
    rows = {piece: [row.partition(" run:")[0] for row in rows] for piece, rows in pieces.items()}
    return {piece: [row for row in each if not row.startswith("sync_log ")] for piece, each in rows.items()}


def feed_faults(warehouse: Warehouse) -> list[str]:
    """Say where the change feed and the tables disagree: gaps, rows never told of, and counts unlike the sync log's."""
    if warehouse.version() is None:
        return []
    with warehouse.read() as reader:
        entries = reader.rows(sa.select(schema.changes).order_by(schema.changes.c.sequence))
        live = {key for table in schema.MIRRORED.values() for key in _live(reader, table)}
        logged = reader.rows(sa.select(schema.sync_log).where(schema.sync_log.c.result == "published"))
    told: dict[tuple[Any, ...], str] = {}
    for entry in entries:
        table = schema.MIRRORED[entry["table_name"]]
        told[table.name, *(str(entry["row_key"][name]) for name in schema.key_of(table))] = entry["kind"]
    faults = []
    if [entry["sequence"] for entry in entries] != list(range(1, len(entries) + 1)):
        faults.append("the change feed has gaps")
    if live != {key for key, kind in told.items() if kind != "remove"}:
        faults.append("the change feed replayed does not give the rows that are there")
    if _counted(entries) != _written(logged):
        faults.append("the change feed counts other rows than the sync log")
    return faults


def _columns() -> sa.Select[Any]:
    names = ("table_schema", "table_name", "column_name", "data_type")
    columns = sa.table("columns", *(sa.column(name, sa.Text()) for name in names), schema="information_schema")
    return sa.select(columns).where(columns.c.table_schema.in_(["tasty", "tasty_v1"]))


def _piece(table: sa.Table, row: Mapping[str, Any]) -> Piece:
    name = row.get("table_name", table.name)
    name = _SETS.get(name, name)
    return ACCOUNTS if name == "accounts" else (row.get("account_number", ""), name)


def _shown(row: Mapping[str, Any]) -> str:
    left = {name: value for name, value in row.items() if name not in {*_OF_THE_MOMENT, "run_id"} and value is not None}
    marked = {name: True if name in _MARKS else value for name, value in left.items()}
    return f"{sorted(marked.items(), key=str)} run:{row.get('run_id')}"


def _live(reader: Reader, table: sa.Table) -> Iterable[tuple[Any, ...]]:
    for row in reader.rows(sa.select(*(table.c[name] for name in schema.key_of(table))).where(
        *([table.c.removed_at.is_(None)] if "removed_at" in table.c else [])
    )):  # fmt: skip
        yield table.name, *map(str, row.values())


def _counted(entries: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((entry["run_id"], entry["table_name"]) for entry in entries)


def _written(log: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    written: Counter[tuple[str, str]] = Counter()
    for entry in log:
        rows = entry["rows_inserted"] + entry["rows_updated"] + entry["rows_removed"]
        written[entry["run_id"], entry["table_name"]] += rows
    return +written
