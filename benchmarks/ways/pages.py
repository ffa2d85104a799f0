"""Pages parsed by `pyarrow.json` with a schema: the same for every way that goes through Arrow tables.

A page is one JSON object; its rows are the list in `data.items`. Decimals and times are read exactly or refused.
"""

from typing import Any

import fields
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

_BLOCK = 16 << 20  # a page must fit one block
_TYPES = {
    "bigint": pa.int64(),
    "text": pa.string(),
    "decimal": pa.decimal128(fields.PRECISION, fields.SCALE),
    "date": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "bool": pa.bool_(),
}
_ROW = pa.struct([(name, _TYPES[kind]) for name, kind in fields.KINDS.items()])
_PAGE = pj.ParseOptions(
    explicit_schema=pa.schema(
        [
            ("data", pa.struct([("items", pa.list_(_ROW))])),
            ("pagination", pa.struct([("total-pages", pa.int64()), ("total-items", pa.int64())])),
        ]
    ),
    unexpected_field_behavior="ignore",
)
_READ = pj.ReadOptions(use_threads=False, block_size=_BLOCK)


def page(body: bytes) -> tuple[pa.Table, int]:
    """The rows of a page, with the fields' names as columns, and how many pages there are."""
    whole = pj.read_json(pa.BufferReader(body), read_options=_READ, parse_options=_PAGE)
    pages = whole["pagination"].combine_chunks().field("total-pages")[0].as_py()
    rows = whole["data"].combine_chunks().field("items").flatten()
    columns = dict(zip(fields.KINDS, rows.flatten(), strict=True))
    columns["transaction-date"] = columns["transaction-date"].cast(pa.date32())
    return pa.table({fields.column(name): column for name, column in columns.items()}), pages


def signed(table: pa.Table) -> pa.Table:
    """The same rows with the amounts signed by their effects, which are left out."""
    columns: dict[str, Any] = {}
    effects = {f"{fields.column(name)}_effect": fields.column(name) for name in fields.AMOUNTS}
    for name in table.column_names:
        if name in effects:
            continue
        column = table[name]
        if f"{name}_effect" in effects:
            column = pc.if_else(pc.equal(table[f"{name}_effect"], "Debit"), pc.negate(column), column)
        columns[name] = column
    return pa.table(columns)
