"""The sync log: one entry for every publication and every failure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from tasty_pipeline.core.broker import Meter, Window
from tasty_pipeline.core.publish.base import Answer, Run, SyncResult


def log_entry(
    run: Run, table: str, account: str, answer: Answer | None, result: SyncResult | None, **more: Any
) -> Mapping[str, Any]:
    """Return a row of `sync_log`, for a publication (`result`) or a failure (`more["error"]`)."""
    done = result or SyncResult(table=table, account=account)
    meter: Meter = more.pop("meter", done.meter)
    now = run.now()
    return {
        "sync_id": uuid.uuid4().hex,
        "connection": run.connection,
        "environment": run.environment,
        "account_number": account,
        "table_name": table,
        "window_start": done.start,
        "window_end": done.end,
        "result": "published" if result else "failed",
        "rows_read": done.read,
        "rows_inserted": done.inserted,
        "rows_updated": done.updated,
        "rows_removed": done.removed,
        "rows_rejected": done.rejected,
        "windows": _windows(answer.windows) if answer else None,
        "requests": meter.requests,
        "retries": meter.retries,
        "throttled": meter.throttled,
        "read_started_at": answer.started_at if answer else now,
        "read_ended_at": answer.ended_at if answer else None,
        "synced_at": now,
        "run_id": run.run_id,
        **more,
    }


def _windows(windows: Iterable[Window]) -> list[dict[str, Any]] | None:
    return [
        {"start": str(each.start), "end": str(each.end), "total": each.total, "pages": each.pages} for each in windows
    ] or None
