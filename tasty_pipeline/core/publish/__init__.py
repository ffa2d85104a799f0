"""What is done inside the one transaction that publishes: refuse stale reads, stage, merge, remove, audit, log.

Here belongs only what needs the transaction; reading the API and deciding what is gone are in `core.sync`. Every
function takes the open writer, so that one commit makes all of it visible or none. `base` holds what all share,
`guards` what refuses to publish, `days` the tables that are kept by day and `receipts` their windows, `rejects` the bad
rows, `log` the sync log.
"""

from tasty_pipeline.core.publish.base import (
    Answer,
    Run,
    SyncResult,
    count_live,
    delete_gone,
    live_rows,
    mark_removed,
    stage_answer,
    transaction,
)
from tasty_pipeline.core.publish.days import merge_days, prove_days, unproven_days
from tasty_pipeline.core.publish.guards import (
    audit_whole,
    refuse_other_environment,
    refuse_overtaken,
    refuse_stale,
    stale_read,
)
from tasty_pipeline.core.publish.log import log_entry
from tasty_pipeline.core.publish.receipts import keep_receipts, receipts_of, refuse_overwritten
from tasty_pipeline.core.publish.rejects import record_rejects

__all__ = [
    "Answer",
    "Run",
    "SyncResult",
    "audit_whole",
    "count_live",
    "delete_gone",
    "keep_receipts",
    "live_rows",
    "log_entry",
    "mark_removed",
    "merge_days",
    "prove_days",
    "receipts_of",
    "record_rejects",
    "refuse_other_environment",
    "refuse_overtaken",
    "refuse_overwritten",
    "refuse_stale",
    "stage_answer",
    "stale_read",
    "transaction",
    "unproven_days",
]
