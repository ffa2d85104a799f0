"""Typed rows: Arrow tables with the exact types of a database table, made from Python rows or looked at as they come.

Here belongs which Arrow type stands for a column, and the last look at every Python value before it becomes one: type,
size, scale, zone. Both databases would round, cut or reinterpret some of what is refused here, each in its own way. How
typed rows are sent belongs to the warehouse; what a value means belongs to the payload contract.
"""

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.schema import PRECISION, SCALE, key_of

# Arrow's own pool keeps a hundred megabytes that are free, and was not faster; whoever has chosen one keeps it.
if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
    pa.set_memory_pool(pa.system_memory_pool())

_REMEDY = "nothing was written; report it as a bug of tasty_pipeline, with the names above."
_SHOWN = 80
_LONGEST_NUMBER = 10_000  # of digits; JSONB takes some more on either side of the point


def arrow_type(column: sa.ColumnElement[Any]) -> pa.DataType:
    """Return the Arrow type that holds every value of a column exactly; JSON is its canonical text."""
    match column.type:
        case sa.JSON() | sa.String():
            return pa.string()
        case sa.Numeric(asdecimal=True):
            return pa.decimal128(column.type.precision or PRECISION, column.type.scale or SCALE)
        case sa.Integer():
            return pa.int64()
        case sa.Boolean():
            return pa.bool_()
        case sa.DateTime(timezone=True):
            return pa.timestamp("us", tz="UTC")
        case sa.Date():
            return pa.date32()
    raise NotImplementedError(f"{column}: no exact Arrow type for {column.type!r}")


def arrow_schema(table: sa.Table, names: Sequence[str] | None = None) -> pa.Schema:
    """Return the fields of typed rows: of all columns of a table, or of those named, in their order."""
    columns = table.columns.values() if names is None else [table.columns[name] for name in names]
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def content_schema(table: sa.Table) -> pa.Schema:
    """Return the fields of typed rows as the API gives them: without what we add."""
    return arrow_schema(table, schema.content(table))


def to_arrow(table: sa.Table, rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> pa.Table:
    """Build typed rows: one column per column of `table` or per name, in order; what a row leaves out is NULL.

    Raises AuditError for a column that is not among them, and for a value that its column cannot hold exactly: digits
    beyond the scale, a float, a time without a zone, a text with U+0000 (which Postgres cannot store). JSON columns
    become canonical text; a U+0000 or half a surrogate pair inside them is kept as its visible escape.
    """
    names = tuple(table.columns.keys()) if names is None else names
    unknown = (set().union(*rows) - set(names)) | (set(names) - set(table.columns.keys()))
    if unknown:
        raise AuditError(f"Rows for {table.name} have columns that it does not have: {sorted(unknown)}.", _REMEDY)
    fields = arrow_schema(table, names)
    return pa.Table.from_arrays([_array(table, table.columns[name], rows) for name in names], schema=fields)


def refuse_inexact(table: sa.Table, rows: pa.Schema) -> None:
    """Raise AuditError where typed rows have a column that the table does not have, twice, or of another type."""
    for name in rows.names:
        exact = arrow_type(table.columns[name]) if name in table.columns and rows.names.count(name) == 1 else None
        if exact is None or rows.field(name).type != exact:
            given = f"{name} ({rows.field(rows.names.index(name)).type})"
            raise AuditError(
                f"Typed rows for {table.name} have a column {given}, not {exact or 'one there is'}.", _REMEDY
            )


def canonical_text(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn JSON texts of any spelling into canonical ones, as `to_arrow` writes them; NULL stays NULL."""
    if texts.null_count == len(texts):
        return texts
    given = texts.to_pylist()
    written = (
        None if text is None else canonical_json(_storable(json.loads(text, parse_float=Decimal))) for text in given
    )
    return pa.chunked_array([pa.array(written, pa.string())])


# bool is an int and a datetime is a date to Python, but not to a table
_ALLOWED: dict[type, tuple[type, ...]] = {
    sa.Text: (str,),
    sa.Numeric: (Decimal, int),
    sa.BigInteger: (int,),
    sa.Boolean: (bool,),
    sa.DateTime: (dt.datetime,),
    sa.Date: (dt.date,),
}
_FORBIDDEN: dict[type, type] = {sa.Numeric: bool, sa.BigInteger: bool, sa.Date: dt.datetime}


def _array(table: sa.Table, column: sa.Column[Any], rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    name, kind = column.name, arrow_type(column)
    values = [row.get(name) for row in rows]
    try:
        return pa.array(_checked(column, values), kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        for row, value in zip(rows, values, strict=True):
            try:
                pa.array(_checked(column, [value]), kind)
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as reason:
                key = ", ".join(f"{part}={_shown(row.get(part))}" for part in key_of(table))
                what = f"The value {_shown(value)} of {name} in {table.name} ({key}) does not fit {column.type}"
                raise AuditError(f"{what}: {reason}.", _REMEDY) from error
        raise


def _checked(column: sa.Column[Any], values: list[Any]) -> list[Any]:
    if isinstance(column.type, sa.JSON):
        return [None if value is None else canonical_json(_storable(value)) for value in values]
    kind = next(base for base in _ALLOWED if isinstance(column.type, base))
    forbidden = _FORBIDDEN.get(kind, ())
    for found in set(map(type, values)) - {type(None)}:
        if not issubclass(found, _ALLOWED[kind]) or (forbidden and issubclass(found, forbidden)):
            raise TypeError(f"a {found.__name__} is not what the column holds")
    if kind is sa.Text and any("\0" in value for value in values if value is not None):
        raise ValueError("a text cannot hold the character U+0000")
    if kind is sa.DateTime and any(value.utcoffset() is None for value in values if value is not None):
        raise ValueError("a time needs its zone")
    return values


def _storable(value: Any) -> Any:
    """Make visible what JSON can say and Postgres cannot store: U+0000, lone surrogates, numbers out of its range."""
    if isinstance(value, Decimal) and not -_LONGEST_NUMBER < value.adjusted() < _LONGEST_NUMBER:
        return str(value)
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        plain = value.replace("\0", "\\u0000")
        return plain.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_storable(key): _storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
