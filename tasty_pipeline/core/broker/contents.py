"""What one answer of a paged list holds: typed rows, rows that do not fit, items that are no rows, and a count of all.

Here belongs the way from the bytes of an answer to typed rows: quickly where `core.quick` is sure of the whole answer,
otherwise row by row through the judge, `core.payloads`. Whether an answer is complete is for `proof.py` to say.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline.core import payloads, quick, schema
from tasty_pipeline.core.broker import decode
from tasty_pipeline.core.payloads import Parsed, Rejected

Key = tuple[Any, ...]
Item = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """One answer of a paged list.

    `rows` and `rejected` are what it says of the table, `others` its items that are no rows of it, `repeats` how many
    items had a key that another one had too, `items` how many there were in all. `total` is `total-items`, `offset` the
    page's index, `size` the page size that the API applied (it may be smaller than the one asked for), `count` the
    `current-item-count`; whether they fit together is for `proof.py`. `digest` is of the bytes.
    """

    rows: pa.Table
    rejected: tuple[Rejected, ...]
    others: tuple[Item, ...]
    repeats: int
    items: int
    total: int
    offset: int
    size: int
    count: int
    digest: str


def digest_of(body: bytes) -> str:
    """Return SHA-256 of an answer's bytes, hex: equal bytes say the same."""
    return hashlib.sha256(body).hexdigest()


def read(table: sa.Table, body: bytes, account: str, path: str) -> Page:
    """Read an answer about one account. Raises `ContractError` and `IncompleteAnswerError` for its shape."""
    digest = digest_of(body)
    found = quick.read(table, body, account)
    if found is not None:
        count = found.rows.num_rows
        repeats = count - count_distinct(table, keys_of(table, found.rows), ())
        return Page(
            found.rows, (), (), repeats, count, found.total, found.offset, found.size, found.count, digest
        )  # fmt: skip
    items, pagination = decode.page_of(decode.parse(body, path), path)
    decode.of_account(items, account, path)
    rows = [item for item in items if not _is_other(table, item)]
    others = tuple(item for item in items if _is_other(table, item))
    parsed = payloads.parse(table, rows)
    repeats = len(rows) - count_distinct(table, keys_of(table, parsed.table), parsed.rejected)
    return Page(parsed.table, parsed.rejected, others, repeats, len(items), *pagination, digest)


def _is_other(table: sa.Table, item: Item) -> bool:
    # the current balance, which the API appends to the snapshots
    return table is schema.balance_snapshots and item.get("time-of-day") is None


def with_lost_snapshots(
    table: sa.Table, rejected: Sequence[Rejected], others: Sequence[Item]
) -> tuple[tuple[Rejected, ...], int]:
    """Return the bad rows of a list, and how many of its items are no rows.

    The current balance is one: it says when it was last updated, as no snapshot does (recorded answers, and the fields
    of the two in the official API description). Anything else without a time of day is a snapshot that lost it: the
    judge rejects it, and while it stands nothing counts as gone.
    """
    if len(others) == 1 and others[0].get("updated-at") is not None:
        return tuple(rejected), 1
    return (*rejected, *payloads.parse(table, others).rejected), 0


def keys_of(table: sa.Table, rows: pa.Table) -> pa.ChunkedArray:
    """Return the keys of typed rows as one column: the id of transactions, otherwise the parts as one text."""
    names = schema.key_of(table)
    if len(names) == 1:
        return rows[names[0]]
    texts = [pc.cast(rows[name], pa.string()) for name in names]
    return pc.binary_join_element_wise(*texts, "\t")


def key_of_bad(table: sa.Table, bad: Rejected) -> Any:
    """Return a bad row's key as `keys_of` spells it; one without a readable key is told from others by all it says."""
    key = payloads.key_of_payload(table, bad.payload)
    if key is None:
        return ("no key", json.dumps(bad.payload, sort_keys=True, default=str))
    return key[0] if len(key) == 1 else "\t".join(map(str, key))


def count_distinct(table: sa.Table, keys: pa.ChunkedArray, rejected: Iterable[Rejected]) -> int:
    """Return how many rows there are: the keys of good ones and the bad ones, each once."""
    bad = {key_of_bad(table, each) for each in rejected}
    if bad:
        bad -= set(keys.to_pylist())
    return _count_unlike(keys) + len(bad)


def _count_unlike(keys: pa.ChunkedArray) -> int:
    """Return how many different keys there are; of a million ids in a third of the memory that Arrow takes."""
    if not pa.types.is_integer(keys.type) or not len(keys):
        return int(pc.count_distinct(keys).as_py())
    ordered = np.sort(keys.to_numpy())
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def by_key(table: sa.Table, parsed: Parsed) -> dict[Any, Any]:
    """Return rows as Python values and bad rows' payloads, by key: to compare two readings of a window."""
    rows: dict[Any, Any] = dict(zip(keys_of(table, parsed.table).to_pylist(), parsed.table.to_pylist(), strict=True))
    return rows | {key_of_bad(table, bad): dict(bad.payload) for bad in parsed.rejected}
