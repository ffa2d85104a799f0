"""Tables kept by day: merging an answer that reaches over its window, and writing down what it proves of each day."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.payloads import Row
from tasty_pipeline.core.publish.base import (
    DAY,
    Answer,
    Run,
    has_keyless,
    live_rows,
    rejected_keys,
    same_key,
    stage_keys,
)
from tasty_pipeline.core.publish.guards import refuse_overtaken
from tasty_pipeline.core.tradingdays import days
from tasty_pipeline.core.warehouse import Merge, Writer


def merge_days(
    writer: Writer, table: sa.Table, staged: sa.Table, account: str, answer: Answer
) -> tuple[Merge, set[date]]:
    """Merge an answer about days; return what changed, and the days outside the window that it touched.

    An answer reaches over its window's edges. A row out there is taken when we hold it already (it was re-dated or
    restated) or when its day was proven before (it is news); on days that were never asked for it would be a part
    without a proof, and it comes when its day is asked for. A touched day is no longer as it was proven, or never was:
    it has to be asked for next.
    """
    day, proven = DAY[table.name], schema.proven_days
    held = sa.exists().where(same_key(table, table, staged))
    is_proven = sa.exists().where(*_proofs(table, account), proven.c.day == staged.c[day])
    outside = sa.not_(staged.c[day].between(answer.start, answer.end))
    writer.execute(sa.delete(staged).where(outside, sa.not_(held), sa.not_(is_proven)))
    refuse_overtaken(writer, table, staged, account, answer)
    # a re-dated row leaves its old day short: that day is touched too
    joined = table.join(staged, same_key(table, table, staged))
    left = (
        sa.select(table.c[day]).select_from(joined).where(table.c[day] != staged.c[day], table.c.removed_at.is_(None))
    )
    touched = {row[day] for row in writer.rows(left.distinct())}
    merged = writer.merge(table, staged, newer_only=True)
    touched |= {row[day] for row in merged.changed}
    return merged, {each for each in touched if not answer.holds(each)}


def _proofs(table: sa.Table, account: str) -> tuple[sa.ColumnElement[bool], ...]:
    proven = schema.proven_days
    return proven.c.account_number == account, proven.c.table_name == table.name


def prove_days(
    writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer, last: date
) -> tuple[dict[date, int], str]:
    """Write what the answer proves of each day up to `last`, and of later days with rows or an older proof; audit it.

    Return the accepted rows by day and a digest over the days. Raises `AuditError`, which rolls everything back, where
    the table does not now hold exactly the rows of the answer.
    """
    by_day = _rows_by_day(writer, table, account, answer, last)
    rejected = Counter(bad.day for bad in answer.parsed.rejected)
    digests = {each: rows_digest(table, rows) for each, rows in sorted(by_day.items())}
    proven = [
        {
            "account_number": account,
            "table_name": table.name,
            "day": each,
            "row_count": len(by_day[each]) + rejected[each],
            "digest": digest,
            "synced_at": answer.started_at,
            "run_id": run.run_id,
        }
        for each, digest in digests.items()
    ]
    writer.merge(schema.proven_days, writer.stage(schema.proven_days, proven))
    counts = {each: len(rows) for each, rows in by_day.items()}
    _audit(writer, table, account, answer, counts)
    whole = hashlib.blake2b("".join(digests.values()).encode(), digest_size=16).hexdigest()
    return counts, whole


def _rows_by_day(writer: Writer, table: sa.Table, account: str, answer: Answer, last: date) -> dict[date, list[Row]]:
    if answer.start is None or answer.end is None:
        raise TypeError("only answers about days can be proven by day")
    proven = schema.proven_days
    # a day after today that had rows once: should they be gone, its old proof must not stand
    later = sa.select(proven.c.day).where(*_proofs(table, account), proven.c.day > last, proven.c.day <= answer.end)
    by_day: dict[date, list[Row]] = {each: [] for each in days(answer.start, last)}
    by_day |= {row["day"]: [] for row in writer.rows(later)}
    for row in answer.parsed.rows:
        day = row[DAY[table.name]]
        if answer.holds(day):
            by_day.setdefault(day, []).append(row)
    return by_day


def _audit(writer: Writer, table: sa.Table, account: str, answer: Answer, expected: Mapping[date, int]) -> None:
    day = table.c[DAY[table.name]]
    # the older version of a rejected row stays, and is no fault
    bad = stage_keys(writer, table, rejected_keys(table, answer.parsed))
    counted: sa.Select[Any] = sa.select(day.label("day"), sa.func.count().label("rows")).where(
        *live_rows(table, account, answer.start, answer.end), sa.not_(sa.exists().where(same_key(table, bad, table)))
    )
    stored = {row["day"]: row["rows"] for row in writer.rows(counted.group_by(day))}
    surplus_allowed = has_keyless(table, answer.parsed)
    wrong = [
        each
        for each in {*stored, *expected}
        if (more := stored.get(each, 0) - expected.get(each, 0)) and not (more > 0 and surplus_allowed)
    ]
    if wrong:
        worst = min(wrong)
        raise AuditError(
            f"{table.name} of {account}: after the merge {worst} would hold {stored.get(worst, 0)} rows, and "
            f"{expected.get(worst, 0)} were proven ({len(wrong)} days differ).",
            "nothing was written; run it again, and report it with this message if it repeats.",
        )
