"""One function per table: read, prove, decide what is gone, publish. Everything the pipeline writes passes here.

Here belongs the order of things and the decisions; how the API is read is in broker/, what happens inside the
transaction in publish.py. A failure is written to `sync_log` and raised again; it never leaves a part behind.
"""

from tasty_pipeline.core.publish import Run, SyncResult
from tasty_pipeline.core.sync.accounts import listed_accounts, sync_accounts
from tasty_pipeline.core.sync.base import Sync
from tasty_pipeline.core.sync.days import history_of_new, sync_snapshots, sync_transactions, verify_totals
from tasty_pipeline.core.sync.portfolio import sync_portfolio

__all__ = [
    "Run",
    "Sync",
    "SyncResult",
    "history_of_new",
    "listed_accounts",
    "sync_accounts",
    "sync_portfolio",
    "sync_snapshots",
    "sync_transactions",
    "verify_totals",
]
