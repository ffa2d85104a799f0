"""Canonical text and digests: the same content gives the same digest, however it was spelled or stored.

Here belongs how values are written down to be compared: payloads as the API sent them, and rows of a table read from
either database. Nothing here knows a database, a payload's meaning or what is done with a digest.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema

DIGEST_BYTES = 16
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
    return _blake2b([canonical_json(payload)])


def rows_digest(table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return BLAKE2b (16 bytes, hex) over the content of rows, whatever their order, scale or JSON spelling.

    Content is the key and what `schema.compared` names, without `removed_at`. Nulls are left out, so that a column
    that a later version adds does not change the digests of the rows before it.
    """
    keys = schema.key_of(table)
    rest = sorted(set(schema.compared(table)) - {"removed_at"})
    labels = [(name, f"{encode_basestring(name)}:") for name in (*keys, *rest)]
    lines = [
        ",".join(label + canonical_json(value) for name, label in labels if (value := row.get(name)) is not None)
        for row in rows
    ]
    # the key stands first in each line, so this is the order of the keys as text
    return _blake2b(sorted(lines))


def _blake2b(lines: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for line in lines:
        # half of a surrogate pair is legal in JSON and has no UTF-8
        digest.update(line.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


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
