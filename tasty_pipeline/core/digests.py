"""Canonical text and digests: the same content gives the same digest, however it was spelled or stored.

Here belongs how values are written down to be compared: payloads as the API sent them, and typed rows, read from the
API or from either database. Nothing here knows a database, a payload's meaning or what is done with a digest.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline.core import schema

DIGEST_BYTES = 16
# of `rows_digest`; digests without a version are of the first, which wrote every row down as JSON
ROWS_VERSION = 2
# A number of a few characters ("1E+999999999") must not become a text of a gigabyte.
_PLAIN_DIGITS = 1_000


def canonical_json(value: Any) -> str:
    """Write a JSON-like value in its one canonical form.

    Keys are sorted, nothing is spaced, characters outside ASCII stay as they are. Numbers of any type are plain
    decimal literals in normal form (1, 1.0 and Decimal("1.00") are all `1`; minus zero is `0`); beyond a thousand
    digits an exponent is used. Dates and times are ISO strings, times in UTC ending in Z.

    Raises ValueError for NaN, infinities and times without a zone, TypeError for any other type.
    """
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer = next((write for kind, write in _WRITERS.items() if isinstance(value, kind)), None)
    if writer is None:
        raise TypeError(f"{type(value).__name__} has no canonical form")
    return writer(value)


def payload_digest(payload: Any) -> str:
    """Return BLAKE2b (16 bytes, as 32 hex digits) of the payload's canonical form."""
    # half of a surrogate pair is legal in JSON and has no UTF-8
    text = canonical_json(payload).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text + b"\n", digest_size=DIGEST_BYTES).hexdigest()


def rows_digest(table: sa.Table, rows: pa.Table) -> str:
    """Return the digest of typed rows (see `core.arrow`), in whatever order they stand.

    It is the version of this definition, a colon and BLAKE2b (16 bytes, hex) over these bytes, all numbers in them
    little-endian, of the columns that `schema.content(table)` names:

    - the number of rows, in 8 bytes;
    - then for each column, in the order of their names, unless it is null in every row: its name in UTF-8 and a line
      feed; and for its rows, in the order of their keys (numbers by value, texts by their bytes),
      - of texts and JSON: all lengths in bytes, in 4 bytes each, -1 for null, and then all texts in UTF-8 (JSON in
        canonical form);
      - of anything else: a byte each, 1 for a value and 0 for null, and then all values, 0 for null: amounts in 16
        bytes as multiples of 1E-12, whole numbers in 8, times in 8 as microseconds since 1970 in UTC, dates in 4 as
        days since 1970, truth in 1.

    So a column that a later version adds does not change the digests of the rows before it.
    """
    ordered = _in_order(rows, schema.key_of(table))
    return next(_digests(table, ordered, [0, ordered.num_rows]))


def day_digests(table: sa.Table, rows: pa.Table, day: str) -> dict[dt.date, tuple[int, str]]:
    """Return of each day that has rows how many they are, and their `rows_digest`; `day` is the column of the day."""
    if not rows.num_rows:
        return {}
    ordered = _in_order(rows, (day, *schema.key_of(table)))
    days = ordered[day].combine_chunks()
    changes = pc.indices_nonzero(pc.pairwise_diff(days.cast(pa.int32())))  # the first has none before it
    bounds = [0, *changes.to_pylist(), len(days)]
    counts = [end - start for start, end in pairwise(bounds)]
    found = zip(counts, _digests(table, ordered, bounds), strict=True)
    return dict(zip(days.take(pa.array(bounds[:-1])).to_pylist(), found, strict=True))


def is_comparable(digest: str) -> bool:
    """Say whether a stored digest of rows was made as this version makes it; any other can only be replaced."""
    return digest.startswith(f"{ROWS_VERSION}:")


