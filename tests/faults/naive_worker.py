"""Two usual ways to keep a table of transactions, as programs: what the promises are compared with.

`per_row` asks of every row of the SDK's history whether it exists, and creates it if not; `io_manager` materializes
daily partitions as a DataFrame with the stock DuckDB pandas I/O manager of Dagster. Both are written as their
documentation shows them. Nothing of this project is used: the second needs an environment of its own (`naive.txt`).

A process imports what its way needs, then forks for every line of its input, which is one run as JSON, and answers each
with a line: how it ended.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import httpx2
from tastytrade import Account, Session
from tastytrade.account import Transaction

_COLUMNS = ("id", "account_number", "transaction_date", "executed_at", "value", "net_value", "description")
_TABLE = """CREATE TABLE IF NOT EXISTS transactions (
    id BIGINT, account_number VARCHAR, transaction_date DATE, executed_at TIMESTAMPTZ, value DECIMAL(28, 10),
    net_value DECIMAL(28, 10), description VARCHAR)"""
Run = dict[str, Any]


class _Redirected(httpx2.AsyncHTTPTransport):
    """Sends the SDK's requests to the simulator, each a moment at which the process may be killed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        moment()
        request.url = request.url.copy_with(scheme=self._url.scheme, host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


def _history(run: Run, account: str, first: date, last: date) -> list[Transaction]:
    async def fetched() -> list[Transaction]:
        async with Session(run["secret"], run["token"], transport=_Redirected(run["url"]), timeout=5) as session:
            found = await Account.get(session, account)
            return await found.get_history(session, start_date=first, end_date=last)

    return asyncio.run(fetched())


def _values(row: Transaction) -> list[Any]:
    return [getattr(row, name) for name in _COLUMNS]


def per_row(run: Run) -> None:
    """Create every row that does not exist."""
    with duckdb.connect(run["file"]) as connection:
        connection.execute(_TABLE)
        for account in run["accounts"]:
            for row in _history(run, account, *_days(run)):
                if not connection.execute("SELECT 1 FROM transactions WHERE id = ?", [row.id]).fetchall():
                    marks = ", ".join("?" * len(_COLUMNS))
                    connection.execute(f"INSERT INTO transactions VALUES ({marks})", _values(row))  # noqa: S608


def io_manager(run: Run) -> None:
    """Materialize the days as one range of partitions, of a table by account."""
    import dagster as dg  # noqa: PLC0415 - an environment of its own has it
    import pandas as pd  # noqa: PLC0415
    from dagster_duckdb_pandas import DuckDBPandasIOManager  # noqa: PLC0415

    config = {"database": run["file"], "connection_config": {}}
    manager = DuckDBPandasIOManager(**config).create_io_manager(dg.build_init_resource_context())
    with dg.DagsterInstance.ephemeral() as instance:
        for account in run["accounts"]:
            rows = [_values(row) for row in _history(run, account, *_days(run))]
            frame = pd.DataFrame(rows, columns=list(_COLUMNS))
            context = dg.build_output_context(
                asset_key=["tasty", f"transactions_{account}"],
                asset_partition_key_range=dg.PartitionKeyRange(run["start"], run["end"]),
                asset_partitions_def=dg.DailyPartitionsDefinition(run["history_start"]),
                definition_metadata={"partition_expr": "transaction_date"},
                resource_config=config,
                instance=instance,
            )
            # as decimals the first frame would decide for how large ones there is room, and larger ones fail
            manager.handle_output(context, frame.astype({"value": float, "net_value": float}))


def _days(run: Run) -> tuple[date, date]:
    return date.fromisoformat(run["start"]), date.fromisoformat(run["end"])


WAYS: dict[str, Callable[[Run], None]] = {"per_row": per_row, "io_manager": io_manager}
_left = 0


def moment() -> None:
    """Die here, if it is this run's turn."""
    global _left  # noqa: PLW0603 - of a process that has one run
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _watched() -> None:
    real = duckdb.DuckDBPyConnection.execute

    def execute(connection: Any, *arguments: Any, **named: Any) -> Any:
        moment()
        # DuckDB looks for a frame that a statement names among the variables of its caller
        obj = sys._getframe(1).f_locals.get("obj")  # noqa: F841, SLF001
        return real(connection, *arguments, **named)

    duckdb.DuckDBPyConnection.execute = execute


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def _one(way: str, run: Run) -> str:
    """Do one run in a process of its own; return how it ended."""
    global _left  # noqa: PLW0603
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _left = run["kill_at"] or -1
        _watched()
        said = ""
        try:
            with _silent():
                WAYS[way](run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has failed
            said = type(error).__name__
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read().decode()
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else said


def main(way: str) -> None:
    """Answer every line."""
    if way == "io_manager":
        import dagster_duckdb_pandas  # noqa: F401, PLC0415 - once for all runs
    for line in sys.stdin:
        print(json.dumps(_one(way, json.loads(line))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
