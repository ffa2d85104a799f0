"""What windows answered when their rows were published, so that one that answers the same again need not be read.

Here belongs what makes such a receipt worth something: it counts only as long as the table holds, of the window's days,
exactly what it held when the receipt was written, and as long as the same answer would become the same rows. Whether an
answer is the same is found out in `core.broker`.
"""

import hashlib
import inspect
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from itertools import accumulate
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import arrow, payloads, quick, schema, values, vocabulary
from tasty_pipeline.core.broker import Receipt, Span, contents
from tasty_pipeline.core.broker.windows import padded
from tasty_pipeline.core.publish.base import Answer, Run, same_key, stage_keys
from tasty_pipeline.core.publish.days import unproven_days
from tasty_pipeline.core.publish.guards import stale_read
from tasty_pipeline.core.warehouse import Reader, Writer


def receipts_of(reader: Reader, table: sa.Table, account: str, start: date, end: date) -> list[Receipt]:
    """Return the receipts that hold for a read of the days from `start` to `end`.

    A window that reaches over an edge was published for the days within: it counts where it is asked for the same. None
    counts that has a day without a proof: that one is to be read.
    """
    rows = reader.rows(sa.select(schema.proven_windows).where(*_asked_for(table, account, start, end)))
    if not rows:
        return []
    stored = _Stored(reader.fingerprints(table, account, start, end), start, end)
    unproven = unproven_days(reader, table, account)
    return [
        Receipt(_span(row), row["row_count"], row["body_digest"])
        for row in rows
        if row["fingerprint"] == stored.fingerprint(_span(row))
        and not any(row["window_start"] <= day <= row["window_end"] for day in unproven)
    ]


def refuse_overwritten(reader: Reader, table: sa.Table, account: str, answer: Answer) -> None:
    """Raise `StaleReadError` where the table no longer holds the windows that were not read as their receipts say.

    Another sync published in between: read again, without those receipts.
    """
    if answer.unchanged and answer.start is not None and answer.end is not None:
        still = {receipt.span for receipt in receipts_of(reader, table, account, answer.start, answer.end)}
        if not still >= set(answer.unchanged):
            raise stale_read(table, account)


def keep_receipts(writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer) -> None:
    """Replace the receipts of the windows that were read, after their rows are merged."""
    if answer.start is None or answer.end is None:
        return
    kept = schema.proven_windows
    old = writer.rows(sa.select(kept).where(*_asked_for(table, account, answer.start, answer.end)))
    still = set(answer.unchanged)
    doomed = [row for row in old if _span(row) not in still]
    if doomed:
        keys = stage_keys(writer, kept, [tuple(row[name] for name in schema.key_of(kept)) for row in doomed])
        writer.execute(sa.delete(kept).where(sa.exists().where(same_key(kept, keys, kept))))
    if not answer.receipts:
        return
    stored = _Stored(writer.fingerprints(table, account, answer.start, answer.end), answer.start, answer.end)
    rows = [
        {
            "account_number": account,
            "table_name": table.name,
            "window_start": receipt.span.start,
            "window_end": receipt.span.end,
            "row_count": receipt.rows,
            "body_digest": receipt.digest,
            "fingerprint": stored.fingerprint(receipt.span),
            "synced_at": answer.started_at,
            "run_id": run.run_id,
        }
        for receipt in answer.receipts
    ]
    writer.insert(kept, rows)


def _asked_for(table: sa.Table, account: str, start: date, end: date) -> Iterable[sa.ColumnElement[bool]]:
    """Choose the windows that a read of the days from `start` to `end` asks for, those of its pad included."""
    kept, span = schema.proven_windows, padded(start, end)
    mine = [kept.c.account_number == account, kept.c.table_name == table.name]
    return *mine, kept.c.window_start <= span.end, kept.c.window_end >= span.start


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["window_start"], row["window_end"])


class _Stored:
    """What the table holds of the days from `start` to `end`, added up, so that any window of them is told at once."""

    def __init__(self, days: Mapping[date, tuple[int, int]], start: date, end: date) -> None:
        self._start, self._end = start, end
        self._days = sorted(days)
        self._rows = [0, *accumulate(days[day][0] for day in self._days)]
        self._hashes = [0, *accumulate(days[day][1] for day in self._days)]

    def fingerprint(self, span: Span) -> str:
        """Return what is held of the window's days as text; it names them, since a read may want only some."""
        first, last = max(span.start, self._start), min(span.end, self._end)
        if first > last:
            return "of other days"
        left, right = bisect_left(self._days, first), bisect_right(self._days, last)
        rows, hashes = self._rows[right] - self._rows[left], self._hashes[right] - self._hashes[left]
        return f"{first}..{last}: {rows} rows, {hashes:x}, read by {_contract()}"


@cache
def _contract() -> str:
    """Name what turns payloads into rows: what another version stored, this one might read differently."""
    modules = (schema, vocabulary, values, arrow, payloads, quick, contents)
    sources = "\n".join(inspect.getsource(module) for module in modules)
    return hashlib.blake2b(sources.encode(), digest_size=6).hexdigest()
