"""Tables kept by day: merging an answer that reaches over its window, and writing down what it proves of each day."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.broker import PAD_DAYS
from tasty_pipeline.core.digests import rows_digest
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.publish.base import (
    Answer,
    Run,
    has_keyless,
    live_rows,
    not_rejected,
    same_key,
    stage_answer,
)
from tasty_pipeline.core.publish.guards import refuse_overtaken, refuse_overtaken_days, stale_read
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.tradingdays import days, new_york_day
from tasty_pipeline.core.warehouse import Merge, Reader, Writer


def merge_days(writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer) -> Merge:
    """Merge an answer about days; return what changed.

    An answer reaches over its window's edges. A row out there is taken when we hold it already (it was re-dated or
    restated) or when its day was proven before (it is news); on days that were never asked for it would be a part
    without a proof, and it comes when its day is asked for. A touched day is no longer as it was proven, or never was:
    its proof is withdrawn, so that whoever comes next asks for it, also where this run is stopped before it does. Days
    so far ahead that nobody asks for them have none.
    """
    staged = stage_answer(writer, table, run, answer, _ours_outside(writer, table, account, answer))
    refuse_overtaken(writer, table, staged, account, answer)
    merged = writer.merge(table, staged, newer_only=True)
    if merged.days & answer.unchanged_days:
        # a row came out of a window after that was seen to answer as before: it has to be read, with the others
        raise stale_read(table, account)
    touched = {each for each in merged.days if not answer.holds(each)}
    today = new_york_day(run.now())
    # a window that ends with today reaches over it
    refuse_overtaken_days(writer, table, account, answer, {min(each, today) for each in touched})
    withdrawn = {each: (0, "") for each in sorted(touched) if each <= today + timedelta(days=PAD_DAYS)}
    if withdrawn:
        _write_proofs(writer, table, run, account, answer, withdrawn)
    return merged


def _ours_outside(writer: Writer, table: sa.Table, account: str, answer: Answer) -> pa.Table | None:
    outside = answer.outside
    if outside is None or not outside.num_rows:
        return None
    day, proven = DAY[table.name], schema.proven_days
    names = [*schema.key_of(table), day]
    staged = writer.stage(table, outside.select(list(dict.fromkeys(names))))
    held = sa.exists().where(same_key(table, table, staged))
    is_proven = sa.exists().where(*_proofs(table, account), proven.c.day == staged.c[day])
    ours = writer.table(sa.select(*(staged.c[name] for name in schema.key_of(table))).where(sa.or_(held, is_proven)))
    return outside.join(ours, keys=list(schema.key_of(table)), join_type="left semi").select(outside.column_names)


def unproven_days(reader: Reader, table: sa.Table, account: str) -> set[date]:
    """Return the days of an account whose proof was withdrawn, and that nobody has proven since."""
    proven = schema.proven_days
    rows = reader.rows(sa.select(proven.c.day).where(*_proofs(table, account), proven.c.digest == ""))
    return {row["day"] for row in rows}


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
    if answer.start is None:
        raise TypeError("only answers about days can be proven by day")
    known = _known_days(writer, table, account, answer)
    found = _days_of(table, answer, days(answer.start, last), known, last)
    rejected = Counter(bad.day for bad in answer.rejected)
    proven = {day: (rows + rejected[day], digest) for day, (rows, digest) in found.items()}
    _write_proofs(writer, table, run, account, answer, proven)
    facts = dict(sorted((found | {day: fact for day, fact in known.items() if day in answer.unchanged_days}).items()))
    counts = {day: rows for day, (rows, _) in facts.items()}
    _audit(writer, table, account, answer, counts)
    whole = hashlib.blake2b("".join(digest for _, digest in facts.values()).encode(), digest_size=16).hexdigest()
    return counts, whole


def _write_proofs(
    writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer, proofs: Mapping[date, tuple[int, str]]
) -> None:
    rows = [
        {"account_number": account, "table_name": table.name, "day": day, "row_count": count, "digest": digest}
        for day, (count, digest) in proofs.items()
    ]
    staged = writer.stage(schema.proven_days, rows, synced_at=answer.started_at, run_id=run.run_id)
    writer.merge(schema.proven_days, staged)


def _known_days(writer: Writer, table: sa.Table, account: str, answer: Answer) -> dict[date, tuple[int, str]]:
    proven = schema.proven_days
    query = sa.select(proven.c.day, proven.c.row_count, proven.c.digest)
    query = query.where(*_proofs(table, account), proven.c.day.between(answer.start, answer.end))
    return {row["day"]: (row["row_count"], row["digest"]) for row in writer.rows(query)}


def _days_of(
    table: sa.Table, answer: Answer, asked: Iterable[date], known: Collection[date], last: date
) -> dict[date, tuple[int, str]]:
    """Return number and digest of the rows of each day that was read: also of those without rows.

    Days after the `last` that are known had rows once: should they be gone, their old proof must not stand. A day of a
    window that answers as before has its proof already, unless it lay after the last day then, and had no rows.
    """
    nothing = (0, rows_digest(table, answer.rows.schema.empty_table()))
    wanted = {*asked, *(day for day in known if day > last), *answer.proofs}
    as_before = answer.unchanged_days & set(known)
    return {day: answer.proofs.get(day, nothing) for day in sorted(wanted - as_before)}


def _audit(writer: Writer, table: sa.Table, account: str, answer: Answer, expected: Mapping[date, int]) -> None:
    day = table.c[DAY[table.name]]
    counted: sa.Select[tuple[date, int]] = sa.select(day.label("day"), sa.func.count().label("rows")).where(
        *live_rows(table, account, answer.start, answer.end), *not_rejected(writer, table, answer.rejected)
    )
    stored = {row["day"]: row["rows"] for row in writer.rows(counted.group_by(day))}
    surplus_allowed = has_keyless(table, answer.rejected)
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
