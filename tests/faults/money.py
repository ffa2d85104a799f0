"""Every amount comes back from the database digit for digit, or is refused with its payload; never rounded.

Here belongs the way there and back: the bytes of answers over HTTP, the SDK's session, the syncs, the database, and
three readers. What is sent, and what must come of it, is in `amounts.py`.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import sqlalchemy as sa
from broker.loopback import loopback

from tasty_pipeline.core import quick, schema, sync
from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.sync import Run, Sync, SyncResult
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, open_warehouse

from .amounts import DAY, TABLES, Amount, Kind, Number, Payload, Sheet, columns
from .tally import Tally

PROMISE = "amounts are string-exact from the API to the database and back"
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
KINDS = tuple(Kind)
AN_ACCOUNT = 80_000  # amounts: no list of an account is longer than a page

Cells = Mapping[str, Any]


def search(*, seed: int, amounts: int, database: str) -> Tally:
    """Send so many random amounts into an empty warehouse, by its URL, account by account, and read them back."""
    tally = Tally(PROMISE, seed=seed)
    warehouse = open_warehouse(database)
    warehouse.migrate()
    _refuse_other_columns(database)
    with _application(database):  # a DuckDB file is kept open meanwhile: to open it takes most of a small sync's time
        asyncio.run(_Search(database, warehouse, random.Random(seed), tally).play(amounts))  # noqa: S311 - no secret
    return tally


def _refuse_other_columns(database: str) -> None:
    """Every amount's column of the database must be one that is filled here, and as wide as it says."""
    sql = """SELECT table_name, column_name, numeric_precision, numeric_scale FROM information_schema.columns
             WHERE table_schema = 'tasty' AND numeric_scale > 0"""
    found = set(_asked(database, sql))
    ours = {(table, name, 38, 12) for table in TABLES for name in _amounts_of(table)}
    if found != ours:
        raise AssertionError(f"amounts stand in other columns than are looked at: {found ^ ours}")


def _amounts_of(table: str) -> list[str]:
    return [*columns(table), *(["quantity"] if table == "transactions" else [])]


