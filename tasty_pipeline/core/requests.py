"""What applications ask for in `sync_requests`, and how far the run that works on it has come.

Here belongs reading and writing that table. Who starts the run is the sensor `sync_requests`; what it does is in the
assets. A request goes from queued to running to done or failed, and never back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.publish import SyncResult
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer

_TABLE = schema.sync_requests
OPEN = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    """One request that is not done yet."""

    request_id: str
    owner: str
    state: str
    run_id: str | None


def open_requests(reader: Reader) -> list[SyncRequest]:
    """Return all requests that are queued or running, the oldest first."""
    names = ("request_id", "owner", "state", "run_id")
    query = sa.select(*(_TABLE.c[name] for name in names)).where(_TABLE.c.state.in_(OPEN))
    return [SyncRequest(**row) for row in reader.rows(query.order_by(_TABLE.c.requested_at, _TABLE.c.request_id))]


def begin(warehouse: Warehouse, request_id: str, run_id: str, tables: Iterable[str]) -> None:
    """Say that a run works on the request and which tables it will synchronise; a second call changes nothing."""
    progress = {name: _part("queued") for name in tables}
    begun = {"state": "running", "run_id": run_id, "started_at": datetime.now(UTC), "progress": progress}
    with warehouse.write() as writer:
        writer.execute(sa.update(_TABLE).where(_mine(request_id), _TABLE.c.state == "queued").values(**begun))


def report(
    warehouse: Warehouse, request_id: str, table: str, state: str, results: Iterable[SyncResult] = (), error: str = ""
) -> None:
    """Write how far a table has come; with the last one the request is done, or failed with the errors of all.

    `results` are those of the table's accounts that are done so far. An `error` fails the request also where every
    table is done: something that was asked for was left out.
    """
    done = list(results)
    part = _part(state, sum(each.read for each in done), sum(each.written for each in done))
    with warehouse.write(f"sync_requests/{request_id}") as writer:
        found = writer.rows(sa.select(_TABLE).where(_mine(request_id), _TABLE.c.state == "running"))
        if found:
            _write(writer, found[0], {**found[0]["progress"], table: part}, error)


def _write(writer: Writer, row: Mapping[str, Any], progress: Mapping[str, Any], error: str) -> None:
    states = {part["state"] for part in progress.values()}
    before = row["error"] or ""
    # a login that is left out is left out by each step
    told = " ".join(filter(None, [before, "" if error in before else error])) or None
    values: dict[str, Any] = {"progress": dict(progress), "error": told}
    if states <= {"done", "failed"}:
        values |= {"state": "failed" if told or "failed" in states else "done", "ended_at": datetime.now(UTC)}
    writer.execute(sa.update(_TABLE).where(_mine(row["request_id"])).values(**values))


def fail(warehouse: Warehouse, request_id: str, reason: str) -> None:
    """End a request whose run ended without saying so; one that is done stays done."""
    ended = {"state": "failed", "error": reason, "ended_at": datetime.now(UTC)}
    with warehouse.write(f"sync_requests/{request_id}") as writer:
        writer.execute(sa.update(_TABLE).where(_mine(request_id), _TABLE.c.state.in_(OPEN)).values(**ended))


def _mine(request_id: str) -> sa.ColumnElement[bool]:
    return _TABLE.c.request_id == request_id


def _part(state: str, read: int = 0, written: int = 0) -> dict[str, Any]:
    return {"state": state, "rows_read": read, "rows_written": written}
