r"""The quick path: a whole page of a paged list to typed rows in one call, or not at all.

Here belongs what Arrow may read in the place of the payload contract, and every check where Arrow takes more than the
contract does. What a row must be is for `payloads.py` alone to say: `read` never rejects and never raises, it answers
None for any page that it is not sure to read as the contract would, and the page then goes there whole.

Where Arrow (26) takes more than the contract, or reads it differently:

- JSON: a byte order mark, a second document, bytes that are no UTF-8, `\u0000`. An answer that begins with `null` ends
  the process. What is left, an object of known fields that each occur once, it reads as Python does.
- Decimals: `.5`, `1.`, `+1`; of more digits than fit it makes a wrong number without an error (36 nines, for one).
- Times: `T21Z` and `T21:00Z`; the year 0, and times whose year in UTC Python does not know.
- Rows: a list, row or member that is absent is NULL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import sqlalchemy as sa

from tasty_pipeline.core import schema, values
from tasty_pipeline.core.arrow import content_schema
from tasty_pipeline.core.digests import canonical_json

_PAGED = frozenset({"transactions", "balance_snapshots"})
_NUMBER = pa.decimal128(schema.PRECISION, schema.SCALE)
_INSTANT = pa.timestamp("us", tz="UTC")
# no more digits than the column has on either side of the point
_PLAIN_NUMBER = rf"^-?[0-9]{{1,{schema.PRECISION - schema.SCALE}}}(\.[0-9]{{1,{schema.SCALE}}})?$"
_PLAIN_INSTANT = r"^[0-9]{4}-..-..[T ]..:..:..(\.[0-9]{1,6})?(Z|[+-]..:..)$"
# Far from both ends of Python's years, so that no zone leads out of them.
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)
_COUNTS = ("total-items", "page-offset", "per-page", "current-item-count")
_PAGINATION = pa.struct(
    [(name, pa.int64()) for name in (*_COUNTS, "item-offset", "total-pages")]
    + [(name, pa.string()) for name in ("previous-link", "next-link", "paging-link-template")]
)
# as the official description of transactions has it, with decimals as the strings that they are in answers
_LOT = pa.struct(
    [("transaction-id", pa.int64())]
    + [
        (name, pa.string())
        for name in ("id", "transaction-date", "executed-at", "quantity", "quantity-direction", "price")
    ]
)


class _Odd(Exception):  # noqa: N818 - no error: the page is for the judge
    """Something in the page is not what the quick path knows."""


@dataclass(frozen=True)
class Quick:
    """A page of typed rows (`schema.content`, in the API's order) and its pagination, as `decode.Page` names it."""

    rows: pa.Table
    total: int
    offset: int
    size: int
    count: int


@dataclass(frozen=True)
class _Plan:
    """How a table's page is read: signed amounts stand first among the amounts; the rest by the columns' types."""

    answer: pj.ParseOptions
    rows: pa.Schema
    amounts: tuple[sa.Column[Any], ...]
    signed: tuple[sa.Column[Any], ...]
    instants: tuple[sa.Column[Any], ...]
    days: tuple[sa.Column[Any], ...]
    as_they_are: tuple[sa.Column[Any], ...]


def read(table: sa.Table, body: bytes, account: str) -> Quick | None:
    """Read the body of an answer that lists rows of one account, or return None where the contract has to look at it.

    Every row of the result is what `payloads.parse` makes of it, exactly; then none of the page is rejected, has a
    field without a column, or belongs to another account. Other tables than those of paged lists always give None.
    """
    if table.name not in _PAGED or not _is_plain(body):
        return None
    plan = _plan(table)
    try:
        answer = pj.read_json(
            pa.BufferReader(body),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=plan.answer,
        )
        items, counts = _envelope(answer)
        return Quick(_rows(table, plan, items, account), *counts)
    except (_Odd, pa.ArrowException):
        return None


def _is_plain(body: bytes) -> bool:
    # One byte is found many times faster than six, and most pages have none. An escaped backslash before "u0000" looks
    # like a NUL: one more page for the judge.
    if not body.startswith(b"{") or (b"\\" in body and b"\\u0000" in body):
        return False
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
    return True


@cache
def _plan(table: sa.Table) -> _Plan:
    columns = [column for column in table.columns if column.info["api"]]
    amounts = [column for column in columns if isinstance(column.type, sa.Numeric)]
    signed = [column for column in amounts if column.info.get("effect")]
    fields = [(column.info["api"], _json_type(column)) for column in columns]
    fields += [(column.info["effect"], pa.string()) for column in signed]
    data = pa.struct([("items", pa.list_(pa.struct(fields)))])
    envelope = [("data", data), ("pagination", _PAGINATION), ("context", pa.string()), ("api-version", pa.string())]
    return _Plan(
        answer=pj.ParseOptions(explicit_schema=pa.schema(envelope), unexpected_field_behavior="error"),
        rows=content_schema(table),
        amounts=(*signed, *(column for column in amounts if column not in signed)),
        signed=tuple(signed),
        instants=tuple(column for column in columns if isinstance(column.type, sa.DateTime)),
        days=tuple(column for column in columns if isinstance(column.type, sa.Date)),
        as_they_are=tuple(
            column for column in columns if isinstance(column.type, sa.Text | sa.BigInteger | sa.Boolean)
        ),
    )


def _json_type(column: sa.Column[Any]) -> pa.DataType:
    """Return how Arrow is to read a field: what it would take in more spellings than the contract, as text."""
    match column.type:
        case sa.BigInteger():
            return pa.int64()
        case sa.Boolean():
            return pa.bool_()
        case sa.JSON():
            return pa.list_(_LOT)
    return pa.string()


def _envelope(answer: pa.Table) -> tuple[pa.StructArray, list[int]]:
    """Return the items and the counts of `_COUNTS`."""
    if answer.num_rows != 1:
        raise _Odd
    items = answer["data"].combine_chunks().field("items")
    pagination = answer["pagination"][0].as_py() or {}
    counts = [count for name in _COUNTS if (count := pagination.get(name)) is not None]
    if items.null_count or len(counts) < len(_COUNTS) or min(counts) < 0 or pagination["per-page"] == 0:
        raise _Odd
    return items.flatten(), counts


def _rows(table: sa.Table, plan: _Plan, items: pa.StructArray, account: str) -> pa.Table:
    columns: dict[str, pa.Array] = {column.name: items.field(column.info["api"]) for column in plan.as_they_are}
    columns |= _amounts(plan, items)
    instants, days = _texts(items, plan.instants), _texts(items, plan.days)
    _certain(pc.match_substring_regex(instants, _PLAIN_INSTANT))
    columns |= _apart(plan.instants, _times(instants, _INSTANT))
    columns |= _apart(plan.days, _times(days, pa.date32()))
    if table is schema.transactions:
        columns["lots"] = _lots(items.field("lots"))
        columns["quantity"] = _signed_quantity(columns["quantity_unsigned"], columns["action"])
    columns["extra"] = pa.nulls(len(items), pa.string())
    if any(columns[column.name].null_count for column in table.columns if column.info["api"] and not column.nullable):
        raise _Odd
    _certain(pc.equal(columns["account_number"], account))
    return pa.Table.from_arrays([columns[name] for name in plan.rows.names], schema=plan.rows)


def _certain(holds: pa.Array) -> None:
    """Leave the page to the judge unless this holds wherever there is a value."""
    if pc.all(holds).as_py() is False:
        raise _Odd


def _texts(items: pa.StructArray, columns: Sequence[sa.Column[Any]]) -> pa.Array:
    """Return the fields of several columns as one: a kernel's call costs as much as its rows."""
    return pa.concat_arrays([items.field(column.info["api"]) for column in columns])


def _apart(columns: Sequence[sa.Column[Any]], found: pa.Array) -> dict[str, pa.Array]:
    rows = len(found) // len(columns)
    return {column.name: found.slice(place * rows, rows) for place, column in enumerate(columns)}


def _times(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    found = pc.cast(texts, kind)
    first, last = pa.scalar(_FIRST, kind), pa.scalar(_LAST, kind)
    _certain(pc.and_(pc.greater_equal(found, first), pc.less_equal(found, last)))
    return found


def _amounts(plan: _Plan, items: pa.StructArray) -> dict[str, pa.Array]:
    texts = _texts(items, plan.amounts)
    _certain(pc.match_substring_regex(texts, _PLAIN_NUMBER))
    numbers = pc.cast(texts, _NUMBER)
    amounts = numbers.slice(0, len(items) * len(plan.signed))
    effects = pa.concat_arrays([items.field(column.info["effect"]) for column in plan.signed])
    debit, credit = (pc.fill_null(pc.equal(effects, word), False) for word in ("Debit", "Credit"))
    neither = pc.fill_null(pc.equal(effects, "None"), True)
    sign = pc.sign(amounts)
    positive, zero = pc.greater(sign, 0), pc.equal(sign, 0)
    certain = pc.or_(debit, pc.or_(pc.and_(credit, pc.or_(positive, zero)), pc.and_(neither, zero)))
    # an effect without its amount belongs into `extra`
    _certain(pc.coalesce(certain, pc.is_null(effects)))
    signed = pc.if_else(debit, pc.negate(pc.abs(amounts)), amounts)
    return _apart(plan.amounts, numbers) | _apart(plan.signed, signed)


def _signed_quantity(unsigned: pa.Array, action: pa.Array) -> pa.Array:
    _certain(pc.greater_equal(unsigned, pa.scalar(0, _NUMBER)))
    bought, sold = (
        pc.is_in(action, pa.array(sorted(actions), pa.string())) for actions in (values.BOUGHT, values.SOLD)
    )
    return pc.if_else(bought, unsigned, pc.if_else(sold, pc.negate(unsigned), pa.scalar(None, _NUMBER)))


def _lots(lots: pa.ListArray) -> pa.Array:
    """Write the few rows that have lots as canonical JSON; a null inside them may be one that the API did not send."""
    found = lots.flatten()
    if any(found.field(place).null_count for place in range(found.type.num_fields)):
        raise _Odd
    if lots.null_count == len(lots):
        return pa.nulls(len(lots), pa.string())
    return pa.array([None if some is None else canonical_json(some) for some in lots.to_pylist()], pa.string())