class _Search:
    def __init__(self, database: str, warehouse: Warehouse, chance: random.Random, tally: Tally) -> None:
        self.database, self.warehouse, self.chance, self.tally = database, warehouse, chance, tally
        self.run = Run(run_id="run", environment="loopback", history_start=DAY, now=lambda: NOW)

    async def play(self, amounts: int) -> None:
        at_once = min(AN_ACCOUNT, amounts * 5 // 16)
        async with loopback() as server:
            config = BrokerConfig(url=server.url, requests_per_second=5000.0)
            async with connect(Credentials("secret", "token"), config) as broker:
                number = 0
                while self.tally.tried < amounts:
                    number += 1
                    sheet = Sheet(f"M{number}", KINDS[number % len(KINDS)], self.chance)
                    sheet.fill(at_once, number * AN_ACCOUNT)
                    server.script = sheet.answer
                    await self._there_and_back(Sync(broker=broker, warehouse=self.warehouse, run=self.run), sheet)

    async def _there_and_back(self, sync: Sync, sheet: Sheet) -> None:
        results = await _synchronised(sync, sheet.account)
        self._look(sheet)
        for table, result in results.items():
            self._expect(sheet, f"{table} refused", result.rejected, len(sheet.refused[table]))
        meddled = _meddle(self.database, sheet)
        self._expect(sheet, "lists as proven with other last digits", self._as_proven(sheet.account), 0)
        for table, result in (await _synchronised(sync, sheet.account)).items():
            self._expect(sheet, f"{table} written by a second sync", result.inserted + result.updated, meddled[table])
            self.tally.notes["other last digits, seen and mended"] += result.updated
        self._expect(sheet, "lists as proven", self._as_proven(sheet.account), len(schema.DAY))
        self._look(sheet)
        self._count(sheet)

    def _as_proven(self, account: str) -> int:
        """Count the lists whose digest, made of what is stored, is the one made of the answer."""
        proven = schema.proven_days
        with self.warehouse.read() as reader:
            same = 0
            for table in (schema.MIRRORED[name] for name in schema.DAY):
                stored = sa.select(*(table.c[name] for name in schema.content(table)))
                digest = rows_digest(table, reader.table(stored.where(table.c.account_number == account)))
                of_table = sa.select(proven.c.digest).where(proven.c.table_name == table.name)
                same += digest == reader.scalar(of_table.where(proven.c.account_number == account))
        return same

    def _expect(self, sheet: Sheet, what: str, found: int, wanted: int) -> None:
        if found != wanted:
            self.tally.broken.append(f"account {sheet.account}: {what}: {found}, not {wanted}")

    def _count(self, sheet: Sheet) -> None:
        self.tally.notes.update(sheet.notes)
        for table, rows in sheet.held.items():
            filled = sum(cell is not None for held in rows.values() for name, cell in held.items() if name != "extra")
            self.tally.tried += filled + len(sheet.refused[table])
            self.tally.notes[f"in {table}"] += filled
            self.tally.notes["in JSON"] += sum("extra" in held for held in rows.values())
        for name in schema.DAY:
            body = sheet.body(name)
            way = "quickly" if quick.read(schema.MIRRORED[name], body, sheet.account) else "by the judge"
            self.tally.notes[f"pages read {way}"] += 1

    def _look(self, sheet: Sheet) -> None:
        """Read everything back, in every way, and compare it as text."""
        for table, tag in TABLES.items():
            names = _amounts_of(table)
            for way, read in (("as text", _texts), ("as decimals", _decimals), ("by the pipeline", self._own)):
                found = read(self.database, table, tag, [*names, "extra"], sheet.account)
                self._compare(f"{table} read {way}", sheet.held[table], found)
            found = _rejected(self.database, table, sheet.account)
            wanted = {name: (key, _kept(row)) for name, (key, row) in sheet.refused[table].items()}
            self._compare(f"{table} refused", wanted, found)

    def _own(self, _: str, table: str, tag: str, names: list[str], account: str) -> dict[str, Cells]:
        held = schema.MIRRORED[table]
        chosen = sa.select(*(held.c[name] for name in (tag, *names))).where(held.c.account_number == account)
        with self.warehouse.read() as reader:
            rows = reader.rows(chosen)
        return {str(row.pop(tag)): {name: _shown(cell) for name, cell in row.items()} for row in rows}

    def _compare(self, what: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        for name in wanted.keys() | found.keys():
            sent, held = wanted.get(name), found.get(name)
            if isinstance(sent, dict) and isinstance(held, dict):
                sent, held = _unlike(sent, held), _unlike(held, sent)
            if sent != held:
                self.tally.broken.append(f"{what}, row {name}: {held}, not {sent}")


def _unlike(some: Cells, other: Cells) -> Cells:
    return {name: cell for name, cell in some.items() if cell is not None and cell != other.get(name)}


async def _synchronised(s: Sync, account: str) -> dict[str, SyncResult]:
    transactions = await sync.sync_transactions(s, account, DAY, DAY)
    snapshots = await sync.sync_snapshots(s, account, DAY, DAY)
    return {each.table: each for each in (transactions, snapshots, *await sync.sync_portfolio(s, account))}


# as an application reads: a connection of its own, the views, no help of the pipeline's


@contextmanager
def _application(database: str) -> Iterator[Any]:
    if database.startswith("duckdb:///"):
        with duckdb.connect(database.removeprefix("duckdb:///"), config=DUCKDB_CONFIG) as connection:
            yield connection
    else:
        with psycopg.connect(database, autocommit=True) as connection:
            yield connection


def _asked(database: str, sql: str) -> list[tuple[Any, ...]]:
    with _application(database) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    return rows


def _schema(database: str) -> str:
    return "tasty" if database.startswith("duckdb:") else "tasty_v1"


def _texts(database: str, table: str, tag: str, names: list[str], account: str) -> dict[str, Cells]:
    cells = ", ".join(f"{name}::text" for name in (tag, *names))
    rows = _asked(database, f"SELECT {cells} FROM {_schema(database)}.{table} WHERE account_number = '{account}'")  # noqa: S608
    return {row[0]: dict(zip(names, (*row[1:-1], _parsed(row[-1])), strict=True)) for row in rows}


def _decimals(database: str, table: str, tag: str, names: list[str], account: str) -> dict[str, Cells]:
    cells = ", ".join(f"{name}::text" if name == "extra" else name for name in (tag, *names))
    rows = _asked(database, f"SELECT {cells} FROM {_schema(database)}.{table} WHERE account_number = '{account}'")  # noqa: S608
    read = ((str(row[0]), (*map(_shown, row[1:-1]), _parsed(row[-1]))) for row in rows)
    return {name: dict(zip(names, cells, strict=True)) for name, cells in read}


def _shown(cell: Any) -> Any:
    if isinstance(cell, dict):
        return {
            key: value if isinstance(value, str) else Number(format(Decimal(value), "f")) for key, value in cell.items()
        }
    return cell if cell is None else format(cell, "f")


def _parsed(text: str | None) -> Any:
    """Parse JSON and leave its numbers as they are spelled."""
    return None if text is None else json.loads(text, parse_float=Number, parse_int=Number)


def _rejected(database: str, table: str, account: str) -> dict[str, tuple[str, Payload]]:
    """The payloads that stand rejected, by name, with the key that the reason names."""
    sql = f"""SELECT payload::text, reason FROM tasty.rejected_rows WHERE table_name = '{table}'
              AND account_number = '{account}' AND resolved_at IS NULL"""  # noqa: S608
    found = {}
    for text, reason in _asked(database, sql):
        payload = _parsed(text)
        name = payload.get("id") or payload.get("symbol") or payload["currency"]
        found[str(name)] = reason.partition(":")[0], payload
    return found


def _kept(payload: Payload) -> Payload:
    """A payload as a JSON column keeps it."""

    def kept(value: Any) -> Any:
        return value.in_json() if isinstance(value, Amount) else Number(value) if isinstance(value, int) else value

    return {key: kept(value) for key, value in payload.items()}


def _meddle(database: str, sheet: Sheet) -> dict[str, int]:
    """Change the last digit of one value of every column, each in another row; return how many of each table."""
    changed = {}
    with _application(database) as connection:
        for table, tag in TABLES.items():
            rows = iter(sheet.held[table].items())
            changed[table] = 0
            for column in columns(table):
                name, held = next((each for each in rows if _may_change(table, column, each[1])), (None, {}))
                if name is None:
                    continue
                text = held[column][:-1] + ("5" if held[column][-1] != "5" else "6")
                where = f"account_number = '{sheet.account}' AND {tag}::text = '{name}'"
                connection.execute(f"UPDATE tasty.{table} SET {column} = '{text}' WHERE {where}")  # noqa: S608
                changed[table] += 1
    return changed


def _may_change(table: str, column: str, held: Cells) -> bool:
    # a transaction's two quantities are bound to each other
    bound = table == "transactions" and column == "quantity_unsigned" and held.get("quantity") is not None
    return held.get(column) is not None and not bound
