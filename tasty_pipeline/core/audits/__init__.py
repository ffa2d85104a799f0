"""What must be true of the tables, each as one question to a reader; asset checks and the command line ask them.

Each audit returns a `Finding`: whether it holds, how many rows or days break it, a few of them, and how to recover.
Nothing here writes.
"""

from tasty_pipeline.core.audits.complete import complete
from tasty_pipeline.core.audits.contract import contract, no_rejected_rows
from tasty_pipeline.core.audits.finding import SAMPLE, Days, Finding
from tasty_pipeline.core.audits.rows import known_accounts, net_value, one_partition, unique_keys
from tasty_pipeline.core.audits.states import PORTFOLIO_GRACE, SESSION_GRACE, authorised, fresh

__all__ = [
    "PORTFOLIO_GRACE",
    "SAMPLE",
    "SESSION_GRACE",
    "Days",
    "Finding",
    "authorised",
    "complete",
    "contract",
    "fresh",
    "known_accounts",
    "net_value",
    "no_rejected_rows",
    "one_partition",
    "unique_keys",
]
