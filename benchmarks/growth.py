"""What a small sync and an application's questions cost on ever longer histories; the second half of `make bench`.

A history of so many rows is made inside the database, older than all that the fake API holds. On top of it ten rows are
booked and the last ten days synchronised, as `bench.py` measures it; then the questions are asked that applications
and checks ask. Whole histories of that length are not synchronised here. Figures go to `results/growth.json`.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import results
import tables
from cases import Case, Measurement
from contestants import DATABASES, DUCKDB, OURS, WAYS
from fake_rows import LATE_DAYS
from measuring import FakeApi, fake_api, measure
from stores import Store, StoreOf, servers

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.warehouse import open_warehouse

HERE = Path(__file__).parent
SIZES = (1_000, 1_000_000, 10_000_000)
SYNCS, TIMES = 3, 5
# of what the API holds itself; the history that is put below ends before its last thirty days
_API_ROWS, _DAYS = 1_000, 3_600
_MIDDLE = "DATE '2022-01-03'"
_FILL = """
INSERT INTO tasty.transactions (transaction_id, account_number, symbol, underlying_symbol, instrument_type,
  transaction_type, transaction_sub_type, action, quantity, quantity_unsigned, price, exec_id, description, value,
  net_value, executed_at, transaction_date, synced_at, run_id)
SELECT n + 1, '{account}', 'S' || (n % 700), 'S' || (n % 90), 'Equity', 'Trade', 'Buy to Open', 'Buy to Open', 1, 1,
  1.5, 'E' || (n * 7919), 'Bought 1 S' || (n % 700), -1.5, -1.5,
  TIMESTAMPTZ '2017-01-03 15:00:00+00' + INTERVAL '1 day' * CAST(n * {days} / {rows} AS INTEGER),
  DATE '2017-01-03' + CAST(n * {days} / {rows} AS INTEGER), TIMESTAMPTZ '2020-01-01 00:00:00+00', 'fill'
FROM generate_series(CAST(0 AS BIGINT), CAST({rows} - 1 AS BIGINT)) AS numbers(n)"""
_PROVE = """
INSERT INTO tasty.proven_days (account_number, table_name, day, row_count, digest, synced_at, run_id)
SELECT account_number, 'transactions', transaction_date, count(*), '0:', TIMESTAMPTZ '2020-01-01 00:00:00+00', 'fill'
FROM tasty.transactions GROUP BY account_number, transaction_date"""
_MINE = "FROM tasty.transactions WHERE account_number = '{account}' AND removed_at IS NULL"
_NEWEST = "ORDER BY transaction_date DESC, executed_at DESC, transaction_id DESC LIMIT 51"
QUESTIONS = {
    "the newest page of an account": f"SELECT * {_MINE} {_NEWEST}",
    "a page in its middle": f"SELECT * {_MINE} AND (transaction_date, executed_at, transaction_id) < ({_MIDDLE}, "
    f"TIMESTAMPTZ '2022-01-03 00:00:00+00', 0) {_NEWEST}",
    "one day's sum": f"SELECT count(*), sum(net_value) {_MINE} AND transaction_date = {_MIDDLE}",
    "a symbol's newest page": f"SELECT * {_MINE} AND symbol = 'S17' {_NEWEST}",
    "a row by its id": "SELECT * FROM tasty.transactions WHERE transaction_id = 500",
}


def main() -> int:
    """Measure, print, write; returns 1 if a sync was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="ROWS")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--peers", default=str(HERE.parent / ".venv-bench" / "bin" / "python"), metavar="PYTHON")
    options = parser.parse_args()
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="tasty-bench-", ignore_cleanup_errors=True) as folder,
        servers(Path(folder), options.databases) as store_of,
        fake_api(_API_ROWS) as api,
    ):
        for database in options.databases:
            columns = [_measured(api, store_of, database, rows, Path(folder)) for rows in options.sizes]
            found.append(_table(database, options.sizes, columns))
            print("\n".join(tables.aligned([found[-1]["head"], *found[-1]["rows"]])), end="\n\n", flush=True)
    written = {"title": "On ever longer histories", "text": _TEXT, "tables": found}
    (results.FOLDER / "growth.json").write_text(f"{json.dumps(written, indent=1)}\n", encoding="utf-8")
    subprocess.run([options.peers, str(HERE / "report.py")], check=True)  # noqa: S603
    return int("wrong" in json.dumps(found))


