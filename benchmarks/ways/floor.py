"""What nothing can be faster than: the pages fetched and thrown away, then parsed and loaded without any proof.

The first part asks for all pages, eight at a time, and keeps the bodies. The second makes Arrow tables of them, signs
the amounts and puts the rows into the pipeline's own empty table, with its keys and indexes, in one transaction. The
seconds are those of both; the phases tell them apart.
"""

import asyncio
import io
import time
from collections.abc import Iterator

import duckdb
import harness
import httpx2
import pages
import psycopg
import pyarrow as pa
import pyarrow.csv as pv

_AT_ONCE = 50  # pages


def main() -> None:
    """Measure one load into an empty table."""
    task, phases = harness.task(), harness.Phases()

    def load() -> int:
        bodies = phases.timed("fetch", asyncio.run)(_fetch(task))
        tables = _tables(bodies, phases)
        began = time.perf_counter()
        rows = _into_duckdb(task, tables) if task.duckdb_file else _into_postgres(task, tables)
        both = time.perf_counter() - began
        phases.add("load", both - phases.seconds["parse"])
        phases.add("parse and load", both)
        return rows

    harness.measured(load, phases)


async def _fetch(task: harness.Task) -> list[bytes]:
    limits = httpx2.Limits(max_connections=harness.IN_FLIGHT)
    async with httpx2.AsyncClient(base_url=task.api, limits=limits, timeout=60) as client:

        async def page(number: int) -> bytes:
            return (await client.get(task.path, params={**task.query, "page-offset": number})).content

        first = await page(0)
        count = pages.page(first)[1]
        gate = asyncio.Semaphore(harness.IN_FLIGHT)

        async def gated(number: int) -> bytes:
            async with gate:
                return await page(number)

        return [first, *await asyncio.gather(*map(gated, range(1, count)))]


def _tables(bodies: list[bytes], phases: harness.Phases) -> Iterator[pa.Table]:
    """The tables of some pages at a time; the time to make them counts as parsing."""
    for low in range(0, len(bodies), _AT_ONCE):
        began = time.perf_counter()
        some = [pages.signed(pages.page(body)[0]) for body in bodies[low : low + _AT_ONCE]]
        table = pa.concat_tables(some).rename_columns({"id": "transaction_id", "quantity": "quantity_unsigned"})
        more = {"run_id": pa.repeat("floor", len(table)), "synced_at": table["executed_at"]}
        for name, column in more.items():
            table = table.append_column(name, column)
        phases.add("parse", time.perf_counter() - began)
        yield table


def _into_duckdb(task: harness.Task, tables: Iterator[pa.Table]) -> int:
    loaded = 0
    with duckdb.connect(task.duckdb_file or "") as connection:
        connection.begin()
        for table in tables:
            connection.register("page", table)
            connection.execute("INSERT INTO tasty.transactions BY NAME SELECT * FROM page")
            loaded += len(table)
        connection.commit()
    return loaded


def _into_postgres(task: harness.Task, tables: Iterator[pa.Table]) -> int:
    loaded = 0
    options = pv.WriteOptions(include_header=False, quoting_style="needed")
    with psycopg.connect(task.database) as connection:
        for table in tables:
            text = io.BytesIO()
            pv.write_csv(table, text, options)
            names = ", ".join(table.column_names)
            with connection.cursor().copy(
                f"COPY tasty.transactions ({names}) FROM STDIN (FORMAT csv)".encode()
            ) as copy:
                copy.write(text.getbuffer())
            loaded += len(table)
    return loaded


if __name__ == "__main__":
    main()
