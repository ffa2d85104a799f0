"""Typed rows on their way into Postgres and out of it: CSV as COPY reads and writes it.

Here belongs only the text. In it NULL is an empty cell and an empty text is "". Which statement it belongs to, and the
connection, are in `postgres.py`.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.csv

from tasty_pipeline.core.spool import Rows

# about a megabyte of text: the client's memory does not grow with the rows
_ROWS_AT_ONCE = 2_500
BYTES_AT_ONCE = 8 * 2**20

Cells = bytes | bytearray | memoryview
T = TypeVar("T")


def written(rows: Rows) -> Iterator[tuple[list[str], Cells]]:
    """Yield column names and CSV of them, some thousands of rows at a time; write the next ones meanwhile.

    A column without a value in any of those rows is left out: it costs the server as much as any other.
    """
    return _ahead(_texts(rows))


def _texts(rows: Rows) -> Iterator[tuple[list[str], Cells]]:
    for table in rows.batches():
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            part = table.slice(start, _ROWS_AT_ONCE)
            names = [name for name in part.column_names if part[name].null_count < part.num_rows]
            part = part.select(names or part.column_names[:1])
            text = io.BytesIO()
            pa.csv.write_csv(_without_zones(part), text, pa.csv.WriteOptions(include_header=False))
            yield part.column_names, text.getbuffer()


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items, the next of which is made while one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _without_zones(rows: pa.Table) -> pa.Table:
    """Take the zone, which is UTC as the session's, from every time: writing it would take ten times as long."""
    naive = [
        pa.field(field.name, pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(naive))


def parsed(lines: Sequence[Cells], schema: pa.Schema) -> pa.Table:
    """Turn rows as Postgres writes them, with its time zone set to UTC, into typed ones."""
    text = pa.py_buffer(b"".join(lines))
    if not text.size:
        return schema.empty_table()
    return pa.csv.read_csv(
        pa.BufferReader(text),
        pa.csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=text.size + 1),
        pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pa.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
