"""Bad rows: written down with payload and reason, settled when a later answer shows that they are bad no more.

What makes a row bad is decided in `core.payloads`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import payloads, schema, values
from tasty_pipeline.core.digests import payload_digest
from tasty_pipeline.core.payloads import Rejected, Row
from tasty_pipeline.core.publish.base import Answer, Run, live_rows, rejected_keys, same_key, stage_keys
from tasty_pipeline.core.warehouse import Writer


def record_rejects(writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer) -> int:
    """Write the answer's bad rows, settle older ones; return how many stand in this answer.

    One is settled when the answer holds a good row with its key, or covers its days and holds the bad row no more; one
    of a login's list of accounts by that login alone. One that stands already is left unwritten.
    """
    rejected = schema.rejected_rows
    mine = _concerning(writer, table, run, account, answer)
    old = writer.rows(
        sa.select(
            *(rejected.c[name] for name in ("payload_digest", "row_key", "window_start", "window_end")),
            _of_another_list(run).label("of_another_list"),
        ).where(
            rejected.c.account_number == account,
            rejected.c.table_name == table.name,
            rejected.c.resolved_at.is_(None),
        )
    )
    known = {row["payload_digest"] for row in old}
    rows = [_row(table, run, account, answer, digest, bad) for digest, bad in mine.items() if digest not in known]
    if rows:
        writer.merge(rejected, writer.stage(rejected, rows))
    good = {_key_text(tuple(row.values())) for row in answer.keys(table).to_pylist()} if old else set()
    settled = [
        row["payload_digest"]
        for row in old
        if row["payload_digest"] not in mine
        and not row["of_another_list"]
        and (row["row_key"] in good or _covers(answer, row))
    ]
    if settled:
        writer.execute(
            sa.update(rejected)
            .where(
                rejected.c.account_number == account,
                rejected.c.table_name == table.name,
                rejected.c.payload_digest.in_(settled),
            )
            .values(resolved_at=answer.ended_at, synced_at=answer.started_at, run_id=run.run_id)
        )
    return len(mine)


def _concerning(writer: Writer, table: sa.Table, run: Run, account: str, answer: Answer) -> dict[str, Rejected]:
    """Return the bad rows of the answer's window, by digest, and those outside of it that touch what we hold.

    Those are the newer versions of our rows, and rows without a readable key: they could be any of ours, and while one
    stands nothing counts as gone.
    """
    found = answer.rejected
    if not found:
        return {}
    keys = stage_keys(writer, table, rejected_keys(table, found))
    names = schema.key_of(table)
    held = sa.select(*(table.c[name] for name in names)).where(
        *live_rows(table, account), sa.exists().where(same_key(table, keys, table))
    )
    ours = {tuple(row[name] for name in names) for row in writer.rows(held)}

    def concerns(bad: Rejected) -> bool:
        if answer.start is None or bad.day is None or answer.holds(bad.day):
            return True
        key = payloads.key_of_payload(table, bad.payload)
        return bad.day >= run.history_start if key is None else key in ours

    return {payload_digest(bad.payload): bad for bad in found if concerns(bad)}


def _of_another_list(run: Run) -> sa.ColumnElement[bool]:
    """Return the condition that a bad row stood in another login's list of accounts, by the log of that reading.

    The lists of all logins are kept under one account, '', and none says what another holds: not even a good row does,
    since only the login's own list shows the account to its owner. A disconnected login is never read again, so that
    its bad rows are left to the others to settle.
    """
    rejected, log, logins = schema.rejected_rows, schema.sync_log, schema.connections
    ended = sa.select(logins.c.connection_id).where(logins.c.disconnected_at.is_not(None))
    return sa.exists().where(
        rejected.c.account_number == "",
        log.c.account_number == rejected.c.account_number,
        log.c.table_name == rejected.c.table_name,
        log.c.run_id == rejected.c.run_id,
        # one run reads the lists of several logins, one after the other
        log.c.read_started_at == rejected.c.synced_at,
        log.c.connection != run.connection,
        log.c.connection.not_in(ended),
    )


def _key_text(key: tuple[Any, ...]) -> str:
    return " ".join(str(part) for part in key)


def _covers(answer: Answer, row: Row) -> bool:
    if answer.start is None or answer.end is None:
        return True
    return bool(answer.start <= row["window_start"] and row["window_end"] <= answer.end)


def _row(table: sa.Table, run: Run, account: str, answer: Answer, digest: str, bad: Rejected) -> Row:
    dated = answer.start is not None
    return {
        "account_number": account,
        "table_name": table.name,
        "payload_digest": digest,
        "row_key": bad.row_key,
        "window_start": (bad.day or answer.start) if dated else None,
        "window_end": (bad.day or answer.end) if dated else None,
        "reason": bad.reason,
        "payload": storable(bad.payload),
        "resolved_at": None,
        "synced_at": answer.started_at,
        "run_id": run.run_id,
    }


def storable(value: Any) -> Any:
    """Return a JSON value with every number that no database can hold written as text, all else as it is.

    A bad row is kept because something in it is out of bounds; that must not keep the good rows from loading.
    """
    if isinstance(value, Mapping):
        return {key: storable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [storable(part) for part in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        try:
            return values.document(value)
        except ValueError:
            return f"{value:E}" if isinstance(value, Decimal) else hex(value)
    return value
