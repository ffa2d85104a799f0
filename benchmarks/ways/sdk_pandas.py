"""The SDK's `get_history`, a pandas DataFrame, and one insert of the ids that are not there yet.

Its best setting: 2,000 rows a page, all pages. What was changed at the broker's after it was loaded is not seen.
"""

import asyncio
import io
from typing import Any

import duckdb
import fields
import harness
import httpx2
import pandas as pd
import psycopg
import pyarrow as pa  # noqa: F401 - pandas would import it in the middle
from tastytrade import Account, Session

_SQL = {
    "bigint": "BIGINT",
    "text": "VARCHAR",
    "decimal": f"DECIMAL({fields.PRECISION},{fields.SCALE})",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "bool": "BOOLEAN",
}


class _Elsewhere(httpx2.AsyncHTTPTransport):
    """Sends the SDK's requests to the fake API."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme=self._url.scheme, host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


def main() -> None:
    """Measure one sync."""
    task, phases = harness.task(), harness.Phases()

    async def fetch() -> list[Any]:
        async with Session("secret", "refresh", transport=_Elsewhere(task.api), timeout=60) as session:
            account = await Account.get(session, task.account)
            days: dict[str, Any] = {} if task.whole else {"start_date": task.start, "end_date": task.end}
            return await account.get_history(session, per_page=harness.PER_PAGE, page_offset=None, sort="Asc", **days)

    def sync() -> int:
        rows = phases.timed("fetch and parse", asyncio.run)(fetch())
        frame = phases.timed("frame", _frame)(rows)
        load = _into_duckdb if task.duckdb_file else _into_postgres
        phases.timed("load", load)(task, frame)
        return len(frame)

    harness.measured(sync, phases)


def _frame(rows: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame([vars(row) for row in rows])
    kinds = {fields.column(name): kind for name, kind in fields.KINDS.items()}
    frame = frame[[name for name in frame.columns if name in kinds]]
    # a missing number would make floats of all the others
    return frame.astype({name: "Int64" for name in frame.columns if kinds[name] == "bigint"})


def _create(names: list[str]) -> str:
    kinds = {fields.column(name): _SQL[kind] for name, kind in fields.KINDS.items()}
    columns = ", ".join(f"{name} {kinds[name]}{' PRIMARY KEY' if name == 'id' else ''}" for name in names)
    return f"CREATE TABLE IF NOT EXISTS transactions ({columns})"


def _into_duckdb(task: harness.Task, frame: pd.DataFrame) -> None:
    names = ", ".join(frame.columns)
    with duckdb.connect(task.duckdb_file or "") as connection:
        connection.execute(_create(list(frame.columns)))
        connection.register("frame", frame)
        connection.execute(
            f"INSERT INTO transactions ({names}) SELECT {names} FROM frame "  # noqa: S608
            "WHERE id NOT IN (SELECT id FROM transactions)"
        )


def _into_postgres(task: harness.Task, frame: pd.DataFrame) -> None:
    names = ", ".join(frame.columns)
    with psycopg.connect(task.database) as connection:
        connection.execute(_create(list(frame.columns)).encode())
        connection.execute(b"CREATE TEMPORARY TABLE fresh (LIKE transactions) ON COMMIT DROP")
        text = io.StringIO()
        frame.to_csv(text, index=False, header=False)
        with connection.cursor().copy(f"COPY fresh ({names}) FROM STDIN (FORMAT csv)".encode()) as copy:
            copy.write(text.getvalue())
        connection.execute(
            f"INSERT INTO transactions ({names}) SELECT {names} FROM fresh "  # noqa: S608
            "WHERE NOT EXISTS (SELECT 1 FROM transactions t WHERE t.id = fresh.id)".encode()
        )


if __name__ == "__main__":
    main()
