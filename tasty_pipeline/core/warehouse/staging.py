"""From Python rows to one Arrow table with the exact types of a database table.

Here belongs the last look at every value before it is sent: type, size, scale, zone. Both databases would round,
cut or reinterpret some of what is refused here, each in its own way. How the Arrow table is sent belongs to the
backends; what a value means belongs to the payload contract.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.schema import key_of

_REMEDY = "nothing was written; report it as a bug of tasty_pipeline, with the names above."
_SHOWN = 80
_LONGEST_NUMBER = 10_000  # of digits; JSONB takes some more on either side of the point


def to_arrow(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build the Arrow table: one column per column of `table`, in order; what a row leaves out is NULL.

    Raises AuditError for a column that the table does not have, and for a value that its column cannot hold exactly:
    digits beyond the scale, a float, a time without a zone, a text with U+0000 (which Postgres cannot store).
    JSON columns become canonical text; a U+0000 or half a surrogate pair inside them is kept as its visible escape.
    """
    unknown = set().union(*rows) - set(table.columns.keys())
    if unknown:
        raise AuditError(f"Rows for {table.name} have columns that it does not have: {sorted(unknown)}.", _REMEDY)
    fields = [pa.field(column.name, _arrow_type(column)) for column in table.columns]
    arrays = [_array(table, column, rows) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _arrow_type(column: sa.Column[Any]) -> pa.DataType:
    match column.type:
        case sa.JSON() | sa.Text():
            return pa.string()
        case sa.Numeric(precision=int(precision), scale=int(scale)):
            return pa.decimal128(precision, scale)
        case sa.BigInteger():
            return pa.int64()
        case sa.Boolean():
            return pa.bool_()
        case sa.DateTime(timezone=True):
            return pa.timestamp("us", tz="UTC")
        case sa.Date():
            return pa.date32()
    raise NotImplementedError(f"{column}: no exact way to stage {column.type!r}")


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
    name, kind = column.name, _arrow_type(column)
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