def _in_order(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    unique = list(dict.fromkeys(names))  # a day may be a part of the key
    order = pc.sort_indices(rows.select(unique), sort_keys=[(name, "ascending") for name in unique])
    return rows if order.cast(pa.int64()).equals(pa.arange(0, len(order))) else rows.take(order)


def _digests(table: sa.Table, rows: pa.Table, bounds: Sequence[int]) -> Iterator[str]:
    """Yield the digest of every part of the rows, which are in order, from one bound to the next."""
    present = (name for name in sorted(schema.content(table)) if rows[name].null_count < rows.num_rows)
    columns = [_Column.of(name, rows[name].combine_chunks(), bounds) for name in present]
    for part, (start, end) in enumerate(pairwise(bounds)):
        digest = hashlib.blake2b((end - start).to_bytes(8, "little"), digest_size=DIGEST_BYTES)
        for column in columns:
            if column.holds[part]:
                digest.update(column.name)
                digest.update(column.marks[start * column.width : end * column.width])
                digest.update(column.values[column.ends[part] : column.ends[part + 1]])
        yield f"{ROWS_VERSION}:{digest.hexdigest()}"


@dataclass(frozen=True)
class _Column:
    """A column's bytes: `marks` of `width` bytes a row, and the values of a part between two of the `ends`.

    `holds` says of each part whether any row of it has a value.
    """

    name: bytes
    marks: memoryview
    width: int
    values: memoryview
    ends: Sequence[int]
    holds: Sequence[bool]

    @classmethod
    def of(cls, name: str, values: pa.Array, bounds: Sequence[int]) -> "_Column":
        """Take an Arrow array's own bytes, which are those of the digest (on a little-endian machine, as all are)."""
        label, valid = f"{name}\n".encode(), values.is_valid().cast(pa.uint8())
        before = pc.cumulative_sum(valid.cast(pa.int64())).take(pa.array([end - 1 for end in bounds[1:]])).to_pylist()
        holds = [first < last for first, last in pairwise([0, *before])]
        if pa.types.is_string(values.type):
            lengths = _bytes(pc.binary_length(values).fill_null(-1))
            # under a null may stand anything
            values = values.fill_null("")
            offsets = memoryview(values.buffers()[1]).cast("i")
            ends = [offsets[values.offset + bound] for bound in bounds]
            return cls(label, lengths, 4, memoryview(values.buffers()[2] or b""), ends, holds)
        plain = _PLAIN.get(values.type.id, values.type)
        data = _bytes(values.cast(plain).fill_null(pa.scalar(0).cast(plain)))
        return cls(label, _bytes(valid), 1, data, [plain.byte_width * bound for bound in bounds], holds)


_PLAIN = {
    pa.bool_().id: pa.uint8(),
    pa.timestamp("us").id: pa.int64(),
    pa.date32().id: pa.int32(),
}


def _bytes(values: pa.Array) -> memoryview:
    width = values.type.byte_width
    return memoryview(values.buffers()[1])[values.offset * width : (values.offset + len(values)) * width]


def _decimal(value: Decimal) -> str:
    """Write a finite Decimal without using arithmetic, which would round to the context's 28 digits."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is not a number that JSON knows")
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    exponent += len(text) - len(stripped)
    if not stripped:
        return "0"
    minus = "-" if sign else ""
    if abs(exponent) > _PLAIN_DIGITS:
        return f"{minus}{stripped}E{exponent}"
    if exponent >= 0:
        return minus + stripped + "0" * exponent
    whole, places = stripped[:exponent], stripped[exponent:].rjust(-exponent, "0")
    return f"{minus}{whole or '0'}.{places}"


def _instant(value: dt.datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone")
    return f'"{value.astimezone(dt.UTC).replace(tzinfo=None).isoformat()}Z"'


def _mapping(value: Mapping[Any, Any]) -> str:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("the keys of a JSON object are strings")
    return "{" + ",".join(f"{encode_basestring(key)}:{canonical_json(value[key])}" for key in sorted(value)) + "}"


def _sequence(value: Iterable[Any]) -> str:
    return "[" + ",".join(map(canonical_json, value)) + "]"


# bool stands before int and datetime before date: subclasses are looked up in this order
_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    str: encode_basestring,
    int: int.__repr__,
    Decimal: _decimal,
    float: lambda value: _decimal(Decimal(repr(value))),
    dt.datetime: _instant,
    dt.date: lambda value: f'"{value.isoformat()}"',
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
    Mapping: _mapping,
}
