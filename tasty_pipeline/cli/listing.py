"""What `tasty-pipeline connections list` shows: every connection, what came of it, its accounts, its last sync."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from tasty_pipeline.cli.report import plain
from tasty_pipeline.core import schema
from tasty_pipeline.core.connections import DEFAULT, NEEDS_REAUTHORISATION
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Reader, Warehouse

_TITLES = ("name", "owner", "label", "environment", "state", "accounts", "last synchronised (UTC)")
_NONE = "No connection is stored, and the environment has no credentials. See `tasty-pipeline connections add --help`."


def listing(warehouse: Warehouse, settings: Settings) -> RenderableType:
    """Return the table of all connections, the disconnected ones last; a sentence where there is none."""
    rows: list[dict[str, Any]] = []
    accounts: Mapping[str, list[str]] = {}
    synced: Mapping[str, datetime] = {}
    if warehouse.is_current():
        with warehouse.read() as reader:
            rows, accounts, synced = _connections(reader), _accounts(reader), _synchronised(reader)
    if settings.has_credentials and all(row["connection_id"] != DEFAULT for row in rows):
        own = dict.fromkeys(column.name for column in schema.connections.columns)
        rows.insert(0, {**own, "connection_id": DEFAULT, "label": DEFAULT, "sandbox": settings.sandbox})
    if not rows:
        return _NONE
    table = Table(show_edge=False, show_lines=True)
    for title in _TITLES:
        table.add_column(title, overflow="fold")
    for row in sorted(rows, key=lambda row: row["disconnected_at"] is not None):
        name = row["connection_id"]
        when = f"{synced[name]:%Y-%m-%d %H:%M}" if name in synced else "never"
        cells = (name, row["owner"] or "", row["label"], "sandbox" if row["sandbox"] else "production")
        seen = "\n".join(accounts.get(name, ())) or "none"
        table.add_row(*map(_cell, cells), _state(row, settings), "\n".join(map(_cell, seen.split("\n"))), when)
    return table


def _state(row: Mapping[str, Any], settings: Settings) -> str:
    if row["connection_id"] == DEFAULT and not settings.has_credentials:
        return "[dim]no credentials in the environment"
    if row["disconnected_at"] is not None and row["connection_id"] != DEFAULT:
        return f"[dim]disconnected {row['disconnected_at']:%Y-%m-%d}"
    if row["state"] == NEEDS_REAUTHORISATION:
        return f"[red]{row['state']}[/]: {_cell(row['state_reason'] or '')}"
    return f"[green]{row['state']}" if row["state"] else "new"


def _cell(text: str) -> str:
    return escape(plain(text))


def _connections(reader: Reader) -> list[dict[str, Any]]:
    table = schema.connections
    shown = [column for column in table.columns if column.name not in {"sealed_credentials", "refused_login"}]
    # as they are synchronised
    default_first = sa.case((table.c.connection_id == DEFAULT, 0), else_=1)
    return reader.rows(sa.select(*shown).order_by(default_first, table.c.connected_at, table.c.connection_id))


def _accounts(reader: Reader) -> dict[str, list[str]]:
    links = schema.connection_accounts
    listed = sa.select(links.c.connection_id, links.c.account_number, links.c.authority_level)
    rows = reader.rows(listed.where(links.c.removed_at.is_(None)).order_by(links.c.account_number))
    return _by_connection(
        (row["connection_id"], f"{row['account_number']} ({row['authority_level'] or 'unknown'})") for row in rows
    )


def _by_connection(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, told in pairs:
        found.setdefault(name, []).append(told)
    return found


def _synchronised(reader: Reader) -> dict[str, datetime]:
    log = schema.sync_log
    newest = sa.select(log.c.connection, sa.func.max(log.c.read_ended_at).label("at"))
    rows = reader.rows(newest.where(log.c.result == "published").group_by(log.c.connection))
    return {row["connection"]: row["at"] for row in rows if row["at"] is not None}