_TEXT = (
    "A history of so many rows of one account, and on top of it ten new rows: the last ten days synchronised (the "
    "median of three), and what applications and checks then ask (the median of five). DuckDB has no index but its "
    "keys'; the check that counts every day reads the whole table in both."
)


def _table(database: str, sizes: Sequence[int], columns: Sequence[dict[str, str]]) -> dict[str, Any]:
    head = [DATABASES[database], *(f"{rows:,}" for rows in sizes)]
    return {"head": head, "rows": [[name, *(column[name] for column in columns)] for name in columns[0]]}


def _measured(api: FakeApi, store_of: StoreOf, database: str, rows: int, folder: Path) -> dict[str, str]:
    api.ask("reset")
    with store_of(database) as store:
        store.migrate()
        began = time.monotonic()
        with _connected(database, store) as run:
            run(_FILL.format(account=api.account, days=_DAYS, rows=rows))
            run(_PROVE)
            if database == DUCKDB:
                run("CHECKPOINT")
        store.rest()
        print(f"{DATABASES[database]}: {rows:,} rows in {time.monotonic() - began:.0f} s", flush=True)
        syncs = [_one_sync(api, store, Case(rows, database), number, folder) for number in range(SYNCS)]
        wrong = next((f" wrong: {each.wrong}" for each in syncs if each.wrong.startswith("failed")), _flaw(api, store))
        cells = {
            "the last ten days, ten rows more": f"{statistics.median(each.seconds for each in syncs):.2f} s{wrong}",
            "the most memory of that": f"{max(each.peak_mb for each in syncs):.0f} MB",
        }
        with _connected(database, store) as run:
            for name, question in QUESTIONS.items():
                cells[name] = _timed(lambda text=question: run(text.format(account=api.account)))
        with open_warehouse(store.url).read() as reader:
            days = (api.today, api.today)
            cells["the check that each day holds as many rows as were proven"] = _timed(
                lambda: audits.complete(reader, schema.transactions, days)
            )
    return cells


def _flaw(api: FakeApi, store: Store) -> str:
    """Say whether the last ten days are as many rows as the API counts."""
    first = (api.today - timedelta(days=LATE_DAYS - 1)).isoformat()
    asked = f"{api.url}/accounts/{api.account}/transactions?start-date={first}&per-page=1"
    with urllib.request.urlopen(asked) as answer:  # noqa: S310 - loopback
        expected = json.load(answer)["pagination"]["total-items"]
    held, _ = store.ask(f"SELECT count(*), 0 FROM tasty.transactions WHERE transaction_date >= '{first}'")  # noqa: S608 - our own day
    return "" if held == expected else f" wrong: {held} rows instead of {expected}"


def _one_sync(api: FakeApi, store: Store, case: Case, number: int, folder: Path) -> Measurement:
    api.ask(f"add?rows=10&seed={number}")
    return measure(WAYS[OURS], case, "late", api, store, folder, sys.executable)


def _timed(ask: Callable[[], object]) -> str:
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    return f"{1000 * statistics.median(seconds):,.1f} ms"


@contextlib.contextmanager
def _connected(database: str, store: Store) -> Iterator[Callable[[str], object]]:
    """Give what runs a statement and fetches its answer."""
    if database == DUCKDB:
        with duckdb.connect(store.url.removeprefix("duckdb:///")) as file:
            yield lambda text: file.execute(text).fetchall()
        return
    with psycopg.connect(store.url, autocommit=True) as server:

        def run(text: str) -> object:
            cursor = server.execute(text.encode())
            return cursor.fetchall() if cursor.description else None

        yield run


if __name__ == "__main__":
    sys.exit(main())
